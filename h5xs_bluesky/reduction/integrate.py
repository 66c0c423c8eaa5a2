"""From a frame to the sums of its q-bins: each pixel counts for the bin that its centre lies in."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.reduction.accumulators import Accumulators
from h5xs_bluesky.reduction.pixels import Pixels
from h5xs_bluesky.reduction.qgrid import QGrid


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
    disqualifies further pixels, the other sums are made anew without them.
    """

    def __init__(self, pixels: Pixels, qgrid: QGrid) -> None:
        self.pixels = pixels
        self.qgrid = qgrid
        index = np.where(pixels.mask, -1, qgrid.bin_index(pixels.q)).ravel()
        self._used = np.flatnonzero(index >= 0)
        self._bins = index[self._used].astype(np.intp)
        self._normalization = pixels.normalization.ravel()[self._used]
        self._static = self._static_sums(slice(None))

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns of the frames."""
        return self.pixels.shape

    def integrate(self, frame: NDArray[Any]) -> Accumulators:
        """Give the sums (nq,) of a frame (H, W)."""
        self.pixels.check(frame)
        counts = frame.ravel()[self._used]
        disqualified = self.pixels.disqualified(counts)
        good: slice | NDArray[np.bool_] = slice(None)
        sums = self._static
        if disqualified is not None and disqualified.any():
            good = ~disqualified
            sums = self._static_sums(good)
        signal = self._total(good, counts[good])
        normalization, normalization_squared, count = sums
        return Accumulators(
            signal=signal,
            variance=signal.copy(),
            normalization=normalization.copy(),
            normalization_squared=normalization_squared.copy(),
            count=count.copy(),
        )

    def _static_sums(self, good: slice | NDArray[np.bool_]) -> tuple[NDArray[np.float64], ...]:
        normalization = self._normalization[good]
        return (
            self._total(good, normalization),
            self._total(good, normalization**2),
            self._total(good, np.ones_like(normalization)),
        )

    def _total(self, good: slice | NDArray[np.bool_], weights: NDArray[Any]) -> NDArray[np.float64]:
        total = np.bincount(self._bins[good], weights=weights, minlength=len(self.qgrid))
        return total.astype(float, copy=False)
