"""Pixels that count far more than their bin: cosmic rays, decays, hot pixels."""

import math

import numpy as np
import numpy.ma  # or else np.median of an older numpy loads it with the first frame
from numpy.typing import NDArray

_SIGMA_PER_MAD = 1.4826  # of a normal distribution
_MEAN_ABOVE_MEDIAN = math.log(2)  # at most, of a Poisson distribution (Choi, 1994)
_ANSCOMBE = 3 / 8


class BinMedians:
    """Medians of the pixels of each bin, of which each counts for the bin of its centre.

    Parameters
    ----------
    bins : ndarray of int, shape (n,)
        The bin of each pixel; −1 for none.
    """

    def __init__(self, bins: NDArray[np.intp]) -> None:
        self._bins = bins
        order = np.argsort(bins, kind="stable")
        self._order = order[np.searchsorted(bins[order], 0) :]
        sizes = np.bincount(bins[self._order]) if self._order.size else np.zeros(0, np.intp)
        self._ends = np.cumsum(sizes)

    def of(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give for each pixel the median of its bin's values, leaving NaN out; NaN in no bin."""
        medians = np.full(self._ends.size + 1, np.nan)
        sorted_ = values[self._order]
        begin = 0
        for number, end in enumerate(self._ends):
            of_bin = sorted_[begin:end]
            good = of_bin[~np.isnan(of_bin)]
            if good.size:
                medians[number] = np.median(good)
            begin = end
        return medians[self._bins]  # the last one is NaN: no bin is −1


def zingers(
    counts: NDArray[np.float64],
    *,
    normalization: NDArray[np.float64],
    dark: NDArray[np.float64] | float,
    medians: BinMedians,
    threshold: float,
) -> NDArray[np.bool_]:
    """Tell which pixels count more than the median of their bin lets expect.

    With x = (counts − dark) / normalisation, a pixel is one if both

        2 √(counts + ⅜) − 2 √(λ + ⅜) > threshold,   λ = median(x) normalisation + dark + ln 2
        x − median(x) > threshold · 1.4826 · MAD(x)

    The first compares with counting statistics: Anscombe's transform of a Poisson variable has a
    standard deviation of 1 from λ ≈ 1 on, and its mean is at most ln 2 above its median (Choi,
    Proc. Am. Math. Soc. 121 (1994) 245), so that pixels of one count are not taken for zingers
    where most have none. The second, from the median absolute deviation, spares bins in which
    the intensity itself varies.

    Parameters
    ----------
    counts : ndarray, shape (n,)
        NaN where a pixel is excluded already.
    normalization, dark
        Of each pixel.
    medians
        Over their bins.
    threshold
        In standard deviations; below 5 it takes part of the noise and biases I downwards.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    x = (counts - dark) / normalization
    median = medians.of(x)
    expected = np.maximum(median, 0) * normalization + dark + _MEAN_ABOVE_MEDIAN
    with np.errstate(invalid="ignore"):
        beyond_counting = 2 * (
            np.sqrt(counts + _ANSCOMBE) - np.sqrt(np.maximum(expected, 0) + _ANSCOMBE)
        )
        high = beyond_counting > threshold
        if not high.any():
            return high
        spread = _SIGMA_PER_MAD * medians.of(np.abs(x - median))
        return np.asarray(high & (x - median > threshold * spread))
