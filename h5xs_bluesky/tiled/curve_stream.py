"""The curves of runs as they come: an array for each run, whose growth its subscribers are sent.

The curves are read from the processed file, which is being written by another process, and appended
to an array (n, 2, nq) in the catalogue. Each message to subscribers carries the curves themselves;
why so, and not through TiledWriter, is told in decision record 13.
"""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from fastapi import HTTPException
from numpy.typing import NDArray
from tiled.structures.array import ArrayStructure, BuiltinDtype
from tiled.structures.core import StructureFamily
from tiled.structures.data_source import DataSource

from h5xs_bluesky import schema
from h5xs_bluesky.io.frames import refresh
from h5xs_bluesky.io.links import follow
from h5xs_bluesky.tiled.arrays import ARRAY_SPEC, CURVES_SPEC
from h5xs_bluesky.tiled.files import EXPECTED, reason_of
from h5xs_bluesky.tiled.folders import Signature
from h5xs_bluesky.tiled.keeping import keep_trying
from h5xs_bluesky.tiled.runs import (
    CURVES,
    RUNS,
    RunPlace,
    RunsOfFolder,
    container,
    open_processed,
    roots_of,
)
from h5xs_bluesky.tiled.sources import COMPLETE, Source, refuse_others
from h5xs_bluesky.tiled.summaries import from_client

logger = logging.getLogger(__name__)

_MOST_BYTES = 500_000  # of one message: a subscriber ends at 1 MB
_LOOK_S = 0.5
_TICK_S = 0.02
_AGAIN_S = 1.0  # a file may change twice within the resolution of its time


@dataclass(kw_only=True, slots=True)
class _Run:
    """A run whose curves are published: its array in the catalogue, and how far it is filled.

    `ended`: nothing more is expected, and what there was when the files had `signature` is there.
    """

    place: RunPlace
    ended: bool
    node: Any = None
    sent: int = 0
    signature: Signature = ()
    looked: float = -_AGAIN_S
    reason: str = ""


class CurveStream:
    """Keeps the arrays of curves in a catalogue as the processed files are.

    Parameters
    ----------
    client
        The container of the catalogue that the folder's files go into.
    folder
        What is served.
    access_tags
        Of every node that is made, where the server has a policy of tags.
    alone
        Nothing else publishes curves there: what bears our mark is ours.
    """

    def __init__(
        self,
        client: Any,
        folder: Path,
        *,
        access_tags: Sequence[str] | None = None,
        alone: bool = False,
    ) -> None:
        self._client = client
        self._folder = RunsOfFolder(folder)
        self._alone = alone
        self._access_tags = None if access_tags is None else list(access_tags)
        self._runs: dict[RunPlace, _Run] = {}
        self._curves: Any = None
        self._stale = False

    def look(self) -> None:
        """Look for runs that are new, and leave those that are gone."""
        if self._stale:
            self._stale, self._curves = False, None
            for run in self._runs.values():
                run.node, run.signature = None, ()
        places = self._folder.places()
        for place in places:
            if place not in self._runs:
                self._runs[place] = _Run(place=place, ended=not place.goes_on())
        for place in self._runs.keys() - set(places):
            del self._runs[place]

    def forget(self) -> None:
        """Look at the catalogue anew at the next occasion: it may not be what it was."""
        self._stale = True

    def update(self, stop: threading.Event | None = None) -> dict[str, str]:
        """Bring all arrays up to the files; gives why some cannot be, by their names.

        Raises
        ------
        httpx.HTTPError
            If the server cannot be reached.
        """
        self.look()
        for run in list(self._runs.values()):
            if stop is not None and stop.is_set():
                break
            self._update(run)
        return {run.place.label: run.reason for run in self._runs.values() if run.reason}

    def tick(self) -> None:
        """Bring the arrays of runs that go on up to their files, and one of those that ended.

        Raises
        ------
        httpx.HTTPError
            If the server cannot be reached.
        """
        runs = list(self._runs.values())
        for run in runs:
            if not run.ended and _has_news(run):
                self._update(run)
        late = next((run for run in runs if run.ended and _has_news(run)), None)
        if late is not None:
            self._update(late)

    def _update(self, run: _Run) -> None:
        """Append what a run has more; what cannot be read now is tried again."""
        run.looked = time.monotonic()
        signature, goes_on = run.place.signature(), False
        try:
            goes_on = run.place.goes_on()
            if run.node is None:
                self._begin(run, ended=not goes_on)
            if run.node is not None:
                self._append(run, _read_curves(run.place, run.sent))
                if not goes_on:
                    _close(run.node)
        except httpx.TransportError:  # of the server, and not of this run
            raise
        except Exception as error:
            reason = reason_of(error)
            if reason != run.reason:
                unexpected = None if isinstance(error, EXPECTED) else error
                logger.warning("No curves of %s: %s", run.place.label, reason, exc_info=unexpected)
            run.reason, run.node = reason, None
            if isinstance(error, HTTPException | httpx.HTTPError):  # not for good
                signature = ()
        else:
            run.reason = ""
        run.ended, run.signature = not goes_on, signature
        if run.ended:
            run.node = None

    def _begin(self, run: _Run, *, ended: bool) -> None:
        """Find or make the array; what is in it and is not in the file is replaced."""
        curves = _read_curves(run.place, 0)
        if not len(curves):
            return
        source = Source.of_place(run.place)
        metadata = {**run.place.metadata(), "curve": schema.MERGED, COMPLETE: False, **source.mark}
        parent, key = self._container(), metadata["uid"]
        node = parent.get(key)
        if node is not None:
            refuse_others(node, source, folder=self._folder.path, alone=self._alone)
            found = from_client(node.metadata)
            if ended and found.get(COMPLETE) is True:
                metadata[COMPLETE] = True
            stored = node.read()
            if _begins_with(curves, stored):
                if found != metadata:
                    node.replace_metadata(metadata, drop_revision=True)
                run.node, run.sent = node, len(stored)
                return
            parent.delete_contents(key, external_only=False)
            metadata[COMPLETE] = False
        run.node, run.sent = self._make(parent, metadata, curves), 0

    def _make(self, parent: Any, metadata: dict[str, Any], curves: NDArray[np.float64]) -> Any:
        """Make an array that has no rows yet: whoever reads it now gets none, not zeros."""
        source = DataSource(
            structure_family=StructureFamily.array,
            structure=ArrayStructure(
                data_type=BuiltinDtype.from_numpy_dtype(curves.dtype),
                shape=(0, *curves.shape[1:]),
                chunks=((1,), *((length,) for length in curves.shape[1:])),
            ),
        )
        return parent.new(
            StructureFamily.array,
            [source],
            key=metadata["uid"],
            metadata=metadata,
            specs=[CURVES_SPEC, ARRAY_SPEC],
            access_tags=self._access_tags,
        )

    def _append(self, run: _Run, curves: NDArray[np.float64]) -> None:
        step = _most_rows(curves)
        for first in range(0, len(curves), step):
            part = curves[first : first + step]
            run.node.patch(part, offset=(run.sent,), extend=True)
            run.sent += len(part)

    def _container(self) -> Any:
        if self._curves is None:
            runs = container(self._client, RUNS, specs=[], access_tags=self._access_tags)
            self._curves = container(runs, CURVES, specs=[], access_tags=self._access_tags)
        return self._curves


