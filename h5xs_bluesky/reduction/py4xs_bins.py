"""The ancestor's bins of q, and its curves at their centres, from the sums that we make."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.accumulators import Accumulators
from h5xs_bluesky.reduction.integration.pixels import Pixels
from h5xs_bluesky.reduction.qgrid import QGrid

_SNAP = 0.01  # of a bin's width
_FEWEST_PIXELS = 0.002  # times the square of the bin's number


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Py4xsBins:
    """The bins that py4xs makes around a list of q (``Data2d.conv_Iq``), and those between them.

    A bin is as wide as the step from the q before, and has its q in the middle. Where the steps
    grow, a gap opens between two bins, and what falls into it is thrown away; a lower edge that
    misses the upper one before by less than a hundredth of the width is put onto it.

    Parameters
    ----------
    grid
        All bins, gaps included, one after the other.
    kept : ndarray of bool, shape (len(grid),)
        False for a gap.

    Examples
    --------
    >>> bins = Py4xsBins.from_centers([0.10, 0.11, 0.12, 0.14, 0.16])
    >>> bins.grid.edges.round(3).tolist()
    [0.095, 0.105, 0.115, 0.125, 0.13, 0.15, 0.17]
    >>> bins.kept.tolist()
    [True, True, True, False, True, True]
    """

    grid: QGrid
    kept: NDArray[np.bool_]

    @classmethod
    def from_centers(cls, centers: ArrayLike) -> "Py4xsBins":
        """Make the bins.

        Parameters
        ----------
        centers : (nq,)
            q in Å⁻¹, as py4xs' ``qgrid``.

        Raises
        ------
        ReductionError
            If there are fewer than two, or the steps shrink somewhere: the bins would overlap, and
            py4xs fails.
        """
        q = np.asarray(centers, dtype=float)
        if q.ndim != 1 or q.size < 2 or not (np.diff(q) > 0).all():
            raise ReductionError(f"expected at least two q that increase, found {q}")
        widths = np.diff(q, prepend=2 * q[0] - q[1])
        edges, middles, kept = [q[0] - widths[0] / 2], [], []
        for center, width in zip(q, widths, strict=True):
            lower, upper = center - width / 2, edges[-1]
            if abs(lower - upper) >= _SNAP * width:
                if lower < upper:
                    raise ReductionError(
                        f"expected steps of q that do not shrink, found {width:g} before "
                        f"{center:g} and a larger one before that: py4xs cannot bin on such a "
                        "grid; use QGrid.from_centers"
                    )
                edges.append(lower)
                middles.append((lower + upper) / 2)
                kept.append(False)
            edges.append(center + width / 2)
            middles.append(center)
            kept.append(True)
        mask = np.array(kept)
        mask.setflags(write=False)
        return cls(grid=QGrid(edges=np.array(edges), centers=np.array(middles)), kept=mask)

    @property
    def centers(self) -> NDArray[np.float64]:
        """The q that the bins were made around (nq,), in Å⁻¹."""
        return self.grid.centers[self.kept]

    def curve(
        self, sums: Accumulators, pixels: Pixels, frame: NDArray[Any] | None = None
    ) -> NDArray[np.float64]:
        """Give I and σ of one frame and detector as py4xs computes them.

        The mean over a bin belongs to the mean q of its pixels; py4xs interpolates from there to
        the bin's centre. It drops bins of few pixels: n ≤ 0.002 i² in bin i.

        Parameters
        ----------
        sums
            On `grid`, unweighted with azimuthal errors, as py4xs averages.
        pixels
            They were made from.
        frame : (H, W), optional
            Whose own values exclude pixels, as negative ones; None where all are in use.

        Returns
        -------
        ndarray, shape (2, nq)
            NaN where py4xs has none: in the bins that it drops, and, for I, where the mean q lies
            on the side of one.
        """
        used = ~pixels.mask
        bad = None if frame is None else pixels.disqualified(frame)
        if bad is not None:
            used &= ~bad
        q = pixels.q[used]
        total = np.histogram(q, self.grid.edges, weights=q)[0][self.kept]
        count = np.histogram(q, self.grid.edges)[0][self.kept]
        enough = count > _FEWEST_PIXELS * np.arange(count.size) ** 2
        mean_q = np.divide(total, count, out=np.full(count.shape, np.nan), where=enough)
        intensity, sigma = (
            np.where(enough, values[self.kept], np.nan)
            for values in (sums.intensity(), sums.sigma())
        )
        return np.stack([_between_neighbours(self.centers, mean_q, intensity), sigma])


def _between_neighbours(
    q: NDArray[np.float64], mean_q: NDArray[np.float64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Interpolate from the mean q of each bin to its centre; NaN where the other bin has no pixels.

    Beyond the mean q of the first and of the last bin their values are taken.
    """
    bins = np.arange(q.size)
    left = np.where(mean_q <= q, bins, bins - 1)
    ends = (left < 0) | (left == q.size - 1)
    left = np.clip(left, 0, max(q.size - 2, 0))
    slope = np.diff(values)[left] / np.diff(mean_q)[left]
    interpolated: NDArray[np.float64] = values[left] + slope * (q - mean_q[left])
    return np.where(np.isnan(mean_q), np.nan, np.where(ends, values, interpolated))
