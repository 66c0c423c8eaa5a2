"""Integrals of a curve over ranges of q."""

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.qgrid import QGrid


def integrate_range(
    curve: NDArray[np.float64], qgrid: QGrid, *, low: float, high: float
) -> tuple[float, float]:
    """Give ∫ I dq from `low` to `high`, and its uncertainty.

    Σ I_i w_i with w_i the part of bin i inside the range, and √(Σ (σ_i w_i)²).

    Parameters
    ----------
    curve : ndarray, shape (2, nq)
        I and σ. Bins that are NaN, since no pixel fell into them, add nothing.
    qgrid
        Its bins.
    low, high
        In Å⁻¹; the part outside the grid adds nothing.

    Returns
    -------
    float, float
        NaN where no bin in the range holds pixels.

    Raises
    ------
    ReductionError
        If the range does not increase, or curve and grid differ.

    Examples
    --------
    >>> flat = np.array([[2.0, 2.0, np.nan], [0.3, 0.4, np.nan]])
    >>> integrate_range(flat, QGrid.linear(0.0, 3.0, 3), low=0.0, high=3.0)
    (4.0, 0.5)
    """
    if not low < high:
        raise ReductionError(f"expected a range of q that increases, found {low:g} to {high:g}")
    if curve.shape != (2, len(qgrid)):
        raise ReductionError(f"expected a curve (2, {len(qgrid)}), found shape {curve.shape}")
    edges = qgrid.edges
    inside = (np.minimum(edges[1:], high) - np.maximum(edges[:-1], low)).clip(0)
    used = (inside > 0) & np.isfinite(curve[0])
    if not used.any():
        return np.nan, np.nan
    value, sigma = curve[:, used] * inside[used]
    return float(value.sum()), float(np.sqrt(np.sum(sigma**2)))
