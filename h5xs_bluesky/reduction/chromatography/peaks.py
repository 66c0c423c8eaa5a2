"""Peaks of a trace."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.chromatography.baseline import ELEVATED, Baseline
from h5xs_bluesky.reduction.chromatography.options import ChromatographyOptions

_LEAST_PROMINENCE = 6.0  # σ of the moving average
_LEAST_PART = 0.02  # of the highest peak
_TOP = 0.85  # of the height: what tells the position
_FEWEST_TOP = 5
_FEWEST = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class ElutionPeak:
    """A peak of the trace.

    Parameters
    ----------
    position, position_sigma
        The top of a parabola through the upper part, in frames from 0, and its σ.
    height
        Above the level, in the trace's unit.
    apex
        The frame in which the moving average is highest.
    first, last
        Frames between which the trace is above the level, or above the valleys to other peaks.
    """

    position: float
    position_sigma: float
    height: float
    apex: int
    first: int
    last: int


def find_elution_peaks(
    trace: NDArray[np.float64], baseline: Baseline, options: ChromatographyOptions
) -> list[ElutionPeak]:
    """Find the peaks of a trace, in order of elution.

    A peak is a maximum of the moving average that rises 6 σ out of its surroundings, and 2 % of
    the highest.

    Parameters
    ----------
    trace : ndarray, shape (n, 2)
        Intensity and σ of each frame.
    baseline
        From `find_baseline`.
    """
    from scipy.signal import find_peaks

    known = np.isfinite(baseline.smooth)
    numbers = np.arange(len(trace))
    smooth = np.interp(numbers, numbers[known], baseline.smooth[known])
    shape = np.interp(numbers, numbers[known], baseline.shape[known])
    ends = min(0.0, float(shape.min()))
    padded = np.concatenate([[ends], shape, [ends]])  # a run may begin or end in a peak
    least = max(_LEAST_PROMINENCE, _LEAST_PART * float(shape.max()))
    tops = find_peaks(padded, height=least, prominence=least)[0] - 1
    peaks = []
    for index, top in enumerate(tops):
        first, last = stretch(smooth > ELEVATED, int(top))
        valleys = _between(shape, tops, index)
        limits = max(first, valleys[0]), min(last, valleys[1])
        peaks.append(_measure(trace, baseline, shape, int(top), limits))
    return peaks


def main_peak(peaks: list[ElutionPeak], baseline: Baseline) -> ElutionPeak:
    """Give the highest peak.

    Raises
    ------
    ReductionError
        If there is none.
    """
    if not peaks:
        raise ReductionError(
            "expected a peak in the series, found none: the trace exceeds its level by at most "
            f"{np.nanmax(baseline.smooth):.1f} σ in a moving average. Nothing may have eluted, or "
            "the series is too short, or intensities are integrated over the wrong q "
            "(trace_q_range)"
        )
    return max(peaks, key=lambda peak: peak.height)


def _between(shape: NDArray[np.float64], tops: NDArray[np.intp], index: int) -> tuple[int, int]:
    """Give the valleys on both sides of a peak, or the ends of the series."""
    first, last = 0, len(shape) - 1
    top = tops[index]
    if index > 0:
        first = int(tops[index - 1] + shape[tops[index - 1] : top].argmin())
    if index < len(tops) - 1:
        last = int(top + shape[top : tops[index + 1]].argmin())
    return first, last


def _measure(
    trace: NDArray[np.float64],
    baseline: Baseline,
    shape: NDArray[np.float64],
    apex: int,
    limits: tuple[int, int],
) -> ElutionPeak:
    position, sigma, height = _parabola(trace, baseline, shape, apex, limits)
    return ElutionPeak(
        position=position,
        position_sigma=sigma,
        height=height,
        apex=apex,
        first=limits[0],
        last=limits[1],
    )


def stretch(wanted: NDArray[np.bool_], number: int) -> tuple[int, int]:
    """Give the first and the last of the wanted frames in a row around one of them."""
    others = np.flatnonzero(~wanted)
    before, after = others[others < number], others[others > number]
    first = int(before[-1]) + 1 if before.size else 0
    return first, int(after[0]) - 1 if after.size else len(wanted) - 1


def _parabola(
    trace: NDArray[np.float64],
    baseline: Baseline,
    shape: NDArray[np.float64],
    apex: int,
    limits: tuple[int, int],
) -> tuple[float, float, float]:
    """Give position, its σ, and height of the parabola through the upper part of a peak."""
    first, last = stretch(shape >= _TOP * shape[apex], apex)
    first, last = min(first, apex - _FEWEST_TOP // 2), max(last, apex + _FEWEST_TOP // 2)
    numbers = np.arange(max(first, limits[0], 0), min(last, limits[1], len(trace) - 1) + 1)
    numbers = numbers[baseline.usable[numbers]]
    seen = float(np.nanmax(trace[numbers, 0]) - baseline.level) if numbers.size else np.nan
    if numbers.size < _FEWEST:
        return float(apex), 0.5, seen
    x = (numbers - apex).astype(float)
    design = np.vander(x, 3)
    weight = 1 / baseline.noise[numbers]
    covariance = np.linalg.pinv((design * weight[:, None]).T @ (design * weight[:, None]))
    above = trace[numbers, 0] - baseline.level
    a, b, c = covariance @ (design.T @ (weight**2 * above))
    if not a < 0 or not x[0] <= -b / (2 * a) <= x[-1]:  # no maximum among these frames
        return float(apex), float(np.ptp(x)) / 2, seen
    gradient = np.array([b / (2 * a**2), -1 / (2 * a), 0.0])
    sigma = float(np.sqrt(gradient @ covariance @ gradient))
    return float(apex - b / (2 * a)), sigma, float(c - b**2 / (4 * a))
