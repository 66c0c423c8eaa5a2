"""Where cones of scattering meet a detector."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from strategies import TILTED, geometries

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.calibration.cones import (
    Placement,
    angles,
    beam_center_px,
    pixel_centers,
    pixels_per_rad,
    points,
)
from h5xs_bluesky.reduction.geometry import Geometry


@given(geometry=geometries())
@settings(max_examples=20)
def test_angles_of_the_pixels_are_pyfais(geometry: Geometry) -> None:
    two_theta, chi = angles(geometry, *pixel_centers(geometry))
    np.testing.assert_allclose(two_theta, geometry.two_theta_map(), atol=1e-12)
    off = np.exp(1j * chi) - np.exp(1j * geometry.chi_map())
    assert np.abs(off * two_theta).max() < 1e-10  # χ means little where 2θ is small


@given(geometry=geometries())
def test_points_of_angles_are_where_the_angles_are_from(geometry: Geometry) -> None:
    first, second = pixel_centers(geometry)
    back = points(geometry, *angles(geometry, first, second))
    shape = geometry.shape
    np.testing.assert_allclose(back[0], np.broadcast_to(first, shape), atol=1e-12)
    np.testing.assert_allclose(back[1], np.broadcast_to(second, shape), atol=1e-12)


@given(geometry=geometries())
def test_placement_gives_its_geometry_back(geometry: Geometry) -> None:
    back = Placement.of(geometry).geometry(geometry)
    for name in ("distance_m", "poni1_m", "poni2_m"):
        assert getattr(back, name) == pytest.approx(getattr(geometry, name), abs=1e-14)


@given(geometry=geometries())
def test_two_theta_is_zero_where_the_beam_meets_the_detector(geometry: Geometry) -> None:
    place = Placement.of(geometry)
    two_theta, _ = angles(geometry, np.array([place.beam1_m]), np.array([place.beam2_m]))
    assert two_theta[0] == pytest.approx(0, abs=1e-7)


def test_beam_center_of_an_upright_detector_is_the_one_given() -> None:
    upright = Geometry.from_beam_center(
        shape=(40, 50),
        pixel_size_m=(172e-6, 75e-6),
        distance_m=0.5,
        beam_center_px=(12.0, 33.5),
        wavelength_m=1e-10,
    )
    assert beam_center_px(upright) == pytest.approx((12.0, 33.5))


def test_pixels_per_rad_is_how_far_a_point_moves() -> None:
    two_theta, chi = np.array([0.3, 0.4]), np.array([1.0, 2.0])
    step = 1e-4
    here, there = (points(TILTED, two_theta + d, chi) for d in (-step / 2, step / 2))
    moved_px = np.hypot(there[0] - here[0], there[1] - here[1]) / 172e-6
    np.testing.assert_allclose(pixels_per_rad(TILTED, two_theta, chi) * step, moved_px, rtol=1e-6)


def test_ray_away_from_the_detector_meets_it_nowhere() -> None:
    first, second = points(TILTED, np.array([3.0]), np.array([0.0]))
    assert np.isnan(first[0])
    assert np.isnan(second[0])


def test_detector_along_the_beam_has_no_placement() -> None:
    with pytest.raises(ReductionError, match="plane the beam meets"):
        Placement.of(replace(TILTED, rot1_rad=np.pi / 2))
