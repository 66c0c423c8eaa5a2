"""Maps: what falls into which cell, means and standard errors, symmetry, gaps."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import SHAPE, frames, pixels

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.integration.pixels import Pixels
from h5xs_bluesky.reduction.maps.fill import fill_gaps
from h5xs_bluesky.reduction.maps.mean_frame import mean_frame
from h5xs_bluesky.reduction.maps.sums import MapAxis, MapSums, add_sums, map_frame
from h5xs_bluesky.reduction.maps.symmetry import apply_friedel

Q_AXIS = MapAxis.linear(0.1, 0.9, 6)


def azimuths(cells: int) -> MapAxis:
    return MapAxis.linear(-180, 180, cells, period=360)


def random_places(seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 1, SHAPE), rng.uniform(-180, 180, SHAPE)


def plain(counts: NDArray[Any], **more: Any) -> Pixels:
    values = {"q": np.zeros(counts.shape), "normalization": np.ones(counts.shape)}
    return Pixels(**{**values, "mask": np.zeros(counts.shape, bool), **more})


@given(frames(), pixels(), st.integers(0, 100))
def test_map_is_that_of_a_loop_over_pixels(
    frame: NDArray[np.int32], pixels: Pixels, seed: int
) -> None:
    q, phi = random_places(seed)
    sums = map_frame(frame, pixels, x=q, y=phi, x_axis=Q_AXIS, y_axis=azimuths(5))
    expected = {name: np.zeros((5, 6)) for name in MapSums.FIELDS}
    for place in np.ndindex(SHAPE):
        column = np.searchsorted(Q_AXIS.edges, q[place], side="right") - 1
        row = np.searchsorted(azimuths(5).edges, phi[place], side="right") - 1
        if frame[place] < 0 or pixels.mask[place] or not (0 <= column < 6 and 0 <= row < 5):
            continue
        expected["signal"][row, column] += frame[place]
        expected["variance"][row, column] += frame[place]
        expected["normalization"][row, column] += pixels.normalization[place]
        expected["count"][row, column] += 1
    for name, values in expected.items():
        assert np.allclose(getattr(sums, name), values, rtol=1e-12), name


@given(frames(), pixels(), st.integers(0, 100), st.sampled_from([-720.0, -360.0, 360.0]))
def test_azimuth_is_periodic(
    frame: NDArray[np.int32], pixels: Pixels, seed: int, turns: float
) -> None:
    q, phi = random_places(seed)
    phi = phi.round(3)
    one, other = (
        map_frame(frame, pixels, x=q, y=each, x_axis=Q_AXIS, y_axis=azimuths(7)).count
        for each in (phi, phi + turns)
    )
    assert np.abs(one - other).sum() <= 2  # a pixel on an edge may round to either side


@pytest.mark.parametrize(
    ("value", "cell", "reason"),
    [
        (-180.0, 0, "the lower edge belongs to the first cell"),
        (180.0, 0, "a full turn is the first cell again"),
        (179.9999, 3, "just below it is the last"),
        (-90.0, 1, "an inner edge belongs to the cell above"),
        (-90.000001, 0, "and what is below it to the one below"),
        (540.0, 0, "several turns"),
        (np.nan, -1, "no number is in no cell"),
    ],
)
def test_values_find_their_cell(value: float, cell: int, reason: str) -> None:
    assert azimuths(4).index(np.array([value])).tolist() == [cell]


@given(st.lists(st.floats(0.01, 2), min_size=2, max_size=30), st.integers(0, 100))
def test_cell_of_any_axis_is_where_numpy_has_it(widths: list[float], seed: int) -> None:
    axis = MapAxis(edges=np.cumsum([0.0, *widths]))
    values = np.random.default_rng(seed).uniform(-1, axis.edges[-1] + 1, 200)
    values = np.concatenate([values, axis.edges])
    expected = np.searchsorted(axis.edges, values, side="right") - 1
    expected[(values < axis.edges[0]) | (values >= axis.edges[-1])] = -1
    assert np.array_equal(axis.index(values), expected)
    uniform = MapAxis.linear(0.0, 1.1, len(widths))
    inside = uniform.edges[:-1]
    assert uniform.index(inside).tolist() == list(range(len(widths)))


def test_mean_is_unbiased_and_its_error_right_at_any_count_rate() -> None:
    """Over 400 repetitions, from 0.05 to 50 counts per pixel, a few pixels per cell."""
    rng = np.random.default_rng(3)
    q, phi = random_places(1)
    norm = rng.uniform(0.5, 2, SHAPE)
    axes: dict[str, Any] = {"x": q, "y": phi, "x_axis": Q_AXIS, "y_axis": azimuths(12)}
    for rate in (0.05, 1.0, 50.0):
        means, variances = [], []
        for _ in range(400):
            frame = rng.poisson(rate * norm)
            sums = map_frame(frame, plain(frame, normalization=norm), **axes)
            means.append(sums.mean())
            variances.append(sums.sem() ** 2)
        mean, spread = np.mean(means, axis=0), np.var(means, axis=0, ddof=1)
        known = np.isfinite(mean)
        assert known.sum() > 60
        pulls = (mean - rate)[known] / np.sqrt(spread[known] / 400)
        assert abs(pulls.mean()) < 4 / np.sqrt(known.sum())
        ratio = (np.mean(variances, axis=0) / spread)[known]
        assert abs(np.mean(ratio) - 1) < 4 * np.sqrt(2 / 400 / known.sum()) + 0.01


@given(frames(), frames(), pixels(), st.integers(0, 100))
def test_mean_of_frames_maps_as_their_sums_do(
    one: NDArray[np.int32], other: NDArray[np.int32], pixels: Pixels, seed: int
) -> None:
    q, phi = random_places(seed)
    axes: dict[str, Any] = {"x": q, "y": phi, "x_axis": Q_AXIS, "y_axis": azimuths(4)}
    both = add_sums([map_frame(frame, pixels, **axes) for frame in (one, other)])
    mean, exposures = mean_frame([one, other], saturation=None)
    at_once = map_frame(mean, pixels, exposures=exposures, **axes)
    assert np.allclose(at_once.mean(), both.mean(), equal_nan=True)
    assert np.allclose(at_once.sem(), both.sem(), equal_nan=True)


def test_dark_and_its_variance_enter() -> None:
    frame = np.full((2, 2), 10)
    dark = plain(frame, dark=np.full((2, 2), 4.0), dark_variance=np.full((2, 2), 2.0))
    one = MapAxis.linear(0, 1, 1)
    zeros = np.zeros((2, 2))
    sums = map_frame(frame, dark, x=zeros, y=zeros, x_axis=one, y_axis=one)
    assert sums.mean()[0, 0] == 6
    assert np.isclose(sums.sem()[0, 0], np.sqrt(4 * 12) / 4)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: MapAxis(edges=np.array([1.0, 1.0])), "increase"),
        (lambda: MapAxis.linear(0, 1, 0), "at least one cell"),
        (lambda: MapAxis.from_centers([1.0]), "two centres"),
        (lambda: add_sums([]), "one shape"),
        (lambda: mean_frame([], saturation=None), "found none"),
        (lambda: mean_frame([np.zeros((2, 2)), np.zeros((3, 2))], saturation=None), "shape"),
        (lambda: fill_gaps(np.zeros((2, 2)), np.zeros((2, 2)), max_width=0), "max_width"),
        (lambda: apply_friedel(isotropic(4), azimuth_deg=np.arange(4) * 45.0), "full turn"),
        (lambda: apply_friedel(isotropic(4), azimuth_deg=np.array([0, 90, 200, 270])), "equally"),
    ],
)
def test_what_makes_no_map_is_refused(call: Any, text: str) -> None:
    with pytest.raises(ReductionError, match=text):
        call()


def isotropic(rows: int) -> MapSums:
    ones = np.ones((rows, 3))
    return MapSums(signal=ones * 6, variance=ones * 6, normalization=ones * 2, count=ones)


@given(st.integers(2, 41), st.booleans())
def test_symmetry_leaves_what_is_symmetric(rows: int, closed: bool) -> None:
    """In the mean; the error falls by √2, less with odd rows, whose halves are shared."""
    step = 360 / (rows - 1 if closed and rows > 2 else rows)
    azimuth = -180 + step * np.arange(rows)
    sums = isotropic(rows)
    result = apply_friedel(sums, azimuth_deg=azimuth)
    assert np.allclose(result.mean(), 3.0)
    if not closed:
        ratio = result.sem() / sums.sem()
        assert np.allclose(ratio, np.sqrt(0.5) if rows % 2 == 0 else np.sqrt(1.5) / 2)


@pytest.mark.parametrize("rows", [8, 9, 60, 61])
def test_symmetry_finds_the_opposite_for_odd_and_even_rows(rows: int) -> None:
    """A map of cos φ, which is antisymmetric, averages to zero."""
    azimuth = azimuths(rows).centers
    wave = np.cos(np.radians(azimuth))[:, None]
    sums = MapSums.from_values(10 + wave, np.ones((rows, 1)))
    width = np.pi / rows
    half_cells = np.cos(width) if rows % 2 else 1.0  # the mean of two neighbours falls short
    found = apply_friedel(sums, azimuth_deg=azimuth).mean()
    assert np.allclose(found, 10 + wave * (1 - half_cells) / 2, atol=1e-12)


@pytest.mark.parametrize("rows", [10, 11])
def test_symmetry_fills_from_the_other_side_and_errors_are_right(rows: int) -> None:
    rng = np.random.default_rng(0)
    azimuth = azimuths(rows).centers
    norm = rng.uniform(1, 3, (rows, 4))
    norm[2] = 0  # a shadow
    results = []
    for _ in range(1500):
        counts = rng.poisson(5 * norm).astype(float)
        sums = MapSums(signal=counts, variance=counts, normalization=norm, count=norm)
        results.append(apply_friedel(sums, azimuth_deg=azimuth))
    mean = np.mean([each.mean() for each in results], axis=0)
    spread = np.var([each.mean() for each in results], axis=0)
    reported = np.mean([each.sem() ** 2 for each in results], axis=0)
    assert np.isfinite(mean).all()
    assert np.abs(mean - 5).max() < 5 * np.sqrt(spread.max() / 1500)
    assert np.allclose(reported / spread, 1, atol=0.2)


def test_first_and_last_row_of_the_ancestors_grid_are_one_direction() -> None:
    azimuth = np.linspace(-180, 180, 7)
    values = MapSums.from_values(np.arange(7.0)[:, None], np.ones((7, 1)))
    result = apply_friedel(values, azimuth_deg=azimuth).mean()[:, 0]
    assert result[0] == result[-1] == (0 + 6 + 3) / 3
    assert result[1] == result[4] == (1 + 4) / 2


def test_only_narrow_gaps_are_filled_along_the_narrower_direction() -> None:
    mean = np.add.outer(np.arange(8.0), 10 * np.arange(12.0))
    sem = np.full(mean.shape, 2.0)
    truth = mean.copy()
    mean[:, 4:6] = np.nan  # a stripe of two cells
    mean[3:8, 8:12] = np.nan  # a corner: no other side
    filled, errors, where = fill_gaps(mean, sem, max_width=3)
    assert where.sum() == 8 * 2
    assert np.allclose(filled[:, 4:6], truth[:, 4:6])
    assert np.isnan(filled[3:8, 8:12]).all()
    thirds = np.hypot(2 * 2 / 3, 2 * 1 / 3)
    assert np.allclose(errors[:, 4:6], thirds)
    assert np.array_equal(filled[~where], mean[~where], equal_nan=True)


def test_gap_across_the_end_of_a_turn_is_filled_only_where_rows_repeat() -> None:
    mean = np.ones((6, 3))
    mean[[0, 5]] = np.nan
    sem = np.ones((6, 3))
    assert not fill_gaps(mean, sem, max_width=2)[2].any()
    assert fill_gaps(mean, sem, max_width=2, periodic_rows=True)[2].sum() == 6
    assert not fill_gaps(np.full((4, 4), np.nan), np.ones((4, 4)), max_width=9)[2].any()
