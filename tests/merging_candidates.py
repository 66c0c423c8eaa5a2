"""How detectors might be merged and frames averaged: bias and variance, on simulated frames.

``python tests/merging_candidates.py`` prints the table of decision 4.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from simulated_frames import simulate, truth

from h5xs_bluesky.reduction.accumulators import Accumulators
from h5xs_bluesky.reduction.merge import merge_detectors


@dataclass(frozen=True, kw_only=True)
class Found:
    """How far one way is off, over the bins that all parts have.

    Parameters
    ----------
    bias, bias_error
        Mean relative deviation from the truth, and its standard error.
    variance
        Mean relative variance of a bin.
    counts
        Mean counts of a part in a bin.
    """

    bias: float
    bias_error: float
    variance: float
    counts: float


def union(parts: dict[str, Accumulators]) -> NDArray[np.float64]:
    return merge_detectors(parts).intensity()


def plain_mean(parts: dict[str, Accumulators]) -> NDArray[np.float64]:
    return np.mean([part.intensity() for part in parts.values()], axis=0)


def weighted(parts: dict[str, Accumulators]) -> NDArray[np.float64]:
    """Weights 1/σ²; where a detector counted nothing it has no σ and is left out, as in py4xs."""
    values = np.stack([part.intensity() for part in parts.values()])
    sigmas = np.stack([part.sigma() for part in parts.values()])
    weights = np.zeros(sigmas.shape)
    np.divide(1, sigmas**2, out=weights, where=sigmas > 0)
    total = weights.sum(axis=0)
    result = np.zeros(total.shape)
    np.divide((weights * values).sum(axis=0), total, out=result, where=total > 0)
    return result


CANDIDATES = {"union": union, "plain mean": plain_mean, "1/σ² weighted": weighted}


AVERAGED = 10


def merging(level: float, *, frames: int, seed: int) -> dict[str, Found]:
    """Merge the detectors of frames with a mean of `level` counts per pixel, in every way."""
    of = truth(level)
    return judged(simulate(of, frames, rng=np.random.default_rng(seed)), of.merged.intensity())


def averaging(level: float, *, frames: int, seed: int) -> dict[str, Found]:
    """Average groups of ten frames of one detector, in every way."""
    of = truth(level)
    found = simulate(of, frames, rng=np.random.default_rng(seed))["_SAXS"].to_array()
    parts = {
        str(number): Accumulators.from_array(found[number::AVERAGED]) for number in range(AVERAGED)
    }
    return judged(parts, of.sums["_SAXS"].intensity())


def judged(parts: dict[str, Accumulators], expected: NDArray[np.float64]) -> dict[str, Found]:
    both = np.logical_and.reduce([(part.count > 0).all(axis=0) for part in parts.values()])
    counts = float(np.mean([part.signal[:, both].mean() for part in parts.values()]))
    found = {}
    for name, combine in CANDIDATES.items():
        relative = combine(parts)[:, both] / expected[both] - 1
        by_curve = relative.mean(axis=1)
        found[name] = Found(
            bias=float(by_curve.mean()),
            bias_error=float(by_curve.std(ddof=1) / np.sqrt(len(by_curve))),
            variance=float(relative.var(axis=0, ddof=1).mean()),
            counts=counts,
        )
    return found


def main() -> None:
    frames = 4000
    for what in (merging, averaging):
        print(f"{what.__name__}, {frames} frames: bias, variance relative to the union's")  # noqa: T201
        for level in (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0):
            found = what(level, frames=frames, seed=1)
            row = [
                f"{one.bias:+.2%} ± {one.bias_error:.2%}, "
                f"{one.variance / found['union'].variance:.2f}"
                for one in found.values()
            ]
            print(f"| {level:g} | {found['union'].counts:.2g} | " + " | ".join(row) + " |")  # noqa: T201


if __name__ == "__main__":
    main()
