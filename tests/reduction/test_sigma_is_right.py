"""Curves are unbiased and σ is what repetitions scatter by, from 0.01 to 1000 counts per pixel.

Poisson frames with known truth go through the real core. The environment variable
H5XS_SIGMA_FRAMES sets how many frames of each kind; some by default.
"""

import os
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from merging_candidates import Found, averaging, merging
from numpy.typing import NDArray
from scipy import stats
from simulated_frames import Truth, simulate, truth

from h5xs_bluesky.reduction.accumulators import Accumulators
from h5xs_bluesky.reduction.average import Average, average_frames
from h5xs_bluesky.reduction.merge import merge_detectors
from h5xs_bluesky.reduction.subtract import subtract_background

FRAMES = int(os.environ.get("H5XS_SIGMA_FRAMES", "1000"))
LEVELS = (0.01, 0.1, 3.0, 1000.0)  # mean counts per pixel
GROUP = 5  # frames of an average
MONITOR = 0.01  # relative standard deviation of a monitor's reading
LARGEST_Z = 4.8  # standard errors; of the 1200 deviations here, one in 10⁶ is larger by chance

Curves = NDArray[np.float64]


@cache
def frames_of(
    level: float, slope: float, *, drifting: bool
) -> tuple[Truth, dict[str, Accumulators]]:
    """Simulate a sample; drifting, the beam falls from 1.2 to 0.8 within each group."""
    seed = int(level * 100) * 100 + int(slope) * 2 + drifting
    beams = np.tile(np.linspace(1.2, 0.8, GROUP), FRAMES // GROUP) if drifting else None
    of = truth(level, slope=slope)
    return of, simulate(of, FRAMES, rng=np.random.default_rng(seed), beams=beams)


def averages(level: float, slope: float) -> tuple[Truth, list[Average]]:
    """Average group by group, by monitors with noise; the mean beam of a group is 1."""
    of, parts = frames_of(level, slope, drifting=True)
    merged = merge_detectors(parts)
    rng = np.random.default_rng(int(slope))
    found = []
    for first in range(0, FRAMES, GROUP):
        beams = np.linspace(1.2, 0.8, GROUP) * rng.normal(1, MONITOR, GROUP)
        found.append(
            average_frames(
                merged[first : first + GROUP],
                kept=np.ones(GROUP, bool),
                trans=beams,
                relative_uncertainty=MONITOR,
            )
        )
    return of, found


def per_frame(extension: str) -> Callable[[float], tuple[Curves, Curves]]:
    def curves(level: float) -> tuple[Curves, Curves]:
        of, parts = frames_of(level, 8.0, drifting=False)
        return parts[extension].curve(), of.sums[extension].intensity()

    return curves


def merged(level: float) -> tuple[Curves, Curves]:
    of, parts = frames_of(level, 8.0, drifting=False)
    return merge_detectors(parts).curve(), of.merged.intensity()


def averaged(level: float) -> tuple[Curves, Curves]:
    of, found = averages(level, 8.0)
    return np.stack([one.accumulators.curve() for one in found]), of.merged.intensity()


def normalised(level: float) -> tuple[Curves, Curves]:
    of, found = averages(level, 8.0)
    return np.stack([one.normalized() for one in found]), of.merged.intensity()


def subtracted(level: float) -> tuple[Curves, Curves]:
    of, samples = averages(level, 8.0)
    background, buffers = averages(level, 3.0)
    curves = [
        subtract_background(
            sample=sample.accumulators.curve(),
            buffer=buffer.accumulators.curve(),
            trans_sample=sample.trans,
            trans_buffer=buffer.trans,
            trans_sigma_sample=sample.trans_sigma,
            trans_sigma_buffer=buffer.trans_sigma,
        )
        for sample, buffer in zip(samples, buffers, strict=True)
    ]
    return np.stack(curves), of.merged.intensity() - background.merged.intensity()


KINDS = {
    "SAXS frames": per_frame("_SAXS"),
    "WAXS frames": per_frame("_WAXS"),
    "merged frames": merged,
    "averaged": averaged,
    "normalised": normalised,
    "subtracted": subtracted,
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", KINDS)
def test_mean_curve_is_the_truth(kind: str, level: float) -> None:
    curves, expected = KINDS[kind](level)
    bins = np.isfinite(expected)
    assert np.isfinite(curves[..., bins]).all(), "bins with pixels are never NaN"
    values = curves[:, 0, bins]
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    z = (values.mean(axis=0) - expected[bins]) / error
    assert np.abs(z).max() < LARGEST_Z


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", KINDS)
def test_mean_reported_variance_is_the_empirical_one(kind: str, level: float) -> None:
    """The ratio is 1 within its standard error, which is √(2/n) for n curves at any count rate.

    For Poisson counts of mean λ the errors of both variances grow at small λ, but together.
    """
    curves, expected = KINDS[kind](level)
    bins = np.isfinite(expected)
    reported = np.mean(curves[:, 1, bins] ** 2, axis=0)
    empirical = curves[:, 0, bins].var(axis=0, ddof=1)
    z = (reported / empirical - 1) / np.sqrt(2 / len(curves))
    assert np.abs(z).max() < LARGEST_Z
    if kind not in ("normalised", "subtracted"):  # there the monitor's noise couples the bins
        assert abs(z.mean()) < LARGEST_Z / np.sqrt(bins.sum())


def test_bins_without_counts_are_zero_and_count_like_others() -> None:
    """Neither NaN nor of infinite weight: the union is Σ counts over Σ normalisation."""
    of, parts = frames_of(0.01, 8.0, drifting=False)
    frames = merge_detectors(parts)
    covered = np.isfinite(of.merged.intensity())
    empty = (frames.signal == 0) & covered
    assert 0.2 < empty[:, covered].mean() < 0.8
    curve = frames.curve()
    assert (curve[:, 0][empty] == 0).all()
    assert (curve[:, 1][empty] == 0).all()
    union = frames.union()
    expected = frames.signal.sum(axis=0)[covered] / frames.normalization.sum(axis=0)[covered]
    assert union.intensity()[covered] == pytest.approx(expected, rel=1e-12)
    assert np.isfinite(union.sigma()[covered]).all()
    difference = subtract_background(
        sample=curve[0],
        buffer=curve[1],
        trans_sample=1.0,
        trans_buffer=1.0,
        trans_sigma_sample=0.0,
        trans_sigma_buffer=0.0,
    )
    assert np.isfinite(difference[:, covered]).all()


def pairs(curves: Curves) -> NDArray[np.float64]:
    """Compare each two curves: p-values of χ² over the bins."""
    one, other = curves[0::2], curves[1::2]
    variance = one[:, 1] ** 2 + other[:, 1] ** 2
    used = np.isfinite(variance).all(axis=0)
    chi2 = np.sum((one[:, 0, used] - other[:, 0, used]) ** 2 / variance[:, used], axis=1)
    return np.asarray(stats.chi2.sf(chi2, used.sum()))


@pytest.mark.parametrize("kind", ["SAXS", "WAXS", "merged", "averaged", "subtracted"])
def test_p_values_of_repeated_curves_are_uniform(kind: str) -> None:
    """From 1000 counts per bin on; Kolmogorov and Smirnov's test at 1 %."""
    of, parts = frames_of(1000.0, 8.0, drifting=False)
    assert min(part.signal[part.count > 0].min() for part in of.sums.values()) > 1000
    frames = merge_detectors(parts)
    if kind in ("SAXS", "WAXS"):
        frames = parts[f"_{kind}"]
    curves = frames.curve()
    if kind in ("averaged", "subtracted"):
        unions = [frames[i : i + GROUP].union().curve() for i in range(0, FRAMES, GROUP)]
        curves = np.stack(unions)
    if kind == "subtracted":
        curves = np.stack([
            subtract_background(
                sample=sample, buffer=buffer, trans_sample=1.0, trans_buffer=2.0,
                trans_sigma_sample=0.0, trans_sigma_buffer=0.0,
            )
            for sample, buffer in zip(curves[0::2], curves[1::2], strict=True)
        ])  # fmt: skip
    assert stats.kstest(pairs(curves), "uniform").pvalue > 0.01


@pytest.mark.parametrize("level", [0.1, 1.0])
@pytest.mark.parametrize("what", [merging, averaging])
def test_weights_from_the_counts_that_they_weigh_are_biased(
    what: Callable[..., dict[str, Found]], level: float
) -> None:
    """Decision 4: low, and high where parts without counts drop out. The union is not."""
    found = what(level, frames=2 * FRAMES, seed=7)
    union, weighted = found["union"], found["1/σ² weighted"]
    assert abs(union.bias) < LARGEST_Z * union.bias_error
    assert abs(weighted.bias) > 3 * weighted.bias_error
    assert all(one.variance > 0.95 * union.variance for one in found.values())


def test_plain_mean_of_detectors_is_noisier_than_the_union() -> None:
    found = merging(1.0, frames=FRAMES, seed=7)
    assert found["plain mean"].variance > 2 * found["union"].variance
