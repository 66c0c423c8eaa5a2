"""Arrays of one number per pixel from files: numpy's own, and pictures that fabio reads."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import FileFormatError


class _Complaints(logging.Handler):
    """Keeps what fabio logs as errors in this thread."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if threading.get_ident() == self._thread:
            self.texts.append(record.getMessage())


@contextmanager
def strict_fabio(path: Path) -> Iterator[None]:
    """Raise what fabio only logs, as where a picture is cut short and it goes on with zeros.

    Raises
    ------
    FileFormatError
        At the end of the block.
    """
    complaints, logger = _Complaints(), logging.getLogger("fabio")
    logger.addHandler(complaints)
    try:
        yield
    finally:
        logger.removeHandler(complaints)
    if complaints.texts:
        raise FileFormatError(
            f"{path}: expected a whole picture, found an error: {complaints.texts[0]}"
        )


def read_image(
    path: Path, *, key: str | None = None, what: str = "picture or array"
) -> NDArray[Any]:
    """Read an array of real numbers.

    Parameters
    ----------
    path
        ``.npy``, ``.npz``, or a picture.
    key
        The array's name in an ``.npz`` file that holds several.
    what
        Is expected there, for messages.

    Raises
    ------
    FileFormatError
        If the file is not there, cannot be read, or holds no numbers.
    """
    if not path.is_file():
        raise FileFormatError(f"{path}: expected a {what}, found no file")
    try:
        array = np.asarray(_read(path, key))
    except FileFormatError:
        raise
    except Exception as error:
        raise FileFormatError(f"{path}: expected a {what}, found an error: {error}") from error
    if array.dtype.kind not in "biuf":
        raise FileFormatError(f"{path}: expected a {what} of numbers, found dtype {array.dtype}")
    return array


def _read(path: Path, key: str | None) -> NDArray[Any]:
    if path.suffix == ".npy":
        array: NDArray[Any] = np.load(path, allow_pickle=False)
        return array
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            names = list(file)
            if key not in names and len(names) != 1:
                raise FileFormatError(f"{path}: expected an array {key!r}, found {names}")
            member: NDArray[Any] = file[key if key in names else names[0]]
            return member
    import fabio

    with strict_fabio(path), fabio.open(str(path)) as picture:
        data: NDArray[Any] = picture.data
        return data
