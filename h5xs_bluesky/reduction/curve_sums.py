"""Curves without their sums, combined: means and merging of I ± σ."""

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError


def average_curves(
    curves: NDArray[np.float64], trans: NDArray[np.float64], *, weighted: bool
) -> tuple[NDArray[np.float64], float]:
    """Average curves of one sample, on the scale of one with their mean beam.

    With m the beam of each: I = m̄ Σ I / Σ m if weighted, which is what the union of frames of one
    detector gives, otherwise m̄ times the mean of I / m. σ in quadrature, with the same factors.

    Parameters
    ----------
    curves
        (n, 2, nq): I and σ. NaN in a bin leaves the curve out there.
    trans
        (n,). Unless all are positive numbers every curve weighs the same.
    weighted
        Whether a curve with more beam weighs more.

    Returns
    -------
    curve : ndarray, shape (2, nq)
    trans
        m̄, NaN where the beam is not known.
    """
    known = bool((np.isfinite(trans) & (trans > 0)).all())
    mean = float(trans.mean()) if known else np.nan
    relative = trans / mean if known else np.ones(len(trans))
    here = np.isfinite(curves).all(axis=1)
    column = relative[:, None]
    weight = np.where(here, 1.0 if weighted else 1 / column, 0.0)
    share = np.where(here, column if weighted else 1.0, 0.0).sum(axis=0)
    values, sigmas = (np.where(here, curves[:, part], 0.0) * weight for part in (0, 1))
    result = np.full(curves.shape[1:], np.nan)
    np.divide(values.sum(axis=0), share, out=result[0], where=share > 0)
    np.divide(np.sqrt((sigmas**2).sum(axis=0)), share, out=result[1], where=share > 0)
    return result, mean


def merge_curves(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Merge two detectors' curves on a common scale, where both have pixels.

    I = (n₁ I₁ + n₂ I₂) / (n₁ + n₂) with n = I / σ², which for counts is the normalisation of a
    bin and does not depend on how many were counted: the result is that of adding the detectors'
    sums (`merge_detectors`). A bin that counted nothing takes n from its neighbours. Curves with
    negative intensities, which are differences, do not tell n; they are weighted by 1 / σ².

    Parameters
    ----------
    first, second : ndarray, shape (2, nq)
        I and σ; NaN in bins without pixels.
    """
    weights = [_normalization(curve) for curve in (first, second)]
    if any(weight is None for weight in weights):
        weights = [_inverse_variance(curve) for curve in (first, second)]
    result = np.where(np.isfinite(first), first, second)
    both = np.isfinite(first).all(axis=0) & np.isfinite(second).all(axis=0)
    one, other = (np.asarray(weight)[both] for weight in weights)
    total = one + other
    result[0, both] = (one * first[0, both] + other * second[0, both]) / total
    result[1, both] = np.hypot(one * first[1, both], other * second[1, both]) / total
    return result


def _normalization(curve: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Give n (nq,) of each bin with pixels; None for a difference, or without any counts."""
    intensity, sigma = curve
    if (intensity < 0).any():
        return None
    counted = (intensity > 0) & (sigma > 0)
    if not counted.any():
        return None
    bins = np.arange(len(intensity))
    values = intensity[counted] / sigma[counted] ** 2
    return np.asarray(np.interp(bins, bins[counted], values))


def _inverse_variance(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    sigma = curve[1]
    if (sigma[np.isfinite(sigma)] <= 0).any():
        raise ReductionError(
            "expected an uncertainty above 0 in every bin of a difference to merge, found 0: "
            "merge the detectors before subtracting"
        )
    weight: NDArray[np.float64] = 1 / sigma**2
    return weight
