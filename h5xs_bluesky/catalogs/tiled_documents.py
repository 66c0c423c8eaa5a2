"""A run as TiledWriter stores it, made into documents again through Tiled's client."""

import heapq
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from h5xs_bluesky.callbacks.documents import Document
from h5xs_bluesky.catalogs.source import (
    DTYPES,
    FRAME_TIMES,
    ORDER,
    ROW_NUMBERS,
    ROW_TIMES,
    UIDS,
    Documents,
    StoredRun,
    external_fields,
    without_files,
)
from h5xs_bluesky.errors import FileFormatError
from h5xs_bluesky.io.run_contents import RECONSTRUCTED

_TABLE = "internal"  # the part of a stream that holds the numbers of its events
_STAMP = "ts_"
_GUESSED = "<f8"  # what TiledWriter takes for an array whose descriptor does not tell its dtype
_COLUMN_BYTES = 8_000_000  # arrays up to this size are read whole


def tiled_run(node: Any) -> StoredRun:
    """Give a run of Tiled.

    The events are made from the streams' tables and arrays, so that the server needs no exporter
    of documents, rows that a resumed plan repeated are there, and frames are read one by one.

    Parameters
    ----------
    node
        The run's client.
    """
    run = _TiledRun(node)
    return StoredRun(start=run.start, stop=run.stop, lost=run.lost, documents=run.documents)


class _TiledRun:
    """One run in TiledWriter's form."""

    def __init__(self, node: Any) -> None:
        self.start: Document = dict(node.metadata["start"])
        self.stop: Document | None = dict(node.metadata.get("stop") or {}) or None
        self._streams = [_TiledStream(name, node[name]) for name in node]

    @property
    def lost(self) -> tuple[str, ...]:
        lost = {UIDS: True}
        for stream in self._streams:
            keys = stream.descriptors[-1]["data_keys"]
            lost[FRAME_TIMES] = lost.get(FRAME_TIMES, False) or bool(stream.external)
            lost[DTYPES] = lost.get(DTYPES, False) or any(
                key.get("dtype") == "array" and key.get("dtype_numpy") == _GUESSED
                for key in keys.values()
            )
            lost[ROW_TIMES] = lost.get(ROW_TIMES, False) or stream.length > len(stream.table)
        lost[ROW_NUMBERS] = lost.get(ROW_TIMES, False)
        lost[ORDER] = len(self._streams) > 1
        return tuple(what for what, is_lost in lost.items() if is_lost)

    def documents(self) -> Documents:
        yield "start", self.start
        for descriptor in sorted(
            itertools.chain.from_iterable(stream.descriptors for stream in self._streams),
            key=lambda each: float(each["time"]),
        ):
            yield "descriptor", without_files(descriptor)
        rows = heapq.merge(
            *(stream.rows() for stream in self._streams), key=lambda row: (row.order, row.number)
        )
        for row in rows:
            yield "event", row.stream.event(row)
        if self.stop is not None:
            yield "stop", self.stop


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    """An event without its arrays."""

    stream: "_TiledStream"
    number: int
    order: float  # its time, or that of its descriptor
    time: float
    seq_num: int


class _TiledStream:
    """One stream: a table of its events' numbers, and an array for each further field."""

    def __init__(self, name: str, node: Any) -> None:
        self.name = name
        self.descriptors: list[Document] = [dict(each) for each in node.descriptors]
        base = getattr(node, "base", node)
        self._parts = dict(base.items())
        self.external = external_fields(self.descriptors[-1])

    @cached_property
    def table(self) -> list[dict[str, Any]]:
        """The rows of the table, in the order in which events came."""
        rows: list[dict[str, Any]] = []
        for part, node in self._parts.items():
            if part != _TABLE and not part.startswith(_TABLE + "_"):
                continue
            for number, row in enumerate(_records(node)):
                if number == len(rows):
                    rows.append({})
                rows[number].update(row)
        return rows

    @cached_property
    def _arrays(self) -> dict[str, "_Column"]:
        keys = self.descriptors[-1]["data_keys"]
        return {
            part: _Column(node, key=keys.get(part, {}), external=part in self.external)
            for part, node in self._parts.items()
            if part in keys
        }

    @cached_property
    def length(self) -> int:
        """How many rows it has: an array may have more than there are events."""
        return max([len(self.table), *(len(column) for column in self._arrays.values())])

    def rows(self) -> Iterator[_Row]:
        """Give all rows in order, without their arrays."""
        begin, last = float(self.descriptors[0]["time"]), 0
        for number in range(self.length):
            found = self.table[number] if number < len(self.table) else {}
            time, last = float(found.get("time", math.nan)), int(found.get("seq_num", last + 1))
            begin = begin if math.isnan(time) else time
            yield _Row(stream=self, number=number, order=begin, time=time, seq_num=last)

    def event(self, row: _Row) -> Document:
        """Give the event of a row, with its arrays."""
        found = self.table[row.number] if row.number < len(self.table) else {}
        keys = self.descriptors[-1]["data_keys"]
        data = {
            name: _plain(found[name]) for name in keys if found.get(name) is not None
        }  # a cell without a value is None
        for name, column in self._arrays.items():
            if row.number < len(column):
                data[name] = column[row.number]
        stamps = {
            name: np.asarray(found[_STAMP + name], dtype=float).tolist()
            for name in data
            if found.get(_STAMP + name) is not None
        }
        return {
            "uid": f"{self.descriptors[0]['uid']}-{row.number}",
            "descriptor": self._descriptor(row.time)["uid"],
            "seq_num": row.seq_num,
            "time": row.time,
            "data": data,
            "timestamps": stamps,
            "filled": dict.fromkeys(self.external, True),
            RECONSTRUCTED: sorted(self.external),
        }

    def _descriptor(self, time: float) -> Document:
        """Give the descriptor that held then."""
        begun = [each for each in self.descriptors if float(each["time"]) <= time]
        return begun[-1] if begun else self.descriptors[0]


class _Column:
    """One field's array, cut into what each event has of it."""

    def __init__(self, node: Any, *, key: Mapping[str, Any], external: bool) -> None:
        self._node = node
        shape = tuple(int(length) for length in node.shape)
        of_event = [int(length or 1) for length in key.get("shape") or ()]
        joined = external and len(of_event) > 0 and len(shape) == len(of_event)
        self._each = of_event[0] if joined else 0  # rows of an event; 0: one, that is no axis
        self._length = shape[0] // max(1, self._each) if shape else 0
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(node.dtype).itemsize
        self._whole = node.read() if len(shape) < 3 and size <= _COLUMN_BYTES else None

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, number: int) -> Any:
        source = self._node if self._whole is None else self._whole
        if self._each:
            value = source[number * self._each : (number + 1) * self._each]
            value = value[0] if self._each == 1 and value.ndim == 1 else value  # as it is live
        else:
            value = source[number]
        value = np.asarray(value)
        if value.dtype.hasobject:
            raise FileFormatError(f"expected an array of plain values, found {value.dtype}")
        return value if value.ndim else value.item()


def _records(table: Any) -> list[dict[str, Any]]:
    """Give the rows of a table; by default dask makes texts of short arrays, and rounds them."""
    import dask

    with dask.config.set({"dataframe.convert-string": False}):
        records: list[dict[str, Any]] = table.read().to_dict(orient="records")
    return records


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
