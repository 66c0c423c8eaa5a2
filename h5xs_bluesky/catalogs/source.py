"""What every store of runs is to us: uids that can be searched for, and documents of each run."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from h5xs_bluesky.callbacks.documents import Document
from h5xs_bluesky.errors import RunNotFoundError

Documents = Iterator[tuple[str, Document]]

# What stores lose; docs/how-to/reduce-stored-runs.md tells more of each.
FRAME_TIMES = "times of frames in files: that of their event"
ROW_TIMES = "times of rows without events: NaN"
ROW_NUMBERS = "sequence numbers of rows without events: counted from 1"
UIDS = "uids of events"
ORDER = "order of documents in different streams: by time"
DTYPES = "dtype of arrays: saturation holds only where it is configured"
FILES = "links to files of other writers: frames are copied"

SHOWN = 8  # runs that a message names


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredRun:
    """A run as its store gives it.

    Parameters
    ----------
    start
        Its first document.
    stop
        Its last; None while it goes on, or where its writer died.
    lost
        What the store has lost of it.
    documents
        Gives all documents in the order in which they came, frames as arrays in events. One event's
        frames are in memory at a time.
    """

    start: Document
    stop: Document | None
    lost: tuple[str, ...]
    documents: Callable[[], Documents]


@dataclass(frozen=True, kw_only=True, slots=True)
class Filters:
    """Which runs are wanted; all conditions hold.

    Parameters
    ----------
    since_s, until_s
        They began at or after the one, and before the other; in s since the epoch.
    equal
        Keys of the start document, dotted into nested ones, and their values.
    """

    since_s: float | None = None
    until_s: float | None = None
    equal: Mapping[str, Any] = field(default_factory=dict)

    def fit(self, start: Mapping[str, Any]) -> bool:
        """Whether a run with this start document is wanted."""
        time_s = float(start.get("time", 0.0))
        return (
            (self.since_s is None or time_s >= self.since_s)
            and (self.until_s is None or time_s < self.until_s)
            and all(_look_up(start, key) == value for key, value in self.equal.items())
        )


class RunSource(Protocol):
    """A store of runs."""

    @property
    def name(self) -> str:
        """What and where it is, for people."""

    def search(self, filters: Filters) -> list[Document]:
        """Give the start documents of the raw runs that are wanted, oldest first."""

    def find(self, uid: str) -> Document:
        """Give the start document of the run whose uid begins so.

        Raises
        ------
        RunNotFoundError
            If there is none, or several.
        """

    def run(self, uid: str) -> StoredRun:
        """Give a run.

        Raises
        ------
        CatalogError, FileFormatError
            If the store does not give it back.
        """


def oldest_first(starts: Iterable[Mapping[str, Any]]) -> list[Document]:
    """Give start documents in the order of their times."""
    return [dict(s) for s in sorted(starts, key=lambda start: float(start.get("time", 0.0)))]


def not_found(
    source: str,
    uid: str,
    starts: Sequence[Mapping[str, Any]],
    *,
    count: int | None = None,
    sample_key: str = "sample_name",
) -> RunNotFoundError:
    """Make the error that tells which runs fit, where several do, or which there are instead.

    Parameters
    ----------
    starts
        Of those that fit, or of the newest; a few are enough.
    count
        How many there are of either; by default all are in `starts`.
    """
    count = len(starts) if count is None else count
    fit = [f"{s['uid']} ({s.get(sample_key, '?')})" for s in starts if _begins(s, uid)]
    if len(fit) > 1:
        found = max(len(fit), count) if len(fit) == len(starts) else len(fit)
        more = f" and {found - SHOWN} others" if found > SHOWN else ""
        return RunNotFoundError(
            f"{source}: expected one run whose uid begins with {uid!r}, found {found}: "
            f"{', '.join(fit[:SHOWN])}{more}: give more of the uid"
        )
    newest = sorted(starts, key=lambda start: -float(start.get("time", 0.0)))
    shown = [f"{str(s['uid'])[:8]} ({s.get(sample_key, '?')})" for s in newest[:SHOWN]]
    more = f" and {count - SHOWN} older ones" if count > SHOWN else ""
    return RunNotFoundError(
        f"{source}: expected one run whose uid begins with {uid!r}, found none; the newest are "
        f"{', '.join(shown) or 'none'}{more}"
    )


def without_files(descriptor: Mapping[str, Any]) -> Document:
    """Give a descriptor all of whose data stand in the events."""
    keys = {
        name: {what: value for what, value in key.items() if what != "external"}
        for name, key in descriptor["data_keys"].items()
    }
    return {**descriptor, "data_keys": keys}


def external_fields(descriptor: Mapping[str, Any]) -> dict[str, str]:
    """Give the fields that stand in files, and how they are told of."""
    return {
        name: str(key["external"])
        for name, key in descriptor["data_keys"].items()
        if key.get("external") is not None
    }


def _begins(start: Mapping[str, Any], uid: str) -> bool:
    return str(start["uid"]).startswith(uid)


def _look_up(document: Mapping[str, Any], key: str) -> Any:
    value: Any = document
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
