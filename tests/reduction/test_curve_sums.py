"""Averages and merging of curves whose sums are not at hand."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import accumulators

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.accumulators import Accumulators
from h5xs_bluesky.reduction.curve_sums import average_curves, merge_curves
from h5xs_bluesky.reduction.merge import merge_detectors


def counted(seed: int, rate: float, normalization: np.ndarray[Any, Any]) -> Accumulators:
    counts = np.random.default_rng(seed).poisson(rate * normalization).astype(float)
    return Accumulators(
        signal=counts,
        variance=counts,
        normalization=normalization,
        normalization_squared=normalization**2,
        count=normalization,
    )


@given(st.integers(0, 1000), st.sampled_from([5.0, 50.0, 1e4]))
def test_merged_curves_are_those_of_the_detectors_sums(seed: int, rate: float) -> None:
    """Bit for bit is too much to ask; to 1e-12 where both counted something."""
    parts = [
        counted(2 * seed + i, rate, n)
        for i, n in enumerate((np.linspace(1, 3, 20), np.linspace(2, 0.5, 20)))
    ]
    expected = merge_detectors({"a": parts[0], "b": parts[1]}).curve()
    merged = merge_curves(parts[0].curve(), parts[1].curve())
    both = (parts[0].signal > 0) & (parts[1].signal > 0)
    assert np.allclose(merged[:, both], expected[:, both], rtol=1e-12)


def test_merging_few_counts_is_not_biased() -> None:
    """At 3 counts per bin weights of 1/σ² would lose a fifth."""
    normalization = np.ones(50)
    means = [
        merge_curves(
            counted(2 * seed, 3.0, normalization).curve(),
            counted(2 * seed + 1, 3.0, normalization).curve(),
        )[0].mean()
        for seed in range(100)
    ]
    assert abs(np.mean(means) - 3.0) < 4 * np.std(means) / 10


def test_each_curve_stands_where_the_other_has_no_pixels() -> None:
    first = np.array([[4.0, 2.0, np.nan, np.nan], [2.0, 1.0, np.nan, np.nan]])
    second = np.array([[np.nan, 2.0, 3.0, np.nan], [np.nan, 1.0, 1.0, np.nan]])
    merged = merge_curves(first, second)
    assert merged[0, [0, 1, 2]].tolist() == [4.0, 2.0, 3.0]
    assert np.isclose(merged[1, 1], np.sqrt(0.5))
    assert np.isnan(merged[:, 3]).all()


def test_differences_are_weighted_by_their_uncertainties() -> None:
    merged = merge_curves(np.array([[-1.0, 1.0], [1.0, 1.0]]), np.array([[1.0, 1.0], [2.0, 1.0]]))
    assert np.isclose(merged[0, 0], (-1 + 0.25) / 1.25)
    with pytest.raises(ReductionError, match="uncertainty above 0"):
        merge_curves(np.array([[-1.0, 1.0], [1.0, 0.0]]), np.array([[1.0, 1.0], [2.0, 1.0]]))


@given(accumulators(least=2), st.booleans())
def test_average_is_that_of_the_union(frames: Accumulators, beam: bool) -> None:
    """For frames with the same normalisation, as those of one detector have."""
    count = len(frames.count)
    same = Accumulators(
        signal=frames.signal,
        variance=frames.variance,
        normalization=np.tile(frames.normalization[0], (count, 1)),
        normalization_squared=np.tile(frames.normalization_squared[0], (count, 1)),
        count=np.tile(frames.count[0], (count, 1)),
    )
    trans = np.linspace(1, 2, count) if beam else np.full(count, np.nan)
    weights = trans / trans.mean() if beam else None
    average, mean = average_curves(same.curve(), trans, weighted=True)
    assert np.allclose(average, same.union(weights).curve())
    assert np.isclose(mean, trans.mean(), equal_nan=True)


def test_unweighted_average_divides_by_the_beam_first() -> None:
    curves = np.array([[[2.0], [1.0]], [[12.0], [2.0]]])
    average, mean = average_curves(curves, np.array([1.0, 3.0]), weighted=False)
    assert mean == 2.0
    assert np.isclose(average[0, 0], 2 * (2 / 1 + 12 / 3) / 2)
    assert np.isclose(average[1, 0], 2 * np.hypot(1 / 1, 2 / 3) / 2)


def test_bin_is_averaged_over_the_curves_that_have_it() -> None:
    curves = np.array([[[2.0, np.nan], [1.0, np.nan]], [[4.0, np.nan], [1.0, np.nan]]])
    curves[0, :, 0] = np.nan
    average, _ = average_curves(curves, np.array([1.0, 1.0]), weighted=True)
    assert average[:, 0].tolist() == [4.0, 1.0]
    assert np.isnan(average[:, 1]).all()
