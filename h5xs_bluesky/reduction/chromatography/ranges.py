"""Which frames of a series are the buffer, and which the sample."""

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.chromatography.baseline import ELEVATED, Baseline
from h5xs_bluesky.reduction.chromatography.constancy import constant_and_level
from h5xs_bluesky.reduction.chromatography.frames import ElutionFrames
from h5xs_bluesky.reduction.chromatography.options import ChromatographyOptions
from h5xs_bluesky.reduction.chromatography.peaks import ElutionPeak, stretch
from h5xs_bluesky.reduction.similarity import (
    SelectionOptions,
    holm,
    run_probability,
    select_frames,
)

_SLACK = 0.02  # of a buffer's information, for one that is nearer to the peak
_FEWEST_BINS = 10
_UNSEEN = 0.01  # of what is seen: what may remain in the buffer's last frame
_MOST_SEEN = 0.5  # of the height, where hardly anything is


def quiet_frames(baseline: Baseline, options: ChromatographyOptions) -> NDArray[np.bool_]:
    """Tell in which frames nothing elutes, (n,).

    Where the trace stands out of its level, frames before and after are left out, too, since a
    peak begins before it is seen and ends behind: at least a moving average's length, and up to
    where a Gaussian front, and an exponential tail, have fallen to a hundredth of what is seen.
    """
    quiet = np.isfinite(baseline.smooth)
    elevated = baseline.elevated
    number = 0
    while (rest := np.flatnonzero(elevated[number:])).size:
        first, last = stretch(elevated, number + int(rest[0]))
        top = first + int(np.argmax(baseline.smooth[first : last + 1]))
        seen = min(ELEVATED / float(baseline.smooth[top]), _MOST_SEEN)
        tail = np.log(_UNSEEN * seen) / np.log(seen) - 1
        front = np.sqrt(1 + tail) - 1
        before = max(options.smoothing, round((top - first) * front))
        after = max(options.smoothing, round((last - top) * tail))
        quiet[max(0, first - before) : last + after + 1] = False
        number = last + 1
    return quiet & baseline.usable


def buffer_window(
    trace: NDArray[np.float64],
    baseline: Baseline,
    options: ChromatographyOptions,
    *,
    before: int | None = None,
) -> NDArray[np.bool_] | None:
    """Choose the frames of the buffer by the trace, (n,): quiet, constant and level.

    Of the frames in a row in which nothing elutes, the most (up to `most_buffer`) that neither
    scatter nor drift more than their σ, tested at the significance; of as many, the last ones.

    Parameters
    ----------
    before
        Where the main peak is: what lies before it is preferred to what comes after.

    Returns
    -------
    ndarray of bool or None
        None where there are too few.
    """
    quiet = quiet_frames(baseline, options)
    sides = [slice(0, len(trace))]
    if before is not None:
        sides = [slice(0, before), slice(before, len(trace))]
    for side in sides:
        numbers = np.arange(len(trace))[side]
        kept = _longest(trace, baseline.noise, quiet, numbers, options)
        if kept is not None:
            return kept
    return None


def _longest(
    trace: NDArray[np.float64],
    noise: NDArray[np.float64],
    quiet: NDArray[np.bool_],
    numbers: NDArray[np.intp],
    options: ChromatographyOptions,
) -> NDArray[np.bool_] | None:
    best: NDArray[np.intp] = np.empty(0, np.intp)
    for run in _runs(quiet, numbers):
        found = constant_and_level(
            trace[run, 0],
            noise[run],
            significance=options.significance,
            fewest=options.fewest_buffer,
            most=options.most_buffer,
            slack=_SLACK,
        )
        if found is not None and found[1] - found[0] >= len(best):
            best = run[slice(*found)]
    if not best.size:
        return None
    kept = np.zeros(len(trace), bool)
    kept[best] = True
    return kept


