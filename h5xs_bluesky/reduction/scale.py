"""By what a buffer is scaled before it is subtracted."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.water import WaterPeak, peak_intensity

AUTO = "auto"


@dataclass(frozen=True, kw_only=True, slots=True)
class BufferScale:
    """A buffer's factor f, by which its curve is multiplied before it is subtracted.

    Parameters
    ----------
    factor, sigma
        f, and its standard uncertainty.
    sc_factor
        f beyond the ratio of the transmitted beams.
    """

    factor: float
    sigma: float
    sc_factor: float


def check_sc_factor(value: object) -> None:
    """Refuse what is neither a positive number nor ``"auto"``.

    Raises
    ------
    ReductionError
        If it is not.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value != AUTO and not (number and np.isfinite(value) and value > 0):  # type: ignore[call-overload,operator]
        raise ReductionError(
            f"expected a positive sc_factor, or {AUTO!r} for the water peak's, found {value!r}"
        )


def water_scale(
    *,
    sample: NDArray[np.float64],
    buffer: NDArray[np.float64],
    q: NDArray[np.float64],
    peak: WaterPeak,
    trans_ratio: float,
) -> BufferScale:
    """Scale a buffer so that the water peak vanishes from the difference.

    f = W_s / W_b with W the peak's intensity in either curve, in whose units the transmitted beams
    cancel; σ(f) = f √[(σ(W_s) / W_s)² + (σ(W_b) / W_b)²]. What the solute itself scatters under
    the peak makes f too large by that part of the water's; the volume that it takes from the water
    makes f smaller, as it should.

    Parameters
    ----------
    sample, buffer : ndarray, shape (2, nq)
        I and σ.
    q : (nq,)
        In Å⁻¹.
    peak
        Where it is.
    trans_ratio
        t_s / t_b, for `sc_factor`.

    Raises
    ------
    ReductionError
        If either curve has no peak.
    """
    (own, own_sigma), (other, other_sigma) = peak_intensity(
        np.stack([sample, buffer]), q=q, peak=peak
    )
    if not (own > 0 and other > 0):
        raise ReductionError(
            f"expected a water peak in sample and buffer, found intensities {own:g} and {other:g}: "
            "give sc_factor as a number"
        )
    factor = float(own / other)
    sigma = factor * float(np.hypot(own_sigma / own, other_sigma / other))
    return BufferScale(factor=factor, sigma=sigma, sc_factor=factor / trans_ratio)
