"""The water peak as a measure of the beam, and the factor of a buffer that it gives."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scale_candidates import Q, curves, deviations

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.average import Average, unite_averages
from h5xs_bluesky.reduction.scale import check_sc_factor, water_scale
from h5xs_bluesky.reduction.subtract import subtract_scaled
from h5xs_bluesky.reduction.water import WaterPeak, peak_intensity

GRID = np.linspace(1.5, 2.5, 101)
PEAK = WaterPeak()


def flat(level: float = 2.0, sigma: float = 0.1) -> Any:
    return np.stack([np.full(GRID.size, level), np.full(GRID.size, sigma)])


def test_intensity_is_the_sum_over_the_bins_between_as_in_py4xs() -> None:
    inside = (GRID > 1.85) & (GRID < 2.15)
    curve = np.stack([GRID**2, np.full(GRID.size, 0.1)])
    found = peak_intensity(curve[None], q=GRID, peak=PEAK)[0]
    assert found == pytest.approx([np.sum(GRID[inside] ** 2), 0.1 * np.sqrt(inside.sum())])


def test_background_is_its_mean_level_under_each_bin() -> None:
    peak = WaterPeak(background=(1.5, 1.6))
    found = peak_intensity(flat()[None], q=GRID, peak=peak)[0]
    inside, below = (GRID > 1.85) & (GRID < 2.15), (GRID > 1.5) & (GRID < 1.6)
    n, m = inside.sum(), below.sum()
    assert found == pytest.approx([0.0, 0.1 * np.sqrt(n + n**2 / m)], abs=1e-12)


def test_sigma_is_what_repetitions_scatter_by() -> None:
    rng = np.random.default_rng(0)
    counts = rng.poisson(5.0, (3000, GRID.size))
    repeated = np.stack([counts, np.sqrt(counts)], axis=1).astype(float)
    for peak in (PEAK, WaterPeak(background=(1.5, 1.7))):
        found = peak_intensity(repeated, q=GRID, peak=peak)
        ratio = np.mean(found[:, 1] ** 2) / np.var(found[:, 0])
        assert ratio == pytest.approx(1, abs=4 * np.sqrt(2 / 3000))


@given(st.floats(0.01, 100))
def test_intensity_follows_the_beam(beam: float) -> None:
    one, other = peak_intensity(np.stack([flat(), flat() * beam]), q=GRID, peak=PEAK)
    assert other == pytest.approx(one * beam)


def test_curve_that_lacks_a_bin_of_the_others_is_not_compared() -> None:
    series = np.stack([flat(), flat(), flat()])
    series[1, :, 50] = np.nan
    series[:, :, 45] = np.nan  # a gap between modules, which none has
    found = peak_intensity(series, q=GRID, peak=PEAK)
    assert np.isfinite(found).all(axis=1).tolist() == [True, False, True]
    assert found[0, 0] == pytest.approx(2.0 * 28)


@pytest.mark.parametrize(
    ("peak", "said"),
    [
        (WaterPeak(q_range=(1.85, 1.88)), "five|5 or more bins"),
        (WaterPeak(q_range=(3.0, 3.5)), "found 0"),
        (WaterPeak(background=(0.5, 0.7)), "background of the water peak, from 0.5"),
    ],
)
def test_grid_without_the_peak_is_refused(peak: WaterPeak, said: str) -> None:
    with pytest.raises(ReductionError, match=said):
        peak_intensity(flat()[None], q=GRID, peak=peak)


@pytest.mark.parametrize("values", [{"q_range": (2, 1)}, {"background": (1.0, 1.0)}])
def test_range_that_does_not_increase_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ReductionError, match="increases"):
        WaterPeak(**values)


def test_factor_lets_the_peak_vanish_and_does_not_depend_on_the_beams() -> None:
    found = water_scale(
        sample=flat(6.0, 0.3), buffer=flat(2.0, 0.1), q=GRID, peak=PEAK, trans_ratio=1.5
    )
    assert (found.factor, found.sc_factor) == pytest.approx((3.0, 2.0))
    assert found.sigma == pytest.approx(3.0 * np.sqrt(2) * 0.05 / np.sqrt(29), rel=0.02)


def test_sigma_of_the_factor_is_its_scatter() -> None:
    rng = np.random.default_rng(3)
    found = []
    for _ in range(2000):
        sample, buffer, _ = curves(5.0, 1e4, rng)
        found.append(water_scale(sample=sample, buffer=buffer, q=Q, peak=PEAK, trans_ratio=1))
    reported = np.mean([one.sigma**2 for one in found])
    assert reported / np.var([one.factor for one in found]) == pytest.approx(1, abs=0.13)


def test_sigma_of_the_scaled_difference_is_its_scatter_outside_the_peak() -> None:
    rng = np.random.default_rng(4)
    differences, variances = [], []
    for _ in range(1000):
        sample, buffer, _ = curves(5.0, 1e4, rng)
        scale = water_scale(sample=sample, buffer=buffer, q=Q, peak=PEAK, trans_ratio=1)
        curve = subtract_scaled(
            sample=sample, buffer=buffer, factor=scale.factor, factor_sigma=scale.sigma
        )
        differences.append(curve[0])
        variances.append(curve[1] ** 2)
    ratio = np.mean(variances, axis=0) / np.var(differences, axis=0)
    inside = (Q > 1.85) & (Q < 2.15)
    assert np.abs(ratio[~inside] - 1).max() < 4.8 * np.sqrt(2 / 1000)
    assert 1.0 < ratio[inside].mean() < 1.15, "there the difference adds up to nothing"


def test_curves_without_a_peak_are_not_scaled() -> None:
    with pytest.raises(ReductionError, match="give sc_factor as a number"):
        water_scale(sample=flat(0.0), buffer=flat(), q=GRID, peak=PEAK, trans_ratio=1)


@pytest.mark.parametrize("value", [1, 0.5, "auto"])
def test_possible_factor_passes(value: object) -> None:
    check_sc_factor(value)


@pytest.mark.parametrize("value", [0, -1, float("inf"), "best", None, True])
def test_impossible_factor_does_not(value: object) -> None:
    with pytest.raises(ReductionError, match="positive sc_factor"):
        check_sc_factor(value)


def test_water_peak_is_the_least_noisy_and_off_only_by_the_solute() -> None:
    """Decision 9."""
    empty = deviations(0.0, 1e4, repeats=200, seed=1)
    assert abs(empty["water peak"].mean()) < 4 * empty["water peak"].std() / np.sqrt(200)
    assert empty["nothing negative"].mean() < -0.1, "noise drives it down"
    some = deviations(5.0, 1e6, repeats=50, seed=1)
    assert 0 < some["water peak"].mean() < 0.03
    assert some["0.25–0.5 only"].mean() > 3 * some["water peak"].mean()


def average(signal: float, trans: float, frames: int, *, mode: str = "external") -> Average:
    from h5xs_bluesky.reduction.accumulators import Accumulators

    values = [signal, signal, 2.0 * frames, 4.0 * frames, 10.0 * frames]
    return Average(
        accumulators=Accumulators.from_array(np.repeat(np.array(values)[:, None], 3, axis=1)),
        trans=trans,
        trans_sigma=0.01 * trans / np.sqrt(frames),
        kept=np.ones(frames, bool),
        trans_mode=mode,
    )


def test_union_of_averages_counts_each_by_its_frames_and_beam() -> None:
    united = unite_averages([average(400.0, 10.0, 4), average(100.0, 5.0, 2)])
    assert united.trans == pytest.approx((4 * 10 + 2 * 5) / 6)
    per_beam = united.accumulators.intensity() / united.trans
    assert per_beam == pytest.approx(np.full(3, 500 / (2 * 4 * 10 + 2 * 2 * 5)))
    assert united.trans_sigma == pytest.approx(np.hypot(4 * 0.05, 2 * 0.05 / np.sqrt(2)) / 6)
    assert united.kept.size == 6


def test_union_without_beams_weighs_frames_equally() -> None:
    united = unite_averages([average(400.0, np.nan, 4), average(100.0, 5.0, 2)])
    assert np.isnan(united.trans)
    assert united.accumulators.intensity() == pytest.approx(np.full(3, 500 / 12))


def test_averages_of_different_kinds_are_not_united() -> None:
    with pytest.raises(ReductionError, match="one kind"):
        unite_averages([average(1, 1, 1), average(1, 1, 1, mode="water")])
    with pytest.raises(ReductionError, match="found none"):
        unite_averages([])
