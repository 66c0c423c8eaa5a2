"""Packing: samples copied into one file without links, frames by frame, compressed in threads."""

import json
import logging
import zlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky import schema
from h5xs_bluesky.errors import FileFormatError, FrameAbsentError, RefusedError
from h5xs_bluesky.io.corrections import correction_name, load_corrections
from h5xs_bluesky.io.frames import (
    BITSHUFFLE_LZ4,
    committed_frames,
    is_bitshuffle_lz4,
    read_frame,
    refresh,
)
from h5xs_bluesky.io.links import follow
from h5xs_bluesky.io.presence import refuse_absent

logger = logging.getLogger(__name__)

_LEVEL = 1  # of gzip: frames get 10 % smaller with 6, at five times the time
_COMPRESSED_FROM = 1 << 16  # bytes of a dataset that is no frame
_LEAST_FRAME = 1 << 12  # bytes
_BLOCK = 1 << 26  # bytes of it that are held at a time
_AHEAD = 8  # frames that are being compressed

Advance = Callable[[int], None]


@dataclass(kw_only=True, slots=True)
class Packer:
    """Copies samples into a file that is open for writing.

    Links are followed inside the roots only, and what they lead to is copied: the file has none.

    Parameters
    ----------
    target
        The new file.
    roots
        Folders that links, virtual sources and external raw storage may lead into.
    executor
        Compresses frames; None leaves them out: the file tells their shape and type only.
    leave_out_refused
        Leave out what a link leads to out of the roots, instead of refusing all.
    keep_compression
        Copy frames that are bitshuffle-LZ4 as they are, instead of making them gzip.
    advance
        Called with the number of frames that were copied.
    """

    target: h5py.File
    roots: Sequence[Path]
    executor: Executor | None
    keep_compression: bool = False
    leave_out_refused: bool = False
    advance: Advance | None = None
    _corrections: dict[str, h5py.Dataset] | None = None

    def sample(self, name: str, group: h5py.Group, *, results: h5py.Group | None = None) -> None:
        """Copy a sample.

        Parameters
        ----------
        results
            A group with `processed` and `reduction` in place of the sample's own, as in a sidecar.

        Raises
        ------
        RefusedError
            If a link leads out of the roots, or in a circle.
        FileFormatError
            If data cannot be read.
        """
        new = self.target.create_group(name)
        _copy_attributes(group, new)
        left_out = [schema.CORRECTIONS]
        left_out += [] if results is None else [schema.PROCESSED, schema.REDUCTION]
        self._members(group, new, left_out, parents=())
        if results is not None:
            self._members(results, new, [], parents=())
            self._others(group, new)

    def group(self, name: str, group: h5py.Group) -> None:
        """Copy a group that is no sample.

        Raises
        ------
        RefusedError, FileFormatError
            As for a sample.
        """
        new = self.target.create_group(name)
        _copy_attributes(group, new)
        self._members(group, new, [], parents=())

    def _others(self, group: h5py.Group, new: h5py.Group) -> None:
        """Copy what stands in `processed` beside the results that are replaced."""
        old = follow(group, schema.PROCESSED, roots=self.roots)
        if not isinstance(old, h5py.Group):
            return
        made = new.require_group(schema.PROCESSED)
        replaced = (*made.attrs, schema.SELECTED, schema.SC_FACTOR)
        _copy_attributes(old, made, but=replaced)
        curves = (*made, schema.MERGED, schema.AVERAGED, schema.SUBTRACTED)
        self._members(old, made, curves, parents=())

    def corrections(self, name: str, texts: Sequence[str], source: h5py.File) -> None:
        """Add the flats and darks that detectors need to a packed sample; each stands there once.

        Parameters
        ----------
        texts
            Detectors, as the root or the provenance holds them.
        source
            The file that they are packed from.
        """
        known = self._corrections = self._corrections or {}
        folder = Path(source.filename).resolve().parent
        for extension, digests in _digests(texts):
            for what, sha256 in digests.items():
                member = correction_name(extension, what, sha256)
                group = self.target[name].require_group(schema.CORRECTIONS)
                if member in group:
                    continue
                if member in known:
                    group[member] = known[member]  # a second name for it
                    continue
                found = load_corrections(folder, extension, {what: sha256}, file=source)
                known[member] = group.create_dataset(
                    member, data=found[what], compression="gzip", shuffle=True
                )

    def _members(
        self,
        group: h5py.Group,
        new: h5py.Group,
        left_out: Sequence[str],
        *,
        parents: tuple[tuple[int, int], ...],
    ) -> None:
        here = h5py.h5o.get_info(group.id)
        place = (here.fileno, here.addr)
        if place in parents:
            raise RefusedError(
                f"{group.file.filename}: {group.name}: expected groups that end, found a link in "
                "a circle: it cannot be packed"
            )
        is_stream = schema.DATA in group and schema.TIMESTAMPS in group
        for name in group:
            if name in left_out:
                continue
            member = self._follow(group, name)
            if member is None:
                logger.warning("%s: %s/%s leads nowhere", group.file.filename, group.name, name)
            elif isinstance(member, h5py.Dataset):
                self._values(member, new, name)
            elif not isinstance(member, h5py.Group):  # a named type
                logger.warning("%s: %s is no data: left out", group.file.filename, member.name)
            else:
                made = new.require_group(name)
                _copy_attributes(member, made)
                if is_stream and name == schema.DATA:
                    self._data(group, member, new, made)
                self._members(member, made, list(made), parents=(*parents, place))

    def _follow(self, group: h5py.Group, path: str) -> h5py.Group | h5py.Dataset | None:
        try:
            return follow(group, path, roots=self.roots)
        except RefusedError:
            if self.leave_out_refused:
                return None
            raise

    def _data(
        self, stream: h5py.Group, data: h5py.Group, new: h5py.Group, made: h5py.Group
    ) -> None:
        """Copy the frames of a stream, with what is known of their times and positions."""
        for name in data:
            frames = self._follow(data, name)
            times = self._follow(stream, f"{schema.TIMESTAMPS}/{name}")
            ours = times is not None and schema.FIELD in times.attrs
            if not isinstance(frames, h5py.Dataset) or not (ours or _look_like_frames(frames)):
                continue
            rows = None
            if times is not None and ours and schema.COMMITTED in times.parent:
                follow(times.parent, schema.COMMITTED, roots=self.roots)
                rows = committed_frames(times.parent)
                rows = min(rows, int(np.prod(refresh(frames).shape[:-2])))
                self._frame_index(times, new, name, rows)
            self._frames(frames, made, name, rows)
            _copy_attributes(frames, made[name])

    def _frame_index(self, times: h5py.Dataset, new: h5py.Group, name: str, rows: int) -> None:
        """Copy the times and positions of the frames that count."""
        stamps = new.require_group(schema.TIMESTAMPS)
        stamps[name] = refresh(times)[:rows]
        _copy_attributes(times, stamps[name])
        positions = follow(times.parent, schema.POSITION, roots=self.roots)
        if isinstance(positions, h5py.Dataset):
            new.require_group(schema.POSITIONS)[name] = refresh(positions)[:rows]

    def _frames(self, source: h5py.Dataset, group: h5py.Group, name: str, rows: int | None) -> None:
        """Copy frames: flat where they are ours, in the shape that they have elsewhere."""
        leading = refresh(source).shape[:-2] if rows is None else (rows,)
        shape = (*leading, *source.shape[-2:])
        if 0 in shape:
            group.create_dataset(name, shape=shape, dtype=source.dtype)
            return
        chunk = (*[1] * len(leading), *source.shape[-2:])
        if self.executor is None:
            group.create_dataset(name, shape=shape, dtype=source.dtype, chunks=chunk)
            return
        single = (*[1] * (source.ndim - 2), *source.shape[-2:])
        as_is = self.keep_compression and source.chunks == single and is_bitshuffle_lz4(source)
        filters = BITSHUFFLE_LZ4 if as_is else {"compression": "gzip", "compression_opts": _LEVEL}
        made = group.create_dataset(
            name, shape=shape, dtype=source.dtype, chunks=chunk, shuffle=not as_is, **filters
        )
        if as_is:
            self._copy_chunks(source, made)
        else:
            self._compress(source, made, self.executor)

    def _copy_chunks(self, source: h5py.Dataset, made: h5py.Dataset) -> None:
        for row in range(int(np.prod(made.shape[:-2]))):
            offset = _offset(row, source.shape)
            if source.id.get_chunk_info_by_coord(offset).byte_offset is not None:
                skipped, chunk = source.id.read_direct_chunk(offset)
                made.id.write_direct_chunk(_offset(row, made.shape), chunk, skipped)
            self._done()  # one that was never written stays so

    def _compress(self, source: h5py.Dataset, made: h5py.Dataset, executor: Executor) -> None:
        pending: deque[tuple[int, Future[bytes]]] = deque()

        def write() -> None:
            row, future = pending.popleft()
            made.id.write_direct_chunk(_offset(row, made.shape), future.result())
            self._done()

        try:
            for row in range(int(np.prod(made.shape[:-2]))):
                if len(pending) >= _AHEAD:
                    write()
                pending.append((row, executor.submit(_deflate, _read(source, row))))
            while pending:
                write()
        finally:
            for _, future in pending:
                future.cancel()

    def _done(self) -> None:
        if self.advance is not None:
            self.advance(1)

    def _values(self, source: h5py.Dataset, group: h5py.Group, name: str) -> None:
        """Copy a dataset block by block; what points into its file is left out."""
        _refuse_missing(source)
        if h5py.check_ref_dtype(source.dtype) is not None:
            logger.warning("%s: %s holds references: left out", source.file.filename, source.name)
            return
        if refresh(source).shape is None:
            group.create_dataset(name, data=h5py.Empty(source.dtype))
            _copy_attributes(source, group[name])
            return
        size = int(np.prod(source.shape)) * source.dtype.itemsize
        options: dict[str, Any] = {}
        if source.ndim and size >= _COMPRESSED_FROM and source.dtype.kind in "biufc":
            options = {"compression": "gzip", "compression_opts": _LEVEL, "shuffle": True}
        made = group.create_dataset(name, shape=source.shape, dtype=source.dtype, **options)
        if source.ndim == 0:
            made[()] = source[()]
        elif size:
            rows = max(1, _BLOCK * source.shape[0] // size)
            for first in range(0, made.shape[0], rows):
                stop = min(first + rows, made.shape[0])
                made[first:stop] = source[first:stop]
        _copy_attributes(source, made)


def _copy_attributes(
    source: h5py.Group | h5py.Dataset,
    new: h5py.Group | h5py.Dataset,
    but: Sequence[str] = (),
) -> None:
    for key, value in source.attrs.items():
        if key not in but and h5py.check_ref_dtype(source.attrs.get_id(key).dtype) is None:
            new.attrs[key] = value


def copy_root(source: h5py.File, target: h5py.File) -> None:
    """Copy the attributes of a file."""
    _copy_attributes(source, target)


def _digests(texts: Sequence[str]) -> list[tuple[str, Mapping[str, str]]]:
    """List the flats and darks of detectors, by the detector's extension."""
    found = []
    for text in texts:
        for entry in json.loads(text or "[]"):
            ours = entry.get("h5xs", {})
            extension = str(ours.get("extension", entry["extension"]))
            found.append((extension, ours.get("corrections", {})))
    return found


def _look_like_frames(dataset: h5py.Dataset) -> bool:
    """Tell frames from small matrices, which are better off together."""
    if dataset.ndim < 3 or dataset.dtype.kind not in "biuf":
        return False
    size = int(np.prod(dataset.shape[-2:])) * int(dataset.dtype.itemsize)
    return size >= _LEAST_FRAME


def _refuse_missing(dataset: h5py.Dataset) -> None:
    """Refuse a view of files that are not there: its values would be packed as zeros."""
    if not dataset.is_virtual or dataset.ndim == 0:
        return
    try:
        for row in range(dataset.shape[0]):
            refuse_absent(dataset, row, trailing=dataset.ndim - 1)
    except FrameAbsentError as error:
        raise FileFormatError(f"{error}: it cannot be packed") from error


def _read(source: h5py.Dataset, row: int) -> NDArray[Any]:
    try:
        return read_frame(source, row)
    except OSError as error:
        raise FileFormatError(
            f"{source.file.filename}: {source.name}: frame {row} cannot be read: {error}: "
            "h5xs repair may bring it back"
        ) from error


def _offset(row: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*(int(i) for i in np.unravel_index(row, shape[:-2])), 0, 0)


def _deflate(frame: NDArray[Any]) -> bytes:
    """Compress a frame as HDF5's filters shuffle and gzip do."""
    data = np.ascontiguousarray(frame).view(np.uint8).reshape(-1, frame.dtype.itemsize)
    return zlib.compress(data.T.tobytes(), _LEVEL)
