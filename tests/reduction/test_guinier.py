"""Guinier fits of curves with known truth, and of a real protein."""

from pathlib import Path

import fabio
import numpy as np
import pytest
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.geometry import Geometry
from h5xs_bluesky.reduction.guinier import fit_guinier, fit_guinier_range
from h5xs_bluesky.reduction.integration.integrate import make_integrator
from h5xs_bluesky.reduction.integration.pixels import Pixels
from h5xs_bluesky.reduction.qgrid import QGrid

Q = np.linspace(0.008, 0.3, 150)
RG, I0 = 25.0, 500.0


def measured(seed: int, normalization: float = 40.0) -> NDArray[np.float64]:
    counts = np.random.default_rng(seed).poisson(I0 * np.exp(-((Q * RG) ** 2) / 3) * normalization)
    return np.stack([counts, np.sqrt(counts)]) / normalization


def test_radius_is_unbiased_and_its_uncertainty_right() -> None:
    fits = [fit_guinier(measured(seed), Q, q_max=0.06) for seed in range(80)]
    for truth, values, sigmas in (
        (RG, [fit.rg for fit in fits], [fit.rg_sigma for fit in fits]),
        (I0, [fit.i0 for fit in fits], [fit.i0_sigma for fit in fits]),
    ):
        pulls = (np.array(values) - truth) / np.array(sigmas)
        assert abs(pulls.mean()) < 4 / np.sqrt(80)
        assert abs(pulls.std() - 1) < 0.3
    assert all(fit.q_range[1] * fit.rg < 1.4 for fit in fits)


def test_given_range_is_fitted_whole() -> None:
    fit = fit_guinier_range(measured(0), Q, q_min=0.01, q_max=0.05)
    assert Q[fit.first] >= 0.01 > Q[fit.first - 1]
    assert Q[fit.last] <= 0.05 < Q[fit.last + 1]
    assert abs(fit.rg - RG) < 4 * fit.rg_sigma
    assert "Rg = 2" in str(fit)


@pytest.mark.parametrize(
    ("curve", "reason"),
    [
        (np.stack([np.full(150, np.nan)] * 2), "no pixels anywhere"),
        (np.stack([-np.ones(150), np.ones(150)]), "nothing above zero"),
        (np.stack([np.ones(150), np.zeros(150)]), "no uncertainties"),
        (np.stack([np.exp((Q * 20) ** 2), np.ones(150)]), "a curve that rises"),
    ],
)
def test_curve_without_a_guinier_region_is_refused(curve: NDArray[np.float64], reason: str) -> None:
    with pytest.raises(ReductionError, match=r"Guinier|falls"):
        fit_guinier(curve, Q)


def test_rising_curve_has_no_radius() -> None:
    with pytest.raises(ReductionError, match="rises"):
        fit_guinier_range(np.stack([1 + Q, np.ones(150)]), Q, q_min=0, q_max=1)


@pytest.mark.parametrize("bins", [150, 300])
def test_real_protein_has_its_radius(h5xs_data: Path, bins: int) -> None:
    """16.2 ± 0.6 Å, as found independently with freesas."""
    folder = h5xs_data / "saxs"
    mask = np.load(folder / "mask.npz")["mask"]
    geometry = Geometry.from_beam_center(
        shape=mask.shape,
        pixel_size_m=(172e-6, 172e-6),
        distance_m=0.7505,
        beam_center_px=(319.0, 588.0),
        wavelength_m=1.445e-10,
    )
    detector = Detector(extension="_SAXS", data_key="x", model="", geometry=geometry, mask=mask)
    grid = QGrid.linear(0.01, 0.7, bins)
    integrator = make_integrator(
        Pixels.from_detector(detector, polarization=None, solid_angle=True), grid
    )
    sample, buffer = (
        integrator.integrate(fabio.open(folder / f"{name}.tif").data).curve()
        for name in ("sample", "buffer")
    )
    curve = np.stack([sample[0] - buffer[0], np.hypot(sample[1], buffer[1])])
    assert abs(fit_guinier(curve, grid.centers).rg - 16.2) < 0.6
