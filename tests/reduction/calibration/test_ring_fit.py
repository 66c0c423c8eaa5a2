"""Distance, centre and tilt from points on rings."""

import numpy as np
import pytest
from small_standard import moved, place

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.calibration.calibrants import Calibrant
from h5xs_bluesky.reduction.calibration.cones import points as points_at
from h5xs_bluesky.reduction.calibration.ring_fit import RingFit, fit_place
from h5xs_bluesky.reduction.calibration.ring_points import RingPoints
from h5xs_bluesky.reduction.geometry import Geometry

AGBH = Calibrant.named("AgBh")


def on_rings(
    truth: Geometry, *, seed: int = 0, sigma_px: float = 0.1, told_px: float | None = None
) -> RingPoints:
    """Points on five rings all around, off by a normal distance."""
    rng = np.random.default_rng(seed)
    ring, chi = (axis.ravel() for axis in np.mgrid[1:6, -3.1:3.1:0.1])
    two_theta = AGBH.two_theta(truth.wavelength_m)[ring.astype(int) - 1]
    first, second = points_at(truth, two_theta, chi)
    off_m = rng.normal(0, sigma_px * truth.pixel_size_m[0], (2, ring.size))
    return RingPoints(
        ring=ring.astype(np.int64),
        first_m=first + off_m[0],
        second_m=second + off_m[1],
        sigma_px=np.full(ring.size, told_px or sigma_px),
    )


def deviations(fit: RingFit, truth: Geometry) -> list[float]:
    sigma = np.sqrt(np.diag(fit.covariance))
    return [
        (getattr(fit.geometry, name) - getattr(truth, name)) / s
        for name, s in zip(fit.parameters, sigma, strict=True)
    ]


@pytest.mark.parametrize("tilt", [False, True])
def test_covariance_covers_the_truth(tilt: bool) -> None:
    truth = place(tilts_rad=(0.1, -0.2) if tilt else (0.0, 0.0))
    start = moved(truth, 2, -1, 1.01)
    found = [
        deviations(fit_place(on_rings(truth, seed=seed), start, AGBH, tilt=tilt), truth)
        for seed in range(20)
    ]
    z = np.array(found)
    assert np.abs(z.mean(axis=0)).max() < 4 / np.sqrt(len(z))
    np.testing.assert_allclose(z.std(axis=0), 1, atol=0.35)
    assert (np.abs(z) < 2).mean() > 0.9


def test_understated_uncertainties_are_made_up_for_by_the_scatter() -> None:
    truth = place()
    fit = fit_place(on_rings(truth, sigma_px=0.5, told_px=0.05), truth, AGBH, tilt=False)
    assert fit.scatter_px == pytest.approx(0.5, rel=0.15)
    assert fit.reduced_chi2 == pytest.approx(100, rel=0.2)
    assert max(np.abs(deviations(fit, truth))) < 4


def test_outliers_are_left_out() -> None:
    truth = place()
    good = on_rings(truth)
    rng = np.random.default_rng(1)
    bad = rng.random(len(good)) < 0.2
    shifted = RingPoints(
        ring=good.ring,
        first_m=good.first_m + np.where(bad, 0.003 * rng.random(len(good)), 0),
        second_m=good.second_m,
        sigma_px=good.sigma_px,
    )
    fit = fit_place(shifted, moved(truth, 3, 3, 0.99), AGBH, tilt=False)
    assert max(np.abs(deviations(fit, truth))) < 5
    assert not fit.used[bad & (np.abs(fit.residual_px) > 2)].any()
    assert fit.used[~bad].mean() > 0.95


def test_residuals_are_in_pixels_and_outwards() -> None:
    truth = place()
    fit = fit_place(on_rings(truth, sigma_px=1e-6), truth, AGBH, tilt=False)
    np.testing.assert_allclose(fit.residual_px, 0, atol=1e-3)
    far = on_rings(moved(truth, 0, 0, 1.01), sigma_px=1e-6)
    one = far.only(far.ring == 3)
    from h5xs_bluesky.reduction.calibration.ring_fit import _Model

    residual = _Model(one, truth, AGBH, tilt=False).residual_px(np.zeros(3))
    radius_px = 0.5 * np.tan(AGBH.two_theta(1e-10)[2]) / 172e-6
    np.testing.assert_allclose(residual, 0.01 * radius_px, rtol=0.02)


def test_too_few_points_are_refused() -> None:
    points = on_rings(place())
    few = points.only(np.arange(len(points)) < 7)
    with pytest.raises(ReductionError, match="at least 8 points on rings of AgBh, found 7"):
        fit_place(few, place(), AGBH, tilt=False)
