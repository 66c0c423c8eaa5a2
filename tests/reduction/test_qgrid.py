"""The bins of q."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import qgrids

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.qgrid import QGrid


@given(qgrids(), st.lists(st.floats(-0.5, 3.0), max_size=50))
def test_bin_index_follows_numpys_histogram(qgrid: QGrid, values: list[float]) -> None:
    q = np.concatenate([values, qgrid.edges])
    index = qgrid.bin_index(q)
    assert np.array_equal(
        np.bincount(index[index >= 0], minlength=len(qgrid)),
        np.histogram(q, bins=qgrid.edges)[0],
    )


def test_nan_is_in_no_bin() -> None:
    assert QGrid.linear(0, 1, 4).bin_index([np.nan, -1.0, 2.0, 0.5]).tolist() == [-1, -1, -1, 2]


def test_a_single_q_has_a_bin_too() -> None:
    assert QGrid.linear(0, 1, 4).bin_index(0.6) == 2
    assert QGrid.linear(0, 1, 4).bin_index(1.0) == 3


@given(qgrids())
def test_edges_and_centers_bring_the_grid_back(qgrid: QGrid) -> None:
    assert QGrid(edges=qgrid.edges.copy(), centers=qgrid.centers.copy()) == qgrid


@given(st.floats(-1, 1), st.floats(1e-3, 1), st.integers(2, 100))
def test_centers_of_a_uniform_grid_bring_its_edges_back(
    start: float, width: float, bins: int
) -> None:
    qgrid = QGrid.linear(start, start + width * bins, bins)
    assert np.allclose(QGrid.from_centers(qgrid.centers).edges, qgrid.edges, rtol=0, atol=1e-9)


def test_segments_join_without_gap_or_overlap() -> None:
    qgrid = QGrid.from_segments([[0.005, 0.05, 0.001], [0.05, 0.1, 0.002], [0.1, 0.4, 0.005]])
    assert len(qgrid) == 45 + 25 + 60
    assert np.allclose(qgrid.widths[[0, 45, 70]], [0.001, 0.002, 0.005])
    assert qgrid.edges[[0, 45, 70, 130]] == pytest.approx([0.005, 0.05, 0.1, 0.4])


def test_centers_lie_midway_between_edges_or_where_they_are_given() -> None:
    centers = np.array([0.1, 0.2, 0.4])
    qgrid = QGrid.from_centers(centers)
    assert np.array_equal(qgrid.centers, centers)
    assert qgrid.edges == pytest.approx([0.05, 0.15, 0.3, 0.5])


def test_logarithmic_bins_have_one_ratio() -> None:
    qgrid = QGrid.logarithmic(0.01, 1.0, 20)
    assert np.ptp(qgrid.edges[1:] / qgrid.edges[:-1]) < 1e-12
    assert np.allclose(qgrid.centers**2, qgrid.edges[1:] * qgrid.edges[:-1])


def test_grids_are_equal_by_value() -> None:
    assert QGrid.linear(0, 1, 5) == QGrid.linear(0, 1, 5)
    assert hash(QGrid.linear(0, 1, 5)) == hash(QGrid.linear(0, 1, 5))
    assert QGrid.linear(0, 1, 5) != QGrid.linear(0, 1, 6)


def test_edges_cannot_be_changed_afterwards() -> None:
    qgrid = QGrid.linear(0, 1, 5)
    with pytest.raises(ValueError, match="read-only"):
        qgrid.edges[0] = 7


@pytest.mark.parametrize(
    ("make", "said", "why"),
    [
        (lambda: QGrid.from_edges([0.1]), "two", "one edge makes no bin"),
        (lambda: QGrid.from_edges([0.1, 0.3, 0.2]), "0.3 followed by 0.2", "decreasing"),
        (lambda: QGrid.from_edges([0.1, np.nan]), "finite", "not a number"),
        (lambda: QGrid.from_centers([0.2, 0.1]), "increase", "decreasing centres"),
        (lambda: QGrid.from_segments([[0, 1, 0.3]]), "whole number", "does not divide"),
        (lambda: QGrid.from_segments([[0, 1, 0.5], [2, 3, 0.5]]), "start at 1", "a gap"),
        (lambda: QGrid.from_segments([[0, 1, 0.5], [0.5, 3, 0.5]]), "start at 1", "an overlap"),
        (lambda: QGrid.from_segments([[1, 0, 0.5]]), "start < stop", "backwards"),
        (lambda: QGrid.from_segments([[0, np.inf, 0.5]]), "finite", "endless"),
        (lambda: QGrid.from_segments([[1, 2]]), "[start, stop, step]", "incomplete"),
        (lambda: QGrid.logarithmic(0, 1, 5), "0 < start", "no logarithm of 0"),
        (lambda: QGrid.linear(0, 1, 0), "at least one bin", "no bins"),
        (lambda: QGrid(np.array([0.0, 1.0]), np.array([2.0])), "inside", "centre outside"),
    ],
)
def test_impossible_grid_is_refused(make: object, said: str, why: str) -> None:
    assert callable(make)
    with pytest.raises(ReductionError) as error:
        make()
    assert said in str(error.value), why
