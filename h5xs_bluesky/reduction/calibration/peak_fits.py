"""Many peaks fitted at once: a bell on a sloping background, by Levenberg and Marquardt."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_ITERATIONS = 25
_PARAMETERS = 5
_DAMPING = 1e-2
_TINY = 1e-30


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PeakFits:
    """Peaks I(x) = background + slope x + height exp(−(x − center)² / 2 w²).

    w is width · exp(lean) below the centre, width · exp(−lean) above it.

    Parameters
    ----------
    center, center_sigma, height, height_sigma, width : ndarray, shape (n,)
        In units of x and y; NaN where there were too few points. The uncertainties follow from
        those of the points, and are larger where the peak has another shape.
    chi2, freedom : ndarray, shape (n,)
        Σ (residual / σ)², and the points less the parameters.
    """

    center: Array
    center_sigma: Array
    height: Array
    height_sigma: Array
    width: Array
    chi2: Array
    freedom: NDArray[np.int64]


def fit_peaks(
    x: Array, y: Array, variance: Array, *, center: Array, width: Array, lean: Array
) -> PeakFits:
    """Fit a peak to each of n rows.

    Parameters
    ----------
    x, y, variance : ndarray, shape (n, m)
        Points, NaN in y where there is none.
    center, width : ndarray, shape (n,)
        Where the peaks are thought to be, and how wide.
    lean : ndarray, shape (n,)
        Their asymmetry, which is not fitted; 0 for symmetric ones.
    """
    known = np.isfinite(y) & (variance > 0)
    weight = np.where(known, 1 / np.where(known, variance, 1.0), 0.0)
    x, y = np.where(known, x, center[:, None]), np.where(known, y, 0.0)
    x = (x - center[:, None]) / width[:, None]  # of the order of 1, so that damping is fair
    values = _first_guess(x, y, weight, lean)
    damping = np.full(len(x), _DAMPING)
    chi2 = _chi2(x, y, weight, values, lean)
    for _ in range(_ITERATIONS):
        slopes = _slopes(x, values, lean)
        residual = y - _model(x, values, lean)
        curvature = np.einsum("nip,ni,niq->npq", slopes, weight, slopes)
        gradient = np.einsum("nip,ni,ni->np", slopes, weight, residual)
        diagonal = np.einsum("npp->np", curvature)
        damped = curvature + (damping[:, None] * diagonal + _TINY)[:, :, None] * np.eye(_PARAMETERS)
        tried = values + np.linalg.solve(damped, gradient[:, :, None])[:, :, 0]
        tried[:, 2] = np.clip(np.abs(tried[:, 2]), 0.1, 5.0)
        new = _chi2(x, y, weight, tried, lean)
        better = new < chi2
        values = np.where(better[:, None], tried, values)
        chi2 = np.where(better, new, chi2)
        damping = np.clip(np.where(better, damping / 5, damping * 10), 1e-9, 1e9)
    slopes = _slopes(x, values, lean)
    curvature = np.einsum("nip,ni,niq->npq", slopes, weight, slopes)
    return _result(values, curvature, chi2, known.sum(axis=1) - _PARAMETERS, center, width)


def _result(
    values: Array,
    curvature: Array,
    chi2: Array,
    freedom: NDArray[np.int64],
    center: Array,
    width: Array,
) -> PeakFits:
    enough = (freedom > 0) & (np.linalg.cond(curvature) < 1e14)
    covariance = np.full_like(curvature, np.nan)
    covariance[enough] = np.linalg.inv(curvature[enough])
    excess = np.maximum(1.0, chi2 / np.maximum(freedom, 1))
    with np.errstate(invalid="ignore"):
        sigma = np.sqrt(np.einsum("npp->np", covariance) * excess[:, None])
    nothing = np.where(enough, 0.0, np.nan)
    return PeakFits(
        center=center + values[:, 1] * width + nothing,
        center_sigma=sigma[:, 1] * width,
        height=values[:, 0] + nothing,
        height_sigma=sigma[:, 0],
        width=values[:, 2] * width + nothing,
        chi2=chi2 + nothing,
        freedom=freedom,
    )


def _first_guess(x: Array, y: Array, weight: Array, lean: Array) -> Array:
    """Fit height and background linearly for a peak as expected."""
    bell, _ = _bell(x, np.zeros(len(x)), np.ones(len(x)), lean)
    basis = np.stack([bell, np.ones_like(x), x], axis=-1)
    curvature = np.einsum("nip,ni,niq->npq", basis, weight, basis)
    size = np.trace(curvature, axis1=1, axis2=2)
    curvature += (1e-9 * size + _TINY)[:, None, None] * np.eye(3)
    linear = np.linalg.solve(curvature, np.einsum("nip,ni,ni->np", basis, weight, y)[:, :, None])
    height, background, slope = linear[:, :, 0].T
    return np.stack([height, np.zeros(len(x)), np.ones(len(x)), background, slope], axis=1)


def _bell(x: Array, center: Array, width: Array, lean: Array) -> tuple[Array, Array]:
    """Give the bell, and the width on the side of each point."""
    offset = x - center[:, None]
    widths = width[:, None] * np.exp(np.where(offset < 0, lean[:, None], -lean[:, None]))
    return np.exp(-((offset / widths) ** 2) / 2), widths


def _model(x: Array, values: Array, lean: Array) -> Array:
    height, center, width, background, slope = values.T
    bell, _ = _bell(x, center, width, lean)
    curve: Array = background[:, None] + slope[:, None] * x + height[:, None] * bell
    return curve


def _slopes(x: Array, values: Array, lean: Array) -> Array:
    height, center, width, _, _ = values.T
    bell, widths = _bell(x, center, width, lean)
    offset = x - center[:, None]
    moved = height[:, None] * bell * offset / widths**2
    return np.stack([bell, moved, moved * offset / width[:, None], np.ones_like(x), x], axis=-1)


def _chi2(x: Array, y: Array, weight: Array, values: Array, lean: Array) -> Array:
    total: Array = (weight * (y - _model(x, values, lean)) ** 2).sum(axis=1)
    return total
