"""Which pixels count for which bins, and with what share."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.integration.cells import Bins, CellGrid

SPLITTING = ("no", "bbox")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PixelShares:
    """Shares of pixels in bins.

    Parameters
    ----------
    pixel : ndarray of int, shape (m,)
        Flat index of a pixel, increasing.
    bin : ndarray of int, shape (m,)
        A bin that it counts for.
    share : ndarray, shape (m,)
        How much of it, above 0 and up to 1.
    """

    pixel: NDArray[np.intp]
    bin: NDArray[np.intp]
    share: NDArray[np.float64]


def split_pixels(
    radial: NDArray[np.float64],
    half_width: NDArray[np.float64] | None,
    *,
    mask: NDArray[np.bool_],
    qgrid: Bins,
) -> PixelShares:
    """Share pixels out over bins.

    Without `half_width` a pixel counts for the bin in which its centre lies. With it, it is spread
    evenly over ``[radial − half_width, radial + half_width]``, its bounding box, which ends at 0
    where the beam hits the pixel itself. The share of a bin is the part of that interval which lies
    in it. What lies beyond the grid counts for no bin (pyFAI's bounding-box engines count it for
    the first and the last one).

    Parameters
    ----------
    radial : ndarray, shape (H, W)
        Where each pixel's centre lies, in the grid's unit; 0 or more.
    half_width : ndarray, shape (H, W)
        The largest distance of a corner from the centre, in the same unit; None for no splitting.
    mask : ndarray of bool, shape (H, W)
        Pixels to leave out.
    qgrid
        The bins.

    Raises
    ------
    ReductionError
        If a half width is negative or not finite, or what is to be shared out are cells.
    """
    if half_width is None:
        index = np.where(mask, -1, qgrid.bin_index(radial)).ravel()
        pixel = np.flatnonzero(index >= 0)
        return PixelShares(pixel=pixel, bin=index[pixel].astype(np.intp), share=np.ones(pixel.size))
    if isinstance(qgrid, CellGrid):
        raise ReductionError("expected pixels that are not split for a grid of cells, found boxes")
    if not (np.isfinite(half_width[~mask]) & (half_width[~mask] >= 0)).all():
        raise ReductionError("expected half widths of pixels of 0 or more, found others")
    edges = qgrid.edges
    low = np.maximum(radial - half_width, 0.0).ravel()
    high = (radial + half_width).ravel()
    touches = (high >= edges[0]) & (low <= edges[-1]) & ~mask.ravel()
    pixel = np.flatnonzero(touches)
    low, high = low[pixel], high[pixel]
    last_bin = len(qgrid) - 1
    first = np.clip(np.searchsorted(edges, low, side="right") - 1, 0, last_bin)
    last = np.clip(np.searchsorted(edges, high, side="left") - 1, first, last_bin)
    counts = last - first + 1
    entry = np.repeat(np.arange(pixel.size), counts)
    within = np.arange(entry.size) - np.repeat(np.cumsum(counts) - counts, counts)
    bins = first[entry] + within
    overlap = np.minimum(high[entry], edges[bins + 1]) - np.maximum(low[entry], edges[bins])
    width = (high - low)[entry]
    share = np.where(width > 0, overlap / np.where(width > 0, width, 1), 1.0)
    counted = share > 0
    return PixelShares(
        pixel=pixel[entry][counted],
        bin=bins[counted].astype(np.intp),
        share=np.minimum(share[counted], 1.0),
    )
