"""A frame in polar coordinates: the mean of its pixels in cells of 2θ and azimuth."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.calibration.cones import angles, pixel_centers
from h5xs_bluesky.reduction.geometry import Geometry

_BIN_PX = 0.75
_CHI_BINS = 720
_MOST_BINS = 6000
_HOT_SIGMA = 6.0

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PolarMap:
    """Means over cells of a frame.

    Parameters
    ----------
    counts, pixels, two_theta_rad : ndarray, shape (sectors, bins)
        Of each cell: mean counts and mean 2θ of its pixels, NaN where it has none, and how many.
    chi_rad : ndarray, shape (sectors,)
        The middle of each sector.
    start_rad, step_rad
        The lowest 2θ, and the bins' width.
    """

    counts: Array
    pixels: Array
    two_theta_rad: Array
    chi_rad: Array
    start_rad: float
    step_rad: float

    @classmethod
    def of(
        cls, frame: Array, valid: NDArray[np.bool_], geometry: Geometry, *, sectors: int
    ) -> "PolarMap":
        """Sort the pixels of a frame into cells about as high as a pixel.

        Parameters
        ----------
        frame, valid : ndarray, shape (H, W)
            Counts, and which of them are good.
        geometry
            Where the detector is thought to stand.
        sectors
            Into how many the part of the circle is divided that has pixels.

        Raises
        ------
        ReductionError
            If no pixel is valid.
        """
        if not valid.any():
            raise ReductionError("expected a frame with valid pixels, found all masked")
        two_theta, chi = angles(geometry, *pixel_centers(geometry))
        two_theta, chi, values = two_theta[valid], chi[valid], frame[valid]
        sector, middles = _sectors(chi, sectors)
        start, step = _bins(two_theta, geometry)
        column = ((two_theta - start) / step).astype(np.int64)
        size = int(column.max()) + 1
        cell, shape = sector * size + column, (middles.size, size)
        cells = middles.size * size
        pixels, counts, angle = (
            np.bincount(cell, weights, cells).reshape(shape)
            for weights in (None, values, two_theta)
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            return cls(
                counts=counts / pixels,
                pixels=pixels.astype(float),
                two_theta_rad=angle / pixels,
                chi_rad=middles,
                start_rad=start,
                step_rad=step,
            )

    def column(self, two_theta_rad: float) -> int:
        """Give the bin of an angle; it may lie outside."""
        return int(np.floor((two_theta_rad - self.start_rad) / self.step_rad))


def _bins(two_theta: Array, geometry: Geometry) -> tuple[float, float]:
    start, stop = float(two_theta.min()), float(two_theta.max())
    pixel = min(geometry.pixel_size_m) / geometry.distance_m
    return start, max(_BIN_PX * pixel, (stop - start) / _MOST_BINS, np.finfo(float).tiny)


def _sectors(chi: Array, sectors: int) -> tuple[NDArray[np.int64], Array]:
    """Divide the part of the circle where pixels are; gives each pixel's sector and the middles."""
    coarse = ((chi + np.pi) / (2 * np.pi) * _CHI_BINS).astype(np.int64) % _CHI_BINS
    occupied = np.bincount(coarse, minlength=_CHI_BINS) > 0
    width = 2 * np.pi * occupied.mean() / sectors
    count = int(np.ceil(2 * np.pi / width - 1e-9))
    found = np.minimum(((chi + np.pi) / (2 * np.pi) * count).astype(np.int64), count - 1)
    used, renumbered = np.unique(found, return_inverse=True)
    return renumbered, (used + 0.5) / count * 2 * np.pi - np.pi


def valid_pixels(frame: NDArray[np.generic], excluded: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell which pixels can be trusted: not masked, not negative, not hot.

    A hot pixel stands out of the third brightest in its 3 × 3 neighbourhood by six standard
    deviations; of a ring, however thin, there are at least three.

    Parameters
    ----------
    frame : ndarray, shape (H, W)
        Counts.
    excluded : ndarray of bool, shape (H, W)
        True where a pixel does not count.
    """
    from scipy.ndimage import rank_filter

    counts = np.where(excluded, 0, frame).astype(float)
    good = ~excluded & np.isfinite(counts) & (counts >= 0)
    counts[~good] = 0
    third = rank_filter(counts, rank=-3, size=3)
    hot = counts - third > _HOT_SIGMA * np.sqrt(third + 1)
    valid: NDArray[np.bool_] = good & ~hot
    return valid
