"""The transmitted beam from the scattering of water: the structure peak near 2 Å⁻¹."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError

EXTERNAL, WATER = "external", "water"
TRANS_MODES = (EXTERNAL, WATER)
WATER_Q_RANGE = (1.85, 2.15)

_FEWEST_BINS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class WaterPeak:
    """Where the peak is.

    Parameters
    ----------
    q_range
        In Å⁻¹; bins whose centres lie between.
    background
        A range of q, in Å⁻¹, whose mean intensity is taken off each bin of the peak; None for
        nothing.

    Raises
    ------
    ReductionError
        If a range does not increase.
    """

    q_range: tuple[float, float] = WATER_Q_RANGE
    background: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for name in ("q_range", "background"):
            given = getattr(self, name)
            if given is not None and not given[0] < given[1]:
                raise ReductionError(f"expected a water {name} that increases, found {given}")


def peak_intensity(
    curves: NDArray[np.float64], *, q: NDArray[np.float64], peak: WaterPeak
) -> NDArray[np.float64]:
    """Give the intensity of the water peak in each curve.

    W = Σ I over the N bins of the peak, as in py4xs (`Data1d.water_peak`), less N times the mean
    intensity of the M bins of the background where there is one;
    σ²(W) = Σ σ² + (N / M)² Σ σ² (background). W depends on the q-grid: compare curves of one grid.

    Parameters
    ----------
    curves : (n, 2, nq)
        I and σ of each; NaN where a frame is missing.
    q : (nq,)
        In Å⁻¹.
    peak
        Where it is.

    Returns
    -------
    ndarray, shape (n, 2)
        W and σ(W). NaN for a curve that lacks a bin which another has: the sum of the rest would
        not compare. Bins that no curve has do not count.

    Raises
    ------
    ReductionError
        If fewer than five bins lie in the peak, or none in its background.
    """
    inside = _bins(curves, q, peak.q_range)
    if inside.sum() < _FEWEST_BINS:
        raise ReductionError(
            f"expected {_FEWEST_BINS} or more bins with pixels in the water peak, from "
            f"{peak.q_range[0]} to {peak.q_range[1]} 1/Å, found {inside.sum()}: the detectors do "
            "not see it, or the range is another one; use the monitors (trans = 'external')"
        )
    total, variance = _sums(curves, inside)
    if peak.background is not None:
        below = _bins(curves, q, peak.background)
        if not below.any():
            raise ReductionError(
                "expected bins with pixels in the background of the water peak, from "
                f"{peak.background[0]} to {peak.background[1]} 1/Å, found none"
            )
        ratio = inside.sum() / below.sum()
        level, level_variance = _sums(curves, below)
        total, variance = total - ratio * level, variance + ratio**2 * level_variance
    return np.stack([total, np.sqrt(variance)], axis=-1)


def _bins(
    curves: NDArray[np.float64], q: NDArray[np.float64], limits: tuple[float, float]
) -> NDArray[np.bool_]:
    covered = np.isfinite(curves[:, 0]).any(axis=0)
    return np.asarray((q > limits[0]) & (q < limits[1]) & covered)


def _sums(
    curves: NDArray[np.float64], bins: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return curves[:, 0, bins].sum(axis=1), np.square(curves[:, 1, bins]).sum(axis=1)
