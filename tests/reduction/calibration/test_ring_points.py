"""Rings on a frame, sector by sector."""

import numpy as np
import pytest
from small_standard import moved, place, standard_frame

from h5xs_bluesky.reduction.calibration.calibrants import Calibrant
from h5xs_bluesky.reduction.calibration.cones import angles, pixels_per_rad
from h5xs_bluesky.reduction.calibration.polar import valid_pixels
from h5xs_bluesky.reduction.calibration.ring_points import RingPoints, find_ring_points
from h5xs_bluesky.reduction.geometry import Geometry

AGBH = Calibrant.named("AgBh")


def find(truth: Geometry, start: Geometry, **how: float) -> RingPoints:
    frame, mask = standard_frame(truth, **how)  # type: ignore[arg-type]
    valid = valid_pixels(frame, mask)
    return find_ring_points(np.where(valid, frame, 0).astype(float), valid, start, AGBH)


def off_px(points: RingPoints, truth: Geometry) -> np.ndarray:
    two_theta, chi = angles(truth, points.first_m, points.second_m)
    ring = AGBH.two_theta(truth.wavelength_m)[points.ring - 1]
    return np.asarray((two_theta - ring) * pixels_per_rad(truth, ring, chi))


@pytest.mark.parametrize("photons", [2e8, 3e9])
def test_points_are_on_the_rings_within_their_uncertainties(photons: float) -> None:
    truth = place()
    points = find(truth, truth, photons=photons)
    assert set(points.ring) >= {1, 2, 3}
    off = off_px(points, truth)
    assert np.abs(off / points.sigma_px).mean() < 1.2
    assert np.abs(off).max() < (1.0 if photons < 1e9 else 0.2)


def test_points_do_not_depend_much_on_where_the_detector_was_thought_to_be() -> None:
    truth = place()
    points = find(truth, moved(truth, 1.5, -1.5, 1.005))
    assert np.abs(off_px(points, truth)).mean() < 0.1


def test_split_ring_counts_at_its_higher_part() -> None:
    truth = place()
    frame = standard_frame(truth)[0].astype(float)
    inner = standard_frame(moved(truth, 0, 0, 0.93), seed=1)[0]
    both = np.where((frame < 0) | (inner < 0), -1, frame + 0.6 * inner)
    valid = valid_pixels(both, both < 0)
    points = find_ring_points(np.where(valid, both, 0), valid, truth, AGBH)
    third = points.only(points.ring == 3)
    assert len(third) > 10
    assert np.abs(np.median(off_px(third, truth))) < 0.3


def test_frame_without_rings_has_no_points() -> None:
    truth = place()
    flat = np.random.default_rng(0).poisson(20, truth.shape).astype(float)
    points = find_ring_points(flat, np.ones(truth.shape, bool), truth, AGBH)
    assert len(points) < 10
