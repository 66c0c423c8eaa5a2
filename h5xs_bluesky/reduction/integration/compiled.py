"""Integrators whose loop over the pixels is compiled; they keep the contract of the plain one."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.reduction.accumulators import Accumulators
from h5xs_bluesky.reduction.integration import _kernel
from h5xs_bluesky.reduction.integration.cells import Bins
from h5xs_bluesky.reduction.integration.dezinger import BinMedians, zingers
from h5xs_bluesky.reduction.integration.entries import Entries, WeightSums
from h5xs_bluesky.reduction.integration.method import Method
from h5xs_bluesky.reduction.integration.pixels import Pixels
from h5xs_bluesky.reduction.integration.runs import Runs
from h5xs_bluesky.reduction.integration.splitting import PixelShares, split_pixels

_CODES = {"u1": 0, "u2": 1, "u4": 2, "i1": 3, "i2": 4, "i4": 5, "f4": 6, "f8": 7}

_Limits = tuple[bool, int, float]


class CompiledIntegrator:
    """The common case: no splitting, weighted, Poisson errors, no dezingering.

    Integers are added as integers, in runs of pixels of one bin. What a dark takes away does not
    depend on the frame. Where a frame disqualifies pixels of its own, the sums that do not depend
    on counts are made anew: to the bit what a mask over them would give.
    """

    def __init__(self, pixels: Pixels, qgrid: Bins) -> None:
        self.pixels = pixels
        self.qgrid = qgrid
        index = np.where(pixels.mask, -1, qgrid.bin_index(pixels.q)).ravel()
        used = np.flatnonzero(index >= 0)
        self._runs = Runs.from_index(index)
        self._entries = Entries(
            PixelShares(pixel=used, bin=index[used].astype(np.intp), share=np.ones(used.size)),
            pixels=index.size,
            bins=len(qgrid),
            weight=pixels.normalization.ravel()[used],
            share=None,
            part=None,
            dark=_of(pixels.dark, used),
            dark_variance=_of(pixels.dark_variance, used),
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns of the frames."""
        return self.pixels.shape

    def integrate(self, frame: NDArray[Any]) -> Accumulators:
        """Give the sums (nq,) of a frame (H, W)."""
        self.pixels.check(frame)
        plain, code = _native(frame)
        limits = _limits(self.pixels, frame, plain)
        sums = self._float_sums if plain.dtype.kind == "f" else self._count_sums
        signal, weights = sums(code, plain, limits)
        return Accumulators(
            signal=signal - weights.dark,
            variance=signal + weights.dark_variance,
            normalization=weights.weight.copy(),
            normalization_squared=weights.weight_squared.copy(),
            count=weights.share.copy(),
        )

    def _count_sums(
        self, code: int, plain: NDArray[Any], limits: _Limits
    ) -> tuple[NDArray[np.float64], WeightSums]:
        runs = self._runs

        def add(bad: NDArray[np.uint32]) -> tuple[NDArray[np.int64], int]:
            sums = np.zeros(len(self.qgrid), np.int64)
            found = _kernel.count_sums(
                code, plain, *limits, runs.start, runs.length, runs.runs, runs.stop, runs.bin,
                sums, bad,
            )  # fmt: skip
            return sums, found

        sums, bad = self._entries.with_room(add)
        weights = self._entries.sums_without(bad, runs.bins_of(bad)) if bad.size else None
        return sums.astype(float), weights or self._entries.static

    def _float_sums(
        self, code: int, plain: NDArray[Any], limits: _Limits
    ) -> tuple[NDArray[np.float64], WeightSums]:
        entries = self._entries

        def add(bad: NDArray[np.uint32]) -> tuple[NDArray[np.float64], int]:
            sums = np.zeros(len(self.qgrid))
            found = _kernel.shared_sums(
                code, plain, *limits, entries.pixel, entries.bin, None, None, sums, bad
            )
            return sums, found

        sums, bad = entries.with_room(add)
        return sums, entries.sums_without_entries(bad)


