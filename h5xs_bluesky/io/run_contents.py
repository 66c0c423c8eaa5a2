"""What a run holds, as a fold over its journal: the same live, after a crash, and in replay."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.io.journal import FrameReference

Document = dict[str, Any]

# The journal's own record beside Bluesky's documents: which file holds the scalars of a stream.
STREAM_FILE = "h5xs_stream_file"


@dataclass(kw_only=True, slots=True)
class FrameFileContents:
    """The acknowledged frames of one field in one file: all of one shape and dtype."""

    file: str
    rows: int = 0


@dataclass(kw_only=True, slots=True)
class StreamContents:
    """One stream: its fields, and where their values lie.

    `rows_of_values` holds, field by field, (event row, value, timestamp) of what is neither a
    scalar number nor a frame: it waits here until the run file is written for the last time.
    """

    file: str = ""
    scalars: tuple[str, ...] = ()
    seq_nums: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    frames: dict[str, list[FrameFileContents]] = field(default_factory=dict)
    rows_of_values: dict[str, list[tuple[int, Any, float]]] = field(default_factory=dict)

    @property
    def superseded(self) -> NDArray[np.bool_]:
        """Tell for each event row whether a later row repeats its sequence number."""
        return superseded_rows(self.seq_nums)


def superseded_rows(seq_nums: Iterable[int]) -> NDArray[np.bool_]:
    """Tell for each row whether a later one has the same number, as after a pause and resume.

    Parameters
    ----------
    seq_nums : (events,)
        Sequence numbers in order of arrival.

    Returns
    -------
    ndarray of bool, shape (events,)

    Examples
    --------
    >>> superseded_rows([1, 2, 2, 3]).tolist()
    [False, True, False, False]
    """
    numbers = np.asarray(list(seq_nums), dtype=np.int64)
    last = {int(number): row for row, number in enumerate(numbers)}
    return np.array([last[int(n)] != row for row, n in enumerate(numbers)], dtype=bool)


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
        self._stream_of: dict[str, str] = {}  # uid of a descriptor → name of its stream

    @classmethod
    def from_records(
        cls, records: Iterable[tuple[str, Document]], *, keep_scalars: bool = False
    ) -> "RunContents":
        """Fold the records of a journal."""
        contents = cls(keep_scalars=keep_scalars)
        for name, doc in records:
            contents.consume(name, doc)
        return contents

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

    def consume(self, name: str, doc: Document) -> None:
        """Take in the next document."""
        if name == "start":
            self.start = doc
        elif name == "stop":
            self.stop = doc
        elif name == "descriptor":
            self.descriptors.append(doc)
            stream = str(doc.get("name", "primary"))
            self._stream_of[doc["uid"]] = stream
            self.streams.setdefault(stream, StreamContents())
        elif name == STREAM_FILE and not self._keep_scalars:
            stream_contents = self.streams[doc["stream"]]
            stream_contents.file = doc["file"]
            stream_contents.scalars = tuple(doc["scalars"])
        elif name == "event":
            self._event(doc)

    def _event(self, doc: Document) -> None:
        name = self.stream_of(doc)
        stream = self.streams[name]
        row = len(stream.seq_nums)
        stream.seq_nums.append(int(doc["seq_num"]))
        stream.times.append(float(doc["time"]))
        for field_name, value in doc["data"].items():
            if isinstance(value, FrameReference):
                self._frames(stream, field_name, value)
            elif field_name not in stream.scalars or name == "baseline":
                stamp = doc.get("timestamps", {}).get(field_name, doc["time"])
                values = stream.rows_of_values.setdefault(field_name, [])
                values.append((row, value, _one_number(stamp)))

    @staticmethod
    def _frames(stream: StreamContents, field_name: str, reference: FrameReference) -> None:
        files = stream.frames.setdefault(field_name, [])
        for known in files:
            if known.file == reference.file:
                break
        else:
            known = FrameFileContents(file=reference.file)
            files.append(known)
        known.rows = reference.row + reference.rows


def _one_number(stamp: Any) -> float:
    """Give the last of the timestamps of one value; NaN where there is none."""
    stamps = np.atleast_1d(np.asarray(stamp, dtype=float))
    return float(stamps[-1]) if stamps.size else float("nan")


def scalar_fields(descriptor: Mapping[str, Any]) -> list[str]:
    """List the fields of a descriptor that are single numbers in every event."""
    return [
        name
        for name, key in descriptor["data_keys"].items()
        if key.get("dtype") in ("number", "integer", "boolean")
        and not key.get("shape")
        and not key.get("external")
    ]
