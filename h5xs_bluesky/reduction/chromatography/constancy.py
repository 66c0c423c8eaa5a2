"""The longest part of a series of numbers that neither scatters nor drifts."""

import numpy as np
from numpy.typing import NDArray

_ROUNDING = 1e-9


def constant_and_level(
    values: NDArray[np.float64],
    sigmas: NDArray[np.float64],
    *,
    significance: float,
    fewest: int,
    most: int | None = None,
    slack: float = 0.0,
) -> tuple[int, int] | None:
    """Find the window with the most information in which numbers are constant.

    In a window χ² about the weighted mean, and the slope of a weighted straight line, are no larger
    than expected at the significance. The information is Σ 1/σ²; of windows that have as much,
    up to `slack`, the last.

    Parameters
    ----------
    values, sigmas : ndarray, shape (n,)
        The numbers and their σ.
    significance
        Of both tests, each.
    fewest, most
        Numbers in a window.
    slack
        Relative.

    Returns
    -------
    tuple of int or None
        The first, and the first behind it; None where there is no such window.

    Examples
    --------
    >>> constant_and_level(np.array([9., 5, 1, 1, 1, 1, 4]), np.ones(7) / 10, significance=0.01,
    ...                    fewest=3)
    (2, 6)
    """
    from scipy.special import chdtrc, ndtr

    n = len(values)
    if n < fewest:
        return None
    x, y = np.arange(n, dtype=float), values - np.median(values)
    weight = 1 / sigmas**2
    sums = np.stack([weight, weight * x, weight * y, weight * x**2, weight * x * y, weight * y**2])
    running = np.concatenate([np.zeros((6, 1)), np.cumsum(sums, axis=1)], axis=1)
    starts = np.arange(n)
    lengths = np.arange(fewest, min(n, most or n) + 1)
    behind = starts[:, None] + lengths
    first = np.broadcast_to(starts[:, None], behind.shape)
    inside = behind <= n
    first, behind = first[inside], behind[inside]
    if not first.size:
        return None
    w, wx, wy, wxx, wxy, wyy = running[:, behind] - running[:, first]
    chi2 = np.maximum(wyy - wy**2 / w, 0.0)
    spread = wxx - wx**2 / w
    z = (wxy - wx * wy / w) / np.sqrt(spread)
    good = chdtrc(behind - first - 1, chi2) > significance
    good &= 2 * ndtr(-np.abs(z)) > significance
    if not good.any():
        return None
    best = np.flatnonzero(good & (w >= w[good].max() * (1 - slack) * (1 - _ROUNDING)))[-1]
    return int(first[best]), int(behind[best])
