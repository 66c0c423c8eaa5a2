"""Monitors that run on their own, integrated over exposures."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.monitors import (
    Integrated,
    IntegrationOptions,
    MonitorReadings,
    MonitorStream,
    exposure_starts_s,
    integrate_exposures,
)

EPOCH = 1.7e9  # times are seconds since 1970: large numbers with small differences


def stream(times: Any, values: Any) -> MonitorStream:
    return MonitorStream(EPOCH + np.asarray(times, float), np.asarray(values, float))


def integrate(of: MonitorStream, starts: Any, *, exposure_s: float = 1.0, **how: Any) -> Integrated:
    return integrate_exposures(
        of,
        EPOCH + np.asarray(starts, float),
        exposure_s=exposure_s,
        options=IntegrationOptions(**how),
    )


def test_integral_of_a_parabola_is_the_analytic_one_up_to_the_trapezoids() -> None:
    times = np.arange(0, 10, 0.01)
    found = integrate(stream(times, times**2), [1.0, 2.5, 7.123])
    exact = [((s + 1) ** 3 - s**3) / 3 for s in (1.0, 2.5, 7.123)]
    assert found.mean == pytest.approx(exact, rel=2e-5)
    assert found.problems == ()


@given(st.floats(0.05, 3), st.floats(0, 6), st.floats(-5, 5), st.floats(-5, 5))
def test_integral_of_a_line_is_its_value_in_the_middle(
    exposure: float, start: float, slope: float, offset: float
) -> None:
    """Whatever the window: inside one interval, across many, from reading to reading."""
    times = np.arange(0, 10, 0.25)
    found = integrate(stream(times, offset + slope * times), [start], exposure_s=exposure)
    expected = offset + slope * (start + exposure / 2)
    assert found.mean[0] == pytest.approx(expected, abs=1e-5)


def test_steps_hold_until_the_next_reading() -> None:
    found = integrate(stream([0, 2, 2.5, 9], [1.0, 3.0, 5.0, 0.0]), [1.6], interpolation="step")
    assert found.mean[0] == pytest.approx(0.4 * 1 + 0.5 * 3 + 0.1 * 5, abs=1e-6)


def test_true_window_is_integrated_not_the_time_between_frames() -> None:
    """The beam comes and goes between frames; what it does there must not count."""
    times = np.arange(0, 12, 0.001)
    beam = np.where((times % 3) < 1, 100.0, 1e6)
    found = integrate(stream(times, beam), [0.002, 3.002, 6.002], exposure_s=0.99)
    assert found.mean == pytest.approx([100.0] * 3)


@pytest.mark.parametrize(
    ("starts", "known", "said"),
    [
        ([-0.5, 3], [False, True], "begin before its first reading"),
        ([3, 9.5], [True, False], "end after its last reading"),
        ([-5, 20], [False, False], "1 of 2 exposures begin"),
    ],
)
def test_what_the_stream_does_not_cover_is_nan_and_told(
    starts: list[float], known: list[bool], said: str
) -> None:
    found = integrate(stream(np.arange(0, 10.05, 0.1), np.full(101, 7.0)), starts)
    assert np.isfinite(found.mean).tolist() == np.isfinite(found.sigma).tolist() == known
    assert any(said in problem for problem in found.problems)


def test_stream_is_extended_only_when_asked() -> None:
    one = stream(np.arange(0, 10.05, 0.1), np.linspace(7, 8, 101))
    found = integrate(one, [-0.5, 9.5, 30], extend=True)
    assert found.mean == pytest.approx([7.0, 8.0, 8.0], abs=0.02)
    assert found.problems == ()


def test_reading_that_never_changed_holds_only_when_asked() -> None:
    """A device that tells of changes alone gives one reading of a steady beam."""
    one = stream([0], [5.0])
    assert integrate(one, [3], extend=True, interpolation="step").mean.tolist() == [5.0]
    assert np.isnan(integrate(one, [3], interpolation="step").mean).all()
    assert np.isnan(integrate(stream([], []), [3], extend=True).mean).all()


def test_gap_is_not_bridged() -> None:
    times = np.concatenate([np.arange(0, 3, 0.1), np.arange(6, 10, 0.1)])
    one = stream(times, np.full(times.size, 7.0))
    found = integrate(one, [1, 2.5, 4, 5.5, 7])
    assert np.isfinite(found.mean).tolist() == [True, False, False, False, True]
    assert "gap of it, of more than 0.5 s" in found.problems[0]
    assert np.isfinite(integrate(one, [2.5], max_gap_s=4).mean).all()


@pytest.mark.parametrize(
    ("times", "known", "why"),
    [
        ([0, 1, 2, 2, 3, 4, 5], [True, False, False, True], "a timestamp comes twice"),
        ([0, 0, 1, 2, 3, 4, 5], [False, True, True, True], "the first one does"),
        ([0, 1, 2, 1.5, 3, 4, 5], [True, False, False, True], "the clock was set back"),
    ],
)
def test_where_timestamps_repeat_nothing_is_known(
    times: list[float], known: list[bool], why: str
) -> None:
    found = integrate(stream(times, np.arange(7)), [0, 1, 2, 3], exposure_s=0.9)
    assert np.isfinite(found.mean).tolist() == known, why
    assert "timestamps repeat" in found.problems[0]


def test_reading_that_came_twice_counts_once() -> None:
    found = integrate(stream([0, 1, 1, 2, 3], [0, 1, 1, 2, 3]), [0.5])
    assert found.mean == pytest.approx([1.0])
    assert found.problems == ()


def test_frames_without_a_time_and_readings_that_are_none_are_left_out() -> None:
    one = stream([0, 1, np.nan, 2, 3], [1.0, 1.0, 50.0, 1.0, 1.0])
    assert np.array_equal(integrate(one, [np.nan, 1]).mean, [np.nan, 1.0], equal_nan=True)
    assert "2 or more readings, found 1" in integrate(stream([0], [1.0]), [0]).problems[0]
    with pytest.raises(ReductionError, match="exposure time"):
        integrate(one, [0], exposure_s=0)


def test_sigma_is_the_scatter_of_the_mean() -> None:
    """2000 exposures of a noisy beam: σ² is what the means vary by."""
    rng = np.random.default_rng(0)
    times = np.arange(0, 2001, 0.02)
    found = integrate(stream(times, rng.normal(100, 5, times.size)), np.arange(2000.0))
    ratio = np.mean(found.sigma**2) / np.var(found.mean)
    assert ratio == pytest.approx(1, abs=4 * np.sqrt(2 / 2000))
    assert found.mean.mean() == pytest.approx(100, abs=4 * 5 / np.sqrt(times.size))


def test_uncertainty_that_scatter_does_not_show_is_added() -> None:
    one = stream(np.arange(0, 5, 0.1), np.full(50, 200.0))
    assert integrate(one, [1.0], relative_uncertainty=0.01).sigma == pytest.approx([2.0])
    assert integrate(one, [1.0]).sigma == pytest.approx([0.0])


def test_blocks_of_readings_lie_before_their_times() -> None:
    """The form of electrometers: (rep, points) with one time for each rep."""
    one = MonitorStream.from_blocks(
        EPOCH + np.array([1.0, 2.0, 3.0]), np.arange(12.0).reshape(3, 4)
    )
    assert one.times_s - EPOCH == pytest.approx(np.arange(0.25, 3.1, 0.25), abs=1e-6)
    assert one.values.tolist() == list(range(12))
    assert not one.ambiguous_s.size


def test_block_after_a_pause_is_as_long_as_usual() -> None:
    times = EPOCH + np.array([1.0, 2.0, 3.0, 8.0, 9.0])
    one = MonitorStream.from_blocks(times, np.ones((5, 10)))
    found = integrate(one, [2.05, 4.5, 7.3, 8.05], exposure_s=0.5)
    assert np.isfinite(found.mean).tolist() == [True, False, True, True]


def test_repeated_time_of_a_block_leaves_both_blocks_unknown() -> None:
    """As the first two often are, where the first should be earlier."""
    one = MonitorStream.from_blocks(EPOCH + np.array([2.0, 2.0, 3.0, 4.0]), np.ones((4, 10)))
    found = integrate(one, [0.3, 1.3, 2.3, 3.2], exposure_s=0.5)
    assert np.isfinite(found.mean).tolist() == [False, False, True, True]


def test_single_block_has_no_times() -> None:
    with pytest.raises(ReductionError, match="two or more times for blocks of 4"):
        MonitorStream.from_blocks(np.array([1.0]), np.ones((1, 4)))
    with pytest.raises(ReductionError, match="a time for each"):
        MonitorStream(np.zeros(3), np.zeros(4))


def shutter(opens_s: float, *, noise: float = 0.01, seed: int = 0) -> MonitorStream:
    times = np.arange(0, 20, 0.05)
    rng = np.random.default_rng(seed)
    beam = np.clip((times - opens_s) / 0.2 + 0.5, 0, 1)  # it opens in 0.2 s
    return stream(times, 3 + 1000 * (beam + noise * rng.standard_normal(times.size)))


@pytest.mark.parametrize("opens_s", [1.0, 5.03, 18.7])
def test_shutter_edge_is_found(opens_s: float) -> None:
    assert shutter(opens_s).shutter_edge_s() - EPOCH == pytest.approx(opens_s, abs=0.02)


def test_single_spike_is_no_shutter_edge() -> None:
    one = shutter(8.0)
    one.values[20] = 5000.0
    assert one.shutter_edge_s() - EPOCH == pytest.approx(8.0, abs=0.03)


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (stream(np.arange(100), np.full(100, 5.0)), "no change at all"),
        (stream(np.arange(100), np.random.default_rng(1).normal(5, 1, 100)), "noise only"),
        (stream(np.arange(100), np.linspace(9, 1, 100)), "open from the beginning"),
        (stream([0, 1], [0, 1]), "too few readings"),
    ],
)
def test_stream_without_a_shutter_edge_is_refused(one: MonitorStream, why: str) -> None:
    with pytest.raises(ReductionError, match="shutter"):
        one.shutter_edge_s()


def test_shifted_stream_keeps_what_is_ambiguous() -> None:
    one = stream([0, 1, 2, 2, 3, 4, 5], np.arange(7)).shifted(10.0)
    found = integrate(one, [10, 11, 12, 13], exposure_s=0.9)
    assert np.isfinite(found.mean).tolist() == [True, False, False, True]


NAN = float("nan")
STARTS = [
    # stamps, frames per event, stamped at, exposures of 1 s with 0.5 s between, why
    ([10, 20, 30], 1, "start", [10, 20, 30], "one frame per event"),
    ([10, 20, 30], 1, "end", [9, 19, 29], "stamped when it was read"),
    ([10] * 3 + [20] * 3, 3, "start", [10, 11.5, 13, 20, 21.5, 23], "frames share a stamp"),
    ([10] * 3 + [20] * 3, 3, "end", [6, 7.5, 9, 16, 17.5, 19], "it is the end of the last"),
    ([10, 11.5, 13, 20, 21.5, 23], 3, "end", [9, 10.5, 12, 19, 20.5, 22], "a stamp for each"),
    ([10] * 4, 1, "start", [10, 11.5, 13, 14.5], "one stamp for the whole series"),
    ([10, 10, 20], 1, "start", [NAN, NAN, 20], "two events at once: one is wrong"),
    ([10, 12, 10, 14], 2, "start", [NAN, 12, NAN, 14], "the clock repeats itself"),
    ([NAN, 20], 1, "end", [NAN, 19], "no stamp"),
    ([], 1, "end", [], "no frames"),
]


@pytest.mark.parametrize(("stamps", "per_event", "stamped", "starts", "why"), STARTS)
def test_exposures_begin_where_the_stamps_say(
    stamps: list[float], per_event: int, stamped: Any, starts: list[float], why: str
) -> None:
    found = exposure_starts_s(
        np.array(stamps, float),
        frames_per_event=per_event,
        exposure_s=1.0,
        dead_time_s=0.5,
        stamped=stamped,
    )
    assert found == pytest.approx(np.array(starts, float), nan_ok=True), why


def readings(incident: Any, transmitted: Any) -> MonitorReadings:
    one, other = np.array(incident, float), np.array(transmitted, float)
    return MonitorReadings(
        incident=one, transmitted=other, incident_sigma=0.03 * one, transmitted_sigma=0.04 * other
    )


def test_transmission_is_the_ratio_with_its_uncertainty() -> None:
    found = readings([10.0, 20.0], [5.0, 5.0])
    assert found.transmission.tolist() == [0.5, 0.25]
    assert found.transmission_sigma == pytest.approx([0.5 * 0.05, 0.25 * 0.05])


@pytest.mark.parametrize(("incident", "transmitted"), [(0, 5), (NAN, 5), (-1, 5), (10, NAN)])
def test_without_beam_or_reading_there_is_no_transmission(
    incident: float, transmitted: float
) -> None:
    found = readings([incident], [transmitted])
    assert np.isnan(found.transmission).all()
    assert np.isnan(found.transmission_sigma).all()


def test_dead_end_of_transmission_is_zero_not_nan() -> None:
    found = readings([10.0], [0.0])
    assert found.transmission.tolist() == [0.0]
    assert found.transmission_sigma.tolist() == [0.0]
