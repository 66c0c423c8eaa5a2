"""A catalogue as a store of runs, Tiled's or databroker's, through Tiled's client."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from h5xs_bluesky.api.processed_documents import RAW_RUN
from h5xs_bluesky.callbacks.documents import Document
from h5xs_bluesky.catalogs.databroker_runs import databroker_run
from h5xs_bluesky.catalogs.source import (
    SHOWN,
    Documents,
    Filters,
    StoredRun,
    not_found,
    oldest_first,
)
from h5xs_bluesky.catalogs.tiled_documents import tiled_run
from h5xs_bluesky.errors import CatalogError, RunNotFoundError
from h5xs_bluesky.io.external import AllowedFolders

_METADATA = "/api/v1/metadata/"
_NEWEST = 3 * SHOWN  # some may be processed runs
_RUN = "BlueskyRun"
_OF_SAMPLES = {"H5XSExperiment", "H5XSFolder", "H5XSSample"}


class TiledRuns:
    """The runs of a Tiled catalogue, or of databroker's, through Tiled's client.

    Parameters
    ----------
    client
        Of the node that holds the runs: of `tiled.client.from_uri` or `databroker.from_profile`.
    folders
        Where files that databroker names may lie; Tiled's server reads its files itself.

    Raises
    ------
    CatalogError
        If it is a node with samples, or one of them.
    """

    def __init__(self, client: Any, *, folders: AllowedFolders) -> None:
        self._client = client
        self._folders = folders
        if _OF_SAMPLES & _specs(client):
            raise CatalogError(
                f"{self.name}: expected a catalogue of Bluesky's runs, found samples of an "
                f"experiment: name the server's address, or its node runs/raw"
            )

    @property
    def name(self) -> str:
        """The node's address, without what may be secret in it."""
        parts = urlsplit(str(self._client.uri))
        path = parts.path.replace(_METADATA, "/").rstrip("/")
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], path, "", ""))

    def search(self, filters: Filters) -> list[Document]:
        """Give the start documents of the raw runs that are wanted, oldest first."""
        from tiled.queries import Comparison, Key

        with self._answers():
            found = self._client
            for key, value in filters.equal.items():
                found = found.search(Key(f"start.{key}") == value)
            if filters.since_s is not None:
                found = found.search(Comparison("ge", "start.time", filters.since_s))
            if filters.until_s is not None:
                found = found.search(Comparison("lt", "start.time", filters.until_s))
            return oldest_first(_starts(found.values()))

    def find(self, uid: str) -> Document:
        """Give the start document of the run whose uid begins so; see `RunSource`."""
        with self._answers():
            node = self._node(uid)
            start = dict(node.metadata.get("start") or {})
            if _RUN not in _specs(node) or not str(start.get("uid", "")).startswith(uid):
                raise self._not_found(uid)
        if RAW_RUN in start:
            raise CatalogError(
                f"{self.name}: expected a raw run, found {uid!r}, the processed run of "
                f"{start[RAW_RUN]}: name that"
            )
        return start

    def run(self, uid: str) -> StoredRun:
        """Give a run; see `RunSource`."""
        with self._answers():
            node = self._client[uid]
            if _is_tiled(node):
                run = tiled_run(node)
            else:
                run = databroker_run(node, name=self.name, folders=self._folders)
        return replace(run, documents=lambda: self._telling(run.documents()))

    def _node(self, uid: str) -> Any:
        from tiled.queries import Like

        try:
            return self._client[uid]
        except (KeyError, ValueError):  # a plain container knows no beginnings
            found, count = [], 0
            with suppress(Exception):  # databroker's server has no such query
                fit = self._client.search(Like("start.uid", f"{uid}%"))
                found, count = list(fit.values().head(SHOWN)), len(fit)
            if len(found) == 1:
                return found[0]
            starts = list(_starts(found))
            if starts:
                raise not_found(self.name, uid, starts, count=count) from None
        raise self._not_found(uid)

    def _not_found(self, uid: str) -> RunNotFoundError:
        """Make the error that names the newest runs; no more of a long catalogue is asked for."""
        from tiled.queries import SpecsQuery

        found = self._client
        if any(_RUN in _specs(node) and not _is_tiled(node) for node in found.values().head(1)):
            newest = found.values().tail(_NEWEST)  # databroker has them in the order of their times
        else:
            found = found.search(SpecsQuery([_RUN])).sort(("start.time", -1))
            newest = found.values().head(_NEWEST)
        starts = list(_starts(newest))
        count = len(starts) if len(newest) < _NEWEST else len(found)
        return not_found(self.name, uid, starts, count=count)

    def _telling(self, documents: Documents) -> Documents:
        with self._answers():
            yield from documents

    @contextmanager
    def _answers(self) -> Iterator[None]:
        """Tell of a server that cannot be reached, or refuses, in an error of ours."""
        import httpx

        try:
            yield
        except httpx.HTTPError as error:
            raise CatalogError(f"{self.name}: {type(error).__name__}: {error}") from error


def _starts(nodes: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
    """Give the start documents of those nodes that are raw runs."""
    for node in nodes:
        start = node.metadata.get("start")
        known = isinstance(start, Mapping) and "uid" in start and RAW_RUN not in start
        if known and _RUN in _specs(node):
            yield start


def _specs(node: Any) -> set[str]:
    return {spec.name for spec in node.specs}


def _is_tiled(node: Any) -> bool:
    """Whether TiledWriter's form of a run is there, and not databroker's."""
    versions = [str(spec.version or "") for spec in node.specs if spec.name == _RUN]
    return any(version.startswith("3.") for version in versions)
