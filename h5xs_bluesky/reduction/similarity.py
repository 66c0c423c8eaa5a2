"""Which frames agree: longest runs of the differences' signs (CorMap), and limits on the beam."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError

METHODS = ("cormap", "all")

KEPT = ""
MISSING = "missing"
SUPERSEDED = "superseded"
TRANSMISSION = "transmission"
CORMAP = "cormap"
DISTANCE = "distance"
EXPLICIT = "explicit"

_MOST_CANDIDATES = 50
_FEWEST_BINS = 10
_SLACK = 3 * np.sqrt(2)  # standard uncertainties of the ratio of two readings


@dataclass(frozen=True, kw_only=True, slots=True)
class SelectionOptions:
    """How frames are selected for the average.

    Parameters
    ----------
    method
        ``"cormap"`` compares shapes, ``"all"`` does not.
    significance
        Probability that any of the frames is rejected when all agree, up to counting statistics.
    q_range
        Where curves are compared, in Å⁻¹; None for everywhere.
    trans_tolerance
        Largest relative deviation of a frame's monitor reading from the median; None for no limit.
    max_distance
        Largest distance of a frame from the reference; None for no limit. The distance is the mean
        over the bins of Δ²/σ²(Δ), the reduced χ² of the difference: 1 for frames that agree.

    Raises
    ------
    ReductionError
        If a value is out of range.
    """

    method: Literal["cormap", "all"] = "cormap"
    significance: float = 0.01
    q_range: tuple[float, float] | None = None
    trans_tolerance: float | None = 0.1
    max_distance: float | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ReductionError(f"expected a method of {METHODS}, found {self.method!r}")
        if not 0 < self.significance < 1:
            raise ReductionError(
                f"expected a significance between 0 and 1, found {self.significance}"
            )
        if self.q_range is not None and not self.q_range[0] < self.q_range[1]:
            raise ReductionError(f"expected a q_range that increases, found {self.q_range}")
        for name in ("trans_tolerance", "max_distance"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ReductionError(f"expected a positive {name}, found {value}")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Selection:
    """Which frames are kept, and why the others are not.

    Parameters
    ----------
    kept : ndarray of bool, shape (n,)
        Whether each is.
    reference
        The frame that the others were compared with; −1 if none was.
    p_value : ndarray, shape (n,)
        Probability of so long a run in a frame that agrees; NaN where not compared.
    longest_run : ndarray of int, shape (n,)
        Bins in a row with differences of one sign; 0 where not compared.
    distance : ndarray, shape (n,)
        Reduced χ² of the difference from the reference; NaN where not compared.
    reason : tuple of str
        For each frame "", "missing", "superseded", "transmission", "cormap", "distance" or
        "explicit".
    """

    kept: NDArray[np.bool_]
    reference: int
    p_value: NDArray[np.float64]
    longest_run: NDArray[np.int64]
    distance: NDArray[np.float64]
    reason: tuple[str, ...]


def select_frames(
    curves: NDArray[np.float64],
    *,
    q: NDArray[np.float64],
    trans: NDArray[np.float64] | None,
    options: SelectionOptions,
    missing: NDArray[np.bool_],
    superseded: NDArray[np.bool_],
    explicit: NDArray[np.bool_] | None = None,
    relative_uncertainty: float = 0.0,
) -> Selection:
    """Select the frames that agree.

    The reference is the frame that agrees with most of the others, of at most 50 evenly spaced
    candidates; among equals the earliest. All frames are compared with it by the longest run of
    one sign in the difference of the curves, each divided by its monitor reading where that is
    known (Franke et al., Nature Methods 12 (2015) 419; freesas). Probabilities are corrected for
    the number of comparisons (Holm). Where a largest distance is given, frames further from the
    reference are rejected, too.

    The noise of the monitor shifts all bins of a curve together. Before two curves are compared,
    one is therefore scaled to the other by least squares, but by no more than three standard
    uncertainties of the ratio of two readings. Noise that the uncertainty does not tell counts as
    disagreement: where it is not small against the counting error of a bin, frames that agree are
    rejected.

    Parameters
    ----------
    curves
        (n, 2, nq): I and σ of each frame.
    q
        (nq,), in Å⁻¹.
    trans
        (n,): monitor readings; None if there are none. Not positive: rejected.
    options
        How to select.
    missing, superseded
        (n,): frames that are out from the beginning.
    explicit
        (n,): the user's own choice, instead of the statistics. A missing frame stays out.
    relative_uncertainty
        Standard uncertainty of one monitor reading, relative to it.

    Raises
    ------
    ReductionError
        If `explicit` has another length.
    """
    reason = np.full(len(curves), KEPT, dtype=object)
    p_value = np.full(len(curves), np.nan)
    longest = np.zeros(len(curves), dtype=np.int64)
    distance = np.full(len(curves), np.nan)
    reference = -1
    if explicit is not None:
        if explicit.shape != reason.shape:
            raise ReductionError(
                f"expected a selection of {len(reason)} frames, found {explicit.shape}"
            )
        reason[~explicit] = EXPLICIT
    else:
        reason[superseded] = SUPERSEDED
        _limit_transmission(reason, trans, options, out=missing)
    reason[missing] = MISSING
    if explicit is None and options.method == "cormap":
        shapes = _comparable(curves, q, trans, options)
        slack = 0.0 if trans is None else _SLACK * relative_uncertainty
        left = np.flatnonzero(reason == KEPT)
        if len(left) > 1:
            reference = _reference(shapes, left, options.significance, slack)
            compared = left[left != reference]
            for frame in compared:
                found = _agreement(shapes[frame], shapes[reference], slack)
                longest[frame], p_value[frame], distance[frame] = found
            if options.max_distance is not None:
                reason[compared[distance[compared] > options.max_distance]] = DISTANCE
            reason[compared[holm(p_value[compared], options.significance)]] = CORMAP
    return Selection(
        kept=np.asarray(reason == KEPT, dtype=bool),
        reference=reference,
        p_value=p_value,
        longest_run=longest,
        distance=distance,
        reason=tuple(str(text) for text in reason),
    )


def holm(p_values: NDArray[np.float64], significance: float) -> NDArray[np.bool_]:
    """Tell which hypotheses are rejected at a family-wise significance (Holm, 1979).

    NaN, where nothing could be compared, is not rejected.

    Examples
    --------
    >>> holm(np.array([0.001, 0.04, 0.02]), 0.05).tolist()
    [True, True, True]
    >>> holm(np.array([0.001, 0.04, 0.03]), 0.05).tolist()
    [True, False, False]
    """
    p = np.where(np.isnan(p_values), 1.0, p_values)
    order = np.argsort(p, kind="stable")
    passes = p[order] <= significance / np.arange(len(p), 0, -1)
    rejected = np.zeros(len(p), dtype=bool)
    rejected[order] = np.logical_and.accumulate(passes)
    return rejected


@lru_cache(maxsize=4096)
def run_probability(bins: int, longest: int) -> float:
    """Give the probability that signs tossed for `bins` bins have a run of at least `longest`.

    Neighbours are equal or not with probability ½ each, so that it is p(n − 1) for a run of
    m = longest − 1 successes, with p(k) = p(k − 1) + [1 − p(k − m − 1)] / 2^(m + 1), p(m) = 2^−m
    (Schilling, The College Mathematics Journal 21 (1990) 196). Only positive terms are added:
    small probabilities stay exact, and time grows with the number of bins alone.

    Examples
    --------
    >>> run_probability(3, 3)
    0.25
    """
    needed = longest - 1
    if needed < 1:
        return 1.0
    if longest > bins:
        return 0.0
    p = [0.0] * needed + [0.5**needed]
    for k in range(needed + 1, bins):
        p.append(p[-1] + (1 - p[k - needed - 1]) * 0.5 ** (needed + 1))
    return p[-1]


def _limit_transmission(
    reason: NDArray[Any],
    trans: NDArray[np.float64] | None,
    options: SelectionOptions,
    *,
    out: NDArray[np.bool_],
) -> None:
    if trans is None:
        return
    left = (reason == KEPT) & ~out
    usable = np.isfinite(trans) & (trans > 0)
    reason[left & ~usable] = TRANSMISSION
    if options.trans_tolerance is None or not (left & usable).any():
        return
    median = np.median(trans[left & usable])
    far = np.abs(trans - median) > options.trans_tolerance * median
    reason[left & usable & far] = TRANSMISSION


def _comparable(
    curves: NDArray[np.float64],
    q: NDArray[np.float64],
    trans: NDArray[np.float64] | None,
    options: SelectionOptions,
) -> NDArray[np.float64]:
    """Give the curves (n, 2, bins) on one scale, in the range where they are compared."""
    if options.q_range is not None:
        low, high = options.q_range
        curves = curves[..., (q >= low) & (q <= high)]
    return curves if trans is None else curves / np.where(trans > 0, trans, np.nan)[:, None, None]


def _reference(
    shapes: NDArray[np.float64], left: NDArray[np.intp], significance: float, slack: float
) -> int:
    spread = np.unique(np.linspace(0, len(left) - 1, _MOST_CANDIDATES).round().astype(int))
    candidates = left[spread]
    pairs = len(candidates) * (len(candidates) - 1) / 2
    agreeing = np.zeros(len(candidates), dtype=int)
    for i, first in enumerate(candidates):
        for j in range(i):
            _, p, _ = _agreement(shapes[first], shapes[candidates[j]], slack)
            if np.isnan(p) or p > significance / pairs:
                agreeing[i] += 1
                agreeing[j] += 1
    return int(candidates[np.argmax(agreeing)])


def _agreement(
    first: NDArray[np.float64], second: NDArray[np.float64], slack: float
) -> tuple[int, float, float]:
    """Give the longest run of one sign, its probability, and the reduced χ² of the difference.

    The latter two are NaN if there is too little to compare.

    Bins without pixels, or in which neither frame counted anything, say nothing. The curves
    (2, bins) may differ by a factor of up to 1 ± slack.
    """
    from freesas.cormap import measure_longest

    usable = np.isfinite(first[0]) & np.isfinite(second[0]) & ((first[0] != 0) | (second[0] != 0))
    bins = int(usable.sum())
    if bins < _FEWEST_BINS:
        return 0, np.nan, np.nan
    (one, sigma_one), (other, sigma_other) = first[:, usable], second[:, usable]
    weight = 1 / (sigma_one**2 + sigma_other**2)
    size = np.sum(weight * one**2)
    scale = np.sum(weight * one * other) / size if size > 0 else 1.0  # nothing scales to nothing
    factor = np.clip(scale, 1 - slack, 1 + slack)
    difference = other - factor * one
    longest = int(measure_longest(np.ascontiguousarray(difference)))
    distance = float(np.mean(difference**2 / ((factor * sigma_one) ** 2 + sigma_other**2)))
    return longest, run_probability(bins, longest), distance
