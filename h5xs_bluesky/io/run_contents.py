"""What a run holds, as a fold over its journal: the same live, after a crash, and in replay."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from h5xs_bluesky.io.journal import FrameReference
from h5xs_bluesky.io.stream_rows import Place, StreamRows

Document = dict[str, Any]

# The journal's own records beside Bluesky's documents: which file holds the scalars of a stream;
# that frames, or values, of other writers' files were found, and to which rows they belong.
STREAM_FILE = "h5xs_stream_file"
FOUND = "h5xs_found"

# A key of events that were made from stored runs: fields whose frames were not timed by a device.
RECONSTRUCTED = "h5xs_reconstructed"


@dataclass(kw_only=True, slots=True)
class FrameFileContents:
    """The acknowledged frames of one field in one file: all of one shape and dtype."""

    file: str
    rows: int = 0


@dataclass(kw_only=True, slots=True)
class StreamContents:
    """One stream: its fields, and where their values lie.

    `rows_of_values` holds, field by field, (event row, value, timestamp) of what is neither a
    scalar number nor a frame: it waits here until the run file is written for the last time. A
    value that was read in parts may have a timestamp for each.
    """

    file: str = ""
    scalars: tuple[str, ...] = ()
    rows: StreamRows = field(default_factory=StreamRows)
    frames: dict[str, list[FrameFileContents]] = field(default_factory=dict)
    rows_of_values: dict[str, list[tuple[int, Any, Any]]] = field(default_factory=dict)


class RunContents:
    """The state of a run after the documents consumed so far.

    Documents come as the journal holds them: a frame is a `FrameReference`.

    Parameters
    ----------
    keep_scalars
        Keep the single numbers, too, instead of trusting that the stream files have them: a
        killed writer's stream files may end earlier than its journal.
    """

    def __init__(self, *, keep_scalars: bool = False) -> None:
        self._keep_scalars = keep_scalars
        self.start: Document = {}
        self.stop: Document | None = None
        self.descriptors: list[Document] = []
        self.streams: dict[str, StreamContents] = {}
        self.announced: dict[str, list[Place]] = {}  # uid of a stream_datum → places in order
        self.left_out: list[str] = []  # what was wrong with records that did not fit
        self._stream_of: dict[str, str] = {}  # uid of a descriptor → name of its stream
        self._field_of: dict[str, str] = {}  # uid of a stream_resource → its field

    @classmethod
    def from_records(
        cls, records: Iterable[tuple[str, Document]], *, keep_scalars: bool = False
    ) -> "RunContents":
        """Fold the records of a journal; those that do not fit are left out, as when they came."""
        contents = cls(keep_scalars=keep_scalars)
        for name, doc in records:
            try:
                contents.consume(name, doc)
            except Exception as error:  # noqa: BLE001 - a journal may hold whatever was sent
                contents.left_out.append(
                    contents.lacks(name, doc) or f"{name}: {type(error).__name__}: {error}"
                )
        return contents

    def lacks(self, name: str, doc: Mapping[str, Any]) -> str:
        """Tell what a document refers to that has not come; "" where all has."""
        known: dict[str, Mapping[str, Any]] = {}
        if name in ("event", "stream_datum"):
            known["descriptor"] = self._stream_of
        if name == "stream_datum":
            known["stream_resource"] = self._field_of
        missing = [key for key, uids in known.items() if doc.get(key) not in uids]
        return "; ".join(
            f"{name}: expected its {key} {doc.get(key)!r}, found none" for key in missing
        )

    def stream_of(self, event: Mapping[str, Any]) -> str:
        """Give the name of the stream that an event belongs to."""
        return self._stream_of[event["descriptor"]]

    @property
    def complete(self) -> bool:
        """Whether no more documents will come, so that what waits here can be written."""
        return self.stop is not None or self._keep_scalars

    @property
    def baseline(self) -> dict[str, Any]:
        """The values of the baseline stream; the later reading wins."""
        stream = self.streams.get("baseline")
        if stream is None:
            return {}
        return {name: rows[-1][1] for name, rows in stream.rows_of_values.items() if rows}

    def consume(self, name: str, doc: Document) -> int | None:
        """Take in the next document; gives the row of an event in its stream."""
        if name == "event":
            return self._event(doc)
        self._consume_other(name, doc)
        return None

    def _consume_other(self, name: str, doc: Document) -> None:
        if name == "start":
            self.start = doc
        elif name == "stop":
            self.stop = doc
            for stream in self.streams.values():
                stream.rows.settle()
        elif name == "descriptor":
            self.descriptors.append(doc)
            stream_name = str(doc.get("name", "primary"))
            self._stream_of[doc["uid"]] = stream_name
            stream = self.streams.setdefault(stream_name, StreamContents())
            stream.rows.describe(doc["data_keys"])
        elif name == STREAM_FILE and not self._keep_scalars:
            stream = self.streams[doc["stream"]]
            stream.file = doc["file"]
            stream.scalars = tuple(doc["scalars"])
        elif name == "stream_resource":
            self._field_of[doc["uid"]] = doc["data_key"]
        elif name == "stream_datum":
            self._announcement(doc)
        elif name == FOUND:
            self._found(doc)

    def _event(self, doc: Document) -> int:
        name = self.stream_of(doc)
        stream = self.streams[name]
        row = stream.rows.event(int(doc["seq_num"]), float(doc["time"]))
        for field_name, value in doc["data"].items():
            if isinstance(value, FrameReference):
                self._frames(stream, field_name, value)
            elif field_name not in stream.scalars or name == "baseline":
                stamp = doc.get("timestamps", {}).get(field_name, doc["time"])
                values = stream.rows_of_values.setdefault(field_name, [])
                values.append((row, value, _numbers(stamp)))
        return row

    def _announcement(self, doc: Document) -> None:
        stream = self.streams[self.stream_of(doc)]
        field_name = self._field_of[doc["stream_resource"]]
        numbers = range(int(doc["seq_nums"]["start"]), int(doc["seq_nums"]["stop"]))
        self.announced[doc["uid"]] = [stream.rows.announce(field_name, n) for n in numbers]

    def _found(self, doc: Document) -> None:
        stream = self.streams[doc["stream"]]
        for row in doc["rows"]:
            if math.isnan(stream.rows.times[row]):
                stream.rows.times[row] = doc["time"]
        if "reference" in doc:
            self._frames(stream, doc["field"], doc["reference"])
            return
        values = stream.rows_of_values.setdefault(doc["field"], [])
        values += [
            (row, value, doc["time"]) for row, value in zip(doc["rows"], doc["values"], strict=True)
        ]

    @staticmethod
    def _frames(stream: StreamContents, field_name: str, reference: FrameReference) -> None:
        files = stream.frames.setdefault(field_name, [])
        for known in files:
            if known.file == reference.file:
                break
        else:
            known = FrameFileContents(file=reference.file)
            files.append(known)
        known.rows = max(known.rows, reference.row + reference.rows)


def _numbers(stamp: Any) -> Any:
    """Give the timestamp of one value, or a list of them; NaN where there is none."""
    stamps = np.atleast_1d(np.asarray(stamp, dtype=float))
    if stamps.size > 1:
        return stamps.ravel().tolist()
    return float(stamps[0]) if stamps.size else float("nan")


def scalar_fields(descriptor: Mapping[str, Any]) -> list[str]:
    """List the fields of a descriptor that are single numbers in every event."""
    return [
        name
        for name, key in descriptor["data_keys"].items()
        if key.get("dtype") in ("number", "integer", "boolean")
        and not key.get("shape")
        and not key.get("external")
    ]
