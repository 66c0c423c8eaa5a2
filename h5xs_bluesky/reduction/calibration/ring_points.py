"""Where the rings of a standard are on a frame: a point, with σ, for each ring and sector."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.reduction.calibration.calibrants import Calibrant
from h5xs_bluesky.reduction.calibration.cones import pixels_per_rad, points
from h5xs_bluesky.reduction.calibration.peak_fits import PeakFits, fit_peaks
from h5xs_bluesky.reduction.calibration.polar import PolarMap
from h5xs_bluesky.reduction.geometry import Geometry

_SECTORS = 72
_NARROWEST_PX, _WIDEST_PX = 6.0, 40.0  # half a window
_WIDTHS = 2.2  # FWHMs from a ring's middle to its window's end
_SHARE_OF_GAP = 0.45  # of the distance to the next ring
_FWHM = 2.3548  # of a Gaussian, over its standard deviation
_SIGNIFICANT = 4.0
_LEAST_FILLED = 0.8  # of a window's bins
_FEWEST_BINS = 7
_VALLEY = 0.1  # of a ring's height, by which a second maximum rises out of the valley
# In a ring's standard deviations: how far a sector's peak may be from the mean one, how wide and
# how uncertain it may be.
_FARTHEST, _WIDEST, _LEAST_SHARP = 4.0, 3.0, 1.0
_LEANS = np.linspace(-1.2, 1.2, 25)
_LEAST_LEAN = 0.1
_LEAN_SIGNIFICANT = 12.0  # how much better than a symmetric ring, in χ²

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RingPoints:
    """Points on rings.

    Parameters
    ----------
    ring : ndarray of int, shape (n,)
        1 is the calibrant's innermost.
    first_m, second_m : ndarray, shape (n,)
        Where, along the slow and the fast axis, from the outer corner of pixel (0, 0).
    sigma_px : ndarray, shape (n,)
        Standard uncertainty across the ring, in pixels.
    """

    ring: NDArray[np.int64]
    first_m: Array
    second_m: Array
    sigma_px: Array

    def __len__(self) -> int:
        return self.ring.size

    def only(self, which: NDArray[np.bool_]) -> "RingPoints":
        """Give some of the points."""
        return RingPoints(
            ring=self.ring[which],
            first_m=self.first_m[which],
            second_m=self.second_m[which],
            sigma_px=self.sigma_px[which],
        )

    @classmethod
    def joined(cls, parts: list["RingPoints"]) -> "RingPoints":
        """Give the points of several, perhaps none, as one."""
        return cls(
            ring=np.concatenate([np.empty(0, np.int64), *(part.ring for part in parts)]),
            first_m=np.concatenate([np.empty(0), *(part.first_m for part in parts)]),
            second_m=np.concatenate([np.empty(0), *(part.second_m for part in parts)]),
            sigma_px=np.concatenate([np.empty(0), *(part.sigma_px for part in parts)]),
        )


def find_ring_points(
    frame: Array, valid: NDArray[np.bool_], geometry: Geometry, calibrant: Calibrant
) -> RingPoints:
    """Find the rings near where a geometry has them.

    Rings too close to another to be told apart are left out. Of a ring that leans to one side,
    or is split, the maximum counts, as in pyFAI's picking of peaks.

    Parameters
    ----------
    frame, valid : ndarray, shape (H, W)
        Counts of a standard, and which of them are good.
    geometry
        Where the detector stands, to a few pixels.
    calibrant
        The standard.
    """
    polar = PolarMap.of(frame, valid, geometry, sectors=_SECTORS)
    view = _View(polar, geometry)
    return RingPoints.joined(
        [
            view.ring_points(number, angle, room_px)
            for number, (angle, room_px) in view.rooms(calibrant).items()
        ]
    )


class _View:
    """A polar map in which rings are looked for."""

    def __init__(self, polar: PolarMap, geometry: Geometry) -> None:
        self._polar, self._geometry = polar, geometry
        weighted = np.where(polar.pixels > 0, polar.counts * polar.pixels, 0.0)
        angle = np.where(polar.pixels > 0, polar.two_theta_rad * polar.pixels, 0.0)
        self._pixels = polar.pixels.sum(axis=0)
        with np.errstate(invalid="ignore"):
            self._profile = weighted.sum(axis=0) / self._pixels
            self._profile_at = angle.sum(axis=0) / self._pixels
        # Poisson's variance, from all sectors together and not from the very counts that it
        # weighs: weights from these pull the peaks to where counts happen to be low.
        self._variance = np.maximum(np.nan_to_num(self._profile), 1 / np.maximum(self._pixels, 1))
        middle = polar.start_rad + polar.counts.shape[1] / 2 * polar.step_rad
        scale = self._pixels_per_rad(middle)
        self._bin_px = float(np.nanmedian(scale)) * polar.step_rad

    def rooms(self, calibrant: Calibrant) -> dict[int, tuple[float, float]]:
        """Give 2θ of the rings on the map that stand apart, and the free space around each."""
        polar = self._polar
        angles = calibrant.two_theta(self._geometry.wavelength_m)
        steps = np.diff(angles, prepend=-np.inf, append=np.inf)
        gaps = np.minimum(steps[1:], steps[:-1])
        rooms_px = np.minimum(_WIDEST_PX, _SHARE_OF_GAP * gaps / polar.step_rad * self._bin_px)
        stop = polar.start_rad + polar.counts.shape[1] * polar.step_rad
        return {
            index + 1: (float(angle), float(room))
            for index, (angle, room) in enumerate(zip(angles, rooms_px, strict=True))
            if polar.start_rad < angle < stop and room >= _NARROWEST_PX
        }

    def ring_points(self, number: int, angle: float, room_px: float) -> RingPoints:
        """Fit the peak of each sector."""
        polar, window = self._polar, self._window(angle, room_px)
        part = window.columns
        if part.size < _FEWEST_BINS:
            return RingPoints.joined([])
        with np.errstate(divide="ignore"):
            variance = self._variance[part] / polar.pixels[:, part]
        sectors = polar.chi_rad.size
        fits = fit_peaks(
            polar.two_theta_rad[:, part],
            polar.counts[:, part],
            variance,
            center=np.full(sectors, window.middle_rad),
            width=np.full(sectors, window.sigma_rad),
            lean=np.full(sectors, self._lean(window)),
        )
        good = _good(fits, window)
        good &= (polar.pixels[:, part] > 0).sum(axis=1) >= _LEAST_FILLED * part.size
        first, second = points(self._geometry, fits.center[good], polar.chi_rad[good])
        return RingPoints(
            ring=np.full(int(good.sum()), number),
            first_m=first,
            second_m=second,
            sigma_px=(fits.center_sigma * self._pixels_per_rad(angle))[good],
        )

    def _window(self, angle: float, room_px: float) -> "_Window":
        """Give the bins in which a ring is fitted: around its maximum, up to a valley."""
        from scipy.ndimage import gaussian_filter1d

        middle, room = self._polar.column(angle), int(room_px / self._bin_px)
        columns = np.arange(max(0, middle - room), min(middle + room + 1, self._profile.size))
        columns = columns[np.isfinite(self._profile[columns])]
        if columns.size < _FEWEST_BINS:
            return _Window(columns=columns[:0], middle_rad=angle, sigma_rad=1.0)
        profile = gaussian_filter1d(self._profile[columns], 1.0, mode="nearest")
        above = profile - np.linspace(profile[0], profile[-1], profile.size)
        top = int(np.argmax(above))
        first, last = _between_valleys(above, top, noise=self._noise(columns))
        over = np.flatnonzero(above[first : last + 1] > above[top] / 2)
        fwhm = max(1.0, float(over[-1] - over[0] + 1)) if over.size else float(room)
        half = int(np.clip(_WIDTHS * fwhm, _NARROWEST_PX / self._bin_px, room))
        near = np.abs(columns - columns[top]) <= half
        near[:first] = near[last + 1 :] = False
        return _Window(
            columns=columns[near],
            middle_rad=float(self._profile_at[columns[top]]),
            sigma_rad=min(fwhm, half / _WIDTHS) / _FWHM * self._polar.step_rad,
        )

    def _noise(self, columns: NDArray[np.int64]) -> float:
        """Give the standard deviation of a ring's mean over all sectors, smoothed."""
        spread = np.sqrt(self._variance[columns] / np.maximum(self._pixels[columns], 1))
        return float(np.median(spread))

    def _lean(self, window: "_Window") -> float:
        """Tell the asymmetry of a ring from its mean over all sectors; 0 unless it is plain."""
        part = window.columns
        profile = np.tile(self._profile[part], (_LEANS.size, 1))
        fits = fit_peaks(
            np.tile(self._profile_at[part], (_LEANS.size, 1)),
            profile,
            np.tile(self._variance[part] / np.maximum(self._pixels[part], 1), (_LEANS.size, 1)),
            center=np.full(_LEANS.size, window.middle_rad),
            width=np.full(_LEANS.size, window.sigma_rad),
            lean=_LEANS,
        )
        chi2 = np.where(np.isfinite(fits.chi2), fits.chi2, np.inf)
        best, upright = int(np.argmin(chi2)), _LEANS.size // 2
        if not np.isfinite(chi2[best]):
            return 0.0
        scatter = max(1.0, chi2[best] / max(1, fits.freedom[best]))
        plain = chi2[upright] - chi2[best] > _LEAN_SIGNIFICANT * scatter
        return float(_LEANS[best]) if plain and abs(_LEANS[best]) >= _LEAST_LEAN else 0.0

    def _pixels_per_rad(self, angle: float) -> Array:
        chi = self._polar.chi_rad
        return pixels_per_rad(self._geometry, np.full(chi.size, angle), chi)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Window:
    """The bins in which a ring is fitted, where its maximum is, and its width."""

    columns: NDArray[np.int64]
    middle_rad: float
    sigma_rad: float


def _between_valleys(above: Array, top: int, *, noise: float) -> tuple[int, int]:
    """Give the bins around a maximum up to where a second one rises beside it."""
    rise = max(_VALLEY * above[top], _SIGNIFICANT * noise)
    ends = []
    for side in (above[top::-1], above[top:]):
        lowest = np.minimum.accumulate(side)
        rising = np.flatnonzero(side > lowest + rise)
        ends.append(int(np.argmin(side[: rising[0]])) if rising.size else side.size - 1)
    return top - ends[0], top + ends[1]


def _good(fits: PeakFits, window: _Window) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        good: NDArray[np.bool_] = (
            (fits.height > _SIGNIFICANT * fits.height_sigma)
            & (np.abs(fits.center - window.middle_rad) < _FARTHEST * window.sigma_rad)
            & (fits.width < _WIDEST * window.sigma_rad)
            & (fits.center_sigma < _LEAST_SHARP * window.sigma_rad)
        )
    return good
