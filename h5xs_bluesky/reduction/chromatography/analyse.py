"""A series behind a column as a whole: one function for live and offline."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.chromatography.baseline import Baseline, find_baseline
from h5xs_bluesky.reduction.chromatography.frames import ElutionFrames
from h5xs_bluesky.reduction.chromatography.guinier_series import fit_guinier_series
from h5xs_bluesky.reduction.chromatography.options import ChromatographyOptions
from h5xs_bluesky.reduction.chromatography.peaks import ElutionPeak, find_elution_peaks, main_peak
from h5xs_bluesky.reduction.chromatography.ranges import (
    agreeing_buffer,
    agreeing_sample,
    buffer_window,
    sample_window,
)
from h5xs_bluesky.reduction.subtract import subtract_background


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Chromatogram:
    """What elutes in a series, frame by frame.

    Intensities are at the beam of the first usable frame, `beam`.

    Parameters
    ----------
    intensity : ndarray, shape (n, 2)
        Integrated over `ChromatographyOptions.trace_q_range`, and its σ; the buffer is in it.
    rg, i0 : ndarray, shape (n, 2)
        Radius of gyration in Å and forward scattering, less the buffer, each with its σ; NaN where
        there is no fit.
    buffer_frames, sample_frames : ndarray of bool, shape (n,)
        Which frames are averaged as buffer, and as sample.
    peaks
        In order of elution; none where both ranges were given and there is none.
    beam
        In the monitor's unit; 1 where exposures are taken as equal.
    buffer_given, sample_given
        Whether the frames were given by the user.
    options
        What was asked for.
    """

    intensity: NDArray[np.float64]
    rg: NDArray[np.float64]
    i0: NDArray[np.float64]
    buffer_frames: NDArray[np.bool_]
    sample_frames: NDArray[np.bool_]
    peaks: tuple[ElutionPeak, ...]
    beam: float
    buffer_given: bool = False
    sample_given: bool = False
    options: ChromatographyOptions = ChromatographyOptions()  # noqa: RUF009 - frozen

    @property
    def main(self) -> ElutionPeak | None:
        """The highest peak; None where there is none."""
        return max(self.peaks, key=lambda peak: peak.height) if self.peaks else None

    @property
    def net(self) -> NDArray[np.float64]:
        """The integrated intensity less the buffer's, and its σ, (n, 2)."""
        return above_buffer(self.intensity, self.buffer_frames)

    @property
    def drift(self) -> tuple[float, float]:
        """How far the last frames lie above the buffer, in parts of the peak's height, and its σ.

        As many frames as a buffer has at least; NaN where there is no peak.
        """
        net = self.net[np.isfinite(self.intensity[:, 0])][-self.options.fewest_buffer :]
        if self.main is None:
            return np.nan, np.nan
        sigma = np.sqrt(np.sum(net[:, 1] ** 2)) / len(net)
        return float(net[:, 0].mean() / self.main.height), float(sigma / self.main.height)


