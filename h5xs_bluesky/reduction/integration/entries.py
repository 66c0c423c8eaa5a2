"""Shares of pixels in bins, in the order in which the compiled loop takes them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.reduction.integration import _kernel
from h5xs_bluesky.reduction.integration.splitting import PixelShares

_BANDS = 8
_SUMS = 6
_ROOM = 1024  # pixels that a frame leaves out, at first

T = TypeVar("T", bound=np.generic)

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class WeightSums:
    """What does not depend on the counts of a frame, for each bin (nq,).

    Parameters
    ----------
    weight, weight_squared
        Σ w and Σ w².
    share
        Σ c.
    entries
        How many pixels have a share.
    dark, dark_variance
        What is taken from the signal, and added to the variance.
    """

    weight: Floats
    weight_squared: Floats
    share: Floats
    entries: Floats
    dark: Floats
    dark_variance: Floats


class Entries:
    """Shares of pixels, and what of them does not change from frame to frame.

    Pixels are taken from eight bands of the frame in turn. Neighbours mostly count for one bin, and
    adding to it would have to wait for the addition before; this way it need not. The order of two
    pixels does not depend on which others are used.

    Parameters
    ----------
    shares
        Which pixels count for which bins.
    pixels, bins
        How many a frame has, and how many bins there are.
    weight, share, part : ndarray, shape (shares,), optional
        Of each share: its weight in the normalisation, the share itself, its factor in the signal.
        None where all are 1.
    dark, dark_variance : ndarray, shape (shares,), optional
        Of each share's pixel.
    """

    def __init__(
        self,
        shares: PixelShares,
        *,
        pixels: int,
        bins: int,
        weight: Floats | None,
        share: Floats | None,
        part: Floats | None,
        dark: Floats | None,
        dark_variance: Floats | None,
    ) -> None:
        band = -(-pixels // _BANDS)
        turn = shares.pixel % band * _BANDS + shares.pixel // band
        order = np.argsort(turn, kind="stable")
        self.pixel = shares.pixel[order].astype(np.uint32)
        self.bin = shares.bin[order].astype(np.uint32)
        self.weight, self.share, self.part, self.dark, self.dark_variance = (
            None if array is None else array[order]
            for array in (weight, share, part, dark, dark_variance)
        )
        self.bins = bins
        self._pixels = pixels
        self._static = self._sums(None, None)
        self.static = _apart(self._static)
        self._room = _ROOM
        self._known: tuple[NDArray[np.uint32], WeightSums] = (np.empty(0, np.uint32), self.static)

    @property
    def first(self) -> NDArray[np.uint32]:
        """The first entry of each bin (nq,); beyond the last one for a bin without any."""
        first = np.full(self.bins, self.bin.size, np.uint32)
        found, where = np.unique(self.bin, return_index=True)
        first[found] = where
        return first

    def with_room(
        self, add: Callable[[NDArray[np.uint32]], tuple[NDArray[T], int]]
    ) -> tuple[NDArray[T], NDArray[np.uint32]]:
        """Call `add` with room for what a frame leaves out, again if that was not enough.

        It gives its sums and how much it left out; this gives the sums and what was left out.
        """
        bad = np.empty(self._room, np.uint32)
        sums, found = add(bad)
        if found > bad.size:
            self._room = max(self._room, found + found // 4)
            bad = np.empty(found, np.uint32)
            sums, found = add(bad)
        return sums, bad[:found]

    def sums_without_entries(self, entries: NDArray[np.uint32]) -> WeightSums:
        """Make the sums anew without some entries, and all others of their pixels."""
        if not entries.size:
            return self.static
        return self.sums_without(self.pixel[entries], self.bin[entries])

    def sums_without(self, pixels: NDArray[np.uint32], affected: NDArray[np.uint32]) -> WeightSums:
        """Make the sums anew without some pixels: to the bit what a mask over them would give.

        Frames often lack the same pixels one after the other: the last answer is remembered.

        Parameters
        ----------
        pixels, affected
            What to leave out, and the bins that this concerns.
        """
        known, sums = self._known
        if np.array_equal(known, pixels):
            return sums
        good = np.ones(self._pixels, np.uint8)
        good[pixels] = 0
        wanted = np.zeros(self.bins, np.uint8)
        wanted[affected] = 1
        fresh = np.where(wanted[:, None], self._sums(good, wanted), self._static)
        sums = _apart(fresh)
        self._known = (pixels.copy(), sums)
        return sums

    def _sums(self, good: NDArray[np.uint8] | None, wanted: NDArray[np.uint8] | None) -> Floats:
        sums = np.zeros((self.bins, _SUMS))
        _kernel.weight_sums(
            self.pixel, self.bin, good, wanted, self.weight, self.share, self.part, self.dark,
            self.dark_variance, sums,
        )  # fmt: skip
        return sums


def _apart(sums: Floats) -> WeightSums:
    return WeightSums(
        weight=sums[:, 0].copy(),
        weight_squared=sums[:, 1].copy(),
        share=sums[:, 2].copy(),
        entries=sums[:, 3].copy(),
        dark=sums[:, 4].copy(),
        dark_variance=sums[:, 5].copy(),
    )
