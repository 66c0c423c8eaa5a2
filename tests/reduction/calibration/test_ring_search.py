"""The first guess."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from small_standard import moved, place, standard_frame

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.calibration.calibrants import Calibrant
from h5xs_bluesky.reduction.calibration.cones import beam_center_px
from h5xs_bluesky.reduction.calibration.polar import PolarMap, valid_pixels
from h5xs_bluesky.reduction.calibration.ring_search import (
    NEAR,
    WIDE,
    Reach,
    explained_share,
    find_peaks_along_rays,
    search_place,
)

AGBH = Calibrant.named("AgBh")
TRUTH = place()
Frame = tuple[NDArray[np.float64], NDArray[np.bool_]]


@pytest.fixture(scope="module")
def standard() -> Frame:
    frame, mask = standard_frame(TRUTH)
    valid = valid_pixels(frame, mask)
    return np.where(valid, frame, 0).astype(float), valid


@pytest.mark.parametrize(
    ("reach", "off"), [(NEAR, (50, -40, 1.2)), (WIDE, (-120, 90, 0.7))], ids=["near", "far"]
)
def test_place_is_found_to_a_pixel_and_a_percent(
    standard: Frame, reach: Reach, off: tuple[float, float, float]
) -> None:
    found = search_place(*standard, moved(TRUTH, *off), AGBH, reach)
    assert beam_center_px(found) == pytest.approx(beam_center_px(TRUTH), abs=1)
    assert found.distance_m == pytest.approx(TRUTH.distance_m, rel=0.01)


def test_peaks_of_the_standard_lie_on_its_rings_and_on_no_others(standard: Frame) -> None:
    assert explained_share(*standard, TRUTH, AGBH) > 0.8
    assert explained_share(*standard, TRUTH, Calibrant.named("LaB6")) < 0.2


@pytest.mark.parametrize(
    ("expected", "reason"),
    [
        (lambda r: np.full(r.shape, 20.0), "noise"),
        (lambda r: np.where(r < 80, 200.0, 2.0), "the edge of a shadow"),
        (lambda r: 1e6 * (r + 5) ** -2, "a steep background"),
    ],
)
def test_what_is_no_ring_gives_few_peaks(
    expected: Callable[[NDArray[np.float64]], NDArray[np.float64]], reason: str
) -> None:
    row, column = beam_center_px(TRUTH)
    rows, columns = np.indices(TRUTH.shape)
    mean = expected(np.hypot(rows - row, columns - column))
    frame = np.random.default_rng(0).poisson(mean).astype(float)
    polar = PolarMap.of(frame, frame >= 0, TRUTH, sectors=48)
    assert find_peaks_along_rays(polar, TRUTH).weight.sum() < 5, reason


def test_frame_without_peaks_is_told() -> None:
    nothing = np.zeros(TRUTH.shape)
    with pytest.raises(ReductionError, match="expected rings of AgBh, found 0 peaks"):
        search_place(nothing, nothing == 0, TRUTH, AGBH, NEAR)
    assert np.isnan(explained_share(nothing, nothing == 0, TRUTH, AGBH))
