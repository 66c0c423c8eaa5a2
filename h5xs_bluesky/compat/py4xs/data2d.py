"""py4xs' ``data2d``: turning pictures, and bins around a grid."""

from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from h5xs_bluesky.api.map2d import Map2d
from h5xs_bluesky.compat.py4xs.patterns import Data2d

__all__ = [
    "Data2d",
    "DataType",
    "MatrixWithCoords",
    "flip_array",
    "get_bin_edges",
    "get_bins_range",
    "unflip_array",
]


class DataType(Enum):
    """What the coordinates of a map are."""

    det = 1
    qrqz = 2
    qphi = 3
    q = 4
    xyq = 5


def flip_array(d: NDArray[Any], flip: int) -> NDArray[Any]:
    """Turn a frame as stored into the flipped picture: mirrored first if negative, then turned.

    Examples
    --------
    >>> flip_array(np.array([[1, 2], [3, 4]]), 1).tolist()
    [[2, 4], [1, 3]]
    """
    return np.rot90(np.fliplr(d) if flip < 0 else d, abs(flip))


def unflip_array(d: NDArray[Any], flip: int) -> NDArray[Any]:
    """Turn a flipped picture into the frame as stored."""
    turned = np.rot90(d, -abs(flip))
    return np.fliplr(turned) if flip < 0 else turned


def get_bin_edges(grid: ArrayLike) -> NDArray[np.float64]:
    """Give edges of adjacent bins that have the grid in their middles.

    The first bin is as wide as the first step; each edge follows from the one before, so that on
    an uneven grid the widths go up and down.

    Examples
    --------
    >>> get_bin_edges([1.0, 2.0, 3.0]).tolist()
    [0.5, 1.5, 2.5, 3.5]
    """
    values = np.asarray(grid, dtype=float)
    edges = [values[0] - (values[1] - values[0]) / 2]
    for value in values:
        edges.append(2 * value - edges[-1])
    return np.array(edges)


def get_bins_range(qgrid: ArrayLike, tol: float = 0.01) -> list[list[Any]]:
    """Take a grid of several steps apart, from its beginning on.

    Parameters
    ----------
    qgrid : (nq,)
        Centres of bins.
    tol
        How far a centre may lie off an even grid, in steps.

    Returns
    -------
    list
        ``[[lowest, highest], bins]`` of each part.
    """
    left = np.asarray(qgrid, dtype=float)
    ranges: list[list[Any]] = []
    while left.size:
        step = left[1] - left[0] if left.size > 1 else ranges[-1][0][1] - ranges[-1][0][0]
        even = np.abs(left - (left[0] + step * np.arange(left.size))) < step * tol
        bins = left.size if even.all() else int(np.argmin(even))
        low = float(left[0] - step / 2)
        ranges.append([[low, float(low + bins * step)], bins])
        left = left[bins:]
    return ranges


class MatrixWithCoords(Map2d):
    """A map that is made empty and filled afterwards; see `Map2d`.

    Parameters
    ----------
    **fields
        Those of `Map2d`; ``xc``, ``yc`` and ``d`` may be left out.

    Examples
    --------
    >>> m = MatrixWithCoords()
    >>> m.xc, m.yc, m.d = np.arange(3.0), np.arange(2.0), np.ones((2, 3))
    >>> m.val(1, 0.5, 2, 1)
    1.0
    """

    def __init__(self, **fields: Any) -> None:
        self._known_err: NDArray[np.float64] | None = None
        self.datatype: DataType | None = None
        empty = {"xc": np.empty(0), "yc": np.empty(0), "d": np.empty((0, 0))}
        super().__init__(**{**empty, **fields})

    @property
    def err(self) -> NDArray[np.float64]:
        """Its standard error; NaN until it is set."""
        unknown = np.full(np.shape(self.d), np.nan)
        return unknown if self._known_err is None else self._known_err

    @err.setter
    def err(self, err: NDArray[np.float64] | None) -> None:
        self._known_err = err
