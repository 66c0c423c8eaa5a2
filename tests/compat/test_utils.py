"""py4xs' small tools."""

import itertools

import numpy as np
import pytest

from h5xs_bluesky.compat.py4xs.utils import (
    Schilling_p_value,
    common_name,
    get_bin_ranges_from_grid,
    get_grid_from_bin_ranges,
    max_len,
    strip_name,
)
from h5xs_bluesky.errors import ReductionError


def test_ranges_and_grid_are_each_other_s_inverse() -> None:
    ranges = [[[0.005, 0.05], 45], [[0.05, 0.1], 25], [[0.1, 0.5], 80]]
    grid = get_grid_from_bin_ranges(ranges)
    assert grid.size == 150
    assert (np.diff(grid) > 0).all()
    back = get_bin_ranges_from_grid(ranges_grid := np.linspace(0.0105, 0.0995, 90))
    assert back == [[[pytest.approx(0.01), pytest.approx(0.1)], ranges_grid.size]]


def test_longest_run_is_the_one_that_counting_finds() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        one, other = rng.integers(0, 3, 12), rng.integers(0, 3, 12)
        runs = [len(list(group)) for _, group in itertools.groupby(one > other)]
        below, lengths = max_len(one, other, return_all=True)
        assert lengths.tolist() == runs
        assert below.tolist() == (one <= other).tolist()
        assert max_len(one, other) == max(runs)


def test_bins_that_one_curve_lacks_are_left_out() -> None:
    assert max_len([1.0, np.nan, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]) == 2
    with pytest.raises(ReductionError, match="in common"):
        max_len([np.nan], [1.0])


@pytest.mark.parametrize(("n", "longest"), [(4, 1), (6, 3), (9, 5), (9, 9)])
def test_p_value_is_the_share_of_all_sequences(n: int, longest: int) -> None:
    hits = sum(
        max(len(list(group)) for _, group in itertools.groupby(sequence)) >= longest
        for sequence in itertools.product((0, 1), repeat=n)
    )
    assert Schilling_p_value(n, longest) == pytest.approx(hits / 2**n)


def test_names_have_their_beginning_in_common() -> None:
    assert strip_name("lys_SAXS_0001.cbf") == "lys_0001"
    assert common_name("lys_f0001_SAXS", "lys_f0001_WAXS2") == "lys_f0001"
    assert common_name("lys_f0001", "lys_f0002") == "lys_f000"
    assert common_name("a", "b") == "a"
