"""Unions: of frames, of detectors; and the subtraction."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import accumulators

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.accumulators import Accumulators
from h5xs_bluesky.reduction.average import Average, average_frames, unite_averages
from h5xs_bluesky.reduction.geometry import Geometry
from h5xs_bluesky.reduction.merge import default_scales, merge_detectors
from h5xs_bluesky.reduction.subtract import subtract_background


def constant(signal: float, normalization: float, bins: int = 4) -> Accumulators:
    values = {"signal": signal, "variance": signal, "normalization": normalization}
    squares = {"normalization_squared": normalization**2, "count": 1.0}
    return Accumulators(**{name: np.full(bins, v) for name, v in {**values, **squares}.items()})


def stacked(parts: list[Accumulators]) -> Accumulators:
    return Accumulators.from_array(np.stack([part.to_array() for part in parts]))


@given(accumulators())
def test_arrays_and_back_change_nothing(frames: Accumulators) -> None:
    again = Accumulators.from_array(frames.to_array())
    assert np.array_equal(again.to_array(), frames.to_array())


@given(accumulators())
def test_union_is_the_sum(frames: Accumulators) -> None:
    union = frames.union()
    for name in Accumulators.FIELDS:
        assert np.array_equal(getattr(union, name), getattr(frames, name).sum(axis=0))


@given(accumulators(least=2), st.randoms())
def test_union_does_not_depend_on_the_order_of_counts(frames: Accumulators, random: Any) -> None:
    order = list(range(len(frames.count)))
    random.shuffle(order)
    shuffled = Accumulators.from_array(frames.to_array()[order])
    assert np.array_equal(shuffled.union().signal, frames.union().signal)


@given(accumulators(), st.integers(2, 5))
def test_repeating_frames_keeps_i_and_lowers_sigma_by_the_root(
    frames: Accumulators, times: int
) -> None:
    once = frames.union()
    often = stacked([once] * times).union()
    assert np.allclose(often.intensity(), once.intensity())
    assert np.allclose(often.sigma(), once.sigma() / np.sqrt(times))


def test_missing_frame_is_missing_everywhere() -> None:
    missing = Accumulators.missing((4,))
    assert missing.is_missing()
    assert np.isnan(missing.curve()).all()
    assert merge_detectors({"_A": constant(1, 1), "_B": missing}).is_missing()


def test_merging_commutes_with_averaging() -> None:
    rng = np.random.default_rng(0)
    parts = [
        Accumulators.from_array(rng.integers(1, 100, (3, 5, 7)).astype(float)) for _ in range(2)
    ]
    first = merge_detectors(dict(zip("AB", parts, strict=True))).union()
    second = merge_detectors({name: p.union() for name, p in zip("AB", parts, strict=True)})
    assert np.array_equal(first.to_array(), second.to_array())


def test_detectors_of_different_grids_do_not_merge() -> None:
    with pytest.raises(ReductionError, match="one shape"):
        merge_detectors({"A": constant(1, 1, bins=3), "B": constant(1, 1, bins=4)})


def test_default_scale_is_the_ratio_of_solid_angles() -> None:
    def at(distance_m: float, pixel_m: float) -> Geometry:
        return Geometry(
            shape=(5, 5), pixel_size_m=(pixel_m, pixel_m), distance_m=distance_m,
            poni1_m=0.0, poni2_m=0.0, wavelength_m=1e-10,
        )  # fmt: skip

    scales = default_scales([at(1.0, 1e-4), at(0.5, 1e-4), at(1.0, 2e-4)])
    assert scales == pytest.approx([1, 4, 4])


def test_frame_with_half_the_beam_and_half_the_counts_changes_only_the_weight() -> None:
    frames = stacked([constant(100, 2.0), constant(50, 2.0)])
    average = average_frames(
        frames, kept=np.ones(2, bool), trans=np.array([10.0, 5.0]), relative_uncertainty=0.0
    )
    assert average.trans == 7.5
    per_beam = average.accumulators.intensity() / average.trans
    assert per_beam == pytest.approx(np.full(4, 100 / 2.0 / 10.0))


def test_beam_weighs_frames_that_lost_different_pixels() -> None:
    """Equal scattering per beam; half of the second frame's pixels are out, and half its beam."""
    frames = stacked([constant(100, 2.0), constant(25, 1.0)])
    average = average_frames(
        frames, kept=np.ones(2, bool), trans=np.array([10.0, 5.0]), relative_uncertainty=0.0
    )
    per_beam = average.accumulators.intensity() / average.trans
    assert per_beam == pytest.approx(np.full(4, 100 / 2.0 / 10.0))
    equal = average_frames(
        frames, kept=np.ones(2, bool), trans=np.full(2, np.nan), relative_uncertainty=0.0
    )
    assert equal.accumulators.intensity() == pytest.approx(np.full(4, 125 / 3)), "unweighted"


