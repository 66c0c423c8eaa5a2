"""Which frames agree."""

from itertools import groupby, product
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.similarity import (
    Selection,
    SelectionOptions,
    holm,
    run_probability,
    select_frames,
)

Q = np.linspace(0.01, 0.3, 200)


def curves(count: int, *, seed: int = 0, level: float = 400.0) -> NDArray[np.float64]:
    """Curves (count, 2, nq) that differ by counting statistics only."""
    counts = np.random.default_rng(seed).poisson(level * np.exp(-5 * Q), (count, len(Q)))
    return np.stack([counts, np.sqrt(counts)], axis=1).astype(float)


def select(data: NDArray[np.float64], **changes: Any) -> Selection:
    n = len(data)
    values: dict[str, Any] = {
        "q": Q,
        "trans": None,
        "options": SelectionOptions(),
        "missing": np.zeros(n, bool),
        "superseded": np.zeros(n, bool),
    }
    return select_frames(data, **{**values, **changes})


@pytest.mark.parametrize("level", [0.1, 1.0, 10.0, 400.0])
def test_frames_that_agree_are_rejected_no_more_often_than_the_significance_says(
    level: float,
) -> None:
    """Of 400 undamaged series at 5 %, at most about 5 % lose any frame, also at few counts."""
    options = SelectionOptions(significance=0.05)
    touched = sum(
        not select(curves(8, seed=seed, level=level), options=options).kept.all()
        for seed in range(400)
    )
    assert touched / 400 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


def test_damaged_frames_are_rejected_and_told() -> None:
    data = curves(10)
    data[7:, 0] *= 1 + 0.8 * np.exp(-20 * Q)
    found = select(data)
    assert found.kept.tolist() == [True] * 7 + [False] * 3
    assert found.reason == ("",) * 7 + ("cormap",) * 3
    assert (found.p_value[7:] < 0.001).all()
    assert found.reference < 7


def test_bad_first_frame_does_not_reject_the_others() -> None:
    data = curves(10)
    data[0, 0] *= 1.3
    assert select(data).kept.tolist() == [False] + [True] * 9


def test_curves_are_compared_on_the_scale_of_their_beam() -> None:
    data, trans = curves(6, level=4000), np.array([1.0, 1.0, 0.93, 1.0, 0.93, 1.0])
    data[:, 0] *= trans[:, None]
    assert select(data, trans=trans).kept.all()
    assert not select(data).kept.all()


@pytest.mark.parametrize(
    ("reading", "why"),
    [(0.5, "a bubble"), (2.0, "no sample"), (0.0, "no beam"), (-1.0, "a dead monitor"),
     (np.nan, "no reading")],
)  # fmt: skip
def test_frame_whose_beam_is_off_is_rejected(reading: float, why: str) -> None:
    trans = np.array([1.0, 1.0, reading, 1.0, 1.0])
    found = select(curves(5), trans=trans)
    assert found.reason[2] == "transmission", why
    assert found.kept.tolist() == [True, True, False, True, True]


def test_missing_and_superseded_frames_are_out() -> None:
    data = curves(5)
    data[1] = np.nan
    missing = np.array([False, True, False, False, False])
    superseded = np.array([False, False, False, True, False])
    found = select(data, missing=missing, superseded=superseded)
    assert found.reason == ("", "missing", "", "superseded", "")


def test_users_selection_wins_but_cannot_keep_what_is_missing() -> None:
    data = curves(4)
    data[3, 0] *= 2
    missing = np.array([True, False, False, False])
    found = select(data, explicit=np.array([True, True, False, True]), missing=missing)
    assert found.kept.tolist() == [False, True, False, True]
    assert found.reason == ("missing", "", "explicit", "")


def test_selection_of_another_length_is_refused() -> None:
    with pytest.raises(ReductionError, match="4 frames"):
        select(curves(4), explicit=np.ones(3, bool))


def test_only_the_given_range_is_compared() -> None:
    data = curves(6)
    data[2:4, 0, Q > 0.2] *= 3
    assert not select(data).kept.all()
    assert select(data, options=SelectionOptions(q_range=(0.0, 0.19))).kept.all()


def test_all_keeps_every_frame_that_is_there() -> None:
    data = curves(4)
    data[2, 0] *= 5
    assert select(data, options=SelectionOptions(method="all")).kept.all()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_frames_are_kept(count: int) -> None:
    assert select(curves(count)).kept.all()


