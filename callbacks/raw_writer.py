"""Writes the raw side of one run: frames, scalars and journal, in the order of acknowledgement."""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky import schema
from h5xs_bluesky.callbacks.documents import Document, FrameStack
from h5xs_bluesky.callbacks.external_reader import Arrival
from h5xs_bluesky.callbacks.frame_files import FrameFiles
from h5xs_bluesky.callbacks.rows import AcknowledgedEvent
from h5xs_bluesky.errors import details_of
from h5xs_bluesky.io.journal import JournalWriter
from h5xs_bluesky.io.run_contents import (
    FOUND,
    RECONSTRUCTED,
    STREAM_FILE,
    RunContents,
    scalar_fields,
)
from h5xs_bluesky.io.run_files import RunFolder, write_run_file
from h5xs_bluesky.io.stream import StreamFile

logger = logging.getLogger(__name__)

# A run may have a file for every event, and the run file links all of them.
_FEW_FILES = 16
_SHARE_OF_PUBLISHING = 0.05  # of the time


class RawWriter:
    """Writes the documents of one run into its folder; one thread calls it, any may `publish`.

    An event is acknowledged in this order: the frames of all fields are flushed, then their
    counts, then the journal's record with the row numbers, and that is flushed. The journal is
    the truth: rows beyond it are ignored.

    Parameters
    ----------
    folder
        The run's own folder.
    metadata
        Attributes of the sample's group; more may be added later.
    tell
        Called with what went wrong and lost nothing.

    Attributes
    ----------
    published : bool
        Whether the run file was replaced when that was last tried.
    """

    def __init__(
        self, folder: RunFolder, metadata: dict[str, str], *, tell: Callable[[str], None]
    ) -> None:
        self.folder = folder
        self.contents = RunContents()
        self.metadata = metadata
        self._journal = JournalWriter(folder.path / schema.JOURNAL_FILE)
        self._streams: dict[str, StreamFile] = {}
        self._frames = FrameFiles(folder)
        self._tell = tell
        self._unpublished = False
        self.published = False
        self._next_publication = 0.0
        self._reading = threading.Lock()  # of the contents, which must not change meanwhile

    def record(self, name: str, doc: Document, received: float = math.nan) -> None:
        """Write a document that is no event.

        Parameters
        ----------
        received
            When it came, in s since the epoch: the time of rows that it begins.
        """
        self._journal.append(name, doc)
        self._consume(name, doc)
        if name == "descriptor":
            self._open_stream(doc)
            self.publish()
        elif name in ("stream_datum", "stop"):
            for stream in self.contents.streams:
                self._append_new_rows(stream, received=received)

    def write_event(self, doc: Document) -> AcknowledgedEvent:
        """Write an event and acknowledge it.

        Raises
        ------
        OSError
            If frames or journal cannot be written; nothing of the event is acknowledged then.
        """
        stream = self.contents.stream_of(doc)
        rows = self.contents.streams[stream].rows
        stacks = {f: v for f, v in doc["data"].items() if isinstance(v, FrameStack)}
        known = self._frames.made
        references = self._frames.append(
            stream,
            stacks,
            row=len(rows),
            stamps=lambda field: _stamps(doc, field),
            reconstructed=doc.get(RECONSTRUCTED, ()),
        )
        record = {**doc, "data": {**doc["data"], **references}}
        self._journal.append("event", record)
        row = self._consume("event", record)
        self._append_new_rows(stream, doc)
        self._publish_new_files(since=known)
        return AcknowledgedEvent(
            stream=stream,
            row=len(rows) - 1 if row is None else row,
            frames={field: stack.frames for field, stack in stacks.items()},
            references=references,
            values={f: v for f, v in doc["data"].items() if f not in stacks},
        )

    def write_arrival(self, arrival: Arrival, rows: Sequence[int]) -> list[AcknowledgedEvent]:
        """Link or copy what was found in the file of another writer, and acknowledge it.

        Parameters
        ----------
        arrival
            What was found.
        rows
            The rows of its events in their stream.

        Returns
        -------
        list of AcknowledgedEvent
            What each row gains.

        Raises
        ------
        OSError
            If links, copies or journal cannot be written; nothing of it is acknowledged then.
        """
        wanted = arrival.announcement
        record: Document = {
            "stream": wanted.stream,
            "field": wanted.field,
            "rows": list(rows),
            "time": wanted.received,
        }
        known = self._frames.made
        if not wanted.frames:
            record["values"] = _by_event(arrival)
        elif arrival.chunks is None:
            record["reference"] = self._frames.link(arrival, list(rows))
        else:
            record["reference"] = self._frames.copy(arrival, arrival.chunks, list(rows))
        self._journal.append(FOUND, record)
        self._consume(FOUND, record)
        self._publish_new_files(since=known)
        return [
            AcknowledgedEvent(
                stream=wanted.stream, row=row, **_part(arrival, record, number * wanted.per_event)
            )
            for number, row in enumerate(rows)
        ]

    def publish(self) -> None:
        """Replace the run file; where that fails, readers see less, and nothing is lost."""
        self.published = False
        began = time.monotonic()
        self._unpublished = False
        try:
            with self._reading:
                write_run_file(self.folder.path, self.contents, self.metadata)
            self.published = True
        except Exception as error:
            if details_of(error):
                logger.exception("%s could not be replaced", self.folder.path / schema.RUN_FILE)
            self._tell(f"{schema.RUN_FILE} could not be replaced: {type(error).__name__}: {error}")
        now = time.monotonic()
        self._next_publication = now + (now - began) / _SHARE_OF_PUBLISHING

    def keep(self, name: str, doc: Document) -> None:
        """Write a document that does not fit the others into the journal, and that is all."""
        self._journal.append(name, doc)

    def _consume(self, name: str, doc: Document) -> int | None:
        with self._reading:
            return self.contents.consume(name, doc)

    def _publish_new_files(self, *, since: int) -> None:
        """Show new files: the first ones at once, more of them when it is time again."""
        self._unpublished = self._unpublished or self._frames.made > since
        early = self._frames.made <= _FEW_FILES
        if self._unpublished and (early or time.monotonic() >= self._next_publication):
            self.publish()

    def idle(self) -> None:
        """Do what waits for its time: scalars reach readers about every second."""
        self._publish_new_files(since=self._frames.made)
        for name, stream in self._streams.items():
            try:
                stream.flush()
            except (OSError, RuntimeError) as error:  # as when an event is written
                self._tell_of_scalars(name, error)

    def close(self) -> None:
        """Close all files and write the run file for the last time; the folder stays claimed."""
        try:
            for name, stream in self._streams.items():
                try:
                    stream.close()
                except (OSError, RuntimeError) as error:
                    self._tell_of_scalars(name, error)
            self._frames.close()
            self._journal.sync()
        finally:
            self._journal.close()
        self.publish()

    def _open_stream(self, descriptor: Document) -> None:
        name = str(descriptor.get("name", schema.PRIMARY))
        if name in self._streams:  # a second descriptor: its new fields stay in the journal
            return
        path = self.folder.new_file(name)
        scalars = scalar_fields(descriptor)
        self._streams[name] = StreamFile(path, scalars=scalars)
        record = {"stream": name, "file": path.name, "scalars": scalars}
        self._journal.append(STREAM_FILE, record)
        self._consume(STREAM_FILE, record)

    def _append_new_rows(
        self, stream: str, event: Document | None = None, *, received: float = math.nan
    ) -> None:
        """Append to the stream's file what rows it has more by now; the last one is the event's."""
        file = self._streams.get(stream)
        rows = self.contents.streams[stream].rows
        if file is None:
            return
        try:
            for row in range(file.rows, len(rows)):
                doc: Document = event if event and row == len(rows) - 1 else {}
                file.append(
                    time=rows.times[row] if doc else received,
                    seq_num=rows.seq_nums[row],
                    values=doc.get("data", {}),
                    timestamps=doc.get("timestamps", {}),
                )
        except (OSError, RuntimeError) as error:
            self._tell_of_scalars(stream, error)

    def _tell_of_scalars(self, stream: str, error: Exception) -> None:
        self._tell(
            f"numbers of stream {stream!r} could not be written: {error}: h5xs repair writes them "
            "from the journal"
        )


def _by_event(arrival: Arrival) -> list[Any]:
    """Give the values of each event: one, or an array of as many as it has."""
    data, per_event = arrival.data, arrival.announcement.per_event
    if data is None:
        return []
    if per_event == 1:
        return list(data)
    return [data[first : first + per_event] for first in range(0, len(data), per_event)]


def _part(arrival: Arrival, record: Document, first: int) -> dict[str, Any]:
    """Give what a row gains of an arrival whose frames, or values, for it begin at `first`."""
    wanted = arrival.announcement
    if not wanted.frames:
        return {"values": {wanted.field: record["values"][first // wanted.per_event]}}
    reference = record["reference"]
    own = replace(reference, row=reference.row + first, rows=wanted.per_event)
    frames = {}
    if arrival.data is not None:
        frames[wanted.field] = arrival.data[first : first + wanted.per_event]
    return {"references": {wanted.field: own}, "frames": frames}


def _stamps(doc: Document, field: str) -> NDArray[np.float64]:
    stamps = doc.get("timestamps", {}).get(field, doc["time"])
    return np.atleast_1d(np.asarray(stamps, dtype=float)).ravel()