@given(accumulators(least=3), st.integers(1, 2), st.randoms())
def test_averages_united_are_the_average_of_all_frames(
    frames: Accumulators, first: int, random: Any
) -> None:
    trans = np.array([random.uniform(0.5, 2.0) for _ in frames.count])

    def averaged(part: slice) -> Average:
        kept = np.ones(len(trans[part]), bool)
        return average_frames(frames[part], kept=kept, trans=trans[part], relative_uncertainty=0.01)

    united = unite_averages([averaged(slice(first)), averaged(slice(first, None))])
    at_once = averaged(slice(None))
    assert np.allclose(united.accumulators.to_array()[:3], at_once.accumulators.to_array()[:3])
    assert united.trans == pytest.approx(at_once.trans)
    assert united.trans_sigma == pytest.approx(at_once.trans_sigma)


def test_normalised_average_carries_the_beam_s_uncertainty() -> None:
    frames = stacked([constant(100, 2.0)] * 4)
    average = average_frames(
        frames, kept=np.ones(4, bool), trans=np.full(4, 10.0), relative_uncertainty=0.02
    )
    intensity, sigma = average.normalized()
    assert intensity == pytest.approx(np.full(4, 5.0))
    assert sigma == pytest.approx(np.full(4, 5.0 * np.hypot(1 / 20, 0.01)))


def test_average_without_monitor_weighs_frames_equally() -> None:
    frames = stacked([constant(100, 2.0), constant(50, 2.0)])
    average = average_frames(
        frames, kept=np.ones(2, bool), trans=np.array([10.0, np.nan]), relative_uncertainty=0.01
    )
    assert np.isnan(average.trans)
    assert np.isnan(average.trans_sigma)
    assert average.accumulators.intensity() == pytest.approx(np.full(4, 37.5))


def test_uncertainty_of_the_mean_reading_falls_with_the_root_of_the_readings() -> None:
    average = average_frames(
        stacked([constant(1, 1)] * 16),
        kept=np.ones(16, bool),
        trans=np.full(16, 200.0),
        relative_uncertainty=0.01,
    )
    assert average.trans_sigma == pytest.approx(200 * 0.01 / 4)


@pytest.mark.parametrize(
    ("kept", "said"), [([False, False], "found none"), ([True, True], "missing")]
)
def test_nothing_to_average_is_an_error(kept: list[bool], said: str) -> None:
    frames = stacked([constant(1, 1), Accumulators.missing((4,))])
    with pytest.raises(ReductionError, match=said):
        average_frames(frames, kept=np.array(kept), trans=np.ones(2), relative_uncertainty=0)


@pytest.mark.parametrize(("kept", "trans"), [(3, 2), (2, 3)])
def test_choice_and_readings_are_one_for_each_frame(kept: int, trans: int) -> None:
    with pytest.raises(ReductionError, match="each of 2 frames"):
        average_frames(
            stacked([constant(1, 1)] * 2),
            kept=np.ones(kept, bool), trans=np.ones(trans), relative_uncertainty=0,
        )  # fmt: skip


def subtract(**changes: Any) -> Any:
    values: dict[str, Any] = {
        "sample": np.array([[10.0], [0.3]]),
        "buffer": np.array([[4.0], [0.4]]),
        "trans_sample": 2.0,
        "trans_buffer": 1.0,
        "trans_sigma_sample": 0.0,
        "trans_sigma_buffer": 0.0,
    }
    return subtract_background(**{**values, **changes})


def test_buffer_is_scaled_to_the_beam_of_the_sample() -> None:
    assert subtract()[:, 0] == pytest.approx([10 - 2 * 4, np.hypot(0.3, 2 * 0.4)])
    assert subtract(sc_factor=0.5)[:, 0] == pytest.approx([10 - 4, np.hypot(0.3, 0.4)])


def test_uncertainty_of_the_beam_enters_with_what_is_subtracted() -> None:
    sigma = subtract(trans_sigma_sample=0.02, trans_sigma_buffer=0.02)[1, 0]
    assert sigma**2 == pytest.approx(0.3**2 + 0.8**2 + 8**2 * (0.01**2 + 0.02**2))


def test_sigma_of_the_difference_is_its_scatter() -> None:
    """Repeated measurements with noisy counts and noisy monitors scatter as σ says."""
    rng = np.random.default_rng(1)
    counts, relative, repeats = 400.0, 0.02, 20000
    differences, sigmas = [], []
    for _ in range(repeats):
        curves = []
        readings = []
        for beam, scattering in ((1.0, counts), (0.8, counts / 2)):
            signal = rng.poisson(beam * scattering)
            readings.append(beam * rng.normal(1, relative))
            curves.append(np.array([[float(signal)], [np.sqrt(signal)]]))
        found = subtract_background(
            sample=curves[0], buffer=curves[1],
            trans_sample=readings[0], trans_buffer=readings[1],
            trans_sigma_sample=relative * readings[0], trans_sigma_buffer=relative * readings[1],
        )  # fmt: skip
        differences.append(found[0, 0])
        sigmas.append(found[1, 0])
    assert np.mean(differences) == pytest.approx(counts / 2, rel=0.005)
    assert np.std(differences) == pytest.approx(np.sqrt(np.mean(np.square(sigmas))), rel=0.02)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trans_sample": np.nan}, "transmitted by the sample"),
        ({"trans_buffer": 0.0}, "transmitted by the buffer"),
        ({"buffer": np.zeros((2, 3))}, "one q-grid"),
        ({"sc_factor": np.nan}, "finite sc_factor"),
    ],
)
def test_impossible_subtraction_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ReductionError, match=said):
        subtract(**changes)
