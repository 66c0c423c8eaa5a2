"""Calibration of simulated and of real frames; H5XS_CALIBRATIONS sets how many are simulated."""

import os
from dataclasses import replace
from pathlib import Path

import fabio
import numpy as np
import pytest
from numpy.typing import NDArray
from small_standard import directions, moved, place, standard_frame

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.io.geometry_files import read_poni
from h5xs_bluesky.reduction.calibration.calibrants import Calibrant
from h5xs_bluesky.reduction.calibration.calibrate import Calibration, StandardFrame, calibrate
from h5xs_bluesky.reduction.calibration.cones import beam_center_px
from h5xs_bluesky.reduction.geometry import Geometry

COUNT = int(os.environ.get("H5XS_CALIBRATIONS", "3"))
AGBH = Calibrant.named("AgBh")
TILTS = (0.06, -0.09)


def simulated(truth: Geometry, **how: object) -> StandardFrame:
    return StandardFrame.of(*standard_frame(truth, **how))  # type: ignore[arg-type]


def z_scores(found: Calibration, truth: Geometry) -> list[float]:
    center = np.subtract(found.beam_center_px, beam_center_px(truth)) / found.beam_center_sigma_px
    own = [
        (getattr(found.geometry, name) - getattr(truth, name)) / sigma
        for name, sigma in found.sigma.items()
    ]
    return [*own, *center]


@pytest.mark.parametrize("tilts", [(0.0, 0.0), TILTS], ids=["upright", "tilted"])
@pytest.mark.parametrize("photons", [1e8, 3e9], ids=["faint", "bright"])
def test_simulated_detector_is_found_without_bias_within_its_uncertainty(
    tilts: tuple[float, float], photons: float
) -> None:
    tilt = tilts != (0.0, 0.0)
    rng = np.random.default_rng(7)
    scores, errors = [], []
    for seed in range(COUNT):
        truth = place(center_px=tuple(rng.uniform(100, 160, 2)), tilts_rad=tilts)
        start = moved(truth, *rng.uniform(-20, 20, 2), rng.uniform(0.95, 1.05))
        if tilt:
            start = replace(start, rot1_rad=start.rot1_rad + 0.01)
        frame = simulated(truth, photons=photons, seed=seed)
        found = calibrate(frame, start, AGBH, tilt=tilt)
        scores.append(z_scores(found, truth))
        errors.append(found.geometry.distance_m / truth.distance_m - 1)
    z = np.array(scores)
    assert np.abs(z.mean(axis=0)).max() < 4 / np.sqrt(COUNT)
    assert 0.4 < np.sqrt(np.mean(z**2)) < 1.7
    assert np.abs(errors).max() < (2e-3 if photons < 1e9 else 2e-4)


@pytest.mark.parametrize(
    ("rows", "columns", "stretch"), directions(shift_px=28.3, stretch=0.05, count=4)
)
def test_start_does_not_matter(rows: float, columns: float, stretch: float) -> None:
    truth = place()
    found = calibrate(simulated(truth), moved(truth, rows, columns, stretch), AGBH)
    assert found.beam_center_px == pytest.approx(beam_center_px(truth), abs=0.02)
    assert found.geometry.distance_m == pytest.approx(truth.distance_m, rel=2e-4)


def test_start_far_away_is_good_enough() -> None:
    truth = place()
    found = calibrate(simulated(truth), moved(truth, 100, -80, 0.75), AGBH)
    assert found.beam_center_px == pytest.approx(beam_center_px(truth), abs=0.02)


def test_beam_beside_the_detector_is_found() -> None:
    truth = place(center_px=(-60.0, 120.0), length_m=0.3, tilts_rad=(0.02, -0.2))
    start = replace(moved(truth, 15, -15, 0.96), rot2_rad=-0.19)
    found = calibrate(simulated(truth), start, AGBH, tilt=True)
    assert found.beam_center_px == pytest.approx(beam_center_px(truth), abs=0.2)
    assert found.geometry.rot2_rad == pytest.approx(-0.2, abs=2e-3)


