"""How the factor of a buffer might be found: bias and noise of each way, on simulated curves.

``python tests/scale_candidates.py`` prints the table of decision 9.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.reduction.scale import water_scale
from h5xs_bluesky.reduction.water import WaterPeak
from h5xs_bluesky.sim.profiles import Spheres, slit_scattering, water

Curve = NDArray[np.float64]
Q = np.concatenate(
    [np.arange(0.01, 0.06, 0.001), np.arange(0.06, 0.5, 0.002), np.arange(0.5, 2.3, 0.01)]
)
PROTEIN = Spheres(forward_per_cm=0.05, radius_angstrom=33.0, relative_width=0.08)
MG_PER_ML_IN_WATER = 0.73e-3  # partial specific volume in cm³/mg


def solute(concentration: float) -> Curve:
    """What so many mg/ml of protein scatter, in cm⁻¹: shape, and structure near 1.4 Å⁻¹."""
    inside = 0.0007 * (0.6 + np.exp(-(((Q - 1.4) / 0.35) ** 2) / 2))
    return concentration * (PROTEIN(Q) + inside)


@cache
def expected_of(concentration: float) -> tuple[Curve, Curve, float]:
    """Give sample and buffer in cm⁻¹, and the true factor: the water that is left."""
    left = 1 - MG_PER_ML_IN_WATER * concentration
    sample = left * water(Q) + slit_scattering(Q) + solute(concentration)
    return sample, water(Q) + slit_scattering(Q), left


def curves(
    concentration: float, counts: float, rng: np.random.Generator
) -> tuple[Curve, Curve, float]:
    """Measure them once: (2, nq) each, and the true factor."""
    *expected, left = expected_of(concentration)
    measured = [rng.poisson(counts * one) for one in expected]
    sample, buffer = (np.stack([m / counts, np.sqrt(m) / counts]) for m in measured)
    return sample, buffer, left


def by_water_peak(sample: Curve, buffer: Curve) -> float:
    return water_scale(sample=sample, buffer=buffer, q=Q, peak=WaterPeak(), trans_ratio=1).factor


def by_net_peak(sample: Curve, buffer: Curve) -> float:
    peak = WaterPeak(background=(1.0, 1.2))
    return water_scale(sample=sample, buffer=buffer, q=Q, peak=peak, trans_ratio=1).factor


def by_high_q_of_saxs(sample: Curve, buffer: Curve) -> float:
    peak = WaterPeak(q_range=(0.25, 0.5))
    return water_scale(sample=sample, buffer=buffer, q=Q, peak=peak, trans_ratio=1).factor


def by_fit(sample: Curve, buffer: Curve) -> float:
    """Least squares: the buffer's curve and a constant, from 1 to 2.3 Å⁻¹."""
    used = Q > 1.0
    weight = 1 / np.hypot(sample[1, used], buffer[1, used])
    columns = np.stack([buffer[0, used], np.ones(used.sum())], axis=1)
    return float(np.linalg.lstsq(columns * weight[:, None], sample[0, used] * weight)[0][0])


def by_largest(sample: Curve, buffer: Curve) -> float:
    """The largest factor with which nothing beyond 0.5 Å⁻¹ becomes negative."""
    used = (Q > 0.5) & (buffer[0] > 0)
    return float((sample[0, used] / buffer[0, used]).min())


CANDIDATES: dict[str, Callable[[Curve, Curve], float]] = {
    "water peak": by_water_peak,
    "net of 1.0–1.2": by_net_peak,
    "fit and constant": by_fit,
    "nothing negative": by_largest,
    "0.25–0.5 only": by_high_q_of_saxs,
}


def deviations(concentration: float, counts: float, *, repeats: int, seed: int) -> dict[str, Curve]:
    """Give by how much each way's factors are off, (repeats,)."""
    rng = np.random.default_rng(seed)
    found: dict[str, list[float]] = {name: [] for name in CANDIDATES}
    for _ in range(repeats):
        sample, buffer, left = curves(concentration, counts, rng)
        for name, scale in CANDIDATES.items():
            found[name].append(scale(sample, buffer) - left)
    return {name: np.array(values) for name, values in found.items()}


def main() -> None:
    print("| mg/ml | counts | " + " | ".join(CANDIDATES) + " |")  # noqa: T201
    for concentration in (0.0, 1.0, 5.0, 20.0):
        for counts in (1e4, 1e6):
            found = deviations(concentration, counts, repeats=300, seed=0)
            cells = [f"{v.mean():+.2%} ± {v.std():.2%}" for v in found.values()]
            at_peak = counts * float(water(np.array([2.0]))[0])
            print(f"| {concentration:g} | {at_peak:.2g} | " + " | ".join(cells) + " |")  # noqa: T201


if __name__ == "__main__":
    main()
