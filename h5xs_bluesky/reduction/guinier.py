"""Guinier's law: the radius of gyration and the forward scattering of a curve."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError

_FEWEST_POINTS = 5
_FEWEST_FITTED = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Guinier:
    """A fit of ln I = ln I₀ − q² Rg² / 3.

    Parameters
    ----------
    rg, rg_sigma
        Radius of gyration and its standard uncertainty, in Å.
    i0, i0_sigma
        Forward scattering and its standard uncertainty, in the curve's unit.
    first, last
        Bins in which the range that was fitted begins and ends.
    q_range
        Their q, in Å⁻¹.
    quality
        freesas' measure, up to 1; NaN where the range was given.
    """

    rg: float
    rg_sigma: float
    i0: float
    i0_sigma: float
    first: int
    last: int
    q_range: tuple[float, float]
    quality: float

    def __str__(self) -> str:
        """Tell Rg, I₀ and the range."""
        low, high = self.q_range
        return (
            f"Rg = {self.rg:.2f} ± {self.rg_sigma:.2f} Å, I0 = {self.i0:.4g} ± "
            f"{self.i0_sigma:.2g}, q from {low:.4g} to {high:.4g} Å⁻¹, "
            f"q·Rg up to {high * self.rg:.2f}"
        )


def fit_guinier(
    curve: NDArray[np.float64], q: NDArray[np.float64], *, q_min: float = 0.0, q_max: float = np.inf
) -> Guinier:
    """Let freesas find the Guinier region, and fit it.

    The region is that of freesas' `autoRg`, where it finds one, else of `auto_guinier`. All its
    points are fitted by weighted least squares, so that the uncertainties are those of the
    counts.

    Parameters
    ----------
    curve : ndarray, shape (2, nq)
        I and σ.
    q : ndarray, shape (nq,)
        In Å⁻¹.
    q_min, q_max
        Where to look, in Å⁻¹.

    Raises
    ------
    ReductionError
        If there are too few points, or no region in which Guinier's law holds.
    """
    bins = _usable(curve, q, q_min, q_max)
    data = np.ascontiguousarray(np.column_stack([q[bins], curve[0, bins], curve[1, bins]]))
    first, last, quality = _find_region(data)
    return _fit(curve, q, bins[first:last], quality)


def fit_guinier_range(
    curve: NDArray[np.float64], q: NDArray[np.float64], *, q_min: float, q_max: float
) -> Guinier:
    """Fit all points of a given range by weighted least squares.

    Parameters
    ----------
    curve, q, q_min, q_max
        As in `fit_guinier`.

    Raises
    ------
    ReductionError
        If there are too few points, or the curve does not fall.
    """
    return _fit(curve, q, _usable(curve, q, q_min, q_max), np.nan)


def _find_region(data: NDArray[np.float64]) -> tuple[int, int, float]:
    """Give the first row of q, I and σ in the Guinier region, the first behind it, the quality."""
    from freesas.autorg import auto_guinier, autoRg

    reasons = []
    for find in (autoRg, auto_guinier):
        try:
            found: Any = find(data)
        except Exception as error:  # noqa: BLE001 - freesas raises various, also bare, errors
            reasons.append(f"{type(error).__name__} {error}".strip())
            continue
        if found.Rg > 0 and found.end_point - found.start_point >= _FEWEST_FITTED:
            return int(found.start_point), int(found.end_point), float(found.quality)
        reasons.append(f"Rg = {found.Rg:g}")
    raise ReductionError(
        f"expected a Guinier region between q = {data[0, 0]:.4g} and {data[-1, 0]:.4g} Å⁻¹, found "
        f"none (freesas: {'; '.join(reasons)}): the curve may rise there, be too noisy, or begin "
        "above the region; narrow the range, or give it and fit all of it"
    )


def _fit(
    curve: NDArray[np.float64], q: NDArray[np.float64], bins: NDArray[np.intp], quality: float
) -> Guinier:
    intensity, sigma = curve[0, bins], curve[1, bins]
    design = np.column_stack([np.ones(bins.size), q[bins] ** 2])
    weight = intensity / sigma
    covariance = np.linalg.inv((design * weight[:, None]).T @ (design * weight[:, None]))
    offset, slope = covariance @ (design.T @ (weight**2 * np.log(intensity)))
    low, high = float(q[bins[0]]), float(q[bins[-1]])
    if not slope < 0:
        raise ReductionError(
            f"expected a curve that falls between q = {low:g} and {high:g} Å⁻¹, found one that "
            "rises: no radius of gyration follows"
        )
    rg, i0 = float(np.sqrt(-3 * slope)), float(np.exp(offset))
    return Guinier(
        rg=rg,
        rg_sigma=float(1.5 * np.sqrt(covariance[1, 1]) / rg),
        i0=i0,
        i0_sigma=float(i0 * np.sqrt(covariance[0, 0])),
        first=int(bins[0]),
        last=int(bins[-1]),
        q_range=(low, high),
        quality=quality,
    )


def _usable(
    curve: NDArray[np.float64], q: NDArray[np.float64], q_min: float, q_max: float
) -> NDArray[np.intp]:
    intensity, sigma = curve
    bins = np.flatnonzero((q >= q_min) & (q <= q_max) & (intensity > 0) & (sigma > 0))
    if bins.size < _FEWEST_POINTS:
        raise ReductionError(
            f"expected at least {_FEWEST_POINTS} points with I and σ above 0 between q = {q_min:g} "
            f"and {q_max:g} Å⁻¹ for a Guinier fit, found {bins.size}"
        )
    return bins
