"""py4xs' parameters and pyFAI's describe the same detector."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import FLIPS, geometries, py4xs_geometries

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.geometry import Geometry
from h5xs_bluesky.reduction.py4xs_geometry import Py4xsGeometry


def py4xs_recipe(p: Py4xsGeometry) -> tuple[NDArray[np.float64], ...]:
    """Give q in 1/Å, Φ in degrees and 2θ of the flipped picture, from py4xs' own formula."""
    y, x = np.indices((p.image_height, p.image_width), dtype=float)
    a, t, b = np.radians([p.det_orient_deg + p.det_phi_deg, p.det_tilt_deg, -p.det_orient_deg])
    # written out: Rz(a) Ry(t) Rz(b) acting on (u, w, 0)
    u, w = x - p.bm_ctr_x, -(y - p.bm_ctr_y)
    u, w = np.cos(b) * u - np.sin(b) * w, np.sin(b) * u + np.cos(b) * w
    u, z = np.cos(t) * u, -np.sin(t) * u
    u, w = np.cos(a) * u - np.sin(a) * w, np.sin(a) * u + np.cos(a) * w
    z = z - p.ratio_dw * p.image_width
    radius = np.hypot(u, w)
    two_theta = np.arctan2(radius, -z)
    q = 4 * np.pi / p.wavelength_angstrom * np.sin(two_theta / 2)
    phi = np.degrees(np.arctan2(w, u)) + p.sample_normal_deg
    return q, phi, two_theta, radius


@settings(max_examples=300, deadline=None)
@given(py4xs_geometries())
def test_q_and_azimuth_are_those_of_the_recipe(p: Py4xsGeometry) -> None:
    """q to 1e-12 and azimuth to 1e-9° at any flip and tilt, on the picture as it is stored."""
    geometry = p.to_geometry()
    q, phi, two_theta, radius = (p.stored(np.asarray(array)) for array in py4xs_recipe(p))
    assert geometry.shape == q.shape
    usual = (two_theta < np.radians(175)) & (radius > 0.5)  # at the beam there is no azimuth
    assert np.allclose(geometry.q_map()[usual], q[usual], rtol=1e-12, atol=0)
    off = (p.azimuth_deg(geometry.chi_map()) - phi + 180) % 360 - 180
    assert np.abs(off[usual]).max(initial=0) < 1e-9


def assert_same_place(one: Py4xsGeometry, other: Py4xsGeometry) -> None:
    for name in ("image_width", "image_height", "flip"):
        assert getattr(one, name) == getattr(other, name), name
    for name in ("bm_ctr_x", "bm_ctr_y", "ratio_dw", "wavelength_angstrom"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-10, abs=1e-9), name


@settings(max_examples=200, deadline=None)
@given(py4xs_geometries())
def test_round_trip_from_py4xs(p: Py4xsGeometry) -> None:
    """All parameters come back to 1e-10; without tilt only the sum of two angles has a meaning."""
    sign = 1 if p.det_tilt_deg > 0 else -1
    again = Py4xsGeometry.from_geometry(
        p.to_geometry(), flip=p.flip, tilt_sign=sign, sample_normal_deg=p.sample_normal_deg
    )
    assert_same_place(again, p)
    if abs(p.det_tilt_deg) < 1e-6:
        turned = again.det_phi_deg - p.det_phi_deg
    else:
        assert again.det_tilt_deg == pytest.approx(p.det_tilt_deg, abs=1e-10)
        loss = 1e-10 / np.sin(np.radians(abs(p.det_tilt_deg)))  # of small tilts' directions
        orient = (again.det_orient_deg - p.det_orient_deg + 180) % 360 - 180
        assert abs(orient) < max(1e-10, loss)
        turned = again.det_orient_deg + again.det_phi_deg - p.det_orient_deg - p.det_phi_deg
        assert abs((turned + 180) % 360 - 180) < max(1e-10, loss)
        return
    assert abs((turned + 180) % 360 - 180) < 1e-9


@settings(max_examples=200, deadline=None)
@given(geometries(), st.sampled_from(FLIPS), st.sampled_from([1, -1]))
def test_round_trip_from_pyfai(geometry: Geometry, flip: int, tilt_sign: int) -> None:
    """Lengths and rotations come back to 1e-10."""
    p = Py4xsGeometry.from_geometry(geometry, flip=flip, tilt_sign=tilt_sign)
    again = p.to_geometry()
    assert again.shape == geometry.shape
    for name in ("distance_m", "poni1_m", "poni2_m", "wavelength_m"):
        expected = getattr(geometry, name)
        assert getattr(again, name) == pytest.approx(expected, rel=1e-10, abs=1e-10), name
    for name in ("rot1_rad", "rot2_rad", "rot3_rad"):
        assert getattr(again, name) == pytest.approx(getattr(geometry, name), abs=1e-10), name


@pytest.mark.parametrize("flip", FLIPS)
def test_picture_is_turned_back(flip: int) -> None:
    p = Py4xsGeometry(
        image_width=3, image_height=2, bm_ctr_x=0, bm_ctr_y=0, ratio_dw=1,
        wavelength_angstrom=1, flip=flip,
    )  # fmt: skip
    frame = np.arange(6).reshape((2, 3) if flip % 2 == 0 else (3, 2))
    assert p.flipped(frame).shape == (2, 3)
    assert np.array_equal(p.stored(p.flipped(frame)), frame)


def test_flip_by_hand() -> None:
    """One quarter turn: what was on the right is on top."""
    p = Py4xsGeometry(
        image_width=2, image_height=3, bm_ctr_x=0, bm_ctr_y=0, ratio_dw=1,
        wavelength_angstrom=1, flip=1,
    )  # fmt: skip
    assert p.flipped(np.array([[1, 2, 3], [4, 5, 6]])).tolist() == [[3, 6], [2, 5], [1, 4]]
    mirrored = Py4xsGeometry(
        image_width=2, image_height=3, bm_ctr_x=0, bm_ctr_y=0, ratio_dw=1,
        wavelength_angstrom=1, flip=-1,
    )  # fmt: skip
    assert mirrored.flipped(np.array([[1, 2, 3], [4, 5, 6]])).tolist() == [[1, 4], [2, 5], [3, 6]]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"ratio_dw": 0.0}, "positive ratio_dw"),
        ({"wavelength_angstrom": np.nan}, "positive wavelength"),
        ({"det_tilt_deg": 90.0}, "the beam does not meet"),
    ],
)
def test_what_is_no_geometry_is_refused(changes: dict[str, Any], word: str) -> None:
    values: dict[str, Any] = {
        "image_width": 3, "image_height": 2, "bm_ctr_x": 0, "bm_ctr_y": 0, "ratio_dw": 1,
        "wavelength_angstrom": 1,
    }  # fmt: skip
    with pytest.raises(ReductionError, match=word):
        Py4xsGeometry(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"pixel_size_m": (1e-4, 2e-4)}, "square pixels"),
        ({"rot1_rad": np.pi / 2}, "along or behind"),
        ({"rot2_rad": 2.0}, "along or behind"),
    ],
)
def test_what_py4xs_cannot_describe_is_refused(changes: dict[str, Any], word: str) -> None:
    values: dict[str, Any] = {
        "shape": (10, 20), "pixel_size_m": (1e-4, 1e-4), "distance_m": 1.0, "poni1_m": 0.0,
        "poni2_m": 0.0, "wavelength_m": 1e-10,
    }  # fmt: skip
    with pytest.raises(ReductionError, match=word):
        Py4xsGeometry.from_geometry(Geometry(**{**values, **changes}))
