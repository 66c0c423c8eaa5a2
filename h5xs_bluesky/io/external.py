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

from h5xs_bluesky.errors import FileFormatError, FrameAbsentError, RefusedError
from h5xs_bluesky.io.frames import open_frames, read_frame, refresh
from h5xs_bluesky.io.links import follow
from h5xs_bluesky.io.presence import refuse_absent
from h5xs_bluesky.io.superblock import is_written_for_many


def path_of(uri: str) -> Path:
    """Give the path that a ``file:`` URI names on this machine.

    Many do not quote what they announce, and Tiled takes it as it is: where the folder is there as
    written, a ``%`` in it is its own.

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
    written = Path(parts.path)
    return written if written.parent.is_dir() else Path(unquote(parts.path))


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
    grows : bool
        Whether this handle sees what is appended, and locks nobody out. Otherwise the file has to
        be closed soon, and opened again: HDF5 keeps a lock on a file that was not being written in
        the mode for many readers when it was opened.

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
            opened = {Path(file.filename) for file in (self._file, found.file)}
            self.grows = not found.is_virtual and all(is_written_for_many(each) for each in opened)
        except BaseException:
            self._file.close()
            raise
        # The dataset is opened for each look: one that is open twice is not refreshed.
        self._holder, self._name = found.file, str(found.name)
        self._shape: tuple[int, ...] = found.shape
        self._dtype: np.dtype[Any] = found.dtype
        self._inode = os.fstat(self._file.id.get_vfd_handle()).st_ino

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the dataset when `rows` was last called."""
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the numbers."""
        return self._dtype

    def rows(self, dimensions: int) -> int:
        """Count what it has by now: frames (2 dimensions), rows (1), or numbers (0).

        Raises
        ------
        FileNotFoundError
            If the file has vanished, or was replaced.
        """
        try:
            there = self.path.stat().st_ino == self._inode
        except OSError:
            there = False
        if not there:
            raise FileNotFoundError(f"{self.path}: expected the file opened before, found it gone")
        self._shape = refresh(self._open()).shape
        return int(np.prod(self._shape[: len(self._shape) - dimensions]))

    def frames(self, first: int, events: int, per_event: int) -> NDArray[Any]:
        """Read the frames (n · per_event, H, W) of so many events, or of those before a gap.

        Parameters
        ----------
        first
            The frame, counted flat, with which the first event begins.

        Raises
        ------
        FrameAbsentError
            If not even the first event is on disk.
        OSError
            If it cannot be read.
        """
        found: list[NDArray[Any]] = []
        data = self._open()
        for row in range(first, first + events * per_event):
            try:
                found.append(read_frame(data, row))
            except FrameAbsentError:
                if len(found) < per_event:
                    raise
                break
        return np.stack(found[: len(found) - len(found) % per_event])

    def values(self, first: int, events: int, per_event: int) -> NDArray[Any]:
        """Read rows (events · per_event, …) of a dataset that holds no frames.

        Raises
        ------
        FrameAbsentError
            If one of them is not on disk.
        OSError
            If they cannot be read.
        """
        last = first + events * per_event
        data = self._open()
        for row in range(first, last):
            refuse_absent(data, row, trailing=data.ndim - 1)
        values: NDArray[Any] = data[first:last]
        return values

    def close(self) -> None:
        """Close the file."""
        self._holder.close()
        self._file.close()

    def _open(self) -> h5py.Dataset:
        return self._holder[self._name]

    def _stays(self, dataset: str, permanent: Sequence[Path]) -> bool:
        try:
            _refuse_outside(self.path, permanent)
            follow(self._file, dataset.strip("/"), roots=permanent)
        except RefusedError:
            return False
        return True


def _refuse_outside(path: Path, roots: Sequence[Path]) -> None:
    resolved = path.resolve()
    if not any(resolved.is_relative_to(root.resolve()) for root in roots):
        folders = ", ".join(str(root) for root in roots) or "no folder"
        raise RefusedError(
            f"{path}: expected a file inside {folders}: it is not opened; if its folder can be "
            "trusted, add it to [roots] in the configuration, as permanent (linked) or as allowed "
            "(copied)"
        )
