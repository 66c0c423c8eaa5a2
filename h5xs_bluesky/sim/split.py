"""Many short exposures out of a long one, with true counting statistics."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray


def split_exposure(
    exposure: NDArray[Any], parts: int, rng: np.random.Generator
) -> Iterator[NDArray[Any]]:
    """Split the counts of each pixel multinomially; a Poisson count gives independent Poisson ones.

    The parts are drawn one after the other, n_i ~ binomial(rest, 1 / (parts − i)), which is the
    same distribution, so that memory holds only the rest.

    Parameters
    ----------
    exposure : ndarray of int
        Counts; negative values mark pixels that do not count, and are repeated in each part.
    parts
        How many.
    rng
        The source of chance.

    Yields
    ------
    ndarray
        Of the exposure's shape and dtype. On pixels that count, the parts add up to the exposure.

    Raises
    ------
    ValueError
        If there is less than one part, or the exposure does not hold integers.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> sum(split_exposure(np.array([7, 0, -1]), 3, rng)).tolist()
    [7, 0, -3]
    """
    if parts < 1:
        raise ValueError(f"expected at least one part, found {parts}")
    if exposure.dtype.kind not in "iu":
        raise ValueError(f"expected an exposure of integer counts, found dtype {exposure.dtype}")
    return _parts(exposure, parts, rng)


def _parts(exposure: NDArray[Any], parts: int, rng: np.random.Generator) -> Iterator[NDArray[Any]]:
    counting = exposure >= 0
    rest = exposure[counting].astype(np.int64)
    for left in range(parts, 0, -1):
        counts = rng.binomial(rest, 1 / left)
        rest -= counts
        part = exposure.copy()
        part[counting] = counts
        yield part
