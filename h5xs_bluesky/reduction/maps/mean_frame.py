"""The mean of several frames, pixel by pixel."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.integration.pixels import disqualified_values


def mean_frame(
    frames: Iterable[NDArray[Any]], *, saturation: float | None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Average frames, each pixel over those in which it counts.

    Parameters
    ----------
    frames
        Of one shape (H, W); taken one at a time.
    saturation
        As of the detector: counts from which on a pixel does not count.

    Returns
    -------
    mean : ndarray, shape (H, W)
        NaN where a pixel counts in none.
    exposures : ndarray of int, shape (H, W)
        In how many it counts.

    Raises
    ------
    ReductionError
        If there is no frame, or their shapes differ.
    """
    total: NDArray[np.float64] | None = None
    exposures = np.zeros(0, np.int64)
    for frame in frames:
        if total is None:
            total, exposures = np.zeros(frame.shape), np.zeros(frame.shape, np.int64)
        if frame.shape != total.shape:
            raise ReductionError(
                f"expected frames of shape {total.shape} to average, found one of {frame.shape}"
            )
        bad = disqualified_values(frame, saturation=saturation)
        good = np.ones(frame.shape, bool) if bad is None else ~bad
        total[good] += frame[good]
        exposures += good
    if total is None:
        raise ReductionError("expected frames to average, found none")
    mean = np.full(total.shape, np.nan)
    np.divide(total, exposures, out=mean, where=exposures > 0)
    return mean, exposures
