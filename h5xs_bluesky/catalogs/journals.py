"""Our own journals as a store of runs: nothing is lost but that frames are copied."""

import logging
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from h5xs_bluesky import schema
from h5xs_bluesky.callbacks.documents import Document
from h5xs_bluesky.catalogs.file_frames import FileFrames
from h5xs_bluesky.catalogs.source import (
    FILES,
    Documents,
    Filters,
    StoredRun,
    external_fields,
    not_found,
    oldest_first,
    without_files,
)
from h5xs_bluesky.config import Roots
from h5xs_bluesky.errors import FileFormatError, H5xsError, RefusedError
from h5xs_bluesky.io.external import AllowedFolders
from h5xs_bluesky.io.journal import FrameReference, read_journal
from h5xs_bluesky.io.run_contents import FOUND, RECONSTRUCTED, RunContents

logger = logging.getLogger(__name__)

_PATTERNS = ("", "*/", "*/*/")  # a sample's folder, an experiment's, one that holds experiments


class JournalRuns:
    """The runs in a sample's folder, in an experiment's, or in a folder of experiments.

    Parameters
    ----------
    folder
        The folder.
    roots
        Where frames that are linked may lie, beside the experiment's own folder.

    Raises
    ------
    FileNotFoundError
        If there is no journal.
    """

    def __init__(self, folder: Path, *, roots: Roots) -> None:
        self._folder = folder
        self._roots = roots
        self._journals: dict[str, Path] = {}
        self._starts: list[Document] = []
        journals = [path for p in _PATTERNS for path in folder.glob(p + schema.JOURNAL_FILE)]
        if not journals:
            raise FileNotFoundError(
                f"{folder}: expected a folder with {schema.JOURNAL_FILE}, of an experiment or of "
                "one of its samples, found none"
            )
        for path in sorted(journals):
            try:
                name, start = next(read_journal(path), ("", {}))
            except H5xsError as error:
                logger.warning("A run is left out: %s", error)
                continue
            if name == "start":
                self._starts.append(start)
                self._journals[str(start["uid"])] = path

    @property
    def name(self) -> str:
        """The folder."""
        return f"journals in {self._folder}"

    def search(self, filters: Filters) -> list[Document]:
        """Give the start documents of the runs that are wanted, oldest first."""
        return oldest_first(start for start in self._starts if filters.fit(start))

    def find(self, uid: str) -> Document:
        """Give the start document of the run whose uid begins so; see `RunSource`."""
        found = [start for start in self._starts if str(start["uid"]).startswith(uid)]
        if len(found) != 1:
            raise not_found(self.name, uid, self._starts)
        return found[0]

    def run(self, uid: str) -> StoredRun:
        """Give a run; see `RunSource`."""
        path = self._journals[uid]
        journal = _Journal.read(path)
        experiment = path.parents[1]
        folders = AllowedFolders(
            permanent=(experiment, *self._roots.permanent), allowed=self._roots.allowed
        )
        return StoredRun(
            start=journal.contents.start,
            stop=journal.contents.stop,
            lost=(FILES,) if journal.has_files else (),
            documents=lambda: journal.documents(folders),
        )


@dataclass(kw_only=True, slots=True)
class _Row:
    """A row of a stream: its event, if there was one, and what was found for it in files."""

    stream: str
    number: int
    descriptor: Document
    event: Document | None = None
    found: dict[str, tuple[Any, float]] = field(default_factory=dict)  # value, time


