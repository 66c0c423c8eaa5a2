"""Raw and processed runs of a folder in a catalogue, written by TiledWriter when they have ended.

What the catalogue has is compared with what the files hold, so that nothing is written twice, and
what a server missed, or a reduction changed, is written when it is noticed.
"""

import copy
import logging
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from bluesky_tiled_plugins import TiledWriter
from bluesky_tiled_plugins.writing.consolidators import CONSOLIDATOR_REGISTRY, ConsolidatorBase
from fastapi import HTTPException
from tiled.client.utils import ClientError
from tiled.structures.core import Spec

from h5xs_bluesky.tiled.adapter import MIMETYPE
from h5xs_bluesky.tiled.files import EXPECTED, reason_of
from h5xs_bluesky.tiled.keeping import keep_trying
from h5xs_bluesky.tiled.run_documents import (
    Documents,
    digest,
    processed_documents,
    raw_documents,
    read_contents,
)
from h5xs_bluesky.tiled.runs import CURVES, PROCESSED, RAW, RUNS, RunPlace, RunsOfFolder, container
from h5xs_bluesky.tiled.sources import DIGEST, Marked, Source, refuse_others

if TYPE_CHECKING:
    from h5xs_bluesky.tiled.folders import Signature

logger = logging.getLogger(__name__)

CATALOGUE = "h5xs_catalogue"  # in the metadata of the container of runs: made up once

_RUNS_SPEC = Spec("CatalogOfBlueskyRuns", "3.0")
_AGAIN_S = 5.0
_LOOK_S = 1.0


class FramesConsolidator(ConsolidatorBase):  # type: ignore[misc]
    """Tells TiledWriter how frames are registered that our adapter reads."""

    supported_mimetypes = {MIMETYPE}  # noqa: RUF012 - as in its base

    def adapter_parameters(self) -> dict[str, Any]:
        """Give the sample, and the dataset in it."""
        return {key: self._sres_parameters[key] for key in ("sample", "dataset")}


CONSOLIDATOR_REGISTRY[MIMETYPE] = FramesConsolidator


@dataclass(kw_only=True, slots=True)
class Published:
    """What one look at a folder's runs did, by the names of the samples."""

    written: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    going_on: list[str] = field(default_factory=list)
    copies: dict[str, str] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


