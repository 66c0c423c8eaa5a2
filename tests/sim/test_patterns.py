import numpy as np
import pytest
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.geometry import Geometry
from h5xs_bluesky.reduction.integration.integrate import BinnedIntegrator
from h5xs_bluesky.reduction.integration.pixels import Pixels
from h5xs_bluesky.reduction.merge import default_scales
from h5xs_bluesky.reduction.qgrid import QGrid
from h5xs_bluesky.sim.patterns import DEAD, GAP, PatternMaker, Sensor, beam_stop

SHAPE = (80, 100)


def geometry(distance_m: float, **tilt: float) -> Geometry:
    return Geometry(
        shape=SHAPE,
        pixel_size_m=(1e-3, 1e-3),
        distance_m=distance_m,
        poni1_m=0.04,
        poni2_m=0.03,
        wavelength_m=1e-10,
        **tilt,
    )


def sensor(*, dead: int = 0, hot: int = 0) -> Sensor:
    gaps = np.zeros(SHAPE, bool)
    gaps[20:23] = True
    shadow = beam_stop(SHAPE, center_px=(40.0, 30.0), radius_px=4.0, arm_px=2.0)
    return Sensor.with_faults(gaps, shadow=shadow, dead=dead, hot=hot, rng=np.random.default_rng(0))


def flat(q: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.full_like(q, 2.0)


def test_gaps_and_dead_pixels_are_negative_and_the_shadow_is_dark() -> None:
    faults = sensor(dead=5)
    maker = PatternMaker(geometry(0.5), faults, polarization=None)
    frame = maker.frame([maker.image(flat)], [1e8], np.random.default_rng(0))
    assert frame.dtype == np.int32
    assert (frame[20:23] == GAP).all()
    assert (frame == DEAD).sum() == 5
    assert (frame[faults.shadow & (faults.flags == 0)] == 0).all()
    assert frame[70, 80] > 0


def test_hot_pixels_stand_out_in_every_frame() -> None:
    faults = sensor(hot=7)
    maker = PatternMaker(geometry(0.5), faults, polarization=None)
    frame = maker.frame([maker.image(flat)], [0.0], np.random.default_rng(0))
    assert (frame >= 300).sum() == 7


def test_the_mask_covers_all_faults_and_a_margin_around_the_shadow() -> None:
    faults = sensor(dead=5, hot=7)
    mask = faults.mask(margin_px=2)
    assert mask[(faults.flags != 0) | (faults.hot_counts > 0) | faults.shadow].all()
    assert mask[40 - 6, 30]
    assert not faults.shadow[40 - 6, 30]
    assert mask.mean() < 0.15


def test_a_margin_does_not_come_in_from_the_opposite_edge() -> None:
    shadow = np.zeros((10, 10), bool)
    shadow[9, 5] = True
    none = np.zeros((10, 10), np.int32)
    mask = Sensor(flags=none, shadow=shadow, hot_counts=none).mask(margin_px=2)
    assert mask[7:, 3:8].all()
    assert mask.sum() == 15


def test_counts_are_poisson_around_the_expected_ones() -> None:
    maker = PatternMaker(geometry(0.5), sensor(), polarization=None)
    image = maker.image(flat)
    expected = 5e7 * image
    rng = np.random.default_rng(3)
    frames = np.array([maker.frame([image], [5e7], rng) for _ in range(60)])
    lit = image > 0
    chi2 = ((frames - expected)[:, lit] ** 2 / expected[lit]).mean()
    assert chi2 == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("polarization", [None, 0.99])
def test_the_reduction_gives_the_cross_section_back_on_one_scale_for_all_detectors(
    polarization: float | None,
) -> None:
    places = [geometry(0.8), geometry(0.2, rot1_rad=0.1, rot2_rad=-0.3)]
    scales = default_scales(places)
    grid = QGrid.linear(0.5, 1.0, 5)
    photons_cm = 1e10
    for place, scale in zip(places, scales, strict=True):
        maker = PatternMaker(place, sensor(), polarization=polarization)
        expected = photons_cm * maker.image(flat)
        detector = Detector(
            extension="_X",
            data_key="x_image",
            model="test",
            geometry=place,
            mask=expected == 0,
            fix_scale=scale,
        )
        pixels = Pixels.from_detector(detector, polarization=polarization, solid_angle=True)
        curve = BinnedIntegrator(pixels, grid).integrate(expected).intensity()
        covered = np.isfinite(curve)
        wanted = photons_cm * 2.0 * places[0].solid_angle_at_poni()
        np.testing.assert_allclose(curve[covered], wanted, rtol=1e-6)
        assert covered.any()


def test_a_sensor_of_another_shape_is_refused() -> None:
    none = np.zeros((3, 3), np.int32)
    small = Sensor(flags=none, shadow=none.astype(bool), hot_counts=none)
    with pytest.raises(ReductionError, match=r"\(80, 100\).*\(3, 3\)"):
        PatternMaker(geometry(0.5), small, polarization=None)
