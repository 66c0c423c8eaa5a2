import numpy as np
import pytest
from small_elution import Q, series

from h5xs_bluesky.reduction.chromatography.guinier_series import fit_guinier_series
from h5xs_bluesky.reduction.guinier import fit_guinier_range

RANGE = (0.0, 0.3)


def law(rg: float, i0: float, sigma: float) -> np.ndarray:
    return np.stack([i0 * np.exp(-((Q * rg) ** 2) / 3), np.full(Q.shape, sigma)])


@pytest.mark.parametrize("rg", [8.0, 15.0, 30.0, 50.0])
def test_a_curve_that_obeys_the_law_is_found_exactly(rg: float) -> None:
    found, i0 = fit_guinier_series(law(rg, 4.0, 1e-3)[None], Q, q_range=RANGE)
    assert found[0, 0] == pytest.approx(rg, rel=1e-9)
    assert i0[0, 0] == pytest.approx(4.0, rel=1e-9)


def test_without_noise_it_is_the_weighted_straight_line_of_the_same_range() -> None:
    curve = law(25.0, 4.0, 1e-4)
    found, i0 = fit_guinier_series(curve[None], Q, q_range=RANGE)
    line = fit_guinier_range(curve, Q, q_min=0.0, q_max=1.3 / 25.0)
    assert [*found[0], *i0[0]] == pytest.approx([line.rg, line.rg_sigma, line.i0, line.i0_sigma])


def test_sigma_is_the_scatter_over_repetitions() -> None:
    rng = np.random.default_rng(1)
    curves = np.repeat(law(25.0, 4.0, 0.1)[None], 2000, axis=0)
    curves[:, 0] += 0.1 * rng.standard_normal(curves[:, 0].shape)
    for value, truth in zip(fit_guinier_series(curves, Q, q_range=RANGE), (25.0, 4.0), strict=True):
        pull = (value[:, 0] - truth) / value[:, 1]
        assert abs(pull.mean()) < 0.15
        assert pull.std() == pytest.approx(1.0, abs=0.07)


def test_noise_of_the_beam_goes_into_sigma() -> None:
    """All bins move together: that is not averaged away by their number."""
    rng = np.random.default_rng(2)
    moved = np.full(Q.shape, 0.05)
    curves = np.repeat(law(25.0, 4.0, 0.01)[None], 2000, axis=0)
    curves[:, 0] += 0.01 * rng.standard_normal(curves[:, 0].shape)
    curves[:, 0] += rng.standard_normal(2000)[:, None] * moved
    rg, _ = fit_guinier_series(curves, Q, q_range=RANGE, common=np.repeat(moved[None], 2000, 0))
    assert ((rg[:, 0] - 25.0) / rg[:, 1]).std() == pytest.approx(1.0, abs=0.07)


@pytest.mark.parametrize(
    ("curve", "why"),
    [
        (np.full((2, len(Q)), np.nan), "a missing frame"),
        (law(25.0, 0.02, 0.1), "too weak"),
        (law(120.0, 4.0, 0.01), "five bins do not reach down to 1.3 / Rg"),
        (np.stack([0.1 + 10 * Q**2, np.full(Q.shape, 0.01)]), "it rises"),
        (np.stack([np.zeros(len(Q)), np.ones(len(Q))]), "nothing at all"),
        (np.stack([np.ones(len(Q)), np.zeros(len(Q))]), "no bin has a σ"),
    ],
)
def test_what_is_no_fit_is_nan(curve: np.ndarray, why: str) -> None:
    rg, i0 = fit_guinier_series(curve[None], Q, q_range=RANGE)
    assert np.isnan(rg).all(), why
    assert np.isnan(i0).all(), why


def test_noise_alone_gives_no_radius() -> None:
    rng = np.random.default_rng(3)
    noise = np.stack([rng.standard_normal((5000, len(Q))), np.ones((5000, len(Q)))], axis=1)
    rg, _ = fit_guinier_series(noise, Q, q_range=RANGE)
    assert np.isfinite(rg[:, 0]).sum() <= 2


def test_frames_do_not_depend_on_each_other() -> None:
    measured = series(40, counts=0.01)
    buffer = np.arange(40) < 10
    curves, common = measured.frames.subtracted(buffer)
    together = fit_guinier_series(curves, Q, q_range=RANGE, common=common)
    for number in (3, 22, 24, 30):
        chosen = np.arange(40) == number
        one, moved = measured.frames.subtracted(buffer, chosen)
        alone = fit_guinier_series(one[chosen], Q, q_range=RANGE, common=moved[chosen])
        for whole, single in zip(together, alone, strict=True):
            np.testing.assert_array_equal(whole[number], single[0])
