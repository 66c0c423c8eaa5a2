"""The average of frames: the union of their accumulators, weighted by the beam they had."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.accumulators import Accumulators
from h5xs_bluesky.reduction.water import EXTERNAL


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Average:
    """The average of some frames, on the scale of one frame with their mean beam.

    Parameters
    ----------
    accumulators
        The union (nq,).
    trans
        Mean monitor reading of the frames; NaN where it is not known.
    trans_sigma
        Its standard error.
    kept : ndarray of bool, shape (n,)
        Which frames went in.
    trans_mode
        What `trans` is: ``"external"``, a monitor's reading, or ``"water"``, the water peak.
    """

    accumulators: Accumulators
    trans: float
    trans_sigma: float
    kept: NDArray[np.bool_]
    trans_mode: str = EXTERNAL

    def normalized(self) -> NDArray[np.float64]:
        """Give the curve per unit of transmitted beam, (2, nq), with the beam's uncertainty.

        I / t, and σ² = (σ / t)² + (I δt / t²)²; NaN where the beam is not known. The last term is
        common to all bins.
        """
        intensity, sigma = self.accumulators.curve() / self.trans
        relative = self.trans_sigma / self.trans
        return np.stack([intensity, np.hypot(sigma, intensity * relative)])


def average_frames(
    frames: Accumulators,
    *,
    kept: NDArray[np.bool_],
    trans: NDArray[np.float64],
    relative_uncertainty: float,
    trans_sigma: NDArray[np.float64] | None = None,
    trans_mode: str = EXTERNAL,
) -> Average:
    """Average the kept frames.

    I = Σ_f signal_f / Σ_f (normalisation_f · m_f / m̄), with m_f the monitor's reading and m̄ its
    mean over the kept frames. The result is not divided by the monitor; `trans` = m̄ carries it.

    Parameters
    ----------
    frames
        (n, nq).
    kept : (n,)
        Which frames to average; missing ones cannot be.
    trans : (n,)
        m_f. Unless all of the kept ones are positive numbers, every frame weighs the same and
        the average's `trans` is NaN.
    relative_uncertainty
        Standard uncertainty of one reading, relative to it; readings are independent.
    trans_sigma : (n,), optional
        Instead, that of each reading.
    trans_mode
        What the readings are.

    Raises
    ------
    ReductionError
        If no frame is kept, a kept one is missing, or the lengths differ.
    """
    if not len(frames.count) == len(kept) == len(trans):
        raise ReductionError(
            f"expected a choice and a monitor reading for each of {len(frames.count)} frames, "
            f"found {len(kept)} and {len(trans)}"
        )
    if not kept.any():
        raise ReductionError(f"expected at least one of {len(kept)} frames to be kept, found none")
    if frames.is_missing()[kept].any():
        raise ReductionError("expected frames to average, found kept frames that are missing")
    readings = trans[kept]
    if not (np.isfinite(readings) & (readings > 0)).all():
        return Average(
            accumulators=frames[kept].union(),
            trans=np.nan,
            trans_sigma=np.nan,
            kept=kept,
            trans_mode=trans_mode,
        )
    mean = float(readings.mean())
    sigmas = relative_uncertainty * readings if trans_sigma is None else trans_sigma[kept]
    return Average(
        accumulators=frames[kept].union(readings / mean),
        trans=mean,
        trans_sigma=float(np.sqrt(np.sum(sigmas**2))) / len(readings),
        kept=kept,
        trans_mode=trans_mode,
    )


def unite_averages(averages: Sequence[Average]) -> Average:
    """Average averages, as of several buffers: the same as averaging all their frames at once.

    With n_k frames and the mean reading m̄_k of each, M = Σ n_k m̄_k / Σ n_k: the normalisations
    are multiplied by m̄_k / M and added up, the signals are added up, and `trans` = M.

    Raises
    ------
    ReductionError
        If there is none, or they were not made with the same kind of `trans`.
    """
    modes = sorted({average.trans_mode for average in averages})
    if len(modes) != 1:
        raise ReductionError(
            f"expected averages with one kind of transmitted beam, found {modes or 'none'}: "
            "set_trans() makes them alike"
        )
    if len(averages) == 1:
        return averages[0]
    frames = np.array([average.kept.sum() for average in averages], dtype=float)
    trans = np.array([average.trans for average in averages])
    known = bool((np.isfinite(trans) & (trans > 0)).all())
    mean = float(np.sum(frames * trans) / frames.sum()) if known else np.nan
    sigmas = np.array([average.trans_sigma for average in averages])
    parts = np.stack([average.accumulators.to_array() for average in averages])
    return Average(
        accumulators=Accumulators.from_array(parts).union(trans / mean if known else None),
        trans=mean,
        trans_sigma=float(np.sqrt(np.sum((frames * sigmas) ** 2)) / frames.sum()),
        kept=np.concatenate([average.kept for average in averages]),
        trans_mode=modes[0],
    )
