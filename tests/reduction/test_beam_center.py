"""The check of the beam's centre, on simulated patterns with a known shift and on real ones."""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import fabio
import numpy as np
import pytest
from hypothesis import given
from numpy.typing import NDArray
from strategies import geometries

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.beam_center import BeamCenter, beam_center_px, check_center
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.geometry import Geometry

PIXEL_M = 172e-6
PATTERNS = int(os.environ.get("H5XS_CENTERS", "10"))  # of each kind

Profile = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def globule(q: NDArray[np.float64]) -> NDArray[np.float64]:
    return 100 * np.exp(-((q * 30) ** 2) / 3) + 1


def ring(q: NDArray[np.float64]) -> NDArray[np.float64]:
    return 20 + 100 * np.exp(-(((q - 0.055) / 0.003) ** 2))


def detector(geometry: Geometry, mask: NDArray[np.bool_] | None = None) -> Detector:
    if mask is None:
        mask = np.zeros(geometry.shape, bool)
        mask[155:170] = True
    return Detector(extension="_SAXS", data_key="x", model="", geometry=geometry, mask=mask)


GEOMETRY = Geometry.from_beam_center(
    shape=(205, 195),
    pixel_size_m=(PIXEL_M, PIXEL_M),
    distance_m=0.75,
    beam_center_px=(100.0, 95.0),
    wavelength_m=1.445e-10,
)


def moved(geometry: Geometry, rows: float, columns: float) -> Geometry:
    return replace(
        geometry,
        poni1_m=geometry.poni1_m + rows * PIXEL_M,
        poni2_m=geometry.poni2_m + columns * PIXEL_M,
    )


def check(frame: NDArray[Any], geometry: Geometry = GEOMETRY, **changes: Any) -> BeamCenter:
    options: dict[str, Any] = {"q_range": (0.01, 0.09), "bins": 80, "sectors": 9}
    return check_center(
        frame, detector(geometry), polarization=None, solid_angle=True, **{**options, **changes}
    )


@cache
def simulated(profile: Profile, level: float, largest_px: float) -> NDArray[np.float64]:
    """Give error, σ, χ²/n and both p-values for patterns with random shifts, (2n, 5)."""
    rng = np.random.default_rng(1)
    rows = []
    for _ in range(PATTERNS):
        shift = rng.uniform(-largest_px, largest_px, 2)
        expected = profile(moved(GEOMETRY, *shift).q_map())
        found = check(rng.poisson(level * expected * GEOMETRY.solid_angle_map()).astype(np.int32))
        for one, true in ((found.vertical, shift[0]), (found.horizontal, shift[1])):
            rows.append(
                [
                    one.shift_px - true,
                    one.sigma_px,
                    one.chi2_reduced,
                    one.before.p_value,
                    one.after.p_value,
                ]
            )
    return np.array(rows)


@pytest.mark.parametrize(
    ("profile", "level"), [(globule, 10.0), (globule, 100.0), (ring, 0.5), (ring, 20.0)]
)
def test_shift_is_found_without_bias_and_its_uncertainty_is_right(
    profile: Profile, level: float
) -> None:
    error, sigma, chi2, _, _ = simulated(profile, level, 1.5).T
    assert np.isfinite(error).all()
    pulls = error / sigma
    number = len(pulls)
    assert abs(pulls.mean()) < 3.5 / np.sqrt(number)
    assert abs(np.log(pulls.std())) < 3.5 / np.sqrt(2 * number) + 0.1
    assert np.mean(np.abs(pulls) < 2) > 0.85
    assert abs(np.mean(chi2) - 1) < 0.35


def test_p_values_tell_a_shift_and_are_quiet_without_one() -> None:
    shifted = simulated(globule, 100.0, 1.5)
    assert np.median(shifted[:, 3]) < 1e-3
    assert np.mean(shifted[:, 4] < 0.01) < 0.1
    straight = simulated(globule, 100.0, 0.0)
    assert np.mean(straight[:, 3] < 0.05) < 0.2


def test_bad_start_of_several_pixels_is_corrected() -> None:
    frame = np.random.default_rng(2).poisson(30 * globule(GEOMETRY.q_map()))
    found = check(frame, moved(GEOMETRY, 4.0, -5.0))
    row, column = found.suggested_px
    assert abs(row - 100) < 0.2
    assert abs(column - 95) < 0.2


def test_flat_scattering_tells_nothing_and_says_so() -> None:
    found = check(np.random.default_rng(0).poisson(3.0, GEOMETRY.shape))
    assert np.isnan(found.horizontal.shift_px)
    assert np.isnan(found.horizontal.sigma_px)
    assert found.suggested_px == found.center_px
    assert np.isfinite(found.horizontal.before.p_value)
    assert str(found).count("can be told from these cuts") == 2
    assert "nan" not in str(found)


def test_cuts_without_counts_have_no_p_value() -> None:
    found = check(np.zeros(GEOMETRY.shape, np.int32))
    assert np.isnan(found.vertical.before.p_value)
    assert found.vertical.before.bins == 0
    assert str(found).count("no bins with counts on both sides: nothing can be told") == 2
    assert "nan" not in str(found)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"bins": 5}, "too few bins"),
        ({"sectors": 0}, "no sector"),
        ({"q_range": (0.1, 0.05)}, "a range that does not increase"),
    ],
)
def test_cuts_that_are_none_are_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ReductionError, match="expected at least"):
        check(np.zeros(GEOMETRY.shape, np.int32), **changes)


@given(geometries())
def test_center_is_where_q_vanishes(geometry: Geometry) -> None:
    """Moved into the picture, to a quarter of a pixel beside the middle of one."""
    row, column = beam_center_px(geometry)
    inside = moved(geometry, 11.25 - row, 15.75 - column)
    assert np.allclose(beam_center_px(inside), (11.25, 15.75))
    nearest = np.unravel_index(np.argmin(inside.q_map()), inside.shape)
    assert nearest == (11, 16)


def test_real_exposures_agree_on_the_center_from_any_start(h5xs_data: Path) -> None:
    """Silver behenate and protein, started up to 4 pixels off: within 1.6 pixels of the known."""
    mask = np.load(h5xs_data / "saxs" / "mask.npz")["mask"]
    geometry = Geometry.from_beam_center(
        shape=mask.shape,
        pixel_size_m=(PIXEL_M, PIXEL_M),
        distance_m=0.7505,
        beam_center_px=(319.0, 588.0),
        wavelength_m=1.445e-10,
    )
    found = []
    for name, start in (("agbh", (0, 0)), ("agbh", (3, -4)), ("sample", (-2, 2))):
        frame = fabio.open(h5xs_data / "saxs" / f"{name}.tif").data
        result = check_center(
            frame,
            detector(moved(geometry, *start), mask),
            q_range=(0.02, 0.09),
            bins=60,
            sectors=9,
            polarization=None,
            solid_angle=True,
        )
        found.append(result.suggested_px)
        assert result.horizontal.after.p_value > 0.01
    assert np.abs(np.array(found) - (319.0, 588.0)).max() < 1.6
    assert np.abs(np.array(found[0]) - found[1]).max() < 0.05
    assert abs(found[0][1] - found[2][1]) < 0.5
