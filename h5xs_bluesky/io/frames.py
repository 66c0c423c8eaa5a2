"""Frame files: the frames of one detector, one per chunk, only ever appended to."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401 - registers the filters
import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky import schema
from h5xs_bluesky.io.bitshuffle import decompress

LIBVER = ("v110", "v110")
_BITSHUFFLE = 32008
_LZ4 = 2
_ROWS = 1024  # of a chunk of timestamps


class FrameFile:
    """Writes the frames of one field, all of one shape and dtype.

    The layout is complete before the file is opened to readers (SWMR); from then on nothing is
    created, only appended: `append` writes, `commit` makes what was appended count.

    Parameters
    ----------
    path
        A file that does not exist yet.
    field
        The field of the event documents.
    frame_shape, dtype
        Of one frame.
    frames_per_event
        How many frames an event brings.
    """

    def __init__(
        self,
        path: Path,
        *,
        field: str,
        frame_shape: tuple[int, ...],
        dtype: np.dtype[Any],
        frames_per_event: int,
    ) -> None:
        self.path = path
        self.frame_shape = frame_shape
        self.dtype = dtype
        self.frames_per_event = frames_per_event
        self._lock = threading.Lock()
        self._file = h5py.File(path, "x", libver=LIBVER)
        self._data = self._file.create_dataset(
            schema.DATA,
            shape=(0, *frame_shape),
            maxshape=(None, *frame_shape),
            chunks=(1, *frame_shape),
            dtype=dtype,
            compression=_BITSHUFFLE,
            compression_opts=(0, _LZ4),
        )
        self._data.attrs[schema.FIELD] = np.bytes_(field.encode())
        self._data.attrs[schema.FRAMES_PER_EVENT] = frames_per_event
        self._timestamps = self._column(schema.TIMESTAMPS, np.float64)
        self._positions = self._column(schema.POSITION, np.int64)
        self._committed = self._file.create_dataset(schema.COMMITTED, data=np.zeros(1, np.int64))
        self._file.swmr_mode = True
        self.rows = 0
        self.committed = 0

    def _column(self, name: str, dtype: type[np.generic]) -> h5py.Dataset:
        return self._file.create_dataset(
            name, shape=(0,), maxshape=(None,), chunks=(_ROWS,), dtype=dtype
        )

    def append(
        self,
        chunks: Sequence[bytes],
        *,
        timestamps: NDArray[np.float64],
        positions: NDArray[np.int64],
    ) -> int:
        """Append compressed frames; they do not count before `commit`.

        Parameters
        ----------
        chunks
            From `bitshuffle.compress`.
        timestamps
            Of each, in s since the epoch.
        positions
            Of each in its stream.

        Returns
        -------
        int
            The row of the first.

        Raises
        ------
        OSError
            If the disk does not take them.
        """
        first, rows = self.rows, self.rows + len(chunks)
        with self._lock:
            for dataset in (self._data, self._timestamps, self._positions):
                dataset.resize(rows, axis=0)
            for row, chunk in enumerate(chunks, start=first):
                self._data.id.write_direct_chunk((row, *[0] * len(self.frame_shape)), chunk)
            self._timestamps[first:rows] = timestamps
            self._positions[first:rows] = positions
        self.rows = rows
        return first

    def commit(self) -> None:
        """Flush the frames, then their count; afterwards no death of this process loses them.

        Raises
        ------
        OSError
            If the disk does not take them.
        """
        with self._lock:
            self._file.flush()
            self._committed[0] = self.rows
            self._file.flush()
        self.committed = self.rows

    def discard(self) -> None:
        """Forget what was appended since the last commit; the next frames take its place."""
        self.rows = self.committed

    def close(self) -> None:
        """Close the file, cut to the committed frames if others were left by a full disk.

        Raises
        ------
        OSError
            If even that cannot be written; `h5xs repair` then makes the file readable.
        """
        with self._lock:
            if self._data.shape[0] > self.committed:
                for dataset in (self._data, self._timestamps, self._positions):
                    dataset.resize(self.committed, axis=0)
            self._file.close()


def open_frames(path: Path) -> h5py.File:
    """Open a file of frames for reading, also while it is written.

    Raises
    ------
    OSError
        If it cannot be opened. A file that a killed writer left needs `h5xs repair`.
    """
    try:
        return h5py.File(path, "r", swmr=True)
    except FileNotFoundError:
        raise
    except (OSError, ValueError):  # an older format, or open here in the plain mode
        return h5py.File(path, "r")


def refresh(dataset: h5py.Dataset) -> h5py.Dataset:
    """Give a dataset as it is now, where its file may be growing."""
    if dataset.file.swmr_mode:
        dataset.refresh()
    return dataset


def frame_count(data: h5py.Dataset) -> int:
    """Count the frames that a dataset of frames has for certain.

    In a growing file those are the committed ones; a file that is not ours counts all its rows.
    """
    committed = data.parent.get(schema.COMMITTED) if schema.FIELD in data.attrs else None
    if committed is None:
        return int(np.prod(data.shape[:-2]))
    refresh(committed)
    refresh(data)
    return min(int(committed[0]), int(data.shape[0]))


def read_frame(data: h5py.Dataset, row: int) -> NDArray[Any]:
    """Read one frame (H, W); the interpreter is free while it is decompressed.

    Parameters
    ----------
    data
        (n, H, W), or (m, n, H, W) as some older files have it.
    row
        Counted flat.

    Raises
    ------
    IndexError
        If there is no such frame.
    OSError
        If it cannot be read.
    """
    rows = int(np.prod(data.shape[:-2]))
    if not 0 <= row < rows:
        raise IndexError(f"{data.file.filename}: expected a frame below {rows}, found {row}")
    index = np.unravel_index(row, data.shape[:-2])
    if data.chunks == (*[1] * len(index), *data.shape[-2:]) and _is_bitshuffle_lz4(data):
        offset = (*(int(i) for i in index), 0, 0)
        mask, chunk = data.id.read_direct_chunk(offset)
        if mask == 0:
            return decompress(chunk, shape=data.shape[-2:], dtype=data.dtype)
    frame: NDArray[Any] = data[tuple(int(i) for i in index)]
    return frame


def _is_bitshuffle_lz4(data: h5py.Dataset) -> bool:
    plist = data.id.get_create_plist()
    if plist.get_nfilters() != 1:
        return False
    code, _, options, _ = plist.get_filter(0)
    return code == _BITSHUFFLE and len(options) >= 5 and options[4] == _LZ4
