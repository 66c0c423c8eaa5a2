"""Integrators whose loop over the pixels is compiled; they keep the contract of the plain one."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.reduction import _kernel
from h5xs_bluesky.reduction.accumulators import Accumulators
from h5xs_bluesky.reduction.dezinger import BinMedians, zingers
from h5xs_bluesky.reduction.method import Method
from h5xs_bluesky.reduction.pixels import Pixels
from h5xs_bluesky.reduction.qgrid import QGrid
from h5xs_bluesky.reduction.splitting import split_pixels

_CODES = {"u1": 0, "u2": 1, "u4": 2, "i1": 3, "i2": 4, "i4": 5, "f4": 6, "f8": 7}

_Limits = tuple[bool, int, int, float, float]
_Sums = tuple[NDArray[np.float64], ...]


class CompiledIntegrator:
    """The common case: no splitting, no dark, the default `Method`.

    Counts are added as integers. Where a frame disqualifies pixels of its own, the sums that do not
    depend on counts are made anew for the bins that these are in: to the bit what a mask over them
    would give.
    """

    def __init__(self, pixels: Pixels, qgrid: QGrid) -> None:
        self.pixels = pixels
        self.qgrid = qgrid
        index = np.where(pixels.mask, -1, qgrid.bin_index(pixels.q)).ravel()
        self._bins = index.clip(0).astype(np.uint16)
        changes = np.flatnonzero(np.diff(index >= 0, prepend=False, append=False))
        self._start, self._stop = (changes[side::2].astype(np.uint32) for side in (0, 1))
        used = np.flatnonzero(index >= 0)
        self._by_bin = used[np.argsort(index[used], kind="stable")]
        counts = np.bincount(index[used], minlength=len(qgrid))
        self._ends = np.cumsum(counts)
        self._normalization = pixels.normalization.ravel()
        norms = self._normalization[used]
        self._static: _Sums = (
            np.bincount(index[used], norms, len(qgrid)).astype(float),
            np.bincount(index[used], norms**2, len(qgrid)).astype(float),
            counts.astype(float),
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns of the frames."""
        return self.pixels.shape

    def integrate(self, frame: NDArray[Any]) -> Accumulators:
        """Give the sums (nq,) of a frame (H, W)."""
        self.pixels.check(frame)
        plain, code = _native(frame)
        sums = np.zeros(len(self.qgrid), np.int64 if code < _CODES["f4"] else np.float64)
        limits = _limits(self.pixels, frame)
        bad = _kernel.count_sums(code, plain, *limits, self._bins, self._start, self._stop, sums)
        signal = sums.astype(float)
        static = self._static if bad == 0 else self._static_without(plain, frame)
        normalization, normalization_squared, count = static
        return Accumulators(
            signal=signal,
            variance=signal.copy(),
            normalization=normalization.copy(),
            normalization_squared=normalization_squared.copy(),
            count=count.copy(),
        )

    def _static_without(self, plain: NDArray[Any], frame: NDArray[Any]) -> _Sums:
        """Make the sums anew for bins in which the frame disqualifies pixels, in their order."""
        bad = self.pixels.disqualified(plain)
        if bad is None:
            return self._static
        affected = np.unique(self._bins[bad])  # a few too many: pixels out of use are in bin 0
        static = tuple(sums.copy() for sums in self._static)
        for number in affected:
            begin = 0 if number == 0 else self._ends[number - 1]
            members = self._by_bin[begin : self._ends[number]]
            norms = self._normalization[members[~bad[members]]]
            same = np.zeros(norms.size, np.intp)  # so that numpy adds one after the other, as above
            static[0][number] = np.bincount(same, norms, 1)[0]
            static[1][number] = np.bincount(same, norms**2, 1)[0]
            static[2][number] = norms.size
        return static


