"""Writing HDF5 files so that a disk which is full, or gone, does no more harm than that.

Where HDF5 cannot write what it holds back of a dataset or file that is closed, it frees it all the
same, and h5py leaves its identifier. Who looks through the open identifiers afterwards, as every
`h5py.File.close` does, reads freed memory: the process dies. So nothing is closed here that could
not be written. A file is made in memory, and written whole; one that grows is opened after that,
and where it cannot be flushed, what HDF5 holds of it is written to memory before it is closed.
"""

import os
import re
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
from h5py import h5f, h5i
from h5py._objects import phil  # HDF5's calls are made one at a time, under this lock

from h5xs_bluesky.io.replace import temporary_beside

LIBVER = ("v110", "v110")
_TRIES = 3  # the first flush after one that failed puts HDF5's cache in order, and fails, too


@contextmanager
def telling(path: Path) -> Iterator[None]:
    """Tell in one line which file could not be written; HDF5 takes three, and h5py no `errno`.

    Raises
    ------
    OSError
        In place of what the disk made HDF5, or the system, raise.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        known = re.search(r"errno = (\d+)", str(error))
        number = int(known[1]) if known else getattr(error, "errno", None)
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


@contextmanager
def made_in_memory(path: Path) -> Iterator[h5py.File]:
    """Make a file, which is written when the block ends; nothing is if that raises.

    Parameters
    ----------
    path
        Where to: a name that nobody else uses meanwhile.

    Raises
    ------
    OSError
        If it cannot be written; a part of it may be there.
    """
    with h5py.File(path, "w", driver="core", backing_store=False, libver=LIBVER) as file:
        yield file
        file.flush()
        image = file.id.get_file_image()
    with telling(path):
        path.write_bytes(image)


def make_growing(path: Path, lay_out: Callable[[h5py.File], None]) -> h5py.File:
    """Make a file that is appended to while others read it; it is closed by `close_growing`.

    Parameters
    ----------
    path
        The name that it gets once all is in it, and readers do not lock its writer out.
    lay_out
        Makes what is in it.

    Raises
    ------
    FileExistsError
        If it is there.
    OSError
        If it cannot be written; it is not there then.
    """
    if path.exists():
        raise FileExistsError(f"expected no file yet, found {path}")
    temporary = temporary_beside(path)
    try:
        with telling(path):
            with made_in_memory(temporary) as made:
                lay_out(made)
            file = open_growing(temporary)
            temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return file


def open_growing(path: Path) -> h5py.File:
    """Open a file of ours to append to it again; it is closed by `close_growing`.

    Raises
    ------
    OSError
        If it cannot be opened, or written.
    """
    with telling(path):
        file = h5py.File(path, "r+", libver=LIBVER)
        try:
            file.swmr_mode = True
        except (OSError, RuntimeError):
            _abandon(file)
            raise
    return file


def close_growing(file: h5py.File, path: Path) -> None:
    """Write what HDF5 holds of a file, and close it; nothing happens if it is closed already.

    Raises
    ------
    OSError
        If it cannot be written. It is closed, and on disk as a killed writer would have left it.
    """
    with phil:
        if not file:
            return
        with telling(path):
            try:
                file.flush()
            except (OSError, RuntimeError):
                _abandon(file)
                raise
            file.close()


@contextmanager
def or_abandoned(file: h5py.File) -> Iterator[None]:
    """Write to a file, which is given up at once if that fails: a reader here shares what is held.

    Its closing would write, too, and fail.
    """
    with phil:
        try:
            yield
        except (OSError, RuntimeError):
            _abandon(file)
            raise


def _abandon(file: h5py.File) -> None:
    """Close a file that cannot be written; the one on disk is not touched any more.

    What HDF5 holds of it goes to memory. Where not even that can be, it stays open for ever.
    """
    with phil, _files_of_any_size():
        memory = os.memfd_create("h5xs")
        try:
            os.dup2(memory, file.id.get_vfd_handle(), inheritable=False)
        finally:
            os.close(memory)
        if any(_flushes(file) for _ in range(_TRIES)):
            file.close()
            return
        for each in h5f.get_obj_ids(file.id, h5f.OBJ_ALL):
            h5i.inc_ref(each)


@contextmanager
def _files_of_any_size() -> Iterator[None]:
    """Lift the limit that `ulimit -f` sets, which is one for memory, too."""
    limit, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))


def _flushes(file: h5py.File) -> bool:
    try:
        file.flush()
    except (OSError, RuntimeError):
        return False
    return True
