import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from h5xs_bluesky.sim.split import split_exposure

exposures = hnp.arrays(
    st.sampled_from([np.int32, np.int64, np.uint16]),
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=5),
    elements=st.integers(0, 5000),
)


@settings(max_examples=50, deadline=None)
@given(exposures, st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_parts_add_up_to_the_exposure(exposure: np.ndarray, parts: int, seed: int) -> None:
    split = list(split_exposure(exposure, parts, np.random.default_rng(seed)))
    assert len(split) == parts
    assert all(part.dtype == exposure.dtype and part.min() >= 0 for part in split)
    np.testing.assert_array_equal(np.sum(split, axis=0, dtype=np.int64), exposure)


def test_negative_pixels_are_repeated_in_each_part() -> None:
    exposure = np.array([[-1, 100], [-2, 0]], np.int32)
    for part in split_exposure(exposure, 4, np.random.default_rng(0)):
        assert part[0, 0] == -1
        assert part[1, 0] == -2
        assert part[1, 1] == 0


def test_parts_of_a_poisson_count_are_independent_poisson_counts() -> None:
    rng = np.random.default_rng(1)
    exposure = rng.poisson(30.0, (300, 300))
    split = np.array(list(split_exposure(exposure, 3, rng))).reshape(3, -1)
    np.testing.assert_allclose(split.mean(axis=1), 10.0, rtol=0.01)
    np.testing.assert_allclose(split.var(axis=1), 10.0, rtol=0.03)
    correlation = np.corrcoef(split)
    np.testing.assert_allclose(correlation[~np.eye(3, dtype=bool)], 0.0, atol=0.02)


def test_one_part_is_the_exposure() -> None:
    exposure = np.array([[5, -1]], np.int32)
    (part,) = split_exposure(exposure, 1, np.random.default_rng(0))
    np.testing.assert_array_equal(part, exposure)
    assert part is not exposure


@pytest.mark.parametrize(
    ("exposure", "parts", "message"),
    [
        (np.zeros((2, 2), np.int32), 0, "at least one part"),
        (np.zeros((2, 2)), 2, "integer counts"),
    ],
)
def test_what_cannot_be_split_is_refused_at_once(
    exposure: np.ndarray, parts: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        split_exposure(exposure, parts, np.random.default_rng(0))
