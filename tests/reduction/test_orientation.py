"""Azimuths and grazing incidence, against pyFAI and py4xs' formulas."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from strategies import geometries, py4xs_geometries

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.geometry import Geometry
from h5xs_bluesky.reduction.orientation import SampleOrientation
from h5xs_bluesky.reduction.py4xs_geometry import Py4xsGeometry

UPRIGHT = Geometry.from_beam_center(
    shape=(95, 87),
    pixel_size_m=(172e-6, 172e-6),
    distance_m=0.1,
    beam_center_px=(60.2, 40.3),
    wavelength_m=1e-10,
)


def fiber_coordinates(geometry: Geometry, unit: str, incident_angle_deg: float) -> Any:
    """Let pyFAI compute qip or qoop; its orientation 4 has the normal towards row 0."""
    from pyFAI.detectors import Detector
    from pyFAI.integrator.fiber import FiberIntegrator
    from pyFAI.units import get_unit_fiber

    integrator = FiberIntegrator(
        dist=geometry.distance_m,
        poni1=geometry.poni1_m,
        poni2=geometry.poni2_m,
        rot1=geometry.rot1_rad,
        rot2=geometry.rot2_rad,
        rot3=geometry.rot3_rad,
        detector=Detector(*geometry.pixel_size_m, max_shape=geometry.shape, orientation=3),
        wavelength=geometry.wavelength_m,
    )
    wanted = get_unit_fiber(
        unit,
        incident_angle=np.radians(incident_angle_deg),
        tilt_angle=0.0,
        sample_orientation=4,
    )
    return integrator.array_from_unit(unit=wanted, shape=geometry.shape, typ="center")


@pytest.mark.parametrize("angle_deg", [0.0, 0.2, -5.0])
@settings(max_examples=15)
@given(geometry=geometries())
def test_surface_coordinates_are_those_of_pyfai(angle_deg: float, geometry: Geometry) -> None:
    orientation = SampleOrientation(incident_angle_deg=angle_deg)
    q, phi = geometry.q_map(), orientation.azimuth_deg(geometry.chi_map())
    qr, qn = orientation.surface_coordinates(
        q=q, azimuth_deg=phi, wavelength_m=geometry.wavelength_m
    )
    in_plane = fiber_coordinates(geometry, "qip_A^-1", angle_deg)
    assert np.allclose(qn, fiber_coordinates(geometry, "qoop_A^-1", angle_deg), atol=1e-12)
    assert np.allclose(np.abs(qr), np.abs(in_plane), atol=1e-6)
    sideways = np.abs(np.cos(np.radians(phi))) > 1e-6
    assert np.array_equal(np.sign(qr[sideways]), np.sign(in_plane[sideways]))
    assert np.allclose(np.hypot(qr, qn), q)


@given(py4xs_geometries())
def test_azimuth_is_the_ancestors(place: Py4xsGeometry) -> None:
    orientation = SampleOrientation(
        sample_normal_deg=place.sample_normal_deg, mirrored=place.flip < 0
    )
    chi = place.to_geometry().chi_map()
    off = orientation.azimuth_deg(chi) - place.azimuth_deg(chi)
    assert np.abs((off + 180) % 360 - 180).max() < 1e-9


def test_azimuth_runs_counter_clockwise_from_the_right() -> None:
    phi = SampleOrientation().azimuth_deg(UPRIGHT.chi_map())
    assert abs(phi[60, 86]) < 2
    assert abs(phi[0, 40] - 90) < 2
    assert abs(abs(phi[60, 0]) - 180) < 2
    assert abs(phi[94, 40] + 90) < 2
    assert (phi >= -180).all()
    assert (phi < 180).all()
    mirrored = SampleOrientation(mirrored=True).azimuth_deg(UPRIGHT.chi_map())
    assert abs(mirrored[0, 40] + 90) < 2


def test_specular_reflection_has_no_component_along_the_surface() -> None:
    """At 2θ = 2α above the beam q is along the normal: q = qn, qr = 0."""
    alpha = 1.5
    q = np.array([4 * np.pi / 1.0 * np.sin(np.radians(alpha))])
    qr, qn = SampleOrientation(incident_angle_deg=alpha).surface_coordinates(
        q=q, azimuth_deg=np.array([90.0]), wavelength_m=1e-10
    )
    assert np.allclose(qn, q)
    assert np.allclose(qr, 0, atol=1e-8)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"incident_angle_deg": 91.0}, "beyond a right angle"),
        ({"incident_angle_deg": np.nan}, "no number"),
        ({"sample_normal_deg": np.inf}, "not finite"),
    ],
)
def test_angles_that_are_none_are_refused(values: dict[str, float], reason: str) -> None:
    with pytest.raises(ReductionError, match="expected"):
        SampleOrientation(**values)  # type: ignore[arg-type]


def test_without_an_incident_angle_there_is_no_surface() -> None:
    with pytest.raises(ReductionError, match="incident_angle_deg"):
        SampleOrientation().surface_coordinates(
            q=np.ones(1), azimuth_deg=np.ones(1), wavelength_m=1e-10
        )
