"""From a frame to the sums of its q-bins."""

import logging
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.accumulators import Accumulators
from h5xs_bluesky.reduction.integration.cells import Bins
from h5xs_bluesky.reduction.integration.dezinger import BinMedians, zingers
from h5xs_bluesky.reduction.integration.method import ENGINES, Method
from h5xs_bluesky.reduction.integration.pixels import Pixels
from h5xs_bluesky.reduction.integration.splitting import split_pixels
from h5xs_bluesky.reduction.qgrid import QGrid

logger = logging.getLogger(__name__)

_StaticSums = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


class Integrator(Protocol):
    """What turns frames of one detector into accumulators."""

    @property
    def qgrid(self) -> Bins:
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


def make_integrator(
    pixels: Pixels, qgrid: Bins, method: Method | None = None, *, engine: str = "compiled"
) -> Integrator:
    """Make an integrator that does what is asked for.

    Parameters
    ----------
    pixels, qgrid
        What is integrated. A `CellGrid` gives any bin to any pixel.
    method
        How; by default weighted, with Poisson errors.
    engine
        ``"compiled"``: the loop of this package; where it was built without one, numpy's, which a
        warning tells. ``"numpy"``: the reference. ``"pyfai"``: pyFAI's sparse matrices, in single
        precision. They differ by rounding.

    Raises
    ------
    ReductionError
        If the engine is not known, or cannot do it.
    """
    method = Method() if method is None else method
    if engine not in ENGINES:
        raise ReductionError(f"expected an engine of {ENGINES}, found {engine!r}")
    if engine == "pyfai":
        from h5xs_bluesky.reduction.integration.pyfai import PyFaiIntegrator

        return PyFaiIntegrator(pixels, qgrid, method)
    common = pixels.half_width is None and method == Method()
    if engine == "compiled":
        try:
            from h5xs_bluesky.reduction.integration.compiled import (
                CompiledIntegrator,
                CompiledSharedIntegrator,
            )
        except ImportError:
            logger.warning(
                "The compiled loop is missing: frames are reduced with numpy, which is slower. "
                "Install a C compiler and Python's headers, then install h5xs_bluesky again"
            )
        else:
            if common:
                return CompiledIntegrator(pixels, qgrid)
            return CompiledSharedIntegrator(pixels, qgrid, method)
    if common and pixels.dark is None:
        return BinnedIntegrator(pixels, qgrid)
    return SharedIntegrator(pixels, qgrid, method)


