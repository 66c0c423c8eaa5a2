"""Stream files: the single numbers of a stream's events, only ever appended to."""

import time as clock
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from h5xs_bluesky import schema
from h5xs_bluesky.io.frames import LIBVER
from h5xs_bluesky.io.names import safe_name

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
        self._file = h5py.File(path, "x", libver=LIBVER)
        self._columns = {
            schema.TIME: self._column(schema.TIME, np.float64),
            schema.SEQ_NUM: self._column(schema.SEQ_NUM, np.int64),
        }
        for group in (schema.DATA, schema.TIMESTAMPS):
            self._file.create_group(group)
            for name in self._scalars:
                member = f"{group}/{safe_name(name)}"
                self._columns[member] = self._column(member, np.float64)
        self._file.swmr_mode = True
        self.rows = 0

    def _column(self, name: str, dtype: type[np.generic]) -> h5py.Dataset:
        return self._file.create_dataset(
            name, shape=(0,), maxshape=(None,), chunks=(_ROWS,), dtype=dtype
        )

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
        """Write the rows that wait.

        Raises
        ------
        OSError
            If the disk does not take them.
        """
        self._flushed = clock.monotonic()
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, {}
        for member, values in waiting.items():
            column = self._columns[member]
            rows = column.shape[0]
            column.resize(rows + len(values), axis=0)
            column[rows:] = values
        self._file.flush()

    def close(self) -> None:
        """Write the rows that wait, and close the file.

        Raises
        ------
        OSError
            If the disk does not take them.
        """
        self.flush()
        self._file.close()


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
