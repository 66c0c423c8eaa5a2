"""Masks from files: numpy arrays, and pictures in any format that fabio reads."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import FileFormatError

_KEY = "mask"


def read_mask(path: Path, *, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Read a mask: True (not zero) where a pixel is excluded.

    Parameters
    ----------
    path
        ``.npy``, ``.npz`` (key ``mask``, or the only one), or a picture.
    shape
        Rows and columns that it must have.

    Raises
    ------
    FileFormatError
        If the file is not there, holds no mask, or one of another shape.
    """
    if not path.is_file():
        raise FileFormatError(f"{path}: expected a mask, found no file")
    try:
        mask = np.asarray(_read(path))
    except FileFormatError:
        raise
    except Exception as error:
        raise FileFormatError(f"{path}: expected a mask, found an error: {error}") from error
    if mask.dtype.kind not in "biuf":
        raise FileFormatError(f"{path}: expected a mask of numbers, found dtype {mask.dtype}")
    if mask.shape != shape:
        raise FileFormatError(
            f"{path}: expected a mask of shape {shape} as the detector's, found {mask.shape}"
        )
    return np.asarray(mask != 0)


def _read(path: Path) -> NDArray[Any]:
    if path.suffix == ".npy":
        array: NDArray[Any] = np.load(path, allow_pickle=False)
        return array
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            names = list(file)
            if _KEY not in names and len(names) != 1:
                raise FileFormatError(f"{path}: expected an array {_KEY!r}, found {names}")
            member: NDArray[Any] = file[_KEY if _KEY in names else names[0]]
            return member
    import fabio

    with fabio.open(str(path)) as picture:
        data: NDArray[Any] = picture.data
        return data
