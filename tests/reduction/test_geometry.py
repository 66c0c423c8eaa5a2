"""Where a detector stands."""

from pathlib import Path

import fabio
import numpy as np
import pytest
from hypothesis import given, settings
from strategies import geometries

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.geometry import Geometry
from h5xs_bluesky.reduction.integration.integrate import BinnedIntegrator
from h5xs_bluesky.reduction.integration.pixels import Pixels
from h5xs_bluesky.reduction.qgrid import QGrid


def upright(**changes: object) -> Geometry:
    values: dict[str, object] = {
        "shape": (40, 50),
        "pixel_size_m": (172e-6, 172e-6),
        "distance_m": 0.5,
        "beam_center_px": (12.0, 33.0),
        "wavelength_m": 1e-10,
    }
    return Geometry.from_beam_center(**{**values, **changes})  # type: ignore[arg-type]


def test_q_is_zero_in_the_pixel_that_the_beam_center_names() -> None:
    q = upright().q_map()
    assert q[12, 33] == pytest.approx(0, abs=1e-12)
    assert np.unravel_index(np.argmin(q), q.shape) == (12, 33)


def test_q_of_an_upright_detector_follows_the_formula() -> None:
    geometry = upright()
    rows, columns = np.indices(geometry.shape)
    radius_m = np.hypot(rows - 12.0, columns - 33.0) * 172e-6
    theta_rad = np.arctan2(radius_m, 0.5) / 2
    expected = 4 * np.pi * np.sin(theta_rad) / 1.0  # wavelength 1 Å
    assert np.allclose(geometry.q_map(), expected, rtol=1e-9, atol=1e-12)
    assert np.allclose(geometry.two_theta_map(), 2 * theta_rad, rtol=1e-9, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(geometries())
def test_beam_meets_a_tilted_detector_where_pyfai_says(geometry: Geometry) -> None:
    fit2d = geometry._pyfai().getFit2D()
    down, across = geometry.beam_center_m
    row, column = down / geometry.pixel_size_m[0], across / geometry.pixel_size_m[1]
    assert fit2d["centerY"] == pytest.approx(row, rel=1e-6, abs=1e-3)  # pixels; pyFAI 2025 takes
    assert fit2d["centerX"] == pytest.approx(column, rel=1e-6, abs=1e-3)  # tiny tilts for none
    assert fit2d["directDist"] == pytest.approx(geometry.beam_distance_m * 1000, rel=1e-9)


def test_solid_angle_of_an_upright_detector_is_the_cube_of_a_cosine() -> None:
    geometry = upright(distance_m=0.02)
    assert np.allclose(geometry.solid_angle_map(), np.cos(geometry.two_theta_map()) ** 3, rtol=1e-6)


def test_polarization_dims_the_plane_of_the_electric_field() -> None:
    geometry = upright(distance_m=0.005, beam_center_px=(20.0, 25.0))
    along = np.cos(geometry.two_theta_map()) ** 2
    horizontal = geometry.polarization_map(1.0)
    assert np.allclose(horizontal[20], along[20], rtol=1e-6), "a horizontal beam dims horizontally"
    assert np.allclose(horizontal[:, 25], 1, rtol=1e-6), "and not vertically"
    assert np.allclose(geometry.polarization_map(0.0), (1 + along) / 2, rtol=1e-6)


@settings(max_examples=20, deadline=None)
@given(geometries())
def test_q_and_two_theta_belong_together(geometry: Geometry) -> None:
    wavelength_angstrom = geometry.wavelength_m * 1e10
    expected = 4 * np.pi / wavelength_angstrom * np.sin(geometry.two_theta_map() / 2)
    assert np.allclose(geometry.q_map(), expected, rtol=1e-9, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(geometries())
def test_maps_are_those_that_pyfai_computes_from_angles(geometry: Geometry) -> None:
    """Its corrections are in single precision."""
    pyfai = geometry._pyfai()
    q = pyfai.center_array(geometry.shape, unit="q_A^-1")
    assert np.allclose(geometry.q_map(), q, rtol=1e-10, atol=1e-12)
    solid_angle = pyfai.solidAngleArray(geometry.shape, absolute=False)
    assert np.allclose(geometry.solid_angle_map(), solid_angle, rtol=1e-6)
    polarization = pyfai.polarization(geometry.shape, factor=0.9, with_checksum=False)
    assert np.allclose(geometry.polarization_map(0.9), polarization, rtol=1e-5, atol=1e-6)


def test_q_is_right_behind_the_sample() -> None:
    tilted = upright()
    geometry = Geometry(
        shape=tilted.shape, pixel_size_m=tilted.pixel_size_m, distance_m=0.01,
        poni1_m=tilted.poni1_m, poni2_m=tilted.poni2_m, rot2_rad=2.5, wavelength_m=1e-10,
    )  # fmt: skip
    assert (geometry.two_theta_map() > np.pi / 2).any()
    expected = 4 * np.pi * np.sin(geometry.two_theta_map() / 2)
    assert np.allclose(geometry.q_map(), expected, rtol=1e-10)


@pytest.mark.parametrize(
    "changes",
    [
        {"distance_m": -0.5},
        {"distance_m": float("nan")},
        {"wavelength_m": 0.0},
        {"pixel_size_m": (0.0, 1e-4)},
        {"shape": (0, 5)},
        {"beam_center_px": (float("inf"), 0.0)},
    ],
)
def test_impossible_geometry_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ReductionError, match="expected a"):
        upright(**changes)


def test_polarization_beyond_one_is_refused() -> None:
    with pytest.raises(ReductionError, match="from −1 to 1"):
        upright().polarization_map(1.5)


def test_rings_of_silver_behenate_lie_where_they_should(h5xs_data: Path) -> None:
    """Rings 1 to 4 of the real pattern lie within 1 % of k × 0.10763 Å⁻¹."""
    geometry = Geometry.from_beam_center(
        shape=(1043, 981),
        pixel_size_m=(172e-6, 172e-6),
        distance_m=0.7505,
        beam_center_px=(319.0, 588.0),
        wavelength_m=1.445e-10,
    )
    frame = fabio.open(str(h5xs_data / "saxs" / "agbh.tif")).data
    with np.load(h5xs_data / "saxs" / "mask.npz") as file:
        mask = file["mask"]
    detector = Detector(extension="_SAXS", data_key="x", model="", geometry=geometry, mask=mask)
    qgrid = QGrid.linear(0.02, 0.55, 1060)
    pixels = Pixels.from_detector(detector, polarization=None, solid_angle=True)
    intensity = BinnedIntegrator(pixels, qgrid).integrate(frame).intensity()
    for order in range(1, 5):
        expected = order * 0.10763
        near = np.abs(qgrid.centers - expected) < 0.02
        peak = qgrid.centers[near][np.nanargmax(intensity[near])]
        assert peak == pytest.approx(expected, rel=0.01), f"ring {order}"
