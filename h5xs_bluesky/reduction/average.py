"""The average of frames: the union of their accumulators, weighted by the beam they had."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.accumulators import Accumulators


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
    """

    accumulators: Accumulators
    trans: float
    trans_sigma: float
    kept: NDArray[np.bool_]


def average_frames(
    frames: Accumulators,
    *,
    kept: NDArray[np.bool_],
    trans: NDArray[np.float64],
    relative_uncertainty: float,
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
            accumulators=frames[kept].union(), trans=np.nan, trans_sigma=np.nan, kept=kept
        )
    mean = float(readings.mean())
    return Average(
        accumulators=frames[kept].union(readings / mean),
        trans=mean,
        trans_sigma=relative_uncertainty * float(np.sqrt(np.sum(readings**2))) / len(readings),
        kept=kept,
    )
