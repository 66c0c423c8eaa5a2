import numpy as np
import pytest

from h5xs_bluesky.reduction.chromatography.constancy import constant_and_level

ONES = np.ones(40)


def flat(*, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(40)


@pytest.mark.parametrize(
    ("values", "low", "high", "why"),
    [
        (flat(), 0, 40, "nothing speaks against all"),
        (flat() + 30.0 * (np.arange(40) >= 25), 0, 25, "a step ends it"),
        (flat() + np.maximum(0, np.arange(40) - 20.0), 0, 26, "a slope ends it"),
    ],
)
def test_the_longest_constant_part_is_found(
    values: np.ndarray, low: int, high: int, why: str
) -> None:
    found = constant_and_level(values, ONES, significance=0.01, fewest=5)
    assert found is not None
    assert (found[0] - low, abs(found[1] - high) <= 4) == (0, True), why


@pytest.mark.parametrize(
    ("length", "fewest", "why"), [(4, 5, "too few numbers"), (40, 5, "each is far from the next")]
)
def test_where_nothing_is_constant_there_is_no_window(length: int, fewest: int, why: str) -> None:
    values = 100.0 * np.arange(length)
    assert constant_and_level(values, ONES[:length], significance=0.01, fewest=fewest) is None, why


def test_a_window_is_no_longer_than_the_most_and_the_last_of_equals() -> None:
    found = constant_and_level(np.zeros(40), ONES, significance=0.01, fewest=5, most=12)
    assert found == (28, 40)


def test_series_without_trend_are_rarely_cut() -> None:
    """Two tests at 1 % each: at most 2 % of the whole windows are refused."""
    cut = sum(
        constant_and_level(flat(seed=seed), ONES, significance=0.01, fewest=5) != (0, 40)
        for seed in range(500)
    )
    assert cut <= 20
