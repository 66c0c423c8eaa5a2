"""How a series behind a column is analysed: the candidates, as in decision 18.

Run it from here: ``python elution_candidates.py``.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from small_elution import BEAM, Q, Series, series

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.chromatography.analyse import analyse_elution
from h5xs_bluesky.reduction.chromatography.frames import ElutionFrames
from h5xs_bluesky.reduction.chromatography.guinier_series import fit_guinier_series
from h5xs_bluesky.reduction.guinier import fit_guinier, fit_guinier_range
from h5xs_bluesky.sim.chromatography import COLUMN, Eluted
from h5xs_bluesky.sim.profiles import Spheres

Fit = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]

_REPETITIONS = 10


def here(curves: NDArray[np.float64], common: NDArray[np.float64]) -> NDArray[np.float64]:
    return fit_guinier_series(curves, Q, q_range=(0.0, 0.3), common=common)[0]


def freesas(curves: NDArray[np.float64], common: NDArray[np.float64]) -> NDArray[np.float64]:
    return one_by_one(curves, lambda curve: fit_guinier(curve, Q))


def fixed_range(curves: NDArray[np.float64], common: NDArray[np.float64]) -> NDArray[np.float64]:
    return one_by_one(
        curves, lambda curve: fit_guinier_range(curve, Q, q_min=0.0, q_max=1.3 / 27.0)
    )


def one_by_one(curves: NDArray[np.float64], fit: Callable[..., object]) -> NDArray[np.float64]:
    found = np.full((len(curves), 2), np.nan)
    for number, curve in enumerate(curves):
        try:
            result = fit(curve)
        except ReductionError:
            continue
        found[number] = result.rg, result.rg_sigma  # type: ignore[attr-defined]
    return found


def compare_fits(counts: float) -> None:
    for fit in (here, freesas, fixed_range):
        strong, weak, empty, took = [], [], 0, 0.0
        for seed in range(_REPETITIONS):
            measured = series(600, seed=seed, counts=counts)
            curves, common = measured.frames.subtracted(np.arange(600) < 100)
            began = time.perf_counter()
            rg = fit(curves, common)
            took += time.perf_counter() - began
            true = fit(measured.curve_of_protein()[None], 0 * common[:1])[0, 0]
            pull = (rg[:, 0] - true) / rg[:, 1]
            alone = measured.amounts[:, 3] < 1e-3
            strong.append(pull[alone & (measured.protein > 0.5)])
            weak.append(pull[alone & (measured.protein > 0.05) & (measured.protein < 0.2)])
            empty += int(np.isfinite(rg[measured.amounts[:, 2:].max(axis=1) < 1e-6, 0]).sum())
        told = [summary(np.concatenate(part)) for part in (strong, weak)]
        sys.stdout.write(
            f"counts {counts:g}  {fit.__name__:12s} peak {told[0]}  flanks {told[1]}  "
            f"in {empty / _REPETITIONS:.0f} empty frames  {took / _REPETITIONS:.2f} s\n"
        )


def summary(pull: NDArray[np.float64]) -> str:
    known = pull[np.isfinite(pull)]
    if not known.size:
        return "none"
    return f"{known.mean():+.2f} ± {known.std():.2f} ({100 * known.size / pull.size:.0f} %)"


def compare_overlaps(counts: float) -> None:
    """What an aggregate under the peak's front does to the automatic range and its Rg."""
    for at in (0.45, 0.50, 0.51, 0.52):
        aggregate = Eluted(
            profile=Spheres(forward_per_cm=0.06, radius_angstrom=60.0),
            at=at,
            width=0.02,
            tail=0.005,
        )
        shares, radii, widths = [], [], []
        for seed in range(_REPETITIONS):
            measured = series(
                600, seed=seed, counts=counts, column=replace(COLUMN, aggregate=aggregate)
            )
            found = analyse_elution(measured.frames)
            share = share_of_aggregate(measured)
            shares.append(share[found.sample_frames].mean())
            radii.append(radius_of_average(measured.frames, found.sample_frames))
            widths.append(found.sample_frames.sum())
        half = measured.protein > 0.5
        sys.stdout.write(
            f"counts {counts:g}  aggregate at {at:.2f}: {100 * share[half].mean():4.1f} % in the "
            f"upper half, {100 * np.mean(shares):4.1f} % in the range of {np.mean(widths):.0f} "
            f"frames; Rg {np.mean(radii):.2f} ± {np.std(radii):.2f} Å\n"
        )


def share_of_aggregate(measured: Series) -> NDArray[np.float64]:
    aggregate = 0.06 * measured.amounts[:, 3]
    return aggregate / (aggregate + 0.25 * measured.protein + 1e-12)


def radius_of_average(frames: ElutionFrames, kept: NDArray[np.bool_]) -> float:
    sample, _, _ = frames.average(kept)
    buffer, _, _ = frames.average(np.arange(len(frames)) < len(frames) // 6)
    curve = np.stack([sample[0] / BEAM - buffer[0] / BEAM, sample[1] / BEAM])
    return float(fit_guinier_series(curve[None], Q, q_range=(0.0, 0.3))[0][0, 0])


if __name__ == "__main__":
    for each in (0.03, 0.003, 0.0003):
        compare_fits(each)
    for each in (0.03, 0.003):
        compare_overlaps(each)