def test_rotations_stay_where_they_are_unless_asked_for() -> None:
    truth = place(tilts_rad=TILTS)
    found = calibrate(simulated(truth), moved(truth, 5, 5, 1.02), AGBH)
    assert (found.geometry.rot1_rad, found.geometry.rot2_rad) == TILTS
    assert found.fit.parameters == ("distance_m", "poni1_m", "poni2_m")
    assert found.beam_center_px == pytest.approx(beam_center_px(truth), abs=0.02)


def test_background_and_flat_are_taken_account_of() -> None:
    truth = place()
    frame, mask = standard_frame(truth)
    flat = np.where(np.arange(frame.shape[1]) < 150, 0.5, 1.5) * np.ones(frame.shape)
    uneven = np.where(frame < 0, frame, np.round(frame * flat) + 100).astype(np.int32)
    given = StandardFrame.of(uneven, mask, background=np.full(frame.shape, 100.0), flat=flat)
    found = calibrate(given, moved(truth, 10, 10, 1.03), AGBH)
    assert found.beam_center_px == pytest.approx(beam_center_px(truth), abs=0.05)


def test_hot_pixels_in_clusters_and_a_dead_module_do_not_matter() -> None:
    truth = place()
    frame, mask = standard_frame(truth, hot=300)
    frame[40:43, 60:63] = 100_000
    frame[100:102, 200:206] = 50_000
    frame[200:, 180:] = 0
    found = calibrate(StandardFrame.of(frame, mask), moved(truth, 10, -15, 1.04), AGBH)
    assert found.beam_center_px == pytest.approx(beam_center_px(truth), abs=0.05)
    assert found.geometry.distance_m == pytest.approx(truth.distance_m, rel=5e-4)


def noise(truth: Geometry) -> NDArray[np.int64]:
    return np.random.default_rng(0).poisson(20, truth.shape)


@pytest.mark.parametrize(
    ("frame", "calibrant", "message"),
    [
        ("noise", "AgBh", r"at least 2 rings of AgBh, found \d|expected rings of AgBh"),
        ("nothing", "AgBh", "expected rings of AgBh, found 0 peaks"),
        ("standard", "LaB6", "LaB6"),
        ("standard", "CeO2", "CeO2"),
        ("masked", "AgBh", "valid pixels, found all masked"),
        ("another shape", "AgBh", "expected a frame of shape"),
    ],
)
def test_frame_that_shows_no_such_rings_is_refused(
    frame: str, calibrant: str, message: str
) -> None:
    truth = place()
    none = np.zeros(truth.shape, bool)
    frames = {
        "noise": lambda: StandardFrame.of(noise(truth), none),
        "nothing": lambda: StandardFrame.of(0 * noise(truth), none),
        "standard": lambda: simulated(truth),
        "masked": lambda: StandardFrame.of(noise(truth), ~none),
        "another shape": lambda: StandardFrame.of(noise(truth)[1:], none[1:]),
    }
    with pytest.raises(ReductionError, match=message):
        calibrate(frames[frame](), truth, Calibrant.named(calibrant))


def test_single_ring_is_too_few() -> None:
    truth = place(length_m=1.3)
    with pytest.raises(ReductionError, match=r"at least 2 rings of AgBh, found [01]"):
        calibrate(simulated(truth), truth, AGBH)


def test_two_rings_are_too_few_for_a_tilt() -> None:
    truth = place(length_m=0.95)
    frame = simulated(truth)
    assert [ring.ring for ring in calibrate(frame, truth, AGBH).rings] == [1, 2]
    with pytest.raises(ReductionError, match="at least 3 rings of AgBh for a tilted detector"):
        calibrate(frame, truth, AGBH, tilt=True)


def test_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(ReductionError, match="expected a mask of shape"):
        StandardFrame.of(np.zeros((4, 5)), np.zeros((5, 4), bool))