class CompiledSharedIntegrator:
    """Does everything: pixels shared by bins, either estimator, either error model, dark, zingers.

    One pass over the shares adds signal and variance; the azimuthal error model takes a second one.
    The unweighted estimator divides the shares of signals by the normalisation, and leaves those
    of weights as they are.
    """

    def __init__(self, pixels: Pixels, qgrid: QGrid, method: Method | None = None) -> None:
        self.pixels = pixels
        self.qgrid = qgrid
        self.method = Method() if method is None else method
        shares = split_pixels(pixels.q, pixels.half_width, mask=pixels.mask, qgrid=qgrid)
        self._pixel = shares.pixel.astype(np.uint32)
        self._bin = shares.bin.astype(np.uint16)
        self._count = shares.share
        normalization = pixels.normalization.ravel()[shares.pixel]
        unweighted = self.method.estimator == "unweighted"
        self._share = shares.share / normalization if unweighted else shares.share
        self._weight = shares.share if unweighted else shares.share * normalization
        self._dark, self._dark_variance = (
            None if array is None else array.ravel()[shares.pixel]
            for array in (pixels.dark, pixels.dark_variance)
        )
        self._static = self._weight_sums(None)
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
        limits = _limits(self.pixels, frame)
        good, weights, bad = None, self._static, True
        if self.method.dezinger is None:
            signal, variance, bad = self._shared_sums(code, plain, limits, None)
        if bad:
            good = self._good(code, plain, limits)
            weights = self._weight_sums(good)
            signal, variance, _ = self._shared_sums(code, plain, limits, good)
        weight, weight_squared, count, entries = weights
        if self.method.error_model == "azimuthal":
            mean = np.divide(signal, weight, out=np.zeros_like(signal), where=weight > 0)
            variance = np.zeros(len(self.qgrid))
            _kernel.azimuthal_sums(
                code, plain, self._pixel, self._bin, good, self._share, self._dark, self._weight,
                mean, variance,
            )  # fmt: skip
            variance[entries == 1] = np.nan
        return Accumulators(
            signal=signal,
            variance=variance,
            normalization=weight.copy(),
            normalization_squared=weight_squared.copy(),
            count=count.copy(),
        )

    def _shared_sums(
        self, code: int, plain: NDArray[Any], limits: _Limits, good: NDArray[np.uint8] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], bool]:
        """Give signal and variance of each bin, and whether pixels were left out."""
        sums = np.zeros((len(self.qgrid), 2))
        bad = _kernel.shared_sums(
            code, plain, *limits, self._pixel, self._bin, good, self._share, self._dark,
            self._dark_variance, sums,
        )  # fmt: skip
        return sums[:, 0].copy(), sums[:, 1].copy(), bad > 0

    def _weight_sums(self, good: NDArray[np.uint8] | None) -> _Sums:
        """Give Σ c n, Σ c² n², Σ c and the number of pixels over those that are good."""
        sums = tuple(np.zeros(len(self.qgrid)) for _ in range(4))
        _kernel.weight_sums(self._pixel, self._bin, good, self._weight, self._count, *sums)
        return sums

    def _good(self, code: int, plain: NDArray[Any], limits: _Limits) -> NDArray[np.uint8]:
        """Tell which pixels count in this frame."""
        good = np.empty(plain.size, np.uint8)
        _kernel.check(code, plain, *limits, good)
        if self.method.dezinger is not None:
            used = self._centers
            found = zingers(
                np.where(good[used], plain[used].astype(float), np.nan),
                normalization=self.pixels.normalization.ravel()[used],
                dark=0.0 if self.pixels.dark is None else self.pixels.dark.ravel()[used],
                medians=self._medians,
                threshold=self.method.dezinger,
            )
            good[used[found]] = 0
        return good


def _native(frame: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Give the frame flat, contiguous, in the machine's byte order and a dtype of the kernel."""
    name = frame.dtype.str[1:]
    if name not in _CODES:
        name = "f8"
    return np.ascontiguousarray(frame, dtype=name).ravel(), _CODES[name]


def _limits(pixels: Pixels, frame: NDArray[Any]) -> _Limits:
    """Give whether values are looked at, and between which they count, as `Pixels.disqualified`."""
    if pixels.any_value:
        return False, 0, 0, 0.0, 0.0
    limit = pixels.saturation
    if limit is None and frame.dtype.kind == "u":
        limit = int(np.iinfo(frame.dtype).max) - 1
    if limit is None:
        return True, 0, int(np.iinfo(np.int64).max), 0.0, float(np.finfo(np.float64).max)
    highest = min(int(np.ceil(limit)) - 1, int(np.iinfo(np.int64).max))
    return True, 0, highest, 0.0, float(np.nextafter(limit, -np.inf))
