"""A series with its truth known: peak, ranges, Rg and I(0)."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from small_elution import BEAM, Q, Series, series

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.chromatography.analyse import (
    Chromatogram,
    analyse_elution,
    frame_mask,
    subtracted_average,
)
from h5xs_bluesky.reduction.chromatography.frames import ElutionFrames
from h5xs_bluesky.reduction.chromatography.guinier_series import fit_guinier_series
from h5xs_bluesky.reduction.chromatography.options import ChromatographyOptions
from h5xs_bluesky.sim.chromatography import COLUMN, Eluted, fouled_capillary
from h5xs_bluesky.sim.profiles import Spheres

COUNTS = 0.003  # one frame tells Rg to 0.6 Å at the peak


def truth(of: Series) -> tuple[float, float]:
    """What a fit finds in the protein's curve without noise."""
    rg, i0 = fit_guinier_series(of.curve_of_protein()[None], Q, q_range=(0.0, 0.3))
    return float(rg[0, 0]), float(i0[0, 0])


def changed(frames: ElutionFrames, numbers: slice, factor: float) -> ElutionFrames:
    """Multiply the curves of some frames."""
    curves = frames.curves.copy()
    curves[numbers] *= factor
    return replace(frames, curves=curves)


def pulls(found: Chromatogram, of: Series) -> NDArray[np.float64]:
    rg = found.rg[found.sample_frames]
    return np.asarray((rg[:, 0] - truth(of)[0]) / rg[:, 1])


@pytest.mark.parametrize("frames", [120, 600])
def test_peak_and_ranges_are_the_true_ones(frames: int) -> None:
    measured = series(frames, counts=COUNTS)
    found = analyse_elution(measured.frames)
    assert found.main is not None
    assert abs(found.main.position - measured.protein.argmax()) < 1
    aggregate, protein = found.peaks
    assert protein == found.main
    assert abs(aggregate.position - measured.amounts[:, 3].argmax()) < 2
    assert measured.amounts[found.buffer_frames, 2:].max() < 1e-6, "the buffer holds no solute"
    assert measured.amounts[found.sample_frames, 3].max() < 0.01, "nor the sample aggregate"
    assert not (found.sample_frames & found.buffer_frames).any()
    assert found.sample_frames.sum() >= frames // 24
    assert np.flatnonzero(found.buffer_frames)[-1] < protein.first


def test_rg_and_i0_lie_within_their_sigma_of_the_truth() -> None:
    all_pulls, all_scale = [], []
    for seed in range(6):
        measured = series(240, seed=seed, counts=COUNTS)
        found = analyse_elution(measured.frames)
        all_pulls.append(pulls(found, measured))
        i0 = found.i0[found.sample_frames] / truth(measured)[1] * (BEAM / found.beam)
        all_scale.append((i0[:, 0] - measured.protein[found.sample_frames]) / i0[:, 1])
    for values in (np.concatenate(all_pulls), np.concatenate(all_scale)):
        assert abs(values.mean()) < 4 / np.sqrt(values.size)
        assert values.std() == pytest.approx(1.0, abs=4 / np.sqrt(2 * values.size))


def test_i0_follows_the_concentration_over_the_whole_peak() -> None:
    measured = series(300, counts=0.1)
    found = analyse_elution(measured.frames)
    behind = np.isfinite(found.i0[:, 0]) & (measured.amounts[:, 3] < 1e-4)
    assert behind.sum() > 30
    pull = (
        found.i0[behind, 0] - truth(measured)[1] * found.beam / BEAM * measured.protein[behind]
    ) / found.i0[behind, 1]
    assert np.abs(pull).max() < 5


def test_frames_without_protein_have_neither() -> None:
    measured = series(300, counts=COUNTS)
    found = analyse_elution(measured.frames)
    empty = measured.amounts[:, 2:].max(axis=1) < 1e-6
    assert empty.sum() > 100
    assert np.isnan(found.rg[empty]).all()
    assert np.isnan(found.i0[empty]).all()