class HistogramIntegrator:
    """The plain reference: numpy's histograms, everything computed anew for every frame.

    It does not split pixels.
    """

    def __init__(self, pixels: Pixels, qgrid: QGrid, method: Method | None = None) -> None:
        self.pixels = pixels
        self.qgrid = qgrid
        self.method = Method() if method is None else method

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
        good &= ~self._zingers(frame, good)
        q = self.pixels.q[good]
        counts = frame[good].astype(float)
        dark, dark_variance = (
            np.zeros(q.shape) if array is None else array[good]
            for array in (self.pixels.dark, self.pixels.dark_variance)
        )
        signal, variance = counts - dark, counts + dark_variance
        normalization = self.pixels.normalization[good]
        if self.method.estimator == "unweighted":
            signal, variance = signal / normalization, variance / normalization**2
            normalization = np.ones_like(q)

        def total(weights: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.histogram(q, bins=self.qgrid.edges, weights=weights)[0]

        count = total(np.ones_like(q))
        if self.method.error_model == "azimuthal":
            mean = _divided(total(signal), total(normalization))
            of_pixel = np.append(mean, 0.0)[self.qgrid.bin_index(q)]
            variance = (signal - of_pixel * normalization) ** 2
        sums = total(variance)
        if self.method.error_model == "azimuthal":
            sums[count == 1] = np.nan
        return Accumulators(
            signal=total(signal),
            variance=sums,
            normalization=total(normalization),
            normalization_squared=total(normalization**2),
            count=count,
        )

    def _zingers(self, frame: NDArray[Any], good: NDArray[np.bool_]) -> NDArray[np.bool_]:
        if self.method.dezinger is None:
            return np.zeros(frame.shape, bool)
        return zingers(
            np.where(good, frame.astype(float), np.nan).ravel(),
            normalization=self.pixels.normalization.ravel(),
            dark=0.0 if self.pixels.dark is None else self.pixels.dark.ravel(),
            medians=BinMedians(self.qgrid.bin_index(self.pixels.q).ravel().astype(np.intp)),
            threshold=self.method.dezinger,
        ).reshape(frame.shape)


class BinnedIntegrator:
    """Knows each pixel's bin beforehand, and the sums that do not depend on the frame.

    For the common case: no splitting, no dark, the default `Method`. Only the counts of the
    pixels in use are added up for a frame. Where the frame itself disqualifies further pixels,
    they add zeros and the other sums are made anew: to the bit what a mask over these pixels
    would give.
    """

    def __init__(self, pixels: Pixels, qgrid: Bins) -> None:
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


class SharedIntegrator:
    """Does everything: pixels shared by bins, either estimator, either error model, dark, zingers.

    The shares form a sparse matrix of bins and pixels; every sum is its product with one number
    per pixel, zero for a pixel that is left out.
    """

    def __init__(self, pixels: Pixels, qgrid: Bins, method: Method | None = None) -> None:
        from scipy.sparse import csr_matrix

        self.pixels = pixels
        self.qgrid = qgrid
        self.method = Method() if method is None else method
        shares = split_pixels(pixels.q, pixels.half_width, mask=pixels.mask, qgrid=qgrid)
        self._used, column = np.unique(shares.pixel, return_inverse=True)
        size = (len(qgrid), self._used.size)
        self._entries = csr_matrix((np.ones(shares.bin.size), (shares.bin, column)), shape=size)
        self._shares = csr_matrix((shares.share, (shares.bin, column)), shape=size)
        self._squares = csr_matrix((shares.share**2, (shares.bin, column)), shape=size)
        self._bin, self._column, self._share = shares.bin, column, shares.share
        self._normalization = self._of_used(pixels.normalization, 1.0)
        self._dark = self._of_used(pixels.dark, 0.0)
        self._dark_variance = self._of_used(pixels.dark_variance, 0.0)
        unweighted = self.method.estimator == "unweighted"
        self._weight = np.ones(self._used.size) if unweighted else self._normalization
        self._static = self._sums_over(np.ones(self._used.size))
        if self.method.dezinger is not None:
            index = qgrid.bin_index(pixels.q).ravel()[self._used]
            self._medians = BinMedians(index.astype(np.intp))

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns of the frames."""
        return self.pixels.shape

    def integrate(self, frame: NDArray[Any]) -> Accumulators:
        """Give the sums (nq,) of a frame (H, W)."""
        self.pixels.check(frame)
        counts = frame.ravel()[self._used]
        bad = self._left_out(counts)
        counts = counts.astype(float)
        good, sums = np.ones(counts.size), self._static
        if bad.any():
            counts[bad], good[bad] = 0.0, 0.0
            sums = self._sums_over(good)
        weight, weight_squared, count, entries = sums
        signal = good * (counts - self._dark)
        variance = good * (counts + self._dark_variance)
        if self.method.estimator == "unweighted":
            signal, variance = signal / self._normalization, variance / self._normalization**2
        total = self._shares @ signal
        if self.method.error_model == "azimuthal":
            spread = self._spread(signal, good, _divided(total, weight))
            spread[entries == 1] = np.nan
        else:
            spread = self._squares @ variance
        return Accumulators(
            signal=total,
            variance=spread,
            normalization=weight.copy(),
            normalization_squared=weight_squared.copy(),
            count=count.copy(),
        )

    def _left_out(self, counts: NDArray[Any]) -> NDArray[np.bool_]:
        bad = self.pixels.disqualified(counts)
        bad = np.zeros(counts.shape, bool) if bad is None else bad
        if self.method.dezinger is None:
            return bad
        return bad | zingers(
            np.where(bad, np.nan, counts),
            normalization=self._normalization,
            dark=self._dark,
            medians=self._medians,
            threshold=self.method.dezinger,
        )

    def _sums_over(self, good: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        """Give Σ c n, Σ c² n², Σ c and the number of pixels over those that are good."""
        return (
            self._shares @ (good * self._weight),
            self._squares @ (good * self._weight**2),
            self._shares @ good,
            self._entries @ good,
        )

    def _spread(
        self, signal: NDArray[np.float64], good: NDArray[np.float64], mean: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Give Σ c² (s − I n)² of each bin, I its own."""
        off = signal[self._column] - mean[self._bin] * self._weight[self._column]
        squared = good[self._column] * (self._share * off) ** 2
        return np.bincount(self._bin, squared, len(self.qgrid)).astype(float, copy=False)

    def _of_used(self, array: NDArray[np.float64] | None, default: float) -> NDArray[np.float64]:
        if array is None:
            return np.full(self._used.size, default)
        return array.ravel()[self._used]


def _divided(
    numerator: NDArray[np.float64], denominator: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
