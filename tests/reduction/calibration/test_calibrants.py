"""Standards."""

import numpy as np
import pytest

from h5xs_bluesky.errors import ConfigurationError
from h5xs_bluesky.reduction.calibration.calibrants import Calibrant, calibrant_names


def test_silver_behenate_has_the_published_spacing_and_its_orders() -> None:
    q = Calibrant.named("AgBh").q_per_angstrom
    np.testing.assert_allclose(q[:10], 2 * np.pi / 58.38 * np.arange(1, 11), rtol=1e-8)


@pytest.mark.parametrize("name", calibrant_names())
def test_rings_of_every_calibrant_stand_in_order(name: str) -> None:
    angles = Calibrant.named(name).two_theta(1e-10)
    assert angles.size > 1
    assert (np.diff(angles) > 0).all()


def test_angles_follow_bragg() -> None:
    angles = Calibrant.named("CeO2").two_theta(0.4066e-10)
    d = Calibrant.named("CeO2").spacing_angstrom[: angles.size]
    np.testing.assert_allclose(2 * d * np.sin(angles / 2), 0.4066, rtol=1e-12)


def test_rings_beyond_half_the_wavelength_are_not_there() -> None:
    calibrant = Calibrant.named("CeO2")
    assert calibrant.two_theta(5e-10).size == (calibrant.spacing_angstrom > 2.5).sum() == 2


def test_unknown_calibrant_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match="found 'sugar': choose from AgBh"):
        Calibrant.named("sugar")
