"""Dividing curves by the beam that was transmitted, for export."""

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError


def normalize_curve(
    curve: NDArray[np.float64],
    *,
    trans: float,
    trans_sigma: float,
    unsubtracted: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Divide a curve by the transmitted beam t ± δt.

    I / t, with σ² = [σ² + (I δt/t)²] / t². In a subtracted curve, I = Iₛ − f I_b, the beam is in f,
    too: its uncertainty cancels in the buffer, I / t = Iₛ/t − c I_b/t_b, so that
    σ² = [σ² + (Iₛ² − (f I_b)²) (δt/t)²] / t².

    Parameters
    ----------
    curve : ndarray, shape (2, nq)
        I and σ, not divided by the monitor; if subtracted, as `subtract_background` gives them.
    trans, trans_sigma
        t and δt, of the sample.
    unsubtracted : ndarray, shape (2, nq)
        Iₛ ± σₛ, where `curve` is subtracted.

    Raises
    ------
    ReductionError
        If the beam is not a positive number.
    """
    if not (np.isfinite(trans) and trans > 0):
        raise ReductionError(
            f"expected the transmitted beam as a positive number, found {trans}: the run has no "
            "usable monitor; export without normalizing"
        )
    intensity, sigma = curve
    squared = intensity**2
    if unsubtracted is not None:
        squared = unsubtracted[0] ** 2 - (unsubtracted[0] - intensity) ** 2
    variance = sigma**2 + squared * (trans_sigma / trans) ** 2
    return np.stack([intensity, np.sqrt(np.maximum(variance, 0.0))]) / trans
