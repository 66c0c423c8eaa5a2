"""Integrals over ranges of q, against formulas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import qgrids

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.integrals import integrate_range
from h5xs_bluesky.reduction.qgrid import QGrid


@given(qgrids(), st.floats(0.0, 0.9), st.floats(0.01, 1.0))
def test_constant_curve_gives_the_length_of_the_range_in_the_grid(
    qgrid: QGrid, low: float, length: float
) -> None:
    high = low + length
    curve = np.stack([np.full(len(qgrid), 3.0), np.zeros(len(qgrid))])
    covered = max(0.0, min(high, qgrid.edges[-1]) - max(low, qgrid.edges[0]))
    value, sigma = integrate_range(curve, qgrid, low=low, high=high)
    if covered == 0:
        assert np.isnan([value, sigma]).all()
    else:
        assert value == pytest.approx(3.0 * covered)
        assert sigma == 0.0


def test_ranges_that_share_an_edge_add_up() -> None:
    rng = np.random.default_rng(0)
    qgrid = QGrid.from_segments([[0.0, 0.1, 0.01], [0.1, 0.5, 0.04]])
    curve = rng.uniform(1, 2, (2, len(qgrid)))
    first, second, both = (
        integrate_range(curve, qgrid, low=low, high=high)[0]
        for low, high in ((0.02, 0.2), (0.2, 0.5), (0.02, 0.5))
    )
    assert first + second == pytest.approx(both)


def test_uncertainty_is_the_scatter_of_repeats() -> None:
    rng = np.random.default_rng(1)
    qgrid, sigma = QGrid.linear(0, 1, 8), rng.uniform(0.1, 0.5, 8)
    found = [
        integrate_range(np.stack([rng.normal(5, sigma), sigma]), qgrid, low=0.1, high=0.8)
        for _ in range(4000)
    ]
    values, told = np.transpose(found)
    assert values.std() == pytest.approx(told[0], rel=0.04)


def test_bins_without_pixels_add_nothing() -> None:
    curve = np.array([[1.0, np.nan, 3.0], [0.3, np.nan, 0.4]])
    assert integrate_range(curve, QGrid.linear(0, 3, 3), low=0, high=3) == (4.0, 0.5)
    assert np.isnan(integrate_range(curve, QGrid.linear(0, 3, 3), low=1.2, high=1.8)).all()


@pytest.mark.parametrize(
    ("bins", "low", "high", "word"),
    [(3, 0.5, 0.5, "increases"), (4, 0.1, 0.5, r"found shape \(2, 3\)")],
)
def test_what_cannot_be_integrated_is_refused(
    bins: int, low: float, high: float, word: str
) -> None:
    with pytest.raises(ReductionError, match=word):
        integrate_range(np.ones((2, 3)), QGrid.linear(0, 1, bins), low=low, high=high)
