"""A folder in a catalogue: its samples, its runs, and the curves of those that go on."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from tiled.client.utils import ClientError

from h5xs_bluesky.tiled.curve_stream import CurveStream, stream_curves
from h5xs_bluesky.tiled.own_catalog import OwnCatalog
from h5xs_bluesky.tiled.published_runs import PublishedRuns, publish_runs
from h5xs_bluesky.tiled.registration import FolderRegistration, watch_folder
from h5xs_bluesky.tiled.runs import container

logger = logging.getLogger(__name__)

_CHECK_S = 5.0
_STOP_WITHIN_S = 3.0
_ANSWERS_WITHIN_S = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of each sample when a folder was published once.

    Parameters
    ----------
    added, updated, removed
        Samples of the catalogue that changed; runs that were removed, too.
    written, unchanged
        Samples whose runs were written, or were there already.
    going_on
        Samples whose runs are being measured: their curves are there, the rest follows.
    copies
        Samples whose runs are published from another sample that holds the same, and from which.
    failed
        Why others are not there.
    """

    added: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    going_on: list[str] = field(default_factory=list)
    copies: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


class Publication:
    """Keeps a catalogue as a folder is.

    Parameters
    ----------
    client
        The container of the catalogue that the folder's files go into.
    folder
        What is published; the server has to be allowed to read it under the same path.
    access_tags
        Of every node that is made, where the server has a policy of tags.
    alone
        Nothing else is in the container: what an earlier call left there and is gone is removed.
    catalog
        The server's own, where this process has it.
    runs
        Publish runs and their curves, too.
    """

    def __init__(
        self,
        client: Any,
        folder: Path,
        *,
        access_tags: Sequence[str] | None = None,
        alone: bool = False,
        catalog: OwnCatalog | None = None,
        runs: bool = True,
    ) -> None:
        self.client = client
        self.samples = FolderRegistration(
            client, folder, access_tags=access_tags, alone=alone, catalog=catalog
        )
        self.curves: CurveStream | None = None
        self.runs: PublishedRuns | None = None
        if runs:
            self.curves = CurveStream(client, folder, access_tags=access_tags, alone=alone)
            self.runs = PublishedRuns(client, folder, access_tags=access_tags, alone=alone)

    def update(self) -> Outcome:
        """Bring the catalogue up to the folder once.

        Raises
        ------
        httpx.HTTPError
            If the server cannot be reached.
        """
        changes = self.samples.update()
        failed, removed = dict(changes.failed), list(changes.removed)
        outcome: dict[str, Any] = {}
        if self.curves is not None and self.runs is not None:
            failed |= self.curves.update()
            found = self.runs.update()
            failed |= found.failed
            removed += found.removed
            outcome = {
                "written": found.written,
                "unchanged": found.unchanged,
                "going_on": found.going_on,
                "copies": found.copies,
            }
        return Outcome(
            added=changes.added,
            updated=changes.updated,
            removed=removed,
            failed=failed,
            **outcome,
        )

    def forget(self) -> None:
        """Compare with the catalogue anew: it may not be what it was."""
        for part in (self.samples, self.curves, self.runs):
            if part is not None:
                part.forget()


def keep_published(publication: Publication, *, period_s: float, stop: threading.Event) -> None:
    """Keep a catalogue as a folder is until told to stop; trouble is logged, and tried again.

    Samples, runs and curves have a thread each, so that curves do not wait for anything. Returns
    earlier where the container that is published into has gone: connect again.
    """
    known = _catalogue_now(publication)
    ended = threading.Event()
    work: list[Callable[[], None]] = [
        lambda: watch_folder(publication.samples, period_s=period_s, stop=ended)
    ]
    curves, runs = publication.curves, publication.runs
    if curves is not None and runs is not None:
        work.append(lambda: stream_curves(curves, stop=ended))
        work.append(lambda: publish_runs(runs, stop=ended))
    threads = [threading.Thread(target=each, name="publish", daemon=True) for each in work]
    for thread in threads:
        thread.start()
    _watch_catalogue(publication, known, stop)
    ended.set()
    for thread in threads:
        thread.join(_STOP_WITHIN_S)


def _watch_catalogue(publication: Publication, known: str, stop: threading.Event) -> None:
    """Notice when the catalogue is another one than before, though the server answers.

    Returns when it is told to stop, or the container that is published into is not there any more.
    """
    while not stop.wait(_CHECK_S):
        if _is_lost(publication.client):
            logger.warning("The catalogue has lost the container that was published into")
            return
        now = _catalogue_now(publication)
        if now and now != known:
            if known:
                logger.warning("The catalogue has lost what was published: it is published again")
            publication.forget()
            known = now


def _catalogue_now(publication: Publication) -> str:
    """Give what tells the catalogue from any other; "" where it does not say so now."""
    if publication.runs is None:
        return ""
    try:
        return publication.runs.catalogue()
    except (httpx.HTTPError, OSError, KeyError):
        return ""


def _is_lost(client: Any) -> bool:
    """Tell whether a server answers that there is no such container."""
    try:
        client.refresh()
    except ClientError as error:
        return bool(error.response.status_code == httpx.codes.NOT_FOUND)
    except (httpx.HTTPError, OSError):
        return False
    return False


def connect(
    address: str,
    api_key: str | None,
    under: str = "",
    *,
    access_tags: Sequence[str] | None = None,
) -> Any:
    """Give a container of a server's catalogue; made where it is missing.

    Parameters
    ----------
    address
        The server's.
    api_key
        One that may write; None for a server that asks for none.
    under
        Names of containers, separated by "/"; "" for the root.
    access_tags
        Of the containers that are made.

    Raises
    ------
    httpx.HTTPError, ClientError
        If the server does not answer, or does not let us.
    """
    from tiled.client import from_uri

    httpx.get(address, timeout=_ANSWERS_WITHIN_S)  # Tiled's client would try for a minute
    node = from_uri(address, api_key=api_key)
    for name in filter(None, under.split("/")):
        tags = None if access_tags is None else list(access_tags)
        node = container(node, name, specs=[], access_tags=tags)
    return node
