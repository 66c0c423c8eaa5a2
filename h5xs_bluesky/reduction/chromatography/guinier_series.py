"""Guinier's law in every frame of a series."""

import numpy as np
from numpy.typing import NDArray

_FEWEST_BINS = 5
_TRIALS = 32  # radii at which the search begins
_STEPS = 8  # of Gauss and Newton
_MOST_ROUNDS = 40
_LEAST_SIGNAL = 5.0  # I(0) and Rg over their σ, for a fit to be one
_LEAST_RG = 4.0
_SINGULAR = 1e-12


def fit_guinier_series(
    curves: NDArray[np.float64],
    q: NDArray[np.float64],
    *,
    q_range: tuple[float, float],
    largest_q_rg: float = 1.3,
    common: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit I = I(0) exp(−q² Rg² / 3) to each curve, from the lowest q up to q Rg of a limit.

    The intensities themselves are fitted, not their logarithms, so that bins below zero count and
    nothing is drawn to one side where there are few counts. The range begins as wide as allowed
    and is cut at `largest_q_rg` over the radius found, until it holds.

    Parameters
    ----------
    curves : ndarray, shape (n, 2, nq)
        I and σ, less the buffer.
    q : ndarray, shape (nq,)
        In Å⁻¹.
    q_range
        Where to look, in Å⁻¹.
    largest_q_rg
        The limit.
    common : ndarray, shape (n, nq), optional
        By how much all bins of a curve move together for one σ of the beam.

    Returns
    -------
    ndarray, shape (n, 2)
        Rg and its σ, in Å.
    ndarray, shape (n, 2)
        I(0) and its σ.
        Both NaN where fewer than five bins are left, I(0) is not 5 σ above zero, or Rg is not
        known to a quarter.

    Examples
    --------
    >>> q = np.linspace(0.01, 0.2, 50)
    >>> curve = np.stack([7 * np.exp(-((q * 20) ** 2) / 3), np.full(50, 0.01)])
    >>> rg, i0 = fit_guinier_series(curve[None], q, q_range=(0.0, 0.2))
    >>> rg[0, 0].round(6), i0[0, 0].round(6)
    (np.float64(20.0), np.float64(7.0))
    """
    rg, i0 = np.full((len(curves), 2), np.nan), np.full((len(curves), 2), np.nan)
    looked = (q >= q_range[0]) & (q <= q_range[1])
    q, curves = q[looked], curves[..., looked]
    moved = np.zeros(curves[:, 0].shape) if common is None else common[..., looked]
    inside = np.isfinite(curves).all(axis=1) & (curves[:, 1] > 0)
    waiting = np.flatnonzero(inside.sum(axis=1) >= _FEWEST_BINS)
    for _ in range(_MOST_ROUNDS):
        if not waiting.size:
            break
        fitted, sigma = _fit(curves[waiting], q, inside[waiting], moved[waiting])
        cut = inside[waiting] & (q * fitted[:, :1] <= largest_q_rg)
        holds = (cut == inside[waiting]).all(axis=1)
        good = holds & (fitted[:, 0] > _LEAST_RG * sigma[:, 0])
        good &= fitted[:, 1] > _LEAST_SIGNAL * sigma[:, 1]
        for result, column in ((rg, 0), (i0, 1)):
            result[waiting[good]] = np.stack([fitted[good, column], sigma[good, column]], axis=1)
        inside[waiting] = cut
        waiting = waiting[~holds & (cut.sum(axis=1) >= _FEWEST_BINS)]
    return rg, i0


def _fit(
    curves: NDArray[np.float64],
    q: NDArray[np.float64],
    inside: NDArray[np.bool_],
    common: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give Rg and I(0) of each curve in its range, (n, 2), and their σ; zero where it rises."""
    x = q**2
    data = np.where(inside, curves[:, 0], 0.0)
    weight = np.zeros(data.shape)
    np.divide(1.0, curves[:, 1] ** 2, out=weight, where=inside)
    slope = _begin(data, weight, x)
    forward = _forward(data, weight, np.exp(-np.outer(slope, x)))
    for _ in range(_STEPS):
        falling = np.exp(-np.outer(slope, x))
        design = np.stack([falling, -x * forward[:, None] * falling], axis=1)
        residual = data - forward[:, None] * falling
        covariance = _covariance(design, weight)
        step = np.einsum("nij,njm,nm->ni", covariance, design, weight * residual)
        slope = np.clip(slope + step[:, 1], slope / 3, 3 * slope)
        forward = _forward(data, weight, np.exp(-np.outer(slope, x)))
    falling = np.exp(-np.outer(slope, x))
    design = np.stack([falling, -x * forward[:, None] * falling], axis=1)
    covariance = _covariance(design, weight)
    shift = np.einsum("nij,njm,nm->ni", covariance, design, weight * np.where(inside, common, 0.0))
    variance = np.diagonal(covariance, axis1=1, axis2=2) + shift**2
    radius = np.sqrt(3 * slope)
    sigma = np.sqrt(variance)
    with np.errstate(divide="ignore"):
        sigma_radius = 1.5 * sigma[:, 1] / radius
    return np.stack([radius, forward], axis=1), np.stack([sigma_radius, sigma[:, 0]], axis=1)


def _begin(
    data: NDArray[np.float64], weight: NDArray[np.float64], x: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give the best of some slopes Rg²/3 for each curve, (n,)."""
    trials = np.geomspace(0.03 / x[-1], 3.0 / x[min(_FEWEST_BINS, len(x)) - 1], _TRIALS)
    falling = np.exp(-np.outer(trials, x))
    overlap = (weight * data) @ falling.T
    size = weight @ (falling**2).T
    score = np.zeros(overlap.shape)
    np.divide(overlap**2, size, out=score, where=(overlap > 0) & (size > 0))
    return np.asarray(trials[score.argmax(axis=1)])


def _forward(
    data: NDArray[np.float64], weight: NDArray[np.float64], falling: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give the best I(0) for given slopes, (n,)."""
    size = np.sum(weight * falling**2, axis=1)
    result = np.zeros(len(data))
    np.divide(np.sum(weight * data * falling, axis=1), size, out=result, where=size > 0)
    return result


def _covariance(design: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Invert the normal matrices, (n, 2, 2); zero where a curve tells nothing."""
    normal = np.einsum("nim,njm,nm->nij", design, design, weight)
    a, b, d = normal[:, 0, 0], normal[:, 0, 1], normal[:, 1, 1]
    determinant = a * d - b**2
    inverse = np.zeros(normal.shape)
    entries = np.stack([np.stack([d, -b], axis=-1), np.stack([-b, a], axis=-1)], axis=1)
    solvable = determinant > _SINGULAR * a * d
    inverse[solvable] = entries[solvable] / determinant[solvable, None, None]
    return inverse