# -- real frames


@pytest.fixture(scope="module")
def agbh(h5xs_data: Path) -> StandardFrame:
    with fabio.open(str(h5xs_data / "saxs" / "agbh.tif")) as picture:
        frame = picture.data
    return StandardFrame.of(frame, np.load(h5xs_data / "saxs" / "mask.npz")["mask"])


@pytest.mark.parametrize(
    ("rows", "columns", "stretch"), directions(shift_px=28.3, stretch=0.05, count=max(4, COUNT))
)
def test_silver_behenate_is_calibrated_from_any_start(
    agbh: StandardFrame, rows: float, columns: float, stretch: float
) -> None:
    known = Geometry.from_beam_center(
        shape=(1043, 981),
        pixel_size_m=(172e-6, 172e-6),
        distance_m=0.7505,
        beam_center_px=(319.0, 588.0),
        wavelength_m=1.445e-10,
    )
    found = calibrate(agbh, moved(known, rows, columns, stretch), AGBH)
    assert found.geometry.distance_m == pytest.approx(0.7505, abs=0.004)
    assert found.beam_center_px == pytest.approx((319.0, 588.0), abs=1.5)
    rings = {ring.ring: ring.relative for ring in found.rings}
    assert max(abs(rings[number]) for number in (1, 2, 3, 4)) < 0.005


@pytest.mark.parametrize(("rows", "columns", "stretch"), [(20, -20, 1.05), (-20, -20, 0.95)])
def test_ceria_gives_its_own_calibration_back(
    h5xs_data: Path, rows: float, columns: float, stretch: float
) -> None:
    known = read_poni(h5xs_data / "ceo2" / "ceo2.poni", shape=(1043, 981))
    with fabio.open(str(h5xs_data / "ceo2" / "ceo2.tif")) as picture:
        frame = np.flipud(picture.data)
    upright = replace(known, rot1_rad=0.0, rot2_rad=0.0)
    start = moved(upright, rows, columns, stretch)
    found = calibrate(StandardFrame.of(frame, frame < 0), start, Calibrant.named("CeO2"), tilt=True)
    assert found.geometry.distance_m == pytest.approx(known.distance_m, rel=1e-3)
    assert found.beam_center_px == pytest.approx(beam_center_px(known), abs=1)
    assert found.geometry.rot1_rad == pytest.approx(known.rot1_rad, abs=1e-3)
    assert found.geometry.rot2_rad == pytest.approx(known.rot2_rad, abs=1e-3)


def test_buffer_is_no_standard(h5xs_data: Path, agbh: StandardFrame) -> None:
    with fabio.open(str(h5xs_data / "saxs" / "buffer.tif")) as picture:
        frame = StandardFrame.of(picture.data, ~agbh.valid)
    start = Geometry.from_beam_center(
        shape=(1043, 981),
        pixel_size_m=(172e-6, 172e-6),
        distance_m=0.7505,
        beam_center_px=(319.0, 588.0),
        wavelength_m=1.445e-10,
    )
    with pytest.raises(ReductionError, match="at least 2 rings of AgBh"):
        calibrate(frame, start, AGBH)


@pytest.mark.parametrize(
    ("sigma_m", "said"),
    [(2.34e-6, "0.5000000 ± 0.0000023 m"), (0.012, "0.500 ± 0.012 m"), (0.0, "0.50000 ± 0 m")],
)
def test_uncertainty_of_a_distance_has_two_digits(sigma_m: float, said: str) -> None:
    truth = place(center_px=(120.0, 130.0), tilts_rad=(0.0, 0.0))
    found = calibrate(simulated(truth, photons=1e8), truth, AGBH, tilt=False)
    covariance = np.diag([sigma_m**2 * (name == "distance_m") for name in found.fit.parameters])
    fit = replace(
        found.fit, geometry=replace(truth, distance_m=0.5), covariance=covariance.astype(float)
    )
    assert replace(found, fit=fit).distance_text == said