def _has_news(run: _Run) -> bool:
    """Tell whether a run is to be looked at: its files have changed, or may have unnoticed."""
    now = time.monotonic()
    again = now - run.looked >= _AGAIN_S
    if run.ended:
        if not again:
            return False
        run.looked = now  # or each tick would ask the disk about thousands of runs
    return run.signature != run.place.signature() or (again and not run.ended)


def _close(node: Any) -> None:
    """Tell subscribers that nothing more comes."""
    if node.metadata.get(COMPLETE) is not True:
        node.update_metadata({COMPLETE: True}, drop_revision=True)
        node.close_stream()


def _read_curves(place: RunPlace, first: int) -> NDArray[np.float64]:
    """Read the merged curves (n, 2, nq) of a run from a row on; none where there is no file."""
    try:
        with open_processed(place) as file:
            dataset = follow(file, f"{schema.PROCESSED}/{schema.MERGED}", roots=roots_of(place))
            if dataset is None:
                return np.empty((0, 2, 0))
            found: NDArray[np.float64] = refresh(dataset)[first:]
    except FileNotFoundError:
        return np.empty((0, 2, 0))
    return found


def _begins_with(curves: NDArray[np.float64], stored: NDArray[np.float64]) -> bool:
    return np.array_equal(curves[: len(stored)], stored, equal_nan=True)


def _most_rows(curves: NDArray[np.float64]) -> int:
    return max(1, _MOST_BYTES // max(1, curves[:1].nbytes))


def stream_curves(stream: CurveStream, *, stop: threading.Event) -> None:
    """Send curves to the catalogue as they come; trouble is logged, and tried again."""
    looked = -_LOOK_S

    def update() -> float:
        nonlocal looked
        began = time.monotonic()
        if began - looked >= _LOOK_S:
            stream.look()
            looked = began
        stream.tick()
        return _TICK_S

    keep_trying(
        update,
        what="The curves in the catalogue are behind",
        forget=stream.forget,
        again_s=_AGAIN_S,
        stop=stop,
    )