def test_too_few_bins_to_compare_reject_nothing() -> None:
    data = curves(3)
    data[..., 5:] = np.nan
    found = select(data)
    assert found.kept.all()
    assert np.isnan(found.p_value).all()


@pytest.mark.parametrize("bins", [1, 2, 5, 12])
def test_probability_of_a_run_is_the_share_of_all_outcomes(bins: int) -> None:
    longest = [
        max(len(list(run)) for _, run in groupby(signs)) for signs in product((0, 1), repeat=bins)
    ]
    for length in range(1, bins + 2):
        share = np.mean(np.array(longest) >= length)
        assert run_probability(bins, length) == pytest.approx(share, abs=1e-15)


@pytest.mark.parametrize(("bins", "longest"), [(100, 9), (300, 40), (300, 2), (200, 200)])
def test_probability_of_a_run_is_freesas_own(bins: int, longest: int) -> None:
    from freesas.cormap import LROH

    expected = LROH.probaLongerRun(bins, longest - 1)
    assert run_probability(bins, longest) == pytest.approx(expected, rel=1e-9)


@pytest.mark.alone
def test_badly_damaged_series_is_judged_in_a_moment() -> None:
    """Long runs, each of its own length: exact integers for these once took 10 s."""
    q = np.linspace(0.01, 0.3, 1000)
    counts = np.random.default_rng(1).poisson(1000, (300, len(q))).astype(float)
    for i in range(100):
        counts[3 * i] *= 1 + 0.1 * (np.arange(len(q)) < 300 + 2 * i)
    data = np.stack([counts, np.sqrt(counts)], axis=1)
    start = perf_counter()
    found = select(data, q=q)
    assert perf_counter() - start < 3
    assert np.array_equal(found.kept, np.arange(300) % 3 > 0)


def test_grid_of_many_bins_does_not_exhaust_the_recursion() -> None:
    q = np.linspace(0.01, 0.3, 3000)
    counts = np.random.default_rng(0).poisson(100, (3, 3000)).astype(float)
    data = np.stack([counts, np.sqrt(counts)], axis=1)
    assert select(data, q=q).kept.all()


def test_curve_of_zeros_is_rejected_without_a_warning() -> None:
    """As of a frame that the shutter missed; warnings are errors here."""
    data = curves(4)
    for number in range(4):
        dark = data.copy()
        dark[number] = 0.0
        assert select(dark).kept.tolist() == [other != number for other in range(4)]


def test_identical_curves_agree() -> None:
    data = np.repeat(curves(1), 3, axis=0)
    assert select(data).kept.all()


def test_holm_stops_at_the_first_that_passes() -> None:
    assert holm(np.array([0.001, 0.03, 0.04, np.nan]), 0.05).tolist() == [True] + [False] * 3


@pytest.mark.parametrize(
    "values",
    [
        {"method": "best"},
        {"significance": 0.0},
        {"significance": 1.0},
        {"q_range": (0.2, 0.1)},
        {"trans_tolerance": -0.1},
    ],
)
def test_impossible_options_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ReductionError, match="expected"):
        SelectionOptions(**values)


def test_noise_of_the_monitor_rejects_nothing_when_its_uncertainty_is_told() -> None:
    """At 10⁵ counts a bin, 0.3 % of noise would otherwise reject frames of 9 series in 10."""
    lost = {0.0: 0, 0.003: 0}
    for seed in range(60):
        data = curves(10, seed=seed, level=1e5)
        trans = np.random.default_rng(seed).normal(1, 0.003, len(data))
        for told in lost:
            found = select(data, trans=trans, relative_uncertainty=told)
            lost[told] += not found.kept.all()
    assert lost[0.0] > 30
    assert lost[0.003] <= 2


def test_change_of_intensity_beyond_the_monitors_uncertainty_is_still_seen() -> None:
    data = curves(6, level=1e5)
    data[4] *= 1.05
    found = select(data, trans=np.ones(6), relative_uncertainty=0.003)
    assert found.reason[4] == "cormap"
    assert found.kept.sum() == 5


def test_damage_is_seen_whatever_the_monitors_uncertainty() -> None:
    data = curves(6, level=1e4)
    data[5, 0] *= 1 + 0.3 * np.exp(-20 * Q)
    assert not select(data, trans=np.ones(6), relative_uncertainty=0.02).kept[5]
