"""Where a trace lies when nothing elutes, and which frames stand out of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.chromatography.options import ChromatographyOptions

ELEVATED = 3.0  # σ of the moving average
_SPIKE = 6.0  # σ
_SPIKE_PART = 0.5  # of what its neighbours have above the level
_NORMAL = 1.4826  # standard deviation by median absolute deviation
_SECOND_DIFFERENCE = np.sqrt(6.0)
_FEWEST = 3
_ROUNDS = 10


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Baseline:
    """A trace's level without a peak.

    Parameters
    ----------
    level
        In the trace's unit.
    smooth : ndarray, shape (n,)
        The moving average less the level, in its own σ; NaN where no frame is near.
    shape : ndarray, shape (n,)
        The same in its typical σ: where frames are missing, or less certain than others, it bears
        no mark of that.
    noise : ndarray, shape (n,)
        σ of each frame: as reported, or larger where the trace scatters more.
    usable : ndarray of bool, shape (n,)
        Frames with a value that are no spike.
    """

    level: float
    smooth: NDArray[np.float64]
    shape: NDArray[np.float64]
    noise: NDArray[np.float64]
    usable: NDArray[np.bool_]

    @property
    def elevated(self) -> NDArray[np.bool_]:
        """Whether the moving average is more than 3 σ above the level, (n,)."""
        return np.asarray(self.smooth > ELEVATED)


def find_baseline(trace: NDArray[np.float64], options: ChromatographyOptions) -> Baseline:
    """Find the level at which a trace stays longest.

    The scatter is that of second differences, to which a peak adds little. The level is the median
    of the frames within 4 σ of the value that most frames are near to; of values with half as many
    or more, the lowest, since a broad peak may stay long at its top. A spike is a frame that
    differs by 6 σ from both neighbours' mean, and by half of what they have above the level: a
    bubble, a missed shutter.

    Parameters
    ----------
    trace : ndarray, shape (n, 2)
        Intensity and σ of each frame; NaN where one is missing.
    options
        How many frames the moving average has.

    Raises
    ------
    ReductionError
        If fewer than three frames have a value.
    """
    known = np.asarray(np.isfinite(trace).all(axis=1))
    if known.sum() < _FEWEST:
        raise ReductionError(
            f"expected a series of at least {_FEWEST} frames with an intensity, found "
            f"{known.sum()} of {len(trace)}"
        )
    value, noise = trace[:, 0], trace[:, 1] * _excess(trace[known])
    level = _most_common(value[known], noise[known])
    usable = known & ~_spikes(value, noise, known, level)
    smooth = np.full(len(trace), np.nan)
    window = np.ones(options.smoothing)
    part = np.where(usable, value - level, 0.0)
    variance = np.where(usable, noise**2, 0.0)
    total = np.convolve(part, window, "full")
    spread = np.sqrt(np.convolve(variance, window, "full"))
    before = (options.smoothing - 1) // 2
    middle = slice(before, before + len(trace))
    total, spread = total[middle], spread[middle]
    near = spread > 0
    smooth[near] = total[near] / spread[near]
    frames = np.convolve(usable.astype(float), window, "full")[middle]
    shape = np.full(len(trace), np.nan)
    shape[near] = total[near] / frames[near] / np.median(spread[near] / frames[near])
    return Baseline(level=level, smooth=smooth, shape=shape, noise=noise, usable=usable)


def _excess(trace: NDArray[np.float64]) -> float:
    """Give by how much the trace scatters more than its σ tell, at least 1."""
    value, sigma = trace.T
    if len(value) < _FEWEST or not (sigma > 0).all():
        return 1.0
    second = value[2:] - 2 * value[1:-1] + value[:-2]
    scatter = _NORMAL * np.median(np.abs(second)) / _SECOND_DIFFERENCE
    return max(1.0, float(scatter / np.median(sigma)))


def _most_common(value: NDArray[np.float64], noise: NDArray[np.float64]) -> float:
    typical = float(np.median(noise))
    ordered = np.sort(value)
    near = np.searchsorted(ordered, ordered + 2 * typical, "right") - np.searchsorted(
        ordered, ordered - 2 * typical, "left"
    )
    level = float(ordered[np.flatnonzero(near >= near.max() / 2)[0]])
    for _ in range(_ROUNDS):
        inside = np.abs(ordered - level) <= 4 * typical
        new = float(np.median(ordered[inside]))
        if new == level:
            break
        level = new
    return level


def _spikes(
    value: NDArray[np.float64],
    noise: NDArray[np.float64],
    known: NDArray[np.bool_],
    level: float,
) -> NDArray[np.bool_]:
    spikes = np.zeros(len(value), bool)
    numbers = np.flatnonzero(known)
    own, sigma = value[numbers], noise[numbers]
    neighbours = (own[:-2] + own[2:]) / 2
    off = np.abs(own[1:-1] - neighbours)
    large = off > _SPIKE * sigma[1:-1] * np.sqrt(1.5)
    large &= off > _SPIKE_PART * np.abs(neighbours - level)
    spikes[numbers[1:-1]] = large & _larger_than_neighbours(off)
    return spikes


def _larger_than_neighbours(off: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which of some deviations exceed both neighbours: a spike makes those deviate, too."""
    padded = np.pad(off, 1)
    return np.asarray((off >= padded[:-2]) & (off >= padded[2:]))
