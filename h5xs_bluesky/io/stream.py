"""Stream files: the single numbers of a stream's events, only ever appended to."""

import time as clock
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from h5xs_bluesky import schema
from h5xs_bluesky.io.names import safe_name
from h5xs_bluesky.io.writing import close_growing, make_growing, or_abandoned, telling

_ROWS = 1024  # of a chunk


class StreamFile:
    """Writes times, sequence numbers and scalars of one stream, about once a second.

    A number that an event lacks is NaN. Until they are flushed, the journal alone has them.

    Parameters
    ----------
    path
        A file that does not exist yet.
    scalars
        The fields.
    period_s
        How long rows may wait.

    Attributes
    ----------
    rows : int
        Taken so far, written or waiting.
    """

    def __init__(self, path: Path, *, scalars: Sequence[str], period_s: float = 1.0) -> None:
        self.path = path
        self._scalars = tuple(scalars)
        self._period_s = period_s
        self._flushed = clock.monotonic()
        self._waiting: dict[str, list[float]] = {}
        members = [schema.TIME, schema.SEQ_NUM]
        for group in (schema.DATA, schema.TIMESTAMPS):
            members += [f"{group}/{safe_name(name)}" for name in self._scalars]

        def lay_out(file: h5py.File) -> None:
            for group in (schema.DATA, schema.TIMESTAMPS):
                file.create_group(group)
            for member in members:
                _column(file, member, np.int64 if member == schema.SEQ_NUM else np.float64)

        self._file = make_growing(path, lay_out)
        self._columns = {member: self._file[member] for member in members}
        self._broken = False
        self.rows = 0

    def append(
        self,
        *,
        time: float,
        seq_num: int,
        values: Mapping[str, Any],
        timestamps: Mapping[str, Any],
    ) -> None:
        """Take an event's numbers; they are written when `period_s` has passed.

        Raises
        ------
        OSError
            If the disk does not take them.
        """
        row = {schema.TIME: time, schema.SEQ_NUM: seq_num}
        for name in self._scalars:
            row[f"{schema.DATA}/{safe_name(name)}"] = _number(values.get(name))
            row[f"{schema.TIMESTAMPS}/{safe_name(name)}"] = _number(timestamps.get(name))
        for member, value in row.items():
            self._waiting.setdefault(member, []).append(value)
        self.rows += 1
        if clock.monotonic() - self._flushed >= self._period_s:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait; once the disk did not take some, none are written any more.

        Raises
        ------
        OSError
            If the disk does not take them.
        """
        self._flushed = clock.monotonic()
        waiting, self._waiting = self._waiting, {}
        if not waiting or self._broken:
            return
        self._broken = True  # until all of it is written: columns do not get out of step
        with telling(self.path), or_abandoned(self._file):
            for member, values in waiting.items():
                column = self._columns[member]
                rows = column.shape[0]
                column.resize(rows + len(values), axis=0)
                column[rows:] = values
            self._file.flush()
        self._broken = False

    def close(self) -> None:
        """Write the rows that wait, and close the file.

        Raises
        ------
        OSError
            If the disk does not take them.
        """
        try:
            self.flush()
        finally:
            close_growing(self._file, self.path)


def _column(file: h5py.File, name: str, dtype: type[np.generic]) -> None:
    file.create_dataset(name, shape=(0,), maxshape=(None,), chunks=(_ROWS,), dtype=dtype)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
