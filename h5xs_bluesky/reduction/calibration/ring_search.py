"""The first guess of a calibration: which place of the detector explains the peaks along rays.

Along rays from anywhere near the beam the rings are local maxima, whereas the edge of a shadow is
none. Places are tried on a grid of beam centres and distances; the best are moved to the nearest
rings (iterated closest points), and the one that then explains most peaks wins.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.calibration.calibrants import Calibrant
from h5xs_bluesky.reduction.calibration.cones import Placement, angles, pixels_per_rad, points
from h5xs_bluesky.reduction.calibration.polar import PolarMap
from h5xs_bluesky.reduction.geometry import Geometry
from h5xs_bluesky.reduction.py4xs_geometry import pyfai_rotation

_SECTORS = 48
_SMOOTHING_BINS = 1.5
_PROMINENCE_SIGMA = 7.0  # a maximum of noise over the valleys beside it has up to six
_LEAST_CONTRAST = 0.01  # of the square root of the intensity
_MOST_PEAKS = 30  # of one ray
_FULL_WEIGHT_SIGMA = 20.0
_FEWEST_PEAKS = 10

_FINE_PX = 2.0
_ON_RING_PX = 4.0
_NARROWING_PX = (12.0, 8.0, 5.0, 3.0, 2.0)
_NEIGHBOURHOOD_PX = 200.0
_BEST_OF_SCALE = 4
_TABLE = 8192

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Peaks:
    """Local maxima along rays: where on the detector, in m, and how much each counts."""

    first_m: Array
    second_m: Array
    weight: Array


@dataclass(frozen=True, kw_only=True, slots=True)
class Reach:
    """How far from the start a detector is looked for.

    Parameters
    ----------
    shift_px, shift_step_px
        Of the beam's centre.
    scales, scale_step
        Factors of the distance: the least and the largest, and the relative step.
    width_px
        How far a peak may be from a ring.
    tried
        How many of the best places are followed up.
    """

    shift_px: float
    shift_step_px: float
    scales: tuple[float, float]
    scale_step: float
    width_px: float
    tried: int


NEAR = Reach(
    shift_px=64.0,
    shift_step_px=8.0,
    scales=(0.75, 1.33),
    scale_step=0.006,
    width_px=6.0,
    tried=16,
)
WIDE = Reach(
    shift_px=208.0,
    shift_step_px=16.0,
    scales=(0.6, 1.6),
    scale_step=0.015,
    width_px=10.0,
    tried=40,
)


def find_peaks_along_rays(polar: PolarMap, geometry: Geometry) -> Peaks:
    """Find the local maxima of each sector that stand out of the noise."""
    where, chi, weight = [], [], []
    for sector in range(polar.chi_rad.size):
        bins, weights = _maxima(polar.counts[sector], polar.pixels[sector])
        where.append(polar.two_theta_rad[sector, bins])
        chi.append(np.full(bins.size, polar.chi_rad[sector]))
        weight.append(weights)
    first, second = points(geometry, np.concatenate(where), np.concatenate(chi))
    return Peaks(first_m=first, second_m=second, weight=np.concatenate(weight))


def _maxima(counts: Array, pixels: Array) -> tuple[NDArray[np.int64], Array]:
    from scipy.ndimage import gaussian_filter1d
    from scipy.signal import find_peaks

    known = np.flatnonzero(pixels > 0)
    if known.size < 5:
        return np.empty(0, np.int64), np.empty(0)
    size = pixels.size
    root = np.interp(np.arange(size), known, np.sqrt(np.maximum(counts[known], 0.0)))
    smooth = gaussian_filter1d(root, _SMOOTHING_BINS)
    share = gaussian_filter1d(pixels, _SMOOTHING_BINS)
    # The square root of a mean of n Poisson counts varies by 1 / √(4n); smoothing adds bins up.
    noise = 0.5 / np.sqrt(np.maximum(share, 0.1) * 2 * np.sqrt(np.pi) * _SMOOTHING_BINS)
    bins, found = find_peaks(smooth, prominence=0.0)
    prominence = found["prominences"] / noise[bins]
    enough = (prominence > _PROMINENCE_SIGMA) & (pixels[bins] > 0)
    enough &= found["prominences"] > _LEAST_CONTRAST * smooth[bins]
    bins, prominence = bins[enough], prominence[enough]
    best = np.argsort(prominence)[::-1][:_MOST_PEAKS]
    return bins[best], np.minimum(1.0, prominence[best] / _FULL_WEIGHT_SIGMA)


def search_place(
    frame: Array,
    valid: NDArray[np.bool_],
    start: Geometry,
    calibrant: Calibrant,
    reach: Reach,
) -> Geometry:
    """Find roughly where a detector stands; its tilt is taken as it is.

    Parameters
    ----------
    frame, valid : ndarray, shape (H, W)
        Counts of a standard, and which of them are good.
    start
        Where the detector was thought to stand.
    calibrant
        The standard.
    reach
        How far from there to look.

    Raises
    ------
    ReductionError
        If there are too few peaks.
    """
    polar = PolarMap.of(frame, valid, start, sectors=_SECTORS)
    peaks = find_peaks_along_rays(polar, start)
    if peaks.weight.size < _FEWEST_PEAKS:
        raise ReductionError(
            f"expected rings of {calibrant.name}, found {peaks.weight.size} peaks along "
            f"{polar.chi_rad.size} rays: is this a frame of the standard, exposed long enough?"
        )
    scorer = _Scorer(peaks, start, calibrant)
    found = [scorer.settle(place) for place in scorer.coarse(reach)]
    return max(found, key=lambda place: scorer.score(place, _FINE_PX)).geometry(start)


def explained_share(
    frame: Array, valid: NDArray[np.bool_], geometry: Geometry, calibrant: Calibrant
) -> float:
    """Give the part of the peaks along rays, by weight, that lie on rings; NaN without peaks."""
    polar = PolarMap.of(frame, valid, geometry, sectors=_SECTORS)
    peaks = find_peaks_along_rays(polar, geometry)
    two_theta, chi = angles(geometry, peaks.first_m, peaks.second_m)
    rings = calibrant.two_theta(geometry.wavelength_m)
    off = two_theta - rings[_nearest(rings, two_theta)]
    near = np.abs(off * pixels_per_rad(geometry, two_theta, chi)) < _ON_RING_PX
    total = float(peaks.weight.sum())
    return float(peaks.weight[near].sum() / total) if total else float("nan")


class _Scorer:
    """Tells how well places explain the peaks."""

    def __init__(self, peaks: Peaks, start: Geometry, calibrant: Calibrant) -> None:
        self._peaks, self._start = peaks, start
        self._rings = calibrant.two_theta(start.wavelength_m)
        self._rotation = pyfai_rotation(start)
        self._pixel_m = min(start.pixel_size_m)

    def coarse(self, reach: Reach) -> list[Placement]:
        """Try all places of a grid; the best ones that are not neighbours, best first."""
        start = Placement.of(self._start)
        steps = np.arange(-reach.shift_px, reach.shift_px + 1, reach.shift_step_px)
        steps *= self._pixel_m
        beam1, beam2 = (
            axis.ravel()
            for axis in np.meshgrid(start.beam1_m + steps, start.beam2_m + steps, indexing="ij")
        )
        low, high = np.log(reach.scales)
        scales = np.exp(np.arange(low, high, reach.scale_step))
        tried: list[tuple[float, Placement]] = []
        for scale in scales:
            scores = self._scores(scale * start.length_m, beam1, beam2, reach.width_px)
            tried += [
                (
                    float(scores[best]),
                    replace(
                        start,
                        length_m=float(scale * start.length_m),
                        beam1_m=float(beam1[best]),
                        beam2_m=float(beam2[best]),
                    ),
                )
                for best in np.argsort(scores)[::-1][:_BEST_OF_SCALE]
            ]
        tried.sort(key=lambda item: -item[0])
        return [place for _, place in tried[: reach.tried]]

    def score(self, place: Placement, width_px: float) -> float:
        """Give the weight of the explained peaks, beyond what chance explains."""
        beam1, beam2 = np.array([place.beam1_m]), np.array([place.beam2_m])
        return float(self._scores(place.length_m, beam1, beam2, width_px)[0])

    def settle(self, place: Placement) -> Placement:
        """Move a place so that its peaks come to lie on the nearest rings."""
        for width_px in _NARROWING_PX:
            for _ in range(3):
                place = self._closer(place, width_px)
        return place

    def _closer(self, place: Placement, width_px: float) -> Placement:
        names = ("length_m", "beam1_m", "beam2_m")
        here = self._angles_of(place)
        nearest = self._rings[_nearest(self._rings, here)]
        width = width_px * self._pixel_m / place.length_m
        weight = self._peaks.weight * np.exp(-(((here - nearest) / width) ** 2) / 2)
        if weight.sum() < 3:
            return place
        slopes = []
        for name in names:
            step = 0.1 * self._pixel_m
            there = replace(place, **{name: getattr(place, name) + step})
            slopes.append((self._angles_of(there) - here) / step)
        root = np.sqrt(weight)
        moves, *_ = np.linalg.lstsq(
            np.stack(slopes, axis=1) * root[:, None], (nearest - here) * root, rcond=1e-6
        )
        limit = np.array([0.05 * place.length_m, 20 * self._pixel_m, 20 * self._pixel_m])
        moves = np.clip(moves, -limit, limit)
        changes: dict[str, Any] = {
            name: getattr(place, name) + float(move)
            for name, move in zip(names, moves, strict=True)
        }
        return replace(place, **changes)

    def _angles_of(self, place: Placement) -> Array:
        return angles(place.geometry(self._start), self._peaks.first_m, self._peaks.second_m)[0]

    def _scores(self, length_m: float, beam1: Array, beam2: Array, width_px: float) -> Array:
        """Score many beam centres (n,) at one distance."""
        along = self._rotation[2]
        poni1, poni2 = beam1 - length_m * along[0], beam2 - length_m * along[1]
        distance = length_m * along[2]
        offset1 = self._peaks.first_m[:, None] - poni1
        offset2 = self._peaks.second_m[:, None] - poni2
        t1, t2, t3 = (
            row[0] * offset1 + row[1] * offset2 + row[2] * distance for row in self._rotation
        )
        two_theta = np.arctan2(np.hypot(t1, t2), t3)
        table, step = self._table(float(two_theta.max()), width_px, self._pixel_m / length_m)
        scores: Array = self._peaks.weight @ table[(two_theta / step).astype(np.int64)]
        return scores

    def _table(self, largest: float, width_px: float, pixel: float) -> tuple[Array, float]:
        """Tabulate what a peak at 2θ adds: how close a ring is, less the mean around there."""
        from scipy.ndimage import uniform_filter1d

        grid = np.linspace(0, largest, _TABLE)
        step = grid[1]
        distance = grid - self._rings[_nearest(self._rings, grid)]
        close = np.exp(-((distance / (width_px * pixel)) ** 2) / 2)
        around = max(3, int(_NEIGHBOURHOOD_PX * pixel / step))
        return close - uniform_filter1d(close, around, mode="nearest"), float(step)


def _nearest(rings: Array, values: Array) -> NDArray[np.int64]:
    """Give the index of the ring that is nearest to each value."""
    if rings.size == 1:
        return np.zeros(values.shape, np.int64)
    middles = (rings[1:] + rings[:-1]) / 2
    return np.searchsorted(middles, values)
