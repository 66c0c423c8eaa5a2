"""Gaps in maps: filled where they are narrow, left where they are not."""

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError

_Filled = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]


def fill_gaps(
    mean: NDArray[np.float64],
    sem: NDArray[np.float64],
    *,
    max_width: int,
    periodic_rows: bool = False,
) -> _Filled:
    """Interpolate linearly across gaps of at most some cells.

    A cell is filled along the direction, within its row or its column, in which its gap is
    narrower. A gap at the map's border has no other side and stays.

    Parameters
    ----------
    mean, sem : ndarray, shape (ny, nx)
        NaN in gaps.
    max_width
        Of the gaps, in cells.
    periodic_rows
        Whether the last row lies beside the first, as in a full turn of azimuths.

    Returns
    -------
    mean, sem : ndarray, shape (ny, nx)
        The standard error of a filled cell follows from those of the two cells that it lies
        between: √((1 − t)² σ₁² + t² σ₂²), t the way from one to the other. It says nothing about
        whether the map is straight there.
    filled : ndarray of bool, shape (ny, nx)

    Raises
    ------
    ReductionError
        If the width is not positive.
    """
    if max_width < 1:
        raise ReductionError(f"expected a max_width of at least one cell, found {max_width}")
    across = _along_rows(mean, sem, periodic=False)
    down = tuple(part.T for part in _along_rows(mean.T, sem.T, periodic=periodic_rows))
    narrower = down[2] < across[2]
    value, error, width = (
        np.where(narrower, other, one) for one, other in zip(across, down, strict=True)
    )
    filled = np.isnan(mean) & (width <= max_width)
    return np.where(filled, value, mean), np.where(filled, error, sem), filled


def _along_rows(
    mean: NDArray[np.float64], sem: NDArray[np.float64], *, periodic: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Give interpolated values, their errors, and how wide each cell's gap is (∞: no end)."""
    ny, nx = mean.shape
    turns = 3 if periodic else 1
    known = np.tile(np.isfinite(mean), (1, turns))
    place = np.arange(nx * turns)
    before = np.maximum.accumulate(np.where(known, place, -1), axis=1)
    after = np.minimum.accumulate(np.where(known, place, nx * turns)[:, ::-1], axis=1)[:, ::-1]
    middle = slice(nx, 2 * nx) if periodic else slice(None)
    before, after, here = before[:, middle], after[:, middle], place[middle]
    bounded = (before >= 0) & (after < nx * turns)
    gap = np.where(bounded, after - before - 1.0, np.inf)
    rows = np.arange(ny)[:, None]
    left, right = (np.where(bounded, side, 0) % nx for side in (before, after))
    way = np.where(gap > 0, (here - before) / np.where(gap > 0, after - before, 1), 0.0)
    value = (1 - way) * mean[rows, left] + way * mean[rows, right]
    error = np.hypot((1 - way) * sem[rows, left], way * sem[rows, right])
    return value, error, gap
