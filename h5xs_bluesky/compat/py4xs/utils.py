"""py4xs' ``utils``: what notebooks use of it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.similarity import run_probability

Range = Sequence[Any]  # [[lowest, highest], number of bins]

_ENDINGS = ("_SAXS", "_WAXS1", "_WAXS2", ".cbf", ".tif")


def get_bin_ranges_from_grid(qgrid: ArrayLike, prec: float = 1e-5) -> list[list[Any]]:
    """Take a grid of several steps apart.

    Parameters
    ----------
    qgrid : (nq,)
        Centres of bins.
    prec
        To which edges and steps are rounded.

    Returns
    -------
    list
        ``[[lowest, highest], bins]`` of each part, in the order of their steps.
    """
    q = np.asarray(qgrid, dtype=float)
    steps = np.round(np.diff(q) / prec)
    steps = np.append(steps, steps[-1])
    ranges: list[list[Any]] = []
    for step in np.unique(steps):
        part = q[steps == step]
        low, high = part[0] - step * prec / 2, part[-1] + step * prec / 2
        edges = [float(np.round(edge / prec) * prec) for edge in (low, high)]
        ranges.append([edges, part.size])
    return ranges


def get_grid_from_bin_ranges(bin_ranges: Sequence[Range]) -> NDArray[np.float64]:
    """Give the centres of adjacent bins.

    Parameters
    ----------
    bin_ranges
        ``[[lowest, highest], bins]`` of each part; they should not overlap.

    Examples
    --------
    >>> get_grid_from_bin_ranges([[[0.0, 0.1], 2], [[0.1, 0.5], 2]]).round(3).tolist()
    [0.025, 0.075, 0.2, 0.4]
    """
    parts = [np.linspace(low, high, bins + 1) for (low, high), bins in bin_ranges]
    return np.concatenate([(edges[1:] + edges[:-1]) / 2 for edges in parts])


def max_len(d1a: ArrayLike, d1b: ArrayLike, return_all: bool = False) -> Any:
    """Give the longest run of bins in which one curve lies above the other, as CorMap has it.

    Parameters
    ----------
    d1a, d1b : (nq,)
        Bins that are NaN in either are left out.
    return_all
        Give whether the first is not above the second, bin by bin, and the lengths of all runs.

    Raises
    ------
    ReductionError
        If the curves have no bin in common.
    """
    one, other = np.asarray(d1a, dtype=float), np.asarray(d1b, dtype=float)
    known = np.isfinite(one) & np.isfinite(other)
    if not known.any():
        raise ReductionError("expected curves with bins in common, found none")
    above = one[known] > other[known]
    starts = np.flatnonzero(np.diff(above, prepend=~above[0]))
    lengths = np.diff(starts, append=above.size)
    return (~above, lengths) if return_all else int(lengths.max())


def Schilling_p_value(n: int, C: int) -> float:
    """Give the probability that `n` throws of a coin have a run of `C` or more, of either side.

    That is what its docstring in py4xs promises, and what `max_len` is to be compared with; py4xs'
    own numbers are for runs of one side that are longer than `C`, which is much rarer.
    """
    return run_probability(n, C)


def strip_name(s: str) -> str:
    """Take the endings of detectors and pictures out of a name."""
    for ending in _ENDINGS:
        s = s.replace(ending, "")
    return s


def common_name(s1: str, s2: str) -> str:
    """Give what two names begin with; the first, where they have nothing in common."""
    one, other = strip_name(s1), strip_name(s2)
    equal = [a == b for a, b in zip(one, other, strict=False)] + [False]
    return (one[: equal.index(False)] or one).rstrip("-_ ")
