"""Replacing a file whole, and locks between processes."""

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from h5xs_bluesky.errors import FileInUseError

_ACL = "system.posix_acl_access"
_POLL_S = 0.01


@contextmanager
def replace_whole(path: Path) -> Iterator[Path]:
    """Write a file beside `path`, and put it in its place when it is complete.

    Readers see the old file or the new one, never less. The old file's mode and access control
    list stay. If the block raises, the old file stays, too.

    Yields
    ------
    Path
        Where to write: in the same folder, with the same suffix.
    """
    temporary = _new_file_beside(path)
    try:
        yield temporary
        _take_access(path, temporary)
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename in (None, str(temporary)):
            error.filename = str(path)
        raise


def temporary_beside(path: Path) -> Path:
    """Give a name in the same folder that nobody uses, and that a repair knows as a leftover."""
    return path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")


def _new_file_beside(path: Path) -> Path:
    temporary = temporary_beside(path)
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
    return temporary


def _take_access(path: Path, temporary: Path) -> None:
    if not path.exists():
        return
    shutil.copymode(path, temporary)
    try:
        os.setxattr(temporary, _ACL, os.getxattr(path, _ACL))
    except OSError:  # it has none, or the disk knows none
        return


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class FileLock:
    """A lock between processes, and between holders in one process, on a file of its own.

    It ends with its process, however that dies.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self, *, timeout_s: float = 0.0) -> None:
        """Take the lock.

        Raises
        ------
        FileInUseError
            If another holder keeps it longer than `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    os.close(descriptor)
                    raise FileInUseError(
                        f"{self.path}: expected a free lock within {timeout_s:g} s, found it held "
                        "by another writer: wait until that has finished"
                    ) from None
                time.sleep(_POLL_S)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back; nothing happens if it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def is_locked(path: Path) -> bool:
    """Tell whether somebody holds the `FileLock` on a file; where there is none, nobody does.

    Whoever tries to take a free lock at the same moment may be refused: ask rarely.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
