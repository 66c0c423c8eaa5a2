"""Whether frames are on disk: for those that are not, HDF5 gives zeros, without a word.

That is so for chunks that were never written, for what lies beyond the end of a file that was cut
short, and for views (virtual datasets) of files that are not there, or are cut short themselves.
Whoever reads frames asks here first.

What cannot be told: a chunk that was set aside with its file (``H5D_ALLOC_TIME_EARLY``), and the
rows of a chunk of several rows, count as written.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import FrameAbsentError
from h5xs_bluesky.io.opening import open_frames
from h5xs_bluesky.io.views import View, views_of

Index = tuple[int, ...]

_SINGLY = 4  # frames of a file that are looked up one by one, before all of them are listed
_MOST_NESTED = 8  # views of views
_FILES = 1024  # of which it is known what is in them


def refuse_absent(data: h5py.Dataset, row: int, *, trailing: int = 2) -> None:
    """Check that a frame, or another row, can be read.

    It costs some 20 µs a frame where many of a file are asked for: what was found is kept for as
    long as the file does not change.

    Parameters
    ----------
    data
        As it is now: refreshed, where its file is growing.
    row
        Counted flat over the leading axes.
    trailing
        How many axes are not leading; a frame has two.

    Raises
    ------
    FrameAbsentError
        If it is not on disk, with the reason: it may come, or not.
    """
    leading = data.shape[: data.ndim - trailing]
    index = tuple(int(i) for i in np.unravel_index(row, leading))
    problem = _problem(data, index, 0)
    if problem:
        raise FrameAbsentError(f"{data.file.filename}: {data.name}: expected row {row}, {problem}")


@dataclass(slots=True)
class _Known:
    """What was found out about a dataset, in one state of its file.

    `there` tells for each chunk along the leading axes whether it is on disk; `views` are what a
    virtual dataset shows.
    """

    asked: int = 0
    chunks: Index = ()
    there: NDArray[np.bool_] | None = None
    views: Sequence[View] | None = field(default=None)

    def has(self, index: Index) -> bool:
        """Whether it is known that a row is there; that one is not may be no longer true."""
        if self.there is None:
            return False
        place = tuple(i // c for i, c in zip(index, self.chunks, strict=True))
        inside = all(i < n for i, n in zip(place, self.there.shape, strict=True))
        return inside and bool(self.there[place])


@lru_cache(maxsize=_FILES)
def _known(_device: int, _inode: int, _size: int, _mtime_ns: int, _name: str, _axes: int) -> _Known:
    return _Known()


def _known_of(state: os.stat_result, name: str, axes: int) -> _Known:
    return _known(state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, name, axes)


def _problem(data: h5py.Dataset, index: Index, depth: int) -> str:
    """Tell why a row is not there; "" if it is."""
    state = _state(h5py.h5i.get_file_id(data.id))
    if state is None:
        return ""
    known = _known_of(state, str(data.name), len(index))
    if known.has(index):
        return ""
    layout = data.id.get_create_plist().get_layout()
    if layout == h5py.h5d.VIRTUAL:
        return _in_views(data, index, known, depth)
    if layout == h5py.h5d.CHUNKED:
        return _in_chunks(data, index, known, state.st_size)
    if layout == h5py.h5d.COMPACT:
        return ""
    if data.external:
        return _in_raw_files(data, index)
    return _in_one_piece(data, index, known, state.st_size)


def _state(file: h5py.h5f.FileID) -> os.stat_result | None:
    """Give size and times of an open file; None for one in memory, where all is there."""
    try:
        return os.fstat(file.get_vfd_handle())
    except (OSError, OverflowError, RuntimeError):
        if file.get_access_plist().get_driver() == h5py.h5fd.SEC2:
            raise
        return None


def _in_chunks(data: h5py.Dataset, index: Index, known: _Known, size: int) -> str:
    axes, chunks = len(index), data.chunks
    tiles = [range(0, n, c) for n, c in zip(data.shape[axes:], chunks[axes:], strict=True)]
    known.asked += 1
    if known.there is None and (
        known.asked > _SINGLY or np.prod([len(t) for t in tiles]) > _SINGLY
    ):
        known.chunks, known.there = chunks[:axes], _list_chunks(data, axes, size)
        if known.has(index):
            return ""
    first = tuple(i - i % c for i, c in zip(index, chunks[:axes], strict=True))
    for tile in np.ndindex(*(len(t) for t in tiles)):
        corner = tuple(t[i] for t, i in zip(tiles, tile, strict=True))
        found = data.id.get_chunk_info_by_coord((*first, *corner))
        if found.byte_offset is None:
            return "found that it is not written yet"
        if found.byte_offset + found.size > size:
            return _cut(found.byte_offset + found.size, size)
    return ""


def _list_chunks(data: h5py.Dataset, axes: int, size: int) -> NDArray[np.bool_]:
    """List which chunks along the leading axes are there, with all their tiles."""
    numbers = [-(-n // c) for n, c in zip(data.shape, data.chunks, strict=True)]
    found = np.zeros(numbers[:axes], dtype=np.int64)
    chunks = data.chunks[:axes]

    def note(chunk: Any) -> None:
        place = tuple(i // c for i, c in zip(chunk.chunk_offset, chunks, strict=False))
        inside = all(i < n for i, n in zip(place, found.shape, strict=True))
        if inside and chunk.byte_offset is not None and chunk.byte_offset + chunk.size <= size:
            found[place] += 1

    data.id.chunk_iter(note)
    return np.asarray(found >= np.prod(numbers[axes:], dtype=np.int64))


def _in_one_piece(data: h5py.Dataset, index: Index, known: _Known, size: int) -> str:
    offset = data.id.get_offset()
    if offset is None:
        return "found that nothing is written yet"
    leading = data.shape[: len(index)]
    ends = offset + (1 + np.arange(np.prod(leading, dtype=int))) * _row_bytes(data, len(index))
    known.chunks, known.there = (1,) * len(index), (ends <= size).reshape(leading)
    if known.has(index):
        return ""
    return _cut(int(ends.reshape(leading)[index]), size)


def _in_raw_files(data: h5py.Dataset, index: Index) -> str:
    """Look into the files that hold the bytes of a dataset, one after the other."""
    row = int(np.ravel_multi_index(index, data.shape[: len(index)])) if index else 0
    wanted = (row + 1) * _row_bytes(data, len(index))
    folder = Path(data.file.filename).resolve().parent
    for name, offset, length in data.external:
        path = folder / (name.decode(errors="replace") if isinstance(name, bytes) else name)
        there = path.stat().st_size - offset if path.is_file() else 0
        if there < min(wanted, length):
            return f"found {max(0, there)} bytes of it in {path}"
        wanted -= length
        if wanted <= 0:
            break
    return ""


def _in_views(data: h5py.Dataset, index: Index, known: _Known, depth: int) -> str:
    if depth == _MOST_NESTED:
        return f"found views of views, more than {_MOST_NESTED} deep"
    if known.views is None:
        known.views = views_of(data, len(index))
    for view in known.views:
        ordinal = view.ordinal(index)
        if ordinal is None:
            continue
        problem = _in_view(data, view, index, ordinal, depth)
        if problem:
            return problem
    return ""


def _in_view(data: h5py.Dataset, view: View, index: Index, ordinal: int, depth: int) -> str:
    """Look for a row in the file that a view shows it from."""
    name, dataset = view.names(index)
    if name == ".":
        source = data.file.get(dataset)
        return _in_source(source, view, ordinal, depth) or ""
    path = Path(data.file.filename).resolve().parent / name
    try:
        state = path.stat()
    except OSError:
        return f"expected its sources, found no {path}"
    there = view.source_index(ordinal, None)
    if there is not None and _known_of(state, "/" + dataset.strip("/"), len(there)).has(there):
        return ""
    with open_frames(path) as file:
        problem = _in_source(file.get(dataset), view, ordinal, depth)
    return problem and f"in its source {path} {problem}"


def _in_source(source: Any, view: View, ordinal: int, depth: int) -> str:
    if not isinstance(source, h5py.Dataset):
        return "found no such dataset"
    if not view.regular:
        return ""
    axes = max(0, source.ndim - view.trailing)
    leading = source.shape[:axes]
    index = view.source_index(ordinal, leading)
    if index is None or any(i >= n for i, n in zip(index, leading, strict=True)):
        return f"found {leading} rows"
    return _problem(source, index, depth + 1)


def _row_bytes(data: h5py.Dataset, axes: int) -> int:
    return int(np.prod(data.shape[axes:], dtype=int)) * int(data.dtype.itemsize)


def _cut(wanted: int, size: int) -> str:
    return f"to end at byte {wanted}, found {size} bytes: it was cut short"
