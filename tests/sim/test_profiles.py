import numpy as np
import pytest

from h5xs_bluesky.sim.profiles import (
    Spheres,
    ring_positions,
    silver_behenate,
    slit_scattering,
    water,
)


def test_water_scatters_forward_as_its_compressibility_says() -> None:
    assert water(np.array([0.01]))[0] == pytest.approx(1.632e-2, rel=1e-6)


def test_water_peaks_near_2_per_angstrom() -> None:
    q = np.linspace(0.5, 3.0, 1000)
    assert q[np.argmax(water(q))] == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_silver_behenate_peaks_at_the_orders_of_its_spacing(order: int) -> None:
    expected = order * 2 * np.pi / 58.38
    q = np.linspace(expected - 0.02, expected + 0.02, 4001)
    assert q[np.argmax(silver_behenate(q))] == pytest.approx(expected, rel=1e-3)


def test_rings_end_at_the_largest_q_asked_for() -> None:
    assert len(ring_positions(0.45)) == 4


@pytest.mark.parametrize(
    ("width", "reason"), [(0.0, "one radius"), (0.1, "a distribution of radii")]
)
def test_spheres_follow_guiniers_law_with_the_radius_they_tell(width: float, reason: str) -> None:
    spheres = Spheres(forward_per_cm=2.0, radius_angstrom=30.0, relative_width=width)
    radius = spheres.guinier_radius_angstrom
    q = np.array([0.05, 0.1]) / radius
    slope = np.diff(np.log(spheres(q))) / np.diff(q**2)
    assert np.sqrt(-3 * slope[0]) == pytest.approx(radius, rel=1e-3), reason
    assert spheres(np.array([1e-3]))[0] == pytest.approx(2.0, rel=1e-3), reason


def test_spheres_of_one_radius_vanish_where_tan_x_is_x() -> None:
    spheres = Spheres(forward_per_cm=1.0, radius_angstrom=10.0)
    assert spheres(np.array([0.4493409]))[0] < 1e-12


def test_a_width_makes_the_guinier_radius_larger() -> None:
    one, many = (
        Spheres(forward_per_cm=1.0, radius_angstrom=30.0, relative_width=width)
        for width in (0.0, 0.1)
    )
    assert many.guinier_radius_angstrom > one.guinier_radius_angstrom
    assert one.guinier_radius_angstrom == pytest.approx(30.0 * np.sqrt(0.6))


def test_slits_scatter_with_the_fourth_power() -> None:
    first, second = slit_scattering(np.array([0.02, 0.04]))
    assert first / second == pytest.approx(16.0)