def _runs(quiet: NDArray[np.bool_], numbers: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Give the frames that are quiet in rows; a spike alone does not end a row."""
    within = numbers[quiet[numbers]]
    if not within.size:
        return []
    return np.split(within, np.flatnonzero(np.diff(within) > 2) + 1)


def agreeing_buffer(
    frames: ElutionFrames, window: NDArray[np.bool_], options: ChromatographyOptions
) -> NDArray[np.bool_]:
    """Keep the frames of a window whose curves agree (CorMap; see `select_frames`).

    Raises
    ------
    ReductionError
        If fewer than `fewest_buffer` are left.
    """
    numbers = np.flatnonzero(window)
    selection = select_frames(
        frames.curves[numbers],
        q=frames.q,
        trans=frames.beam[numbers],
        options=SelectionOptions(
            significance=options.significance, q_range=options.q_range, trans_tolerance=None
        ),
        missing=np.zeros(len(numbers), bool),
        superseded=np.zeros(len(numbers), bool),
        relative_uncertainty=float(np.median(frames.beam_sigma[numbers] / frames.beam[numbers])),
    )
    kept = np.zeros(len(window), bool)
    kept[numbers[selection.kept]] = True
    if kept.sum() < options.fewest_buffer:
        raise ReductionError(
            f"expected at least {options.fewest_buffer} frames of the buffer that agree, found "
            f"{kept.sum()} of frames {numbers[0]} to {numbers[-1]}: give them as buffer_frames"
        )
    return kept


def sample_window(
    intensity: NDArray[np.float64],
    rg: NDArray[np.float64],
    peak: ElutionPeak,
    options: ChromatographyOptions,
) -> NDArray[np.bool_]:
    """Choose the frames of the sample: those around the top of a peak in which Rg is constant.

    Of all windows in which every frame has `least_height` of the peak's height and an Rg, and in
    which Rg neither scatters nor drifts more than its σ and `rg_tolerance` tell, the one with the
    most information on Rg, Σ 1/σ². The top itself need not be in it, where another species lies
    under one side of the peak.

    Parameters
    ----------
    intensity : ndarray, shape (n,)
        The trace above its level.
    rg : ndarray, shape (n, 2)
        Rg and its σ of each frame; NaN where there is none.
    peak
        The main one.

    Raises
    ------
    ReductionError
        If there is no such window of `fewest_sample` frames.
    """
    strong = np.nan_to_num(intensity) >= options.least_height * peak.height
    strong[peak.apex] = True
    first, last = stretch(strong, peak.apex)
    first, last = max(first, peak.first), min(last, peak.last)
    run = np.arange(first, last + 1)
    run = run[np.isfinite(rg[run, 0]) & strong[run]]
    found = constant_and_level(
        rg[run, 0],
        np.hypot(rg[run, 1], options.rg_tolerance * rg[run, 0]),
        significance=options.significance,
        fewest=options.fewest_sample,
    )
    if found is None:
        known = f"Rg = {np.median(rg[run, 0]):.1f} Å in their middle" if run.size else "no Rg"
        raise ReductionError(
            f"expected at least {options.fewest_sample} frames around the peak at frame "
            f"{peak.apex} in which Rg is constant, found none among frames {first} to {last}, of "
            f"which {run.size} have an Rg ({known}): the peak may hold several species, or be too "
            "weak; give the frames as sample_frames"
        )
    kept = np.zeros(len(rg), bool)
    kept[run[slice(*found)]] = True
    return kept


def agreeing_sample(
    curves: NDArray[np.float64],
    buffer: NDArray[np.float64],
    q: NDArray[np.float64],
    window: NDArray[np.bool_],
    options: ChromatographyOptions,
) -> NDArray[np.bool_]:
    """Keep the frames of a window whose subtracted curves have one shape.

    Each is fitted by a multiple of the window's mean and one of the buffer: the concentration,
    and the noise of the monitors. What is left over may not have one sign in more bins in a row
    than chance allows (CorMap's test, with Holm's correction).

    Parameters
    ----------
    curves : ndarray, shape (n, 2, nq)
        Of all frames, less the buffer.
    buffer : ndarray, shape (nq,)
        Its intensity.
    q : ndarray, shape (nq,)
        In Å⁻¹.
    window : ndarray of bool, shape (n,)
        The frames.

    Raises
    ------
    ReductionError
        If fewer than `fewest_sample` are left.
    """
    numbers = np.flatnonzero(window)
    bins = (q >= options.q_range[0]) & (q <= options.q_range[1])
    bins &= (np.isfinite(curves[numbers]).all(axis=1) & (curves[numbers, 1] > 0)).all(axis=0)
    part = curves[numbers][..., bins]
    mean = part[:, 0].mean(axis=0)
    p_value = [_p_of_rest(curve, np.stack([mean, buffer[bins]], axis=1)) for curve in part]
    kept = np.zeros(len(window), bool)
    kept[numbers] = ~holm(np.array(p_value), options.significance)
    if kept.sum() < options.fewest_sample:
        raise ReductionError(
            f"expected at least {options.fewest_sample} frames of the sample whose curves agree, "
            f"found {kept.sum()} of frames {numbers[0]} to {numbers[-1]}: give them as "
            "sample_frames"
        )
    return kept


def _p_of_rest(curve: NDArray[np.float64], parts: NDArray[np.float64]) -> float:
    """Give the probability of so long a run of one sign in what a fit of parts leaves over."""
    from freesas.cormap import measure_longest

    if curve.shape[1] < _FEWEST_BINS:
        return np.nan
    weighted = parts / curve[1][:, None]
    amounts = np.linalg.lstsq(weighted, curve[0] / curve[1], rcond=None)[0]
    rest = np.ascontiguousarray(curve[0] - parts @ amounts)
    return run_probability(len(rest), int(measure_longest(rest)))