class PublishedRuns:
    """Keeps the runs in a catalogue as the folder has them.

    Parameters
    ----------
    client
        The container of the catalogue that the folder's files go into.
    folder
        What is served; the server has to be allowed to read it.
    access_tags
        Of every node that is made, where the server has a policy of tags.
    alone
        Nothing else publishes runs there: what bears our mark is ours, and what an earlier call
        left of another folder is removed.
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
        self._alone = self._look_for_strangers = alone
        self._access_tags = None if access_tags is None else list(access_tags)
        self._done: dict[RunPlace, Signature] = {}
        self._tried: dict[RunPlace, float] = {}
        self._told: dict[RunPlace, str] = {}
        self._copies: dict[str, str] = {}
        self._present: set[RunPlace] | None = None  # when it was last looked for what is gone
        self._containers: dict[str, Any] = {}
        self._stale = self._latest_first = False

    def forget(self) -> None:
        """Look at the catalogue anew at the next occasion: it may not be what it was."""
        self._stale = True

    def catalogue(self) -> str:
        """Give what tells this catalogue from another one in its place; noted where it is missing.

        Raises
        ------
        httpx.HTTPError
            If the server cannot be reached, or the container that is published into is gone.
        """
        runs = container(self._client, RUNS, specs=[], access_tags=self._access_tags)
        found = runs.metadata.get(CATALOGUE)
        if not isinstance(found, str) or not found:
            found = uuid.uuid4().hex
            runs.update_metadata({CATALOGUE: found}, drop_revision=True)
        return found

    def update(self, stop: threading.Event | None = None, *, most: int | None = None) -> Published:
        """Write what the catalogue lacks, the latest and the earliest runs first, in turn.

        Then those of ours are removed whose files are gone.

        Parameters
        ----------
        stop
            Once it is set, the rest is left.
        most
            How many runs to write before the rest is left.

        Raises
        ------
        httpx.HTTPError
            If the server cannot be reached.
        """
        if self._stale:
            self._stale = False
            self._containers.clear()
            self._done.clear()
            self._present = None
        for kind in (RAW, PROCESSED):  # there for who looks before the first run
            self._container(kind)
        found = Published()
        waiting = self._waiting()
        found.copies = self._tell_of_copies()
        for place in waiting:
            if (stop is not None and stop.is_set()) or len(found.written) == most:
                break
            self._update(place, found)
        if most is None or not found.written:  # new ones come first
            self._remove_gone(found, stop)
        return found

    def _waiting(self) -> list[RunPlace]:
        """List the runs whose files are not those that were published.

        The latest first, the next time the earliest: new ones come soon, and no old one waits for
        as long as new ones come.
        """
        self._latest_first = not self._latest_first
        now = time.monotonic()
        waiting = []
        for place in self._folder.places():
            signature = place.signature()
            tried = now - self._tried.get(place, -_AGAIN_S) < _AGAIN_S
            if self._done.get(place) != signature and not tried:
                waiting.append((signature, place))
        waiting.sort(key=lambda each: str(each[0]), reverse=self._latest_first)
        return [place for _, place in waiting]

    def _tell_of_copies(self) -> dict[str, str]:
        """Give the samples whose run is published from another, and from which; logged if new."""
        copies = self._folder.copies
        if new := copies.keys() - self._copies.keys():
            first = min(new)
            logger.warning(
                "%d samples hold runs that are published from others, as %s from %s",
                *(len(new), first, copies[first]),
            )
        self._copies = copies
        return dict(copies)

    def _update(self, place: RunPlace, found: Published) -> None:
        signature = place.signature()
        self._tried[place] = time.monotonic()
        try:
            if place.goes_on():
                found.going_on.append(place.label)
                del self._tried[place]
                return
            contents = read_contents(place)
            source = Source.of_place(place)
            raw = self._publish(RAW, raw_documents(place, contents), source)
            processed = self._publish(PROCESSED, processed_documents(place, contents), source)
        except httpx.TransportError:  # of the server, and not of this run
            raise
        except Exception as error:
            reason = found.failed[place.label] = reason_of(error)
            if self._told.get(place) != reason:
                unexpected = None if isinstance(error, EXPECTED) else error
                logger.warning(
                    "The run of %s is not published: %s", place.label, reason, exc_info=unexpected
                )
            self._told[place] = reason
            if isinstance(error, ClientError):  # it may be the container that is gone
                self._containers.clear()
            if not isinstance(error, HTTPException | httpx.HTTPError):  # it will not get better
                self._done[place] = signature
            return
        self._told.pop(place, None)
        self._done[place] = signature
        (found.written if raw or processed else found.unchanged).append(place.label)

    def _remove_gone(self, found: Published, stop: threading.Event | None) -> None:
        """Take runs out of the catalogue that were published from here, and are here no more."""
        present = set(self._folder.found)
        if self._present is not None and self._present <= present:
            self._present = present
            return
        known: dict[RunPlace, Any]
        for known in (self._done, self._tried, self._told):
            for place in known.keys() - present:
                del known[place]
        there = {(p.experiment, p.sample): self._folder.uid(p) for p in present}
        runs = container(self._client, RUNS, specs=[], access_tags=self._access_tags)
        for kind in (RAW, PROCESSED, CURVES):
            for uid, node in list((runs.get(kind) or {}).items()):
                if stop is not None and stop.is_set():
                    return
                source = Source.from_metadata(node.metadata)
                of_raw = (
                    uid if kind != PROCESSED else node.metadata["start"].get("original_run_uid")
                )
                if source is not None and self._is_gone(source, of_raw, there):
                    self._remove(node, f"{RUNS}/{kind}/{uid}", found)
        self._present = present
        self._look_for_strangers = False

    def _is_gone(self, source: Source, uid: str, there: dict[tuple[Path, str], str]) -> bool:
        """Tell whether a run is ours to remove; what cannot be looked at is not."""
        if (now := there.get((source.experiment, source.sample))) is not None:
            return now not in ("", uid)  # measured again under the same name
        if source.experiment.is_relative_to(self._folder.path):
            return not source.is_there()
        return self._look_for_strangers

    def _remove(self, node: Any, label: str, found: Published) -> None:
        try:
            node.delete(recursive=True, external_only=False)
        except ClientError as error:
            if error.response.status_code != httpx.codes.NOT_FOUND:  # another publisher's doing
                found.failed[label] = reason_of(error)
                logger.warning("%s is not removed: %s", label, error)
        else:
            found.removed.append(label)
            logger.info("%s is removed: its files are gone", label)

    def _publish(self, kind: str, documents: Documents, source: Source) -> bool:
        """Write a run, if the catalogue has another one or none; tells whether it did.

        Raises
        ------
        RefusedError
            If the catalogue has one that is not ours.
        """
        if not documents:
            return False
        uid, now = documents[0][1]["uid"], digest(documents)
        parent = self._container(kind)
        node = parent.get(uid)
        if node is not None:
            refuse_others(node, source, folder=self._folder.path, alone=self._alone)
            if node.metadata.get(DIGEST) == now:
                if Source.from_metadata(node.metadata) != source:  # it was moved
                    node.update_metadata(source.mark, drop_revision=True)
                return False
            parent.delete_contents(uid, recursive=True, external_only=False)
        writer = TiledWriter(Marked(parent, source.mark), max_array_size=0)  # SQLite has no arrays
        for name, doc in documents:
            own = copy.copy(doc)
            if name == "start" and self._access_tags is not None:
                own["tiled_access_tags"] = self._access_tags
            writer(name, own)
        parent[uid].update_metadata({DIGEST: now}, drop_revision=True)
        return True

    def _container(self, kind: str) -> Any:
        if kind not in self._containers:
            runs = container(self._client, RUNS, specs=[], access_tags=self._access_tags)
            self._containers[kind] = container(
                runs, kind, specs=[_RUNS_SPEC], access_tags=self._access_tags
            )
        return self._containers[kind]


def publish_runs(published: PublishedRuns, *, stop: threading.Event) -> None:
    """Publish runs as they end, until told to stop; trouble is logged, and tried again."""

    def update() -> float:
        return 0.0 if published.update(stop, most=1).written else _LOOK_S

    keep_trying(
        update,
        what="The runs in the catalogue are behind",
        forget=published.forget,
        again_s=_LOOK_S,
        stop=stop,
    )
