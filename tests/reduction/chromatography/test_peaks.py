import numpy as np
import pytest
from numpy.typing import NDArray

from h5xs_bluesky.reduction.chromatography.baseline import find_baseline
from h5xs_bluesky.reduction.chromatography.options import ChromatographyOptions
from h5xs_bluesky.reduction.chromatography.peaks import find_elution_peaks

_FRAMES, _TOP, _WIDTH, _SIGMA = 600, 330.0, 15.0, 0.002


def _trace(sigma: NDArray[np.float64], missing: list[int]) -> NDArray[np.float64]:
    numbers = np.arange(_FRAMES)
    truth = 1 + np.exp(-((numbers - _TOP) ** 2) / (2 * _WIDTH**2))
    scatter = np.random.default_rng(1).normal(0, 1, _FRAMES) * sigma
    trace = np.stack([truth + scatter, sigma], axis=1)
    trace[missing] = np.nan
    return trace


def _with(numbers: slice | int, factor: float) -> NDArray[np.float64]:
    sigma = np.full(_FRAMES, _SIGMA)
    sigma[numbers] *= factor
    return sigma


@pytest.mark.parametrize(
    ("sigma", "missing", "reason"),
    [
        (_with(0, 1.0), [], "an even series"),
        (_with(0, 1.0), [328], "a frame near the top is missing"),
        (_with(0, 1.0), [300, 301, 302], "frames of the flank are missing"),
        (_with(328, 1.4), [], "a frame near the top is less certain"),
        (_with(slice(None, None, 2), 1.2), [], "monitors read two or three times a frame"),
    ],
)
def test_one_peak_is_one_peak(sigma: NDArray[np.float64], missing: list[int], reason: str) -> None:
    trace, options = _trace(sigma, missing), ChromatographyOptions()
    peaks = find_elution_peaks(trace, find_baseline(trace, options), options)
    assert len(peaks) == 1, reason
    assert peaks[0].position == pytest.approx(_TOP, abs=4 * peaks[0].position_sigma)
    assert peaks[0].first < _TOP < peaks[0].last
