"""Frame files: the frames of one detector, one per chunk, only ever appended to."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401 - registers the filters
import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky import schema
from h5xs_bluesky.io.bitshuffle import decompress
from h5xs_bluesky.io.opening import open_frames as open_frames
from h5xs_bluesky.io.opening import refresh as refresh
from h5xs_bluesky.io.presence import refuse_absent
from h5xs_bluesky.io.writing import LIBVER as LIBVER
from h5xs_bluesky.io.writing import close_growing, make_growing, open_growing, or_abandoned, telling

_BITSHUFFLE = 32008
_LZ4 = 2
_ROWS = 1024  # of a chunk of timestamps

# How `create_dataset` makes the filter of our frames.
BITSHUFFLE_LZ4: Mapping[str, Any] = {"compression": _BITSHUFFLE, "compression_opts": (0, _LZ4)}


class _Index:
    """Time and position of each frame in a file, and how many of them count."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._timestamps = file[schema.TIMESTAMPS]
        self._positions = file[schema.POSITION]
        self._committed = file[schema.COMMITTED]

    @staticmethod
    def create(file: h5py.File, *, field: str, frames_per_event: int, reconstructed: bool) -> None:
        """Lay it out in a file."""
        timestamps = _column(file, schema.TIMESTAMPS, np.float64, np.nan)
        timestamps.attrs[schema.FIELD] = np.bytes_(field.encode())
        timestamps.attrs[schema.FRAMES_PER_EVENT] = frames_per_event
        timestamps.attrs[schema.RECONSTRUCTED] = reconstructed
        _column(file, schema.POSITION, np.int64, schema.NO_POSITION)
        file.create_dataset(schema.COMMITTED, data=np.zeros(1, np.int64))

    def write(
        self, first: int, timestamps: NDArray[np.float64], positions: NDArray[np.int64]
    ) -> None:
        """Write from row `first` on; rows between the last one and that have no position."""
        end = first + len(positions)
        if end > len(self):
            self.cut(end)
        self._timestamps[first:end] = timestamps
        self._positions[first:end] = positions

    def __len__(self) -> int:
        return int(self._positions.shape[0])

    def taken(self, first: int, positions: NDArray[np.int64]) -> bool:
        """Whether one of these rows has another position already."""
        known = self._positions[first : first + len(positions)]
        return bool(np.any((known != schema.NO_POSITION) & (known != positions[: len(known)])))

    def commit(self, rows: int) -> None:
        """Flush all that was written, then the count."""
        self._file.flush()
        self._committed[0] = rows
        self._file.flush()

    def cut(self, rows: int) -> None:
        """Make the columns this long."""
        for dataset in (self._timestamps, self._positions):
            dataset.resize(rows, axis=0)


