"""Where pixels of one bin lie side by side, so that they are added to it at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_PIXELS = 1024  # of a span; as in _kernel.c


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Runs:
    """Spans of pixels that are used, one after the other, and the runs of one bin in them.

    Parameters
    ----------
    start, length, runs : ndarray of uint32, shape (spans,)
        First pixel of a span, how many pixels, how many runs.
    stop : ndarray of uint16, shape (runs,)
        Where a run stops, counted from the start of its span.
    bin : ndarray of uint32, shape (runs,)
        Its bin.
    first : ndarray of uint32, shape (runs,)
        Its first pixel.
    """

    start: NDArray[np.uint32]
    length: NDArray[np.uint32]
    runs: NDArray[np.uint32]
    stop: NDArray[np.uint16]
    bin: NDArray[np.uint32]
    first: NDArray[np.uint32]

    @classmethod
    def from_index(cls, index: NDArray[np.int32]) -> "Runs":
        """Find the runs.

        Parameters
        ----------
        index : ndarray of int, shape (pixels,)
            The bin of each pixel, in their order; below 0 for one that is not used.
        """
        used = np.concatenate([[False], index >= 0, [False]])
        ends = np.flatnonzero(used[1:] != used[:-1])
        start, length = _cut(ends[::2], np.diff(ends)[::2])
        new = used[1:-1].copy()
        new[1:] &= index[1:] != index[:-1]
        new[start] = True
        first = np.flatnonzero(new)
        counts = np.diff(np.append(np.searchsorted(first, start), first.size))
        stop = np.append(first[1:], 0)
        stop[np.cumsum(counts) - 1] = start + length
        return cls(
            start=start.astype(np.uint32),
            length=length.astype(np.uint32),
            runs=counts.astype(np.uint32),
            stop=(stop - np.repeat(start, counts)).astype(np.uint16),
            bin=index[first].astype(np.uint32),
            first=first.astype(np.uint32),
        )

    def bins_of(self, pixels: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Give the bins of pixels that are used."""
        return self.bin[np.searchsorted(self.first, pixels, side="right") - 1]


def _cut(
    start: NDArray[np.intp], length: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Cut spans into parts that are not too long."""
    parts = -(-length // MOST_PIXELS)
    number = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
    offset = number * MOST_PIXELS
    return (
        np.repeat(start, parts) + offset,
        np.minimum(np.repeat(length, parts) - offset, MOST_PIXELS),
    )
