"""The sums themselves: to the bit the same, wherever the arrays come from."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.accumulators import Accumulators
from h5xs_bluesky.reduction.average import average_frames
from h5xs_bluesky.reduction.merge import merge_detectors

BINS = 6


@st.composite
def sums(draw: st.DrawFn) -> NDArray[np.float64]:
    """Sums (n, 5, BINS) whose additions round, so that their order shows."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (draw(st.integers(2, 40)), len(Accumulators.FIELDS), BINS)
    return rng.uniform(0.1, 1, shape) * 10.0 ** rng.integers(-3, 4, shape)


def added_one_by_one(frames: NDArray[np.float64]) -> NDArray[np.float64]:
    total = frames[0].copy()
    for frame in frames[1:]:
        total += frame
    return total


@given(sums())
def test_union_adds_in_frame_order_to_the_bit(array: NDArray[np.float64]) -> None:
    assert np.array_equal(
        Accumulators.from_array(array).union().to_array(), added_one_by_one(array)
    )


@given(sums(), st.integers(0, 2**32))
def test_union_has_the_same_bits_for_frames_from_memory_and_from_a_file(
    array: NDArray[np.float64], seed: int
) -> None:
    """A file gives views into one array (n, 5, nq); live frames are stacked one by one."""
    weights = np.random.default_rng(seed).uniform(0.5, 2, len(array))
    views = Accumulators.from_array(array)
    copies = Accumulators(**{
        name: np.stack([np.array(row) for row in getattr(views, name)])
        for name in Accumulators.FIELDS
    })  # fmt: skip
    for w in (None, weights):
        assert np.array_equal(views.union(w).to_array(), copies.union(w).to_array())
    kept = weights > 1
    if kept.any():
        assert np.array_equal(views[kept].union().to_array(), copies[kept].union().to_array())


@given(sums(), sums())
def test_merging_frame_by_frame_and_all_at_once_give_the_same_bits(
    first: NDArray[np.float64], second: NDArray[np.float64]
) -> None:
    count = min(len(first), len(second))
    parts = [Accumulators.from_array(array[:count]) for array in (first, second)]
    named = dict(zip("AB", parts, strict=True))
    at_once = merge_detectors(named).to_array()
    for i in range(count):
        one = merge_detectors({name: part[i] for name, part in named.items()})
        assert np.array_equal(at_once[i], one.to_array())


def test_weight_enters_normalisation_once_and_its_square_twice() -> None:
    frames = Accumulators.from_array(np.ones((2, 5, BINS)))
    union = frames.union(np.array([0.5, 2.0]))
    assert union.normalization == pytest.approx(np.full(BINS, 2.5))
    assert union.normalization_squared == pytest.approx(np.full(BINS, 0.25 + 4.0))
    for name in ("signal", "variance", "count"):
        assert getattr(union, name) == pytest.approx(np.full(BINS, 2.0)), name


def test_bin_whose_pixels_cannot_be_normalised_is_nan_without_a_warning() -> None:
    """A polarised beam leaves nothing at 2θ = 90° in its plane: Σ normalisation is 0."""
    array = np.ones((5, BINS))
    array[Accumulators.FIELDS.index("normalization"), 2] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        curve = Accumulators.from_array(array).curve()
    assert np.isnan(curve[:, 2]).all()
    assert np.isfinite(np.delete(curve, 2, axis=1)).all()


@pytest.mark.parametrize("shape", [(5,), (4, BINS), (3, 6, BINS)])
def test_array_without_five_sums_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ReductionError, match="5, nq"):
        Accumulators.from_array(np.zeros(shape))


def test_sigma_of_an_average_with_an_unsteady_beam_is_its_scatter() -> None:
    """Beams from 0.3 to 2, pixels lost in some frames: I is unbiased and σ² the variance."""
    rng = np.random.default_rng(3)
    beam = np.array([0.3, 1.0, 2.0, 0.7])
    normalization = np.array([4.0, 1.0, 3.0, 2.0])[:, None] * np.ones(BINS)
    for rate in (0.05, 20.0):
        curves = []
        for _ in range(4000):
            counts = rng.poisson(rate * beam[:, None] * normalization).astype(float)
            frames = Accumulators(
                signal=counts,
                variance=counts,
                normalization=normalization,
                normalization_squared=normalization**2,
                count=np.ones_like(counts),
            )
            average = average_frames(
                frames, kept=np.ones(len(beam), bool), trans=beam, relative_uncertainty=0.0
            )
            curves.append(average.accumulators.curve() / average.trans)
        intensity, sigma = np.moveaxis(np.array(curves), 1, 0)
        error = intensity.std() / np.sqrt(intensity.size)
        assert abs(intensity.mean() - rate) < 4 * error, f"biased at {rate}"
        assert np.mean(sigma**2) == pytest.approx(intensity.var(), rel=0.05), f"σ at {rate}"