def _column(file: h5py.File, name: str, dtype: type[np.generic], fill: float) -> h5py.Dataset:
    return file.create_dataset(
        name, shape=(0,), maxshape=(None,), chunks=(_ROWS,), dtype=dtype, fillvalue=fill
    )


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
    reconstructed
        Whether the timestamps are not the detector's own, but when we heard of the frames.
    """

    def __init__(
        self,
        path: Path,
        *,
        field: str,
        frame_shape: tuple[int, ...],
        dtype: np.dtype[Any],
        frames_per_event: int,
        reconstructed: bool = False,
    ) -> None:
        self.path = path
        self.frame_shape = frame_shape
        self.dtype = dtype
        self.frames_per_event = frames_per_event
        self._lock = threading.Lock()

        def lay_out(file: h5py.File) -> None:
            file.create_dataset(
                schema.DATA,
                shape=(0, *frame_shape),
                maxshape=(None, *frame_shape),
                chunks=(1, *frame_shape),
                dtype=dtype,
                **BITSHUFFLE_LZ4,
            )
            _Index.create(
                file, field=field, frames_per_event=frames_per_event, reconstructed=reconstructed
            )

        self._file = make_growing(path, lay_out)
        self._data = self._file[schema.DATA]
        self._index = _Index(self._file)
        self.rows = 0
        self.committed = 0

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
        with self._lock, telling(self.path):
            self._data.resize(rows, axis=0)
            for row, chunk in enumerate(chunks, start=first):
                self._data.id.write_direct_chunk((row, *[0] * len(self.frame_shape)), chunk)
            self._index.write(first, timestamps, positions)
        self.rows = rows
        return first

    def commit(self) -> None:
        """Flush the frames, then their count; afterwards no death of this process loses them.

        Raises
        ------
        OSError
            If the disk does not take them.
        """
        with self._lock, telling(self.path):
            self._index.commit(self.rows)
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
        with self._lock, telling(self.path):
            try:
                if max(self._data.shape[0], len(self._index)) > self.committed:
                    self._data.resize(self.committed, axis=0)
                    self._index.cut(self.committed)
            finally:
                close_growing(self._file, self.path)


class LinkedFrames:
    """Frames that stay in the file of another writer: a link to them, their times and positions.

    Row r here belongs to frame r there, whatever the order in which they are told of. A frame has
    one position here: one that belongs to two rows of a stream needs two such files.

    Parameters
    ----------
    path
        A file that does not exist yet.
    field
        The field of the event documents.
    target, dataset
        The other file, absolute or relative to this one's folder, and the frames in it.
    frames_per_event
        How many frames an event brings.
    """

    def __init__(
        self, path: Path, *, field: str, target: str, dataset: str, frames_per_event: int
    ) -> None:
        self.path = path
        self.frames_per_event = frames_per_event

        def lay_out(file: h5py.File) -> None:
            file[schema.DATA] = h5py.ExternalLink(target, dataset)
            _Index.create(file, field=field, frames_per_event=frames_per_event, reconstructed=True)

        self._file = make_growing(path, lay_out)
        self._index = _Index(self._file)
        self._rows = 0

    def takes(self, first: int, *, positions: NDArray[np.int64]) -> bool:
        """Whether the frames from row `first` on can have these positions: none has another yet."""
        self._resume()
        return not self._index.taken(first, positions)

    def append(
        self, first: int, *, timestamps: NDArray[np.float64], positions: NDArray[np.int64]
    ) -> None:
        """Note frames from row `first` of the other file on; they do not count before `commit`.

        Raises
        ------
        OSError
            If the disk does not take them.
        """
        self._resume()
        with telling(self.path), or_abandoned(self._file):
            self._index.write(first, timestamps, positions)
        self._rows = max(self._rows, first + len(positions))

    def commit(self) -> None:
        """Flush the notes, then their count.

        Raises
        ------
        OSError
            If the disk does not take them.
        """
        with telling(self.path), or_abandoned(self._file):
            self._index.commit(self._rows)

    def close(self) -> None:
        """Close the file; what is noted after that opens it again.

        Raises
        ------
        OSError
            If it cannot be written; `h5xs repair` then makes the file readable.
        """
        close_growing(self._file, self.path)

    def _resume(self) -> None:
        if not self._file:
            self._file = open_growing(self.path)
            self._index = _Index(self._file)


def committed_frames(file: h5py.Group) -> int:
    """Count the frames that a frame file, own or linked, has for certain; it may be growing."""
    count = int(refresh(file[schema.COMMITTED])[0])
    return min(count, int(refresh(file[schema.TIMESTAMPS]).shape[0]))


def read_frame(data: h5py.Dataset, row: int) -> NDArray[Any]:
    """Read one frame (H, W); the interpreter is free while it is decompressed.

    Parameters
    ----------
    data
        (n, H, W), (H, W), or (m, n, H, W) as some older files have it.
    row
        Counted flat.

    Raises
    ------
    IndexError
        If there is no such frame.
    FrameAbsentError
        If the dataset has it, but it is not on disk: not yet, or not any more.
    OSError
        If it cannot be read.
    """
    rows = int(np.prod(data.shape[:-2], dtype=int))
    if not 0 <= row < rows:
        raise IndexError(f"{data.file.filename}: expected a frame below {rows}, found {row}")
    refuse_absent(data, row)
    index = np.unravel_index(row, data.shape[:-2])
    if data.chunks == (*[1] * len(index), *data.shape[-2:]) and is_bitshuffle_lz4(data):
        offset = (*(int(i) for i in index), 0, 0)
        mask, chunk = data.id.read_direct_chunk(offset)
        if mask == 0:
            return decompress(chunk, shape=data.shape[-2:], dtype=data.dtype)
    frame: NDArray[Any] = data[tuple(int(i) for i in index)]
    return frame


def is_bitshuffle_lz4(data: h5py.Dataset) -> bool:
    """Tell whether a dataset's only filter is bitshuffle with LZ4."""
    plist = data.id.get_create_plist()
    if plist.get_nfilters() != 1:
        return False
    code, _, options, _ = plist.get_filter(0)
    return code == _BITSHUFFLE and len(options) >= 5 and options[4] == _LZ4
