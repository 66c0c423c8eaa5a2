"""Opening HDF5 files for reading that may be growing, or damaged.

In the mode for many readers (SWMR), HDF5 reads metadata with a wrong checksum again: they may be
just being written. It does so a hundred times, and sleeps twice as long each time, with the
interpreter's lock held: a damaged file would hold all threads for ever. `_ATTEMPTS` bounds that.
"""

import ctypes
import logging
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path

import h5py
from h5py import h5d, h5f, h5i, h5p
from h5py._objects import phil  # HDF5's calls are made one at a time, under this lock

from h5xs_bluesky.errors import FileCutError, FileDamagedError
from h5xs_bluesky.io.heaps import endless_heap
from h5xs_bluesky.io.superblock import expected_and_found_size

logger = logging.getLogger(__name__)

_ATTEMPTS = 27  # the last sleep is 2^26 ns; all of them together take a seventh of a second
_DRIVER = "h5xs"

_MOST_LOOKED_THROUGH = 16_000_000  # bytes; our files with texts have some kilobytes
_MOST_KNOWN = 10_000

# What h5py raises where a file is damaged.
DAMAGE = (OSError, RuntimeError, KeyError)


def open_frames(path: Path) -> h5py.File:
    """Open a file of frames for reading, also while it is written.

    Of one that was cut short, what is there can be read: see `io.presence`.

    Raises
    ------
    OSError
        If it cannot be opened. A file that a killed writer left needs `h5xs repair`.
    """
    try:
        return h5py.File(path, "r", swmr=True, driver=_DRIVER)
    except FileNotFoundError:
        raise
    except (OSError, ValueError):  # an older format, or open here in the plain mode
        return h5py.File(path, "r")


def open_whole(path: Path) -> h5py.File:
    """Open a file for reading, also while it is written, which must not be cut short.

    Raises
    ------
    OSError
        If it cannot be opened, or is damaged as `refuse_damaged` finds it.
    """
    refuse_damaged(path)
    return open_frames(path)


def refuse_damaged(path: Path) -> None:
    """Check a file for damage that HDF5 does not see, or on which it never stops.

    Raises
    ------
    FileCutError, FileDamagedError
        If there is some.
    OSError
        If it cannot be read.
    """
    state = path.stat()
    problem = _problem(
        path, state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns
    )
    if problem is not None:
        kind, text = problem
        raise kind(f"{path}: {text}")


@lru_cache(maxsize=_MOST_KNOWN)
def _problem(path: Path, *_state: int) -> tuple[type[FileDamagedError], str] | None:
    """Look for damage once for each state of a file."""
    expected, size = expected_and_found_size(path)
    if expected > size:
        return (
            FileCutError,
            f"truncated file: expected {expected} bytes, found {size}: copy it again",
        )
    heap = None if size > _MOST_LOOKED_THROUGH else endless_heap(path.read_bytes())
    if heap is not None:
        return FileDamagedError, (
            f"expected strings at byte {heap}, found zeros: a part of the file is lost; copy it "
            "again, or have it made again"
        )
    return None


def _set_access(access: h5p.PropFAID) -> None:
    """Choose the usual driver, and few attempts; linked files and virtual sources inherit it."""
    access.set_fapl_sec2()
    set_attempts = _library_call()
    if set_attempts is not None and set_attempts(access.id, _ATTEMPTS) < 0:
        raise RuntimeError(f"HDF5 does not take {_ATTEMPTS} as the number of attempts to read")


@cache
def _library_call() -> Callable[[int, int], int] | None:
    """Give the function of HDF5 that h5py has no name for, from the library that it loaded."""
    try:
        found = ctypes.PyDLL(h5p.__file__).H5Pset_metadata_read_attempts
    except (OSError, AttributeError):
        logger.warning("This build of h5py cannot make HDF5 give up damaged files: they may hang")
        return None
    found.argtypes = [ctypes.c_int64, ctypes.c_uint]
    return found


h5py.register_driver(_DRIVER, _set_access)


def refresh(dataset: h5py.Dataset) -> h5py.Dataset:
    """Give a dataset as it is now, where its file may be growing.

    A dataset that is open a second time in this process stays as it was opened: HDF5 2.0 and before
    refresh one for both, and then find the first chunk wherever another is asked for. Who follows a
    growing file asks again a moment later.
    """
    with phil:
        if dataset.file.swmr_mode and not _is_open_twice(dataset.id):
            dataset.refresh()
    return dataset


def _is_open_twice(dataset: h5d.DatasetID) -> bool:
    """Tell whether refreshing a dataset would reach one that somebody else reads.

    A virtual dataset keeps its sources open, and does not say which.
    """
    for other in h5f.get_obj_ids(h5f.OBJ_ALL, h5f.OBJ_DATASET):
        if other.id == dataset.id or not _is_only_read(other):
            continue
        if other == dataset or _is_virtual(other) or _is_virtual(dataset):
            return True
    return False


def _is_only_read(dataset: h5d.DatasetID) -> bool:
    writing: int = h5i.get_file_id(dataset).get_intent() & h5f.ACC_RDWR
    return writing == 0


def _is_virtual(dataset: h5d.DatasetID) -> bool:
    layout: int = dataset.get_create_plist().get_layout()
    return layout == int(h5d.VIRTUAL)