def test_an_aggregate_under_the_front_is_kept_out() -> None:
    """Where the peak has half of its height it gives a fifth; Rg alone tells: there is one peak."""
    aggregate = Eluted(
        profile=Spheres(forward_per_cm=0.06, radius_angstrom=60.0), at=0.51, width=0.02, tail=0.005
    )
    measured = series(600, column=replace(COLUMN, aggregate=aggregate), counts=0.03)
    found = analyse_elution(measured.frames)
    assert len(found.peaks) == 1
    share = 0.06 * measured.amounts[:, 3] / (0.25 * measured.protein)
    strong = measured.protein > 0.5
    assert share[strong].max() > 0.2
    assert share[found.sample_frames].max() < 0.05
    assert abs(np.mean(found.rg[found.sample_frames, 0]) - truth(measured)[0]) < 0.4


def test_what_stays_on_the_capillary_is_told() -> None:
    column = replace(COLUMN, fouling=fouled_capillary)
    clean, fouled = (
        analyse_elution(series(300, column=each, counts=0.1).frames).drift
        for each in (COLUMN, column)
    )
    assert abs(clean[0]) < 4 * clean[1]
    assert fouled[0] > 5 * fouled[1]


@pytest.mark.parametrize(
    ("at", "factor", "why"),
    [
        (20, 3.0, "a bubble in the buffer"),
        (20, 0.5, "a frame with half of the light"),
        (136, 1.5, "one in the peak"),
    ],
)
def test_a_single_odd_frame_is_in_neither_range(at: int, factor: float, why: str) -> None:
    measured = series(240, counts=COUNTS)
    found = analyse_elution(changed(measured.frames, slice(at, at + 1), factor))
    assert not (found.buffer_frames | found.sample_frames)[at], why
    assert found.main is not None
    assert abs(found.main.position - measured.protein.argmax()) < 2, why


def test_missing_frames_are_passed_over() -> None:
    measured = series(240, counts=COUNTS)
    found = analyse_elution(changed(measured.frames, slice(10, 120, 7), np.nan))
    missing = np.isnan(found.intensity[:, 0])
    assert missing.sum() == 16
    assert not (missing & (found.buffer_frames | found.sample_frames)).any()
    assert abs(pulls(found, measured).mean()) < 1


def test_a_drift_that_no_monitor_tells_shortens_the_buffer() -> None:
    measured = series(240, counts=0.1)
    drifting = 1 + 0.05 * np.arange(240) / 240
    curves = measured.frames.curves * drifting[:, None, None]
    found = analyse_elution(replace(measured.frames, curves=curves))
    assert 8 <= found.buffer_frames.sum() < 40
    assert analyse_elution(measured.frames).buffer_frames.sum() > 60


def test_a_buffer_behind_the_peak_serves_where_there_is_none_before() -> None:
    column = replace(COLUMN, protein=replace(COLUMN.protein, at=0.06), aggregate=None)
    measured = series(240, column=column, counts=COUNTS)
    found = analyse_elution(measured.frames)
    assert found.main is not None
    assert np.flatnonzero(found.buffer_frames)[0] > found.main.last
    assert measured.protein[found.buffer_frames].max() < 2e-3


def test_the_users_own_frames_win() -> None:
    measured = series(120, counts=COUNTS)
    buffer, sample = (
        frame_mask(numbers, 120, name="x") for numbers in (range(5, 25), range(66, 70))
    )
    found = analyse_elution(measured.frames, buffer_frames=buffer, sample_frames=sample)
    np.testing.assert_array_equal(found.buffer_frames, buffer)
    np.testing.assert_array_equal(found.sample_frames, sample)
    assert (found.buffer_given, found.sample_given) == (True, True)
    assert abs(pulls(found, measured).mean()) < 2


def test_the_average_less_the_buffer_has_the_proteins_radius() -> None:
    measured = series(600, counts=COUNTS)
    found = analyse_elution(measured.frames)
    curve, beam = subtracted_average(measured.frames, found)
    assert beam == pytest.approx(measured.frames.beam[found.sample_frames].mean())
    rg, _ = fit_guinier_series(curve[None], Q, q_range=(0.0, 0.3))
    assert rg[0, 1] < 0.15
    assert abs(rg[0, 0] - truth(measured)[0]) < 4 * rg[0, 1]


