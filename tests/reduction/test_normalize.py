"""Curves divided by the monitor: σ against simulated repetitions."""

import numpy as np
import pytest

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.normalize import normalize_curve
from h5xs_bluesky.reduction.subtract import subtract_background

REPEATS = 20_000
SAMPLE, BUFFER, BEAM, BEAM_B = 900.0, 400.0, 1000.0, 1200.0


@pytest.mark.parametrize("relative", [0.0, 0.002, 0.05])
def test_sigma_is_the_spread_of_repetitions(relative: float) -> None:
    """Counts of Poisson, monitors with noise of their own; statistics known to 1 %."""
    rng = np.random.default_rng(1)
    readings, readings_b = (
        beam * (1 + relative * rng.standard_normal(REPEATS)) for beam in (BEAM, BEAM_B)
    )
    counts, counts_b = rng.poisson(SAMPLE, REPEATS), rng.poisson(BUFFER, REPEATS)
    plain, subtracted = [], []
    for one, other, t, t_b in zip(counts, counts_b, readings, readings_b, strict=True):
        sample = np.array([[one], [np.sqrt(one)]], float)
        difference = subtract_background(
            sample=sample,
            buffer=np.array([[other], [np.sqrt(other)]], float),
            trans_sample=t,
            trans_buffer=t_b,
            trans_sigma_sample=relative * t,
            trans_sigma_buffer=relative * t_b,
        )
        beam = {"trans": t, "trans_sigma": relative * t}
        plain.append(normalize_curve(sample, **beam)[:, 0])
        subtracted.append(normalize_curve(difference, unsubtracted=sample, **beam)[:, 0])
    for found, expected in (
        (np.array(plain), SAMPLE / BEAM),
        (np.array(subtracted), SAMPLE / BEAM - BUFFER / BEAM_B),
    ):
        spread = found[:, 0].std()
        assert found[:, 0].mean() == pytest.approx(expected, abs=6 * spread / REPEATS**0.5 + 3e-3)
        assert np.mean(found[:, 1] ** 2) == pytest.approx(spread**2, rel=0.06)


def test_missing_bins_stay_missing() -> None:
    curve = np.array([[1.0, np.nan], [0.1, np.nan]])
    normalized = normalize_curve(curve, trans=2.0, trans_sigma=0.0)
    assert normalized[:, 0].tolist() == [0.5, 0.05]
    assert np.isnan(normalized[:, 1]).all()


@pytest.mark.parametrize("trans", [0.0, -1.0, np.nan, np.inf])
def test_unusable_beam_is_an_error(trans: float) -> None:
    with pytest.raises(ReductionError, match="no usable monitor"):
        normalize_curve(np.ones((2, 3)), trans=trans, trans_sigma=0.0)
