"""Many peaks at once."""

import numpy as np
import pytest
from numpy.typing import NDArray

from h5xs_bluesky.reduction.calibration.peak_fits import PeakFits, fit_peaks

X = np.arange(21.0)


def peaks(center: float, *, count: int, height: float, lean: float = 0.0) -> NDArray[np.float64]:
    width = 2.0 * np.exp(np.where(center > X, lean, -lean))
    curve = 20 + 0.5 * X + height * np.exp(-(((X - center) / width) ** 2) / 2)
    return np.random.default_rng(0).poisson(curve, (count, X.size)).astype(float)


def fit(y: NDArray[np.float64], *, lean: float = 0.0) -> PeakFits:
    count = len(y)
    variance = np.tile(y.mean(axis=0), (count, 1))
    start = {"center": np.full(count, 10.0), "width": np.full(count, 2.5)}
    return fit_peaks(np.tile(X, (count, 1)), y, variance, **start, lean=np.full(count, lean))


@pytest.mark.parametrize("height", [30.0, 1000.0])
def test_center_is_unbiased_and_sigma_is_its_spread(height: float) -> None:
    found = fit(peaks(10.7, count=2000, height=height))
    spread = found.center.std()
    assert found.center.mean() == pytest.approx(10.7, abs=4 * spread / np.sqrt(2000))
    assert np.sqrt(np.mean(found.center_sigma**2)) == pytest.approx(spread, rel=0.15)


def test_center_of_a_leaning_peak_is_its_maximum() -> None:
    y = peaks(10.3, count=500, height=1000.0, lean=0.4)
    assert fit(y, lean=0.4).center.mean() == pytest.approx(10.3, abs=0.02)
    assert fit(y).center.mean() < 9.9  # what a symmetric peak makes of it


def test_width_and_height_are_found() -> None:
    found = fit(peaks(9.0, count=200, height=500.0))
    assert found.width.mean() == pytest.approx(2.0, rel=0.02)
    assert found.height.mean() == pytest.approx(500.0, rel=0.02)


def test_points_that_are_missing_do_not_matter() -> None:
    y = peaks(10.7, count=1, height=1e6)
    holes = y.copy()
    holes[0, [0, 5, 20]] = np.nan
    variance = np.tile(y.mean(axis=0), (1, 1))
    both = [
        fit_peaks(
            X[None],
            values,
            variance,
            center=np.array([10.0]),
            width=np.array([2.5]),
            lean=np.zeros(1),
        ).center[0]
        for values in (y, holes)
    ]
    assert both[0] == pytest.approx(both[1], abs=0.01)


def test_too_few_points_give_nan() -> None:
    y = np.full((1, X.size), np.nan)
    y[0, :5] = 1.0
    found = fit_peaks(
        X[None], y, np.ones_like(y), center=np.array([10.0]), width=np.array([2.0]),
        lean=np.zeros(1),
    )  # fmt: skip
    assert np.isnan(found.center[0])
    assert np.isnan(found.center_sigma[0])


def test_background_without_a_peak_has_no_significant_height() -> None:
    found = fit(peaks(10.0, count=500, height=0.0))
    assert (np.abs(found.height) > 4 * found.height_sigma).mean() < 0.02
