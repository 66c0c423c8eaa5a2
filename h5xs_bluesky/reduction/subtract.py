"""Background subtraction: once, after averaging."""

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError


def subtract_background(
    *,
    sample: NDArray[np.float64],
    buffer: NDArray[np.float64],
    trans_sample: float,
    trans_buffer: float,
    trans_sigma_sample: float,
    trans_sigma_buffer: float,
    sc_factor: float = 1.0,
) -> NDArray[np.float64]:
    """Subtract a buffer's curve, scaled to the beam that the sample transmitted.

    I = I_s − f I_b with f = sc_factor · t_s / t_b, and independent uncertainties in quadrature:
    σ² = σ_s² + f² σ_b² + (f I_b)² [(δt_s / t_s)² + (δt_b / t_b)²]. The last term is common to
    all bins.

    Parameters
    ----------
    sample, buffer : ndarray, shape (2, nq)
        I and σ, not divided by the monitor.
    trans_sample, trans_buffer
        Transmitted beam t of each.
    trans_sigma_sample, trans_sigma_buffer
        Their standard uncertainties δt.
    sc_factor
        Scales the buffer further.

    Returns
    -------
    ndarray, shape (2, nq)
        On the sample's scale; NaN where either curve is.

    Raises
    ------
    ReductionError
        If the curves differ in shape, a transmitted beam is not a positive number, or the
        factor is not finite.
    """
    for name, value in (("sample", trans_sample), ("buffer", trans_buffer)):
        if not (np.isfinite(value) and value > 0):
            raise ReductionError(
                f"expected the beam transmitted by the {name}, found {value}: "
                "the run has no usable monitor; subtract with a factor of your own"
            )
    if not np.isfinite(sc_factor):
        raise ReductionError(f"expected a finite sc_factor for the buffer, found {sc_factor}")
    factor = sc_factor * trans_sample / trans_buffer
    relative = (trans_sigma_sample / trans_sample) ** 2 + (trans_sigma_buffer / trans_buffer) ** 2
    return subtract_scaled(
        sample=sample, buffer=buffer, factor=factor, factor_sigma=factor * float(np.sqrt(relative))
    )


def subtract_scaled(
    *,
    sample: NDArray[np.float64],
    buffer: NDArray[np.float64],
    factor: float,
    factor_sigma: float,
) -> NDArray[np.float64]:
    """Subtract a buffer's curve times a factor: I_s − f I_b, σ² = σ_s² + f² σ_b² + I_b² σ(f)².

    Raises
    ------
    ReductionError
        If the curves differ in shape.
    """
    if sample.shape != buffer.shape or sample.ndim != 2 or len(sample) != 2:
        raise ReductionError(
            f"expected two curves (2, nq) on one q-grid, found {sample.shape} and {buffer.shape}"
        )
    variance = sample[1] ** 2 + (factor * buffer[1]) ** 2 + (buffer[0] * factor_sigma) ** 2
    return np.stack([sample[0] - factor * buffer[0], np.sqrt(variance)])