class CompiledSharedIntegrator:
    """Does everything: pixels shared by bins, either estimator, either error model, dark, zingers.

    The unweighted estimator divides the shares of signals by the normalisation, and leaves those of
    weights as they are. For the azimuthal error model squares are summed about a value of the bin's
    own, so that one pass does.
    """

    def __init__(self, pixels: Pixels, qgrid: Bins, method: Method | None = None) -> None:
        self.pixels = pixels
        self.qgrid = qgrid
        self.method = Method() if method is None else method
        shares = split_pixels(pixels.q, pixels.half_width, mask=pixels.mask, qgrid=qgrid)
        whole = pixels.half_width is None  # all shares are 1
        unweighted = self.method.estimator == "unweighted"
        normalization = pixels.normalization.ravel()[shares.pixel]
        share = None if whole else shares.share
        self._entries = Entries(
            shares,
            pixels=pixels.q.size,
            bins=len(qgrid),
            weight=share if unweighted else shares.share * normalization,
            share=share,
            part=shares.share / normalization if unweighted else shares.share,
            dark=_of(pixels.dark, shares.pixel),
            dark_variance=_of(pixels.dark_variance, shares.pixel),
        )
        self._first = self._entries.first
        if self.method.dezinger is not None:
            self._centers = np.unique(shares.pixel)
            self._medians = BinMedians(
                qgrid.bin_index(pixels.q).ravel()[self._centers].astype(np.intp)
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns of the frames."""
        return self.pixels.shape

    def integrate(self, frame: NDArray[Any]) -> Accumulators:
        """Give the sums (nq,) of a frame (H, W)."""
        self.pixels.check(frame)
        plain, code = _native(frame)
        limits = _limits(self.pixels, frame, plain)
        good = None if self.method.dezinger is None else self._good(code, plain, limits)
        sums = self._poisson if self.method.error_model == "poisson" else self._azimuthal
        signal, variance, weights = sums(code, plain, limits, good)
        return Accumulators(
            signal=signal,
            variance=variance,
            normalization=weights.weight.copy(),
            normalization_squared=weights.weight_squared.copy(),
            count=weights.share.copy(),
        )

    def _poisson(
        self, code: int, plain: NDArray[Any], limits: _Limits, good: NDArray[np.uint8] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], WeightSums]:
        entries = self._entries

        def add(bad: NDArray[np.uint32]) -> tuple[NDArray[np.float64], int]:
            sums = np.zeros((len(self.qgrid), 2))
            found = _kernel.shared_sums(
                code, plain, *limits, entries.pixel, entries.bin, good, entries.part, sums, bad
            )
            return sums, found

        sums, bad = entries.with_room(add)
        weights = entries.sums_without_entries(bad)
        return sums[:, 0] - weights.dark, sums[:, 1] + weights.dark_variance, weights

    def _azimuthal(
        self, code: int, plain: NDArray[Any], limits: _Limits, good: NDArray[np.uint8] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], WeightSums]:
        """Give Σ (s − I w)² as Σ d² − 2 δ Σ d w + δ² Σ w², with d = s − K w and δ = Σ d / Σ w.

        K is s / w of one of the bin's own pixels. Then no more than the number of pixels in the bin
        times the variance cancels: it is as exact as in two passes.
        """
        entries = self._entries

        def add(bad: NDArray[np.uint32]) -> tuple[NDArray[np.float64], int]:
            sums = np.zeros((len(self.qgrid), 4))
            found = _kernel.spread_sums(
                code, plain, *limits, entries.pixel, entries.bin, good, entries.part,
                entries.dark, entries.weight, self._first, np.empty(len(self.qgrid)), sums, bad,
            )  # fmt: skip
            return sums, found

        sums, bad = entries.with_room(add)
        weights = entries.sums_without_entries(bad)
        signal, products, squares, differences = sums.T
        weight = weights.weight
        off = np.divide(differences, weight, out=np.zeros(len(weight)), where=weight > 0)
        spread = squares - 2 * off * products + off**2 * weights.weight_squared
        spread = np.maximum(spread, 0.0)  # rounding may leave less than nothing
        spread[weights.entries == 1] = np.nan
        return signal.copy(), spread, weights

    def _good(self, code: int, plain: NDArray[Any], limits: _Limits) -> NDArray[np.uint8]:
        """Tell which pixels count in this frame, zingers apart."""
        good = np.empty(plain.size, np.uint8)
        _kernel.check(code, plain, *limits, good)
        used = self._centers
        found = zingers(
            np.where(good[used], plain[used].astype(float), np.nan),
            normalization=self.pixels.normalization.ravel()[used],
            dark=0.0 if self.pixels.dark is None else self.pixels.dark.ravel()[used],
            medians=self._medians,
            threshold=self.method.dezinger or np.inf,
        )
        good[used[found]] = 0
        return good


def _of(array: NDArray[np.float64] | None, pixels: NDArray[np.intp]) -> NDArray[np.float64] | None:
    return None if array is None else array.ravel()[pixels]


def _native(frame: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Give the frame flat, contiguous, in the machine's byte order and a dtype of the kernel."""
    name = frame.dtype.str[1:]
    if name not in _CODES:
        name = "f8"
    return np.ascontiguousarray(frame, dtype=name).ravel(), _CODES[name]


def _limits(pixels: Pixels, frame: NDArray[Any], plain: NDArray[Any]) -> _Limits:
    """Give whether values are looked at, and up to which they count, as `Pixels.disqualified`."""
    largest = int(np.iinfo(plain.dtype).max) if plain.dtype.kind in "iu" else 0
    if pixels.any_value:
        return False, largest, 0.0
    limit = pixels.saturation
    if limit is None and frame.dtype.kind == "u":
        limit = int(np.iinfo(frame.dtype).max) - 1
    if limit is None or np.isinf(limit):
        return True, largest, float(np.finfo(np.float64).max)
    return True, min(int(np.ceil(limit)) - 1, largest), float(np.nextafter(limit, -np.inf))
