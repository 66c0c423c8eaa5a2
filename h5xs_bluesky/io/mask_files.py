"""Masks from files: arrays, pictures, painted pictures, shapes, NeXus; and a detector's own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import FileFormatError
from h5xs_bluesky.io.frames import open_frames
from h5xs_bluesky.io.geometry_files import pyfai_detector
from h5xs_bluesky.io.image_files import read_image
from h5xs_bluesky.io.links import follow
from h5xs_bluesky.io.mask_shapes import draw_shapes, holds_shapes

_KEY = "mask"
_PIXEL_MASK = "pixel_mask"
_BITS = 64


def read_mask(
    path: Path,
    *,
    shape: tuple[int, int],
    dataset: str | None = None,
    bits: Sequence[int] | None = None,
    color: str | None = None,
    flip: int = 0,
) -> NDArray[np.bool_]:
    """Read a mask: True where a pixel is excluded.

    Parameters
    ----------
    path
        - ``.npy``, ``.npz`` (key ``mask``, or the only one), or a picture of numbers that fabio
          reads: not zero where excluded;
        - a text of py4xs' shapes (`mask_shapes`);
        - an HDF5 file: NeXus' `pixel_mask`, as in an Eiger's master file;
        - with `color`, a picture in which the excluded region is painted.
    shape
        Rows and columns that it must have.
    dataset
        Where the mask is in an HDF5 file; by default the `pixel_mask` of its only NXdetector.
    bits
        Which bits of a `pixel_mask`, from 0, exclude a pixel; by default any. NeXus' bits are 0
        gap, 1 dead, 2 under-responding, 3 over-responding, 4 noisy, 6 part of a cluster, 7 and 8
        masked by the user, 31 virtual.
    color
        Of the paint, as a name or ``"#rrggbb"``.
    flip
        For a mask that belongs to py4xs' picture: its `flip`, which is undone.

    Raises
    ------
    FileFormatError
        If the file is not there, holds no mask, or one of another shape; or if an option does not
        belong to its kind.
    RefusedError
        If a link in it leads out of its folder.
    """
    if not path.is_file():
        raise FileFormatError(f"{path}: expected a mask, found no file")
    if (dataset is not None or bits is not None) and (color is not None or not h5py.is_hdf5(path)):
        raise FileFormatError(
            f"{path}: expected an HDF5 file, since a dataset or bits are given, found another"
        )
    drawn = shape if flip % 2 == 0 else (shape[1], shape[0])
    if color is not None:
        mask = _painted(path, color)
    elif h5py.is_hdf5(path):
        mask = _pixel_mask(path, dataset, bits)
    elif holds_shapes(path):
        mask = draw_shapes(path, shape=drawn)
    else:
        mask = _excluded(read_image(path, key=_KEY, what="mask"), path)
    if flip:
        mask = np.rot90(mask, -abs(flip))
        mask = np.fliplr(mask) if flip < 0 else mask
    if mask.shape != shape:
        raise FileFormatError(
            f"{path}: expected a mask of shape {shape} as the detector's, found {mask.shape}"
        )
    return np.ascontiguousarray(mask)


def detector_mask(model: str, *, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Give the gaps and other pixels that pyFAI knows to be unusable in a detector.

    Raises
    ------
    FileFormatError
        If pyFAI does not know the detector, or no mask of this shape for it.
    """
    detector = pyfai_detector(model)
    if detector is None:
        raise FileFormatError(
            f"expected a detector that pyFAI knows, found {model!r}: give its mask as a file"
        )
    mask = detector.calc_mask()
    if mask is None or mask.shape != shape:
        found = "none" if mask is None else mask.shape
        raise FileFormatError(
            f"expected a mask of shape {shape} for {model!r} in pyFAI, found {found}: give it as a "
            "file"
        )
    return np.asarray(mask != 0)


def _pixel_mask(path: Path, dataset: str | None, bits: Sequence[int] | None) -> NDArray[np.bool_]:
    try:
        with open_frames(path) as file:
            values = _mask_dataset(file, dataset)[()]
    except OSError as error:
        if isinstance(error, PermissionError):
            raise
        raise FileFormatError(f"{path}: expected a mask, found an error: {error}") from error
    if values.dtype.kind not in "biu":
        raise FileFormatError(
            f"{path}: expected a mask of whole numbers, found dtype {values.dtype}"
        )
    if bits is None:
        return np.asarray(values != 0)
    if not bits or not all(0 <= bit < _BITS for bit in bits):
        raise FileFormatError(f"{path}: expected bits from 0 to {_BITS - 1}, found {list(bits)}")
    wanted = np.uint64(sum(1 << bit for bit in set(bits)))
    return np.asarray((values.astype(np.uint64) & wanted) != 0)


def _excluded(values: NDArray[Any], path: Path) -> NDArray[np.bool_]:
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise FileFormatError(
            f"{path}: expected a mask of numbers, found {int(np.isnan(values).sum())} that are "
            "none (NaN): are these pixels excluded?"
        )
    return np.asarray(values != 0)


def _mask_dataset(file: h5py.File, dataset: str | None) -> h5py.Dataset:
    roots = [Path(file.filename).resolve().parent]
    if dataset is not None:
        found: Any = follow(file, dataset.strip("/"), roots=roots)
        candidates = [found] if isinstance(found, h5py.Dataset) else []
    else:
        candidates = _named(file, _PIXEL_MASK, roots, depth=4)
    if len(candidates) != 1:
        names = [str(each.name) for each in candidates]
        raise FileFormatError(
            f"{file.filename}: expected one {dataset or _PIXEL_MASK}, found {names or 'none'}: "
            "name the mask's dataset"
        )
    return candidates[0]


def _named(
    group: h5py.Group, wanted: str, roots: Sequence[Path], *, depth: int
) -> list[h5py.Dataset]:
    found = []
    for name in group:
        member = follow(group, name, roots=roots)
        if isinstance(member, h5py.Dataset) and name == wanted:
            found.append(member)
        elif isinstance(member, h5py.Group) and depth:
            found += _named(member, wanted, roots, depth=depth - 1)
    return found


def _painted(path: Path, color: str) -> NDArray[np.bool_]:
    from PIL import Image, ImageColor, UnidentifiedImageError

    try:
        paint = ImageColor.getrgb(color)[:3]
    except ValueError as error:
        raise FileFormatError(
            f"{path}: expected a colour like 'red' or '#ff0000', found {color!r}"
        ) from error
    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise FileFormatError(
            f"{path}: expected a painted picture, found an error: {error}"
        ) from error
    mask = np.asarray((pixels == paint).all(axis=-1))
    if not mask.any():
        raise FileFormatError(
            f"{path}: expected some pixels painted {color!r}, found none: paint without smooth "
            "edges and save without loss (PNG, TIFF)"
        )
    return mask