def above_buffer(
    intensity: NDArray[np.float64], buffer_frames: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Give intensities less the mean of those of the buffer's frames, and σ, (n, 2)."""
    part = intensity[buffer_frames]
    level = np.nanmean(part[:, 0])
    sigma = np.sqrt(np.nansum(part[:, 1] ** 2)) / len(part)
    return np.stack([intensity[:, 0] - level, np.hypot(intensity[:, 1], sigma)], 1)


def analyse_elution(
    frames: ElutionFrames,
    options: ChromatographyOptions | None = None,
    *,
    buffer_frames: NDArray[np.bool_] | None = None,
    sample_frames: NDArray[np.bool_] | None = None,
) -> Chromatogram:
    """Find the peak, choose buffer and sample, give Rg and I(0) of every frame.

    Parameters
    ----------
    frames
        All of the series.
    options
        How.
    buffer_frames, sample_frames : ndarray of bool, shape (n,), optional
        The user's own choice. Frames among them that are not usable do not count.

    Raises
    ------
    ReductionError
        If there is no peak, no buffer, or no frames around the peak with one Rg, unless they were
        given; or nothing in the series can be used.
    """
    options = options or ChromatographyOptions()
    trace = frames.trace(options.trace_q_range)
    baseline = find_baseline(trace, options)
    peaks = find_elution_peaks(trace, baseline, options)
    if buffer_frames is None:
        buffer = _choose_buffer(frames, trace, baseline, peaks, options)
    else:
        buffer = _given(buffer_frames, frames, "buffer_frames")
    curves, common = frames.subtracted(buffer)
    rg, i0 = fit_guinier_series(
        curves, frames.q, q_range=options.q_range, largest_q_rg=options.largest_q_rg, common=common
    )
    if sample_frames is None:
        main = main_peak(peaks, baseline)
        net = np.where(baseline.usable, trace[:, 0] - baseline.level, np.nan)
        sample = sample_window(net, rg, main, options)
        sample = agreeing_sample(curves, frames.average(buffer)[0][0], frames.q, sample, options)
    else:
        sample = _given(sample_frames, frames, "sample_frames")
    return Chromatogram(
        intensity=trace,
        rg=rg,
        i0=i0,
        buffer_frames=buffer,
        sample_frames=sample,
        peaks=tuple(peaks),
        beam=frames.reference_beam,
        buffer_given=buffer_frames is not None,
        sample_given=sample_frames is not None,
        options=options,
    )


def subtracted_average(
    frames: ElutionFrames, chromatogram: Chromatogram
) -> tuple[NDArray[np.float64], float]:
    """Give the average of the sample's frames less that of the buffer's, and its mean beam.

    Parameters
    ----------
    frames, chromatogram
        A series, and what `analyse_elution` gave for it.

    Returns
    -------
    ndarray, shape (2, nq)
        I and σ.
    float
        The beam.
    """
    sample, beam, sigma = frames.average(chromatogram.sample_frames)
    buffer, buffer_beam, buffer_sigma = frames.average(chromatogram.buffer_frames)
    curve = subtract_background(
        sample=sample,
        buffer=buffer,
        trans_sample=beam,
        trans_buffer=buffer_beam,
        trans_sigma_sample=sigma,
        trans_sigma_buffer=buffer_sigma,
    )
    return curve, beam


def frame_mask(wanted: ArrayLike, frames: int, *, name: str) -> NDArray[np.bool_]:
    """Give numbers of frames as a choice, (n,) of bool; a choice stays as it is.

    Parameters
    ----------
    wanted
        Numbers of frames, also as a range, or for each frame whether it is meant.
    frames
        How many there are.
    name
        Of the argument, for messages.

    Raises
    ------
    ReductionError
        If it is neither, empty, or a number lies outside.

    Examples
    --------
    >>> frame_mask(range(1, 3), 4, name="buffer_frames").tolist()
    [False, True, True, False]
    """
    given = np.asarray(wanted)
    if given.dtype == bool and given.shape == (frames,):
        return given
    whole = given.ndim == 1 and given.size > 0 and given.dtype.kind in "iu"
    if not whole or given.min() < 0 or given.max() >= frames:
        raise ReductionError(
            f"expected {name} as numbers of frames from 0 to {frames - 1}, or {frames} times true "
            f"or false, found {wanted!r}"
        )
    kept = np.zeros(frames, bool)
    kept[given] = True
    return kept


def _choose_buffer(
    frames: ElutionFrames,
    trace: NDArray[np.float64],
    baseline: Baseline,
    peaks: list[ElutionPeak],
    options: ChromatographyOptions,
) -> NDArray[np.bool_]:
    main = main_peak(peaks, baseline)
    window = buffer_window(trace, baseline, options, before=main.apex)
    if window is None:
        raise ReductionError(
            f"expected at least {options.fewest_buffer} frames in a row in which nothing elutes "
            f"and nothing drifts, found none before or after the peak at frame {main.apex} of "
            f"{len(frames)}: give them as buffer_frames"
        )
    return agreeing_buffer(frames, window, options)


def _given(wanted: NDArray[np.bool_], frames: ElutionFrames, name: str) -> NDArray[np.bool_]:
    kept = wanted & frames.usable()
    if not kept.any():
        raise ReductionError(
            f"expected frames with a curve and a beam in {name}, found none of the "
            f"{wanted.sum()} given"
        )
    return kept
