"""Beam monitors, frame by frame; those that are read on their own are integrated over exposures."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError

STAMPED = ("start", "end")
TRIGGER_FROM = ("timestamps", "values")
INTERPOLATIONS = ("linear", "step")
SYNCHRONISE = ("no", "transmitted", "frames")

_LARGEST_GAP = 5.0  # usual intervals between readings, unless another gap is allowed
_LARGEST_INTERVAL = 1.5  # usual intervals that the readings of one block are spread over
_LEAST_CONTRAST = 10.0  # of the shutter's edge, in standard deviations of the noise
_NOISE = 1.4826 / np.sqrt(2)  # standard deviation over median difference of neighbours


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MonitorReadings:
    """What the monitors read during each frame.

    Parameters
    ----------
    incident, transmitted : ndarray, shape (n,)
        Mean readings during the exposures; NaN where they are not known.
    incident_sigma, transmitted_sigma : ndarray, shape (n,)
        Their standard uncertainties.
    """

    incident: NDArray[np.float64]
    transmitted: NDArray[np.float64]
    incident_sigma: NDArray[np.float64]
    transmitted_sigma: NDArray[np.float64]

    @property
    def transmission(self) -> NDArray[np.float64]:
        """T = transmitted / incident, (n,); NaN where either is unknown or there was no beam."""
        return _quotient(self.transmitted, self.incident)

    @property
    def transmission_sigma(self) -> NDArray[np.float64]:
        """σ(T), (n,): σ² = (σ(transmitted) / incident)² + (T σ(incident) / incident)²."""
        own = _quotient(self.transmitted_sigma, self.incident)
        other = self.transmission * _quotient(self.incident_sigma, self.incident)
        return np.hypot(own, other)


def _quotient(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    result = np.full(one.shape, np.nan)
    np.divide(one, other, out=result, where=other > 0)
    return result


class MonitorStream:
    """Readings of a monitor in the order in which they came, each with its time.

    Parameters
    ----------
    times_s : (m,)
        When each was read.
    values : (m,)
        Those that are no numbers, or have no time, are left out.

    Attributes
    ----------
    times_s, values : ndarray
        Sorted by time.
    ambiguous_s : ndarray, shape (k, 2)
        Stretches of time that the stream passes twice, as where timestamps repeat: which of the
        readings belongs there cannot be told. A reading that came twice, time and value, counts
        once.
    """

    def __init__(self, times_s: NDArray[np.float64], values: NDArray[np.float64]) -> None:
        if times_s.shape != values.shape or times_s.ndim != 1:
            raise ReductionError(
                f"expected a time for each reading, found {times_s.shape} and {values.shape}"
            )
        known = np.isfinite(times_s) & np.isfinite(values)
        times, readings = times_s[known], values[known]
        again = np.zeros(times.size, dtype=bool)
        again[1:] = (np.diff(times) == 0) & (np.diff(readings) == 0)
        times, readings = times[~again], readings[~again]
        latest = np.maximum.accumulate(times) if times.size else times
        back = np.flatnonzero(times[1:] <= latest[:-1])
        self.ambiguous_s = np.stack([times[1:][back], latest[:-1][back]], axis=1)
        order = np.argsort(times, kind="stable")
        self.times_s, self.values = times[order], readings[order]

    def __len__(self) -> int:
        return self.times_s.size

    @classmethod
    def from_blocks(
        cls, times_s: NDArray[np.float64], blocks: NDArray[np.float64]
    ) -> "MonitorStream":
        """Take blocks of readings, (k, points), of which each has the time when it was read.

        The readings of a block lie evenly between the time of the block before and its own; the
        first block, and one after a pause or with a repeated time, takes as long as is usual.

        Raises
        ------
        ReductionError
            If there is only one block: how long it took is not known.
        """
        points = blocks.shape[1]
        if points == 1:
            return cls(times_s, blocks[:, 0])
        intervals = np.diff(times_s)
        forward = intervals[intervals > 0]
        if not forward.size:
            raise ReductionError(
                f"expected two or more times for blocks of {points} readings each, found "
                f"{np.unique(times_s).size}: how far apart the readings are is not known"
            )
        usual = float(np.median(forward))
        lengths = np.concatenate([[usual], intervals])
        lengths[~((lengths > 0) & (lengths < _LARGEST_INTERVAL * usual))] = usual
        before = np.arange(points - 1, -1, -1) / points
        return cls((times_s[:, None] - lengths[:, None] * before).ravel(), blocks.ravel())

    def shifted(self, by_s: float) -> "MonitorStream":
        """Give the same readings by a clock that is `by_s` ahead."""
        moved = MonitorStream(self.times_s + by_s, self.values)
        moved.ambiguous_s = self.ambiguous_s + by_s
        return moved

    def shutter_edge_s(self) -> float:
        """Give the time when the shutter opens.

        That is where the readings, a running median of three, first rise through the middle
        between their lowest and their highest.

        Raises
        ------
        ReductionError
            If they do not begin with the shutter closed, or never rise clear of their noise.
        """
        if len(self) < 4:
            raise ReductionError(
                f"expected readings before and after the shutter opens, found {len(self)} in all"
            )
        windows = np.lib.stride_tricks.sliding_window_view(self.values, 3)
        smooth, times = np.median(windows, axis=1), self.times_s[1:-1]
        low, high = float(smooth.min()), float(smooth.max())
        noise = _NOISE * float(np.median(np.abs(np.diff(self.values))))
        level = (low + high) / 2
        above = smooth >= level
        if high - low <= _LEAST_CONTRAST * noise or high == low or above[0]:
            raise ReductionError(
                "expected readings that begin with the shutter closed and rise when it opens, "
                f"found {low:g} to {high:g}, the first {smooth[0]:g}: the clocks cannot be "
                "synchronised by the shutter"
            )
        after = int(np.argmax(above))
        return float(np.interp(level, smooth[after - 1 : after + 1], times[after - 1 : after + 1]))

    @cached_property
    def usual_interval_s(self) -> float:
        """The median interval between readings; NaN with fewer than two."""
        return float(np.median(np.diff(self.times_s))) if len(self) > 1 else float("nan")


@dataclass(frozen=True, kw_only=True, slots=True)
class IntegrationOptions:
    """How a monitor's stream is integrated over exposures.

    Parameters
    ----------
    interpolation
        ``"linear"`` between readings, or ``"step"``: each holds until the next.
    extend
        Let the first reading hold before the stream begins, and the last one after it ends.
    max_gap_s
        Readings further apart leave the time between them unknown; None for five times the usual
        interval, and without limit for steps.
    relative_uncertainty
        Standard uncertainty of a mean reading that its scatter does not show.
    """

    interpolation: Literal["linear", "step"] = "linear"
    extend: bool = False
    max_gap_s: float | None = None
    relative_uncertainty: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Integrated:
    """A monitor's mean reading during each exposure, its uncertainty, and what went wrong.

    Parameters
    ----------
    mean, sigma : ndarray, shape (n,)
        NaN where the reading is not known.
    problems : tuple of str
        Why some are not known.
    """

    mean: NDArray[np.float64]
    sigma: NDArray[np.float64]
    problems: tuple[str, ...] = ()


def integrate_exposures(
    stream: MonitorStream,
    starts_s: NDArray[np.float64],
    *,
    exposure_s: float,
    options: IntegrationOptions,
) -> Integrated:
    """Integrate a monitor over exposures.

    m = ∫ v(t) dt / τ over the exposure of length τ, v between the readings as `options` say. With
    s the standard deviation of the k readings that lie in the exposure,
    σ² = s² / k + (relative_uncertainty · m)²; with fewer than two readings their scatter is not
    known, and only the second term is left.

    Parameters
    ----------
    stream
        The readings.
    starts_s : (n,)
        When each exposure begins, by the monitor's clock; NaN where that is not known.
    exposure_s
        How long each takes.
    options
        How.

    Returns
    -------
    Integrated
        NaN, with a reason, for exposures that begin before the stream or end after it, fall into
        a gap of it, or into a stretch of time that the stream passes twice.
    """
    if not exposure_s > 0:
        raise ReductionError(f"expected a positive exposure time in s, found {exposure_s}")
    nothing = np.full(starts_s.shape, np.nan)
    needed = 1 if options.extend else 2
    if len(stream) < needed:
        problem = f"expected {needed} or more readings, found {len(stream)}"
        return Integrated(mean=nothing, sigma=nothing, problems=(problem,))
    zero = stream.times_s[0]
    begins, ends = starts_s - zero, starts_s - zero + exposure_s
    times, values = stream.times_s - zero, stream.values
    reasons = _unknown(stream, begins, ends, options)
    if options.extend:
        times, values = _extended(times, values, begins, ends)
    known = np.isfinite(starts_s) & ~np.logical_or.reduce([bad for _, bad in reasons])
    mean, sigma = nothing.copy(), nothing.copy()
    integral = _Integral(times, values, options.interpolation)
    mean[known] = (integral(ends[known]) - integral(begins[known])) / exposure_s
    scatter = _scatter(stream.times_s - zero, stream.values, begins[known], ends[known])
    sigma[known] = np.hypot(scatter, options.relative_uncertainty * mean[known])
    problems = tuple(
        f"{bad.sum()} of {bad.size} exposures {why}" for why, bad in reasons if any(bad)
    )
    return Integrated(mean=mean, sigma=sigma, problems=problems)


def _unknown(
    stream: MonitorStream,
    begins: NDArray[np.float64],
    ends: NDArray[np.float64],
    options: IntegrationOptions,
) -> list[tuple[str, NDArray[np.bool_]]]:
    """Tell which exposures have no reading, and why; times from the first reading on."""
    times = stream.times_s - stream.times_s[0]
    before = np.searchsorted(times, begins, side="right") - 1  # the last reading until it begins
    after = np.searchsorted(times, ends, side="left")  # the first one once it has ended
    reasons = []
    if not options.extend:
        reasons.append(("begin before its first reading", before < 0))
        reasons.append(("end after its last reading", (after >= times.size) & np.isfinite(ends)))
    largest = options.max_gap_s
    if largest is None and options.interpolation == "linear":
        largest = _LARGEST_GAP * stream.usual_interval_s
    if largest is not None:
        wide = np.concatenate([[0], np.cumsum(np.diff(times) > largest)])
        inside = wide[np.clip(after, 0, times.size - 1)] > wide[np.clip(before, 0, None)]
        reasons.append((f"fall into a gap of it, of more than {largest:.3g} s", inside))
    low = np.where(before < 0, begins, times[np.clip(before, 0, None)])
    high = np.where(after >= times.size, ends, times[np.clip(after, 0, times.size - 1)])
    twice = np.zeros(begins.shape, dtype=bool)
    for first, last in stream.ambiguous_s - stream.times_s[0]:
        twice |= (low <= last) & (high >= first)  # from the reading before to the one after
    reasons.append(("fall where its timestamps repeat", twice))
    return [(why, bad & np.isfinite(begins)) for why, bad in reasons]


def _extended(
    times: NDArray[np.float64],
    values: NDArray[np.float64],
    begins: NDArray[np.float64],
    ends: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first = np.nanmin([*begins, times[0]]) - 1.0
    last = np.nanmax([*ends, times[-1]]) + 1.0
    return (
        np.concatenate([[first], times, [last]]),
        np.concatenate([values[:1], values, values[-1:]]),
    )


class _Integral:
    """∫ v dt from the first reading on, as a function of time."""

    def __init__(
        self, times: NDArray[np.float64], values: NDArray[np.float64], interpolation: str
    ) -> None:
        self.times, self.values = times, values
        self.steps = np.diff(times)
        self.rises = np.diff(values) if interpolation == "linear" else np.zeros(times.size - 1)
        areas = self.steps * (values[:-1] + self.rises / 2)
        self.areas = np.concatenate([[0.0], np.cumsum(areas)])

    def __call__(self, at: NDArray[np.float64]) -> NDArray[np.float64]:
        place = np.clip(np.searchsorted(self.times, at, side="right") - 1, 0, self.steps.size - 1)
        into = at - self.times[place]
        slope = np.zeros(at.shape)
        step = self.steps[place]
        np.divide(self.rises[place], step, out=slope, where=step > 0)
        total: NDArray[np.float64] = (
            self.areas[place] + into * self.values[place] + slope * into**2 / 2
        )
        return total


def _scatter(
    times: NDArray[np.float64],
    values: NDArray[np.float64],
    begins: NDArray[np.float64],
    ends: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Give the standard error of the mean of the readings in each exposure; 0 with fewer than 2."""
    first = np.searchsorted(times, begins, side="left")
    last = np.searchsorted(times, ends, side="right")
    result = np.zeros(begins.shape)
    for number, (low, high) in enumerate(zip(first, last, strict=True)):
        if high - low > 1:
            result[number] = np.std(values[low:high], ddof=1) / np.sqrt(high - low)
    return result


