"""From a frame to the sums of its q-bins: each pixel counts for the bin that its centre lies in."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.reduction.accumulators import Accumulators
from h5xs_bluesky.reduction.pixels import Pixels
from h5xs_bluesky.reduction.qgrid import QGrid

_StaticSums = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


class Integrator(Protocol):
    """What turns frames of one detector into accumulators.

    The counts are taken as Poisson-distributed: the variance of a pixel is its counts.
    """

    @property
    def qgrid(self) -> QGrid:
        """The bins."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns of the frames."""
        ...

    def integrate(self, frame: NDArray[Any]) -> Accumulators:
        """Give the sums (nq,) of a frame (H, W); the same bits for the same frame.

        Raises
        ------
        ReductionError
            If the frame has another shape or holds no real numbers.
        """
        ...


class HistogramIntegrator:
    """The plain reference: numpy's histograms, everything computed anew for every frame."""

    def __init__(self, pixels: Pixels, qgrid: QGrid) -> None:
        self.pixels = pixels
        self.qgrid = qgrid

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns of the frames."""
        return self.pixels.shape

    def integrate(self, frame: NDArray[Any]) -> Accumulators:
        """Give the sums (nq,) of a frame (H, W)."""
        self.pixels.check(frame)
        good = ~self.pixels.mask
        disqualified = self.pixels.disqualified(frame)
        if disqualified is not None:
            good &= ~disqualified
        q = self.pixels.q[good]
        counts = frame[good].astype(float)
        normalization = self.pixels.normalization[good]

        def total(weights: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.histogram(q, bins=self.qgrid.edges, weights=weights)[0]

        return Accumulators(
            signal=total(counts),
            variance=total(counts),
            normalization=total(normalization),
            normalization_squared=total(normalization**2),
            count=total(np.ones_like(q)),
        )


class BinnedIntegrator:
    """Knows each pixel's bin beforehand, and the sums that do not depend on the frame.

    Only the counts of the pixels in use are added up for a frame. Where the frame itself
    disqualifies further pixels, they add zeros and the other sums are made anew: to the bit what
    a mask over these pixels would give.
    """

    def __init__(self, pixels: Pixels, qgrid: QGrid) -> None:
        self.pixels = pixels
        self.qgrid = qgrid
        index = np.where(pixels.mask, -1, qgrid.bin_index(pixels.q)).ravel()
        self._used = np.flatnonzero(index >= 0)
        self._bins = index[self._used].astype(np.intp)
        self._normalization = pixels.normalization.ravel()[self._used]
        self._normalization_squared = self._normalization**2
        self._count = self._number(self._bins)
        self._static = (
            self._total(self._normalization),
            self._total(self._normalization_squared),
            self._count,
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns of the frames."""
        return self.pixels.shape

    def integrate(self, frame: NDArray[Any]) -> Accumulators:
        """Give the sums (nq,) of a frame (H, W)."""
        self.pixels.check(frame)
        counts = frame.ravel()[self._used]
        bad = self.pixels.disqualified(counts)
        sums = self._static
        if bad is not None and bad.any():
            places = np.flatnonzero(bad)
            counts[places] = 0
            sums = self._sums_without(places)
        signal = self._total(counts)
        normalization, normalization_squared, count = sums
        return Accumulators(
            signal=signal,
            variance=signal.copy(),
            normalization=normalization.copy(),
            normalization_squared=normalization_squared.copy(),
            count=count.copy(),
        )

    def _sums_without(self, places: NDArray[np.intp]) -> _StaticSums:
        normalization = self._normalization.copy()
        normalization[places] = 0
        normalization_squared = self._normalization_squared.copy()
        normalization_squared[places] = 0
        return (
            self._total(normalization),
            self._total(normalization_squared),
            self._count - self._number(self._bins[places]),
        )

    def _total(self, weights: NDArray[Any]) -> NDArray[np.float64]:
        total = np.bincount(self._bins, weights=weights, minlength=len(self.qgrid))
        return total.astype(float, copy=False)

    def _number(self, bins: NDArray[np.intp]) -> NDArray[np.float64]:
        return np.bincount(bins, minlength=len(self.qgrid)).astype(float)