def test_intensities_do_not_depend_on_the_beam() -> None:
    """Twice the beam, read as twice: the same ranges and Rg; I(0) twice, at the new beam."""
    measured = series(120, counts=COUNTS)
    twice = replace(
        measured.frames,
        curves=2 * measured.frames.curves,
        beam=2 * measured.frames.beam,
        beam_sigma=2 * measured.frames.beam_sigma,
    )
    one, two = analyse_elution(measured.frames), analyse_elution(twice)
    np.testing.assert_array_equal(one.sample_frames, two.sample_frames)
    np.testing.assert_allclose(one.rg, two.rg, rtol=1e-9)
    np.testing.assert_allclose(2 * one.i0, two.i0, rtol=1e-9)


_BROAD = replace(COLUMN, aggregate=None, protein=replace(COLUMN.protein, at=0.5, width=0.2))


@pytest.mark.parametrize(
    ("frames", "message", "why"),
    [
        (
            changed(series(120, counts=COUNTS).frames, slice(45, None), np.nan),
            "expected a peak in the series, found none",
            "it ended before anything came",
        ),
        (series(1).frames, "at least 3 frames with an intensity, found 1 of 1", "one frame"),
        (
            changed(series(60).frames, slice(None), np.nan),
            "frames with a curve and the beam that they had, found none among 60",
            "all missing",
        ),
        (
            replace(series(60).frames, beam=np.full(60, np.nan)),
            "found none among 60.*a monitor is known",
            "no beam is known",
        ),
        (
            series(60, counts=COUNTS, column=_BROAD).frames,
            "at least 8 frames in a row in which nothing elutes",
            "the peak is everywhere",
        ),
    ],
)
def test_what_cannot_be_analysed_is_an_error(frames: ElutionFrames, message: str, why: str) -> None:
    with pytest.raises(ReductionError, match=message):
        analyse_elution(frames)


def test_a_peak_without_one_radius_is_an_error() -> None:
    """Two species on top of each other, and one moves: nowhere is Rg constant."""
    aggregate = replace(
        COLUMN.protein, at=0.56, profile=Spheres(forward_per_cm=0.5, radius_angstrom=60.0)
    )
    measured = series(120, column=replace(COLUMN, aggregate=aggregate), counts=1.0)
    with pytest.raises(ReductionError, match=r"in which Rg is constant.*sample_frames"):
        analyse_elution(measured.frames)


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ([], "none"),
        ([3, 40], "outside"),
        ([-1], "negative"),
        ([0.5], "no whole number"),
        ([True, False], "another length"),
        ("3-5", "a text"),
    ],
)
def test_frames_that_cannot_be_meant_are_refused(wanted: object, why: str) -> None:
    with pytest.raises(ReductionError, match="expected buffer_frames as numbers of frames"):
        frame_mask(wanted, 40, name="buffer_frames")  # type: ignore[arg-type]


def test_given_frames_have_to_be_there() -> None:
    measured = series(60, counts=COUNTS)
    frames = changed(measured.frames, slice(0, 5), np.nan)
    with pytest.raises(ReductionError, match="buffer_frames, found none of the 5 given"):
        analyse_elution(frames, buffer_frames=np.arange(60) < 5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trace_q_range", (0.1, 0.1)),
        ("q_range", (0.2, 0.1)),
        ("smoothing", 0),
        ("fewest_buffer", 2),
        ("most_buffer", 5),
        ("fewest_sample", 2),
        ("significance", 1.0),
        ("least_height", 0.0),
        ("rg_tolerance", -1.0),
        ("largest_q_rg", 0.0),
    ],
)
def test_options_out_of_range_are_refused(name: str, value: object) -> None:
    with pytest.raises(ReductionError, match=name):
        ChromatographyOptions(**{name: value})  # type: ignore[arg-type]
