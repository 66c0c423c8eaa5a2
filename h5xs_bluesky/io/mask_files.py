"""Masks from files: numpy arrays, and pictures in any format that fabio reads."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import FileFormatError
from h5xs_bluesky.io.image_files import read_image

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
    mask = read_image(path, key=_KEY)
    if mask.shape != shape:
        raise FileFormatError(
            f"{path}: expected a mask of shape {shape} as the detector's, found {mask.shape}"
        )
    return np.asarray(mask != 0)
