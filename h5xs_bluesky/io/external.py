"""Files of other writers: where documents say they are, what may be read, and reading it live."""

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import h5py
import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import FileFormatError, RefusedError
from h5xs_bluesky.io.frames import open_frames, read_frame, refresh
from h5xs_bluesky.io.links import follow, missing_sources


def path_of(uri: str) -> Path:
    """Give the path that a ``file:`` URI names on this machine.

    Raises
    ------
    RefusedError
        If it names another machine, or no file.

    Examples
    --------
    >>> path_of("file://localhost/data/run%201.h5")
    PosixPath('/data/run 1.h5')
    """
    parts = urlsplit(uri)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost", socket.gethostname()):
        raise RefusedError(f"expected a URI file://localhost/…, found {uri!r}: it is not opened")
    return Path(unquote(parts.path))


@dataclass(frozen=True, kw_only=True, slots=True)
class AllowedFolders:
    """What may be read, and what of it stays.

    Parameters
    ----------
    permanent
        Files here stay where they are, and are linked.
    allowed
        Files here may be read; they are copied, since they may go away.
    """

    permanent: tuple[Path, ...]
    allowed: tuple[Path, ...]


class ExternalDataset:
    """A dataset in the file of another writer, which may still be growing.

    Parameters
    ----------
    path, dataset
        The file and the path in it.
    folders
        Where the file, and what it links to, has to lie.

    Attributes
    ----------
    permanent : bool
        Whether the file and all that it links to stay.

    Raises
    ------
    RefusedError
        If the file, or what it links to, lies elsewhere.
    FileNotFoundError, KeyError
        If there is no such file, or no such dataset yet.
    OSError
        If it cannot be opened: its writer has it, and not in the mode for many readers (SWMR),
        or it is cut short.
    FileFormatError
        If it holds no numbers.
    """

    def __init__(self, path: Path, dataset: str, *, folders: AllowedFolders) -> None:
        self.path = path
        everywhere = (*folders.permanent, *folders.allowed)
        _refuse_outside(path, everywhere)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: expected a file, found none")
        self._file = open_frames(path)
        try:
            found = follow(self._file, dataset.strip("/"), roots=everywhere)
            if not isinstance(found, h5py.Dataset):
                raise KeyError(f"{path}: expected a dataset {dataset!r}, found none")
            if found.dtype.kind not in "biuf" or found.ndim == 0:
                raise FileFormatError(
                    f"{path}: {dataset}: expected an array of numbers, found {found.dtype} of "
                    f"shape {found.shape}"
                )
            self.permanent = self._stays(dataset, folders.permanent)
        except BaseException:
            self._file.close()
            raise
        self._data: h5py.Dataset = found
        self._inode = os.fstat(self._file.id.get_vfd_handle()).st_ino

    @property
    def grows(self) -> bool:
        """Whether this handle sees what is appended; otherwise the file has to be opened again."""
        return bool(self._file.swmr_mode)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the dataset when `rows` was last called."""
        shape: tuple[int, ...] = self._data.shape
        return shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the numbers."""
        dtype: np.dtype[Any] = self._data.dtype
        return dtype

    def rows(self, dimensions: int) -> int:
        """Count what can be read now: frames (2 dimensions), rows (1), or numbers (0).

        Raises
        ------
        FileNotFoundError
            If the file has vanished, was replaced, or is a view of files that are not there.
        """
        try:
            there = self.path.stat().st_ino == self._inode
        except OSError:
            there = False
        if not there:
            raise FileNotFoundError(f"{self.path}: expected the file opened before, found it gone")
        missing = missing_sources(self._data)
        if missing:
            raise FileNotFoundError(f"{self.path}: expected its sources, found no {missing[0]}")
        shape = refresh(self._data).shape
        return int(np.prod(shape[: len(shape) - dimensions]))

    def frames(self, first: int, count: int) -> NDArray[Any]:
        """Read frames (count, H, W), counted flat.

        Raises
        ------
        OSError
            If they cannot be read, or the file ends before them.
        """
        self._refuse_beyond_end(first, count)
        return np.stack([read_frame(self._data, row) for row in range(first, first + count)])

    def values(self, first: int, count: int) -> NDArray[Any]:
        """Read rows (count, …) of a dataset that holds no frames."""
        values: NDArray[Any] = self._data[first : first + count]
        return values

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _refuse_beyond_end(self, first: int, count: int) -> None:
        """Check that chunks lie inside the file: beyond its end HDF5 reads zeros, without a word.

        That is how a file which was cut short looks to one of many readers (SWMR).
        """
        if self._data.chunks is None or self._data.file.filename != self._file.filename:
            return
        size = os.fstat(self._file.id.get_vfd_handle()).st_size
        leading = self._data.shape[:-2]
        for row in range(first, first + count):
            place = (*(int(i) for i in np.unravel_index(row, leading)), 0, 0)
            stored = self._data.id.get_chunk_info_by_coord(_chunk_start(place, self._data.chunks))
            if stored.byte_offset is not None and stored.byte_offset + stored.size > size:
                raise OSError(
                    f"{self.path}: expected frame {row} to end at byte "
                    f"{stored.byte_offset + stored.size}, found {size} bytes: it was cut short"
                )

    def _stays(self, dataset: str, permanent: Sequence[Path]) -> bool:
        try:
            _refuse_outside(self.path, permanent)
            follow(self._file, dataset.strip("/"), roots=permanent)
        except RefusedError:
            return False
        return True


def _chunk_start(place: tuple[int, ...], chunks: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(index - index % chunk for index, chunk in zip(place, chunks, strict=True))


def _refuse_outside(path: Path, roots: Sequence[Path]) -> None:
    resolved = path.resolve()
    if not any(resolved.is_relative_to(root.resolve()) for root in roots):
        folders = ", ".join(str(root) for root in roots) or "no folder"
        raise RefusedError(
            f"{path}: expected a file inside {folders}: it is not opened; if its folder can be "
            "trusted, add it to [roots] in the configuration, as permanent (linked) or as allowed "
            "(copied)"
        )