@dataclass(kw_only=True, slots=True)
class _Journal:
    """A journal that was read: documents and rows in their order, frames as references."""

    path: Path
    contents: RunContents = field(default_factory=RunContents)
    order: list[Document | _Row] = field(default_factory=list)
    rows: dict[tuple[str, int], _Row] = field(default_factory=dict)
    known: Counter[str] = field(default_factory=Counter)  # rows by stream
    has_files: bool = False

    @classmethod
    def read(cls, path: Path) -> "_Journal":
        journal = cls(path=path)
        for name, doc in read_journal(path):
            try:
                journal._take(name, doc)
            except (KeyError, TypeError, ValueError) as error:
                logger.warning("%s: a %s record does not fit: %r", path, name, error)
        return journal

    def _take(self, name: str, doc: Document) -> None:
        number = self.contents.consume(name, doc)
        if name == "descriptor":
            self.order.append(doc)
            self.has_files = self.has_files or bool(external_fields(doc))
        for stream, contents in self.contents.streams.items():
            for row in range(self.known[stream], len(contents.rows)):
                made = _Row(stream=stream, number=row, descriptor=self._descriptor(stream))
                self.rows[stream, row] = made
                self.order.append(made)
            self.known[stream] = len(contents.rows)
        if name == "event" and number is not None:
            self.rows[self.contents.stream_of(doc), number].event = doc
        elif name == FOUND:
            for each, row in enumerate(doc["rows"]):
                self.rows[doc["stream"], row].found[doc["field"]] = _found(doc, each)

    def _descriptor(self, stream: str) -> Document:
        named = [d for d in self.contents.descriptors if str(d.get("name", "primary")) == stream]
        return named[-1]

    def documents(self, folders: AllowedFolders) -> Documents:
        yield "start", self.contents.start
        with closing(FileFrames(folders)) as files:
            for item in self.order:
                if isinstance(item, _Row):
                    yield "event", self._event(item, files)
                else:
                    yield "descriptor", without_files(item)
        if self.contents.stop is not None:
            yield "stop", self.contents.stop

    def _event(self, row: _Row, files: FileFrames) -> Document:
        event = row.event or self._made_up(row)
        found = {name: value for name, (value, _) in row.found.items()}
        data = {
            name: self._frames(value, files) if isinstance(value, FrameReference) else value
            for name, value in {**event["data"], **found}.items()
        }
        stamps = {name: time for name, (_, time) in row.found.items()}
        return {
            **event,
            "data": data,
            "timestamps": {**event.get("timestamps", {}), **stamps},
            RECONSTRUCTED: sorted({*event.get(RECONSTRUCTED, ()), *found}),
        }

    def _made_up(self, row: _Row) -> Document:
        """Make the event of a row that none came for, as in a fly scan."""
        rows = self.contents.streams[row.stream].rows
        return {
            "uid": f"{row.descriptor['uid']}-{row.number}",
            "descriptor": row.descriptor["uid"],
            "seq_num": rows.seq_nums[row.number],
            "time": rows.times[row.number],
            "data": {},
            "timestamps": {},
            "filled": {},
        }

    def _frames(self, reference: FrameReference, files: FileFrames) -> Any:
        if Path(reference.file).name != reference.file:
            raise RefusedError(
                f"{self.path}: expected the name of a file beside it, found {reference.file!r}"
            )
        path = self.path.parent / reference.file
        return files.hdf5(path, schema.DATA, first=reference.row, count=reference.rows)


def _found(doc: Document, number: int) -> tuple[Any, float]:
    """Give what was found for one of its rows: a value, or where its frames are; and when."""
    time = float(doc.get("time", math.nan))
    if "reference" not in doc:
        return doc["values"][number], time
    reference: FrameReference = doc["reference"]
    if reference.rows % len(doc["rows"]):
        raise FileFormatError(
            f"expected as many frames for each of {len(doc['rows'])} rows, found {reference.rows}"
        )
    each = reference.rows // len(doc["rows"])
    return replace(reference, row=reference.row + number * each, rows=each), time


def journal_uids(folder: Path) -> Iterator[tuple[str, Path]]:
    """Give the uid and the folder of each run in an experiment."""
    for path in sorted(folder.glob("*/" + schema.JOURNAL_FILE)):
        try:
            name, start = next(read_journal(path), ("", {}))
        except (H5xsError, OSError) as error:
            logger.warning("%s is left out: %s", path, error)
            continue
        if name == "start":
            yield str(start["uid"]), path.parent
