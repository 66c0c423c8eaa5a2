"""The ancestor's bins; its numbers themselves are compared in tests/compat."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.integration.integrate import HistogramIntegrator
from h5xs_bluesky.reduction.integration.method import Method
from h5xs_bluesky.reduction.integration.pixels import Pixels
from h5xs_bluesky.reduction.py4xs_bins import Py4xsBins


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.floats(0, 1))
def test_every_q_stands_in_the_middle_of_a_bin_of_its_step(counts: list[int], start: float) -> None:
    steps = np.repeat(0.01 * 1.5 ** np.arange(len(counts)), counts)
    q = start + np.concatenate([[0.0], np.cumsum(steps)])
    bins = Py4xsBins.from_centers(q)
    lower, upper = bins.grid.edges[:-1][bins.kept], bins.grid.edges[1:][bins.kept]
    assert np.allclose((lower + upper) / 2, q)
    assert np.allclose(upper[1:] - lower[1:], steps)
    assert np.array_equal(bins.centers, q)
    assert (~bins.kept).sum() == len(counts) - 1, "a gap where the steps grow, and only there"


def test_edge_that_nearly_meets_the_one_before_is_put_onto_it() -> None:
    bins = Py4xsBins.from_centers([1.0, 2.0, 3.01, 4.02])
    assert bins.kept.all()
    assert np.allclose(bins.grid.edges, [0.5, 1.5, 2.5, 3.515, 4.525])


@pytest.mark.parametrize(
    ("q", "message", "reason"),
    [
        ([0.1, 0.3, 0.4], "steps of q that do not shrink", "the bins would overlap"),
        ([0.1], "at least two", "there is no step"),
        ([0.2, 0.1], "increase", "no order"),
    ],
)
def test_grid_that_py4xs_cannot_use_is_refused(q: list[float], message: str, reason: str) -> None:
    with pytest.raises(ReductionError, match=message):
        Py4xsBins.from_centers(q)


def test_curve_on_a_line_is_the_line_at_the_centres() -> None:
    """However the pixels lie in the bins: their mean belongs to their mean q."""
    rng = np.random.default_rng(0)
    pixels = Pixels(
        q=rng.uniform(0.05, 1.0, (60, 70)),
        normalization=np.ones((60, 70)),
        mask=rng.random((60, 70)) < 0.1,
    )
    frame = 1000 + 500 * pixels.q
    frame[rng.random(frame.shape) < 0.05] = -1
    bins = Py4xsBins.from_centers(np.linspace(0.1, 0.9, 30))
    method = Method(estimator="unweighted", error_model="azimuthal")
    sums = HistogramIntegrator(pixels, bins.grid, method).integrate(frame)
    curve = bins.curve(sums, pixels, frame)
    assert np.allclose(curve[0, 1:-1], 1000 + 500 * bins.centers[1:-1], rtol=1e-9)
    assert np.array_equal(curve[1], sums.sigma())


def test_bins_of_few_pixels_are_dropped() -> None:
    q = np.full((1, 20), 0.15)
    q[0, :3] = [0.25, 0.35, 0.95]
    pixels = Pixels(q=q, normalization=np.ones(q.shape), mask=np.zeros(q.shape, bool))
    bins = Py4xsBins.from_centers(np.arange(1, 31) * 0.1 - 0.05)
    sums = HistogramIntegrator(pixels, bins.grid).integrate(np.ones(q.shape))
    known = np.isfinite(bins.curve(sums, pixels)[1])
    assert np.flatnonzero(known).tolist() == [1, 2, 3, 9]
    far = Pixels(q=q + 2.0, normalization=np.ones(q.shape), mask=np.zeros(q.shape, bool))
    sums = HistogramIntegrator(far, bins.grid).integrate(np.ones(q.shape))
    assert np.flatnonzero(np.isfinite(bins.curve(sums, far)[1])).tolist() == [21, 22], (
        "23² · 0.002 > 1"
    )