def exposure_starts_s(
    stamps_s: NDArray[np.float64],
    *,
    frames_per_event: int,
    exposure_s: float,
    dead_time_s: float,
    stamped: Literal["start", "end"],
) -> NDArray[np.float64]:
    """Give when each exposure begins, from the frames' timestamps.

    Frames of one event that share a timestamp follow each other, exposure and dead time: the stamp
    is when the first of them begins, or when the last one ends. So do all frames of a series with
    one timestamp only. Other repetitions leave the times unknown.

    Parameters
    ----------
    stamps_s : (n,)
        NaN where there is none.
    frames_per_event
        How many frames each event brought.
    exposure_s, dead_time_s
        Length of an exposure, and the pause after it.
    stamped
        What a timestamp marks.

    Returns
    -------
    ndarray, shape (n,)
    """
    frames = stamps_s.size
    one_burst = frames > 1 and np.unique(stamps_s).size == 1
    size = frames if one_burst else max(frames_per_event, 1)
    event, number = np.divmod(np.arange(frames), size)
    together = np.bincount(event, stamps_s == stamps_s[event * size]) if frames else np.zeros(0)
    burst = (together == np.bincount(event)) & (together > 1)
    if stamped == "end":
        number = number - np.bincount(event)[event]
    own = 0 if stamped == "start" else -exposure_s
    period = exposure_s + dead_time_s
    within = number * period + (dead_time_s if stamped == "end" else 0.0)
    starts = stamps_s + np.where(burst[event], within, own)
    _, stamp, times = np.unique(stamps_s, return_inverse=True, return_counts=True)
    allowed = np.where(burst, together, 1)[event]
    return np.where(times[stamp] > allowed, np.nan, starts)
