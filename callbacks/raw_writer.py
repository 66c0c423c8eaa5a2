"""Writes the raw side of one run: frames, scalars and journal, in the order of acknowledgement."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky import schema
from h5xs_bluesky.callbacks.documents import Document, FrameStack
from h5xs_bluesky.io.frames import FrameFile
from h5xs_bluesky.io.journal import FrameReference, JournalWriter
from h5xs_bluesky.io.run_contents import STREAM_FILE, RunContents, scalar_fields
from h5xs_bluesky.io.run_files import RunFolder, write_run_file
from h5xs_bluesky.io.stream import StreamFile

logger = logging.getLogger(__name__)


# Frames in one file share stream, field, shape and dtype.
_Kind = tuple[str, str, tuple[int, ...], str]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AcknowledgedEvent:
    """An event whose frames are safe on disk, as the reducer wants it.

    Parameters
    ----------
    stream
        The event's stream.
    row
        Its row in the stream.
    frames
        The stacks (k, H, W) by field.
    references
        Where they lie, by field.
    values
        The event's other data by field.
    """

    stream: str
    row: int
    frames: Mapping[str, NDArray[Any]]
    references: Mapping[str, FrameReference]
    values: Mapping[str, Any]


class RawWriter:
    """Writes the documents of one run into its folder; one thread calls it.

    An event is acknowledged in this order: the frames of all fields are flushed, then their
    counts, then the journal's record with the row numbers, and that is flushed. The journal is
    the truth: rows beyond it are ignored.

    Parameters
    ----------
    folder
        The run's own folder.
    metadata
        Attributes of the sample's group; more may be added later.
    """

    def __init__(self, folder: RunFolder, metadata: dict[str, str]) -> None:
        self.folder = folder
        self.contents = RunContents()
        self.metadata = metadata
        self._journal = JournalWriter(folder.path / schema.JOURNAL_FILE)
        self._streams: dict[str, StreamFile] = {}
        self._frames: dict[_Kind, FrameFile] = {}

    def record(self, name: str, doc: Document) -> None:
        """Write a document that is no event."""
        self._journal.append(name, doc)
        self.contents.consume(name, doc)
        if name == "descriptor":
            self._open_stream(doc)
            self.publish()

    def write_event(self, doc: Document) -> AcknowledgedEvent:
        """Write an event and acknowledge it.

        Raises
        ------
        OSError
            If frames or journal cannot be written; nothing of the event is acknowledged then.
        """
        stream = self.contents.stream_of(doc)
        row = len(self.contents.streams[stream].seq_nums)
        stacks = {f: v for f, v in doc["data"].items() if isinstance(v, FrameStack)}
        known = len(self._frames)
        files = {field: self._frame_file(stream, field, stack) for field, stack in stacks.items()}
        try:
            references = {
                field: _append_frames(files[field], stack, row, _stamps(doc, field))
                for field, stack in stacks.items()
            }
            for file in files.values():
                file.commit()
        except Exception:
            for file in files.values():
                file.discard()
            raise
        record = {**doc, "data": {**doc["data"], **references}}
        self._journal.append("event", record)
        self.contents.consume("event", record)
        self._append_scalars(stream, doc)
        if len(self._frames) > known:
            self.publish()
        return AcknowledgedEvent(
            stream=stream,
            row=row,
            frames={field: stack.frames for field, stack in stacks.items()},
            references=references,
            values={f: v for f, v in doc["data"].items() if f not in stacks},
        )

    def publish(self) -> None:
        """Replace the run file; where that fails, readers see less, and nothing is lost."""
        try:
            write_run_file(self.folder.path, self.contents, self.metadata)
        except Exception:
            logger.exception("%s could not be replaced", self.folder.path / schema.RUN_FILE)

    def idle(self) -> None:
        """Do what waits for its time: scalars reach readers about every second."""
        for name, stream in self._streams.items():
            try:
                stream.flush()
            except (OSError, RuntimeError):  # as when an event is written: the journal has them
                logger.exception("Scalars of stream %s could not be written", name)

    def close(self) -> None:
        """Close all files and write the run file for the last time; the folder stays claimed."""
        try:
            for stream in self._streams.values():
                _close(stream)
            for frames in self._frames.values():
                _close(frames)
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
        self.contents.consume(STREAM_FILE, record)

    def _append_scalars(self, stream: str, doc: Document) -> None:
        try:
            self._streams[stream].append(
                time=doc["time"],
                seq_num=doc["seq_num"],
                values=doc["data"],
                timestamps=doc.get("timestamps", {}),
            )
        except (OSError, RuntimeError):  # the journal has them; a repair writes them from there
            logger.exception("Scalars of stream %s could not be written", stream)

    def _frame_file(self, stream: str, field: str, stack: FrameStack) -> FrameFile:
        """Give the file for frames of this kind; the first of its kind begins a file."""
        count, *shape = stack.frames.shape
        kind = (stream, field, tuple(shape), stack.frames.dtype.str)
        if kind not in self._frames:
            path = self.folder.new_file(stream, field)
            if any(other[:2] == kind[:2] for other in self._frames):
                logger.warning(
                    "%s: %s now sends frames %s %s: they go to %s",
                    *(self.folder.path, field, kind[2], kind[3], path.name),
                )
            self._frames[kind] = FrameFile(
                path,
                field=field,
                frame_shape=kind[2],
                dtype=stack.frames.dtype,
                frames_per_event=count,
            )
        return self._frames[kind]


def _stamps(doc: Document, field: str) -> NDArray[np.float64]:
    stamps = doc.get("timestamps", {}).get(field, doc["time"])
    return np.atleast_1d(np.asarray(stamps, dtype=float)).ravel()


def _append_frames(
    file: FrameFile, stack: FrameStack, row: int, stamps: NDArray[np.float64]
) -> FrameReference:
    count, *shape = stack.frames.shape
    fits = count == file.frames_per_event
    first = file.append(
        stack.chunks.result(),
        timestamps=stamps if stamps.size == count else np.full(count, stamps[-1]),
        positions=row * count + np.arange(count) if fits else np.full(count, schema.NO_POSITION),
    )
    return FrameReference(
        file=file.path.name,
        row=first,
        rows=count,
        shape=tuple(shape),
        dtype=stack.frames.dtype.str,
    )


def _close(file: FrameFile | StreamFile) -> None:
    try:
        file.close()
    except (OSError, RuntimeError):
        logger.exception("%s could not be closed: h5xs repair makes it readable", file.path)
