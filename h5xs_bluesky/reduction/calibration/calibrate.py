"""Calibration of a detector from a frame of a standard, without anybody's help."""

import logging
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.calibration.calibrants import Calibrant
from h5xs_bluesky.reduction.calibration.cones import Placement, angles, beam_center_px
from h5xs_bluesky.reduction.calibration.polar import valid_pixels
from h5xs_bluesky.reduction.calibration.ring_fit import RingFit, fit_place
from h5xs_bluesky.reduction.calibration.ring_points import RingPoints, find_ring_points
from h5xs_bluesky.reduction.calibration.ring_search import (
    NEAR,
    WIDE,
    Reach,
    explained_share,
    search_place,
)
from h5xs_bluesky.reduction.geometry import Geometry

logger = logging.getLogger(__name__)

_ROUNDS = 6
_SETTLED_PX = 0.01
_SETTLED_STRETCH = 1e-5
_FEWEST_SECTORS = 6  # of a ring that counts
_FEWEST_RINGS = 2
_FEWEST_RINGS_WITH_TILT = 3
_LARGEST_RMS_PX = 1.2
_LEAST_USED = 0.6  # of the points
_LEAST_EXPLAINED = 0.4  # of all peaks
_LARGEST_CENTER_SIGMA_PX = 1.0
_LARGEST_DISTANCE_SIGMA = 0.005  # of the distance

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class RingResidual:
    """How one ring fits.

    Parameters
    ----------
    ring
        Its number; 1 is the calibrant's innermost.
    q_per_angstrom
        Where it belongs.
    measured_q_per_angstrom
        Where its points are on average, in the fitted geometry.
    mean_px, rms_px
        Of the points' distances from it, outwards, in pixels.
    points
        How many were used.
    """

    ring: int
    q_per_angstrom: float
    measured_q_per_angstrom: float
    mean_px: float
    rms_px: float
    points: int

    @property
    def relative(self) -> float:
        """Measured q over what it should be, less 1."""
        return self.measured_q_per_angstrom / self.q_per_angstrom - 1


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Calibration:
    """Where a detector stands, from the rings of a standard.

    Parameters
    ----------
    start
        Where it was thought to stand.
    calibrant
        The standard.
    fit
        Geometry, covariance, points.
    rings
        How each ring fits, the innermost first.
    explained
        The part of all peaks on the frame that lie on rings of the standard.
    """

    start: Geometry
    calibrant: str
    fit: RingFit
    rings: tuple[RingResidual, ...]
    explained: float

    @property
    def geometry(self) -> Geometry:
        """Where the detector stands."""
        return self.fit.geometry

    @property
    def points(self) -> int:
        """How many points on rings were used."""
        return int(self.fit.used.sum())

    @property
    def rms_px(self) -> float:
        """Of the distances of the points used from their rings."""
        return float(np.sqrt(np.mean(self.fit.residual_px[self.fit.used] ** 2)))

    @property
    def sigma(self) -> dict[str, float]:
        """The standard uncertainty of each parameter, by its name with unit."""
        deviations = np.sqrt(np.diag(self.fit.covariance))
        return {
            name: float(value) for name, value in zip(self.fit.parameters, deviations, strict=True)
        }

    @property
    def distance_text(self) -> str:
        """The distance in metres and its standard uncertainty, of which two digits count."""
        return f"{_with_sigma(self.geometry.distance_m, self.sigma['distance_m'])} m"

    @property
    def beam_center_px(self) -> tuple[float, float]:
        """Row and column where the direct beam meets the detector; a whole number is a centre."""
        return beam_center_px(self.geometry)

    @property
    def beam_center_sigma_px(self) -> tuple[float, float]:
        """Their standard uncertainties."""
        slopes = []
        for name in self.fit.parameters:
            step = 1e-6
            up, down = (
                beam_center_px(
                    replace(self.geometry, **{name: getattr(self.geometry, name) + sign * step / 2})
                )
                for sign in (1, -1)
            )
            slopes.append((np.array(up) - np.array(down)) / step)
        change = np.stack(slopes, axis=1)
        row, column = np.sqrt(np.diag(change @ self.fit.covariance @ change.T))
        return float(row), float(column)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class StandardFrame:
    """A frame of a standard, or the sum of several.

    Parameters
    ----------
    counts : ndarray, shape (H, W)
        Less background, divided by the flat.
    valid : ndarray of bool, shape (H, W)
        Which of them are good.
    """

    counts: Array
    valid: NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        frame: NDArray[np.generic],
        excluded: NDArray[np.bool_],
        *,
        background: Array | None = None,
        flat: Array | None = None,
    ) -> "StandardFrame":
        """Take a frame as it was measured; negative and hot pixels are left out.

        Raises
        ------
        ReductionError
            If the shapes differ.
        """
        bad = np.array(excluded, dtype=bool)
        for what, array in (("mask", bad), ("background", background), ("flat", flat)):
            if array is not None and array.shape != frame.shape:
                raise ReductionError(
                    f"expected a {what} of shape {frame.shape} as the frame's, found {array.shape}"
                )
        counts = np.asarray(frame, dtype=float)
        if background is not None:
            bad |= ~np.isfinite(background)
        if flat is not None:
            bad |= ~(flat > 0)
        valid = valid_pixels(counts, bad)
        counts = counts - (0.0 if background is None else background)
        counts = counts / (1.0 if flat is None else np.where(flat > 0, flat, 1.0))
        return cls(counts=np.where(valid, counts, 0.0), valid=valid)


def calibrate(
    frame: StandardFrame, start: Geometry, calibrant: Calibrant, *, tilt: bool = False
) -> Calibration:
    """Find where a detector stands from a frame of a standard.

    The wavelength is taken as `start` has it: at small angles only its product with the distance
    can be told. Without `tilt` the rotations stay as they are.

    Parameters
    ----------
    frame
        Counts.
    start
        Where the detector was thought to stand. 64 pixels and a quarter may be wrong; if nothing
        fits there, it is looked for 200 pixels and a factor of 1.6 around.
    calibrant
        The standard.
    tilt
        Whether rot1 and rot2 are fitted.

    Raises
    ------
    ReductionError
        If rings are too few, or do not fit.
    """
    if frame.counts.shape != start.shape:
        raise ReductionError(
            f"expected a frame of shape {start.shape} as the geometry's, found {frame.counts.shape}"
        )
    try:
        return _calibrate_within(NEAR, frame, start, calibrant, tilt=tilt)
    except ReductionError as near:
        try:
            return _calibrate_within(WIDE, frame, start, calibrant, tilt=tilt)
        except ReductionError as wide:
            logger.info("%s, far from the start: %s", calibrant.name, wide)
            raise near from wide


def _calibrate_within(
    reach: Reach, frame: StandardFrame, start: Geometry, calibrant: Calibrant, *, tilt: bool
) -> Calibration:
    place = search_place(frame.counts, frame.valid, start, calibrant, reach)
    fit = _refined(frame, place, calibrant, tilt=tilt)
    found = Calibration(
        start=start,
        calibrant=calibrant.name,
        fit=fit,
        rings=_residuals(fit, calibrant),
        explained=explained_share(frame.counts, frame.valid, fit.geometry, calibrant),
    )
    _check(found)
    return found


def _refined(frame: StandardFrame, place: Geometry, calibrant: Calibrant, *, tilt: bool) -> RingFit:
    """Find the rings and fit, in turns, until the detector does not move any more."""
    for round_ in range(_ROUNDS):
        points = find_ring_points(frame.counts, frame.valid, place, calibrant)
        points = _of_whole_rings(points, calibrant, tilt=tilt)
        fit = fit_place(points, place, calibrant, tilt=tilt and round_ > 0)
        old, new = Placement.of(place), Placement.of(fit.geometry)
        place = fit.geometry
        moved = np.hypot(new.beam1_m - old.beam1_m, new.beam2_m - old.beam2_m)
        stretched = abs(new.length_m / old.length_m - 1)
        if (
            round_ > 1
            and moved < _SETTLED_PX * min(place.pixel_size_m)
            and stretched < _SETTLED_STRETCH
        ):
            break
    return fit


def _of_whole_rings(points: RingPoints, calibrant: Calibrant, *, tilt: bool) -> RingPoints:
    """Leave out the points of rings that were found in a few sectors only."""
    numbers, counts = np.unique(points.ring, return_counts=True)
    kept = numbers[counts >= _FEWEST_SECTORS]
    fewest = _FEWEST_RINGS_WITH_TILT if tilt else _FEWEST_RINGS
    if kept.size < fewest:
        raise ReductionError(
            f"expected at least {fewest} rings of {calibrant.name}"
            f"{' for a tilted detector' if tilt else ''}, found {kept.size}: is this a frame of "
            "the standard, exposed long enough, and is the start not too far off?"
        )
    return points.only(np.isin(points.ring, kept))


def _residuals(fit: RingFit, calibrant: Calibrant) -> tuple[RingResidual, ...]:
    two_theta, _ = angles(fit.geometry, fit.points.first_m, fit.points.second_m)
    q = 4 * np.pi * np.sin(two_theta / 2) / (fit.geometry.wavelength_m * 1e10)
    found = []
    for number in np.unique(fit.points.ring[fit.used]):
        here = fit.used & (fit.points.ring == number)
        residual = fit.residual_px[here]
        found.append(
            RingResidual(
                ring=int(number),
                q_per_angstrom=float(calibrant.q_per_angstrom[number - 1]),
                measured_q_per_angstrom=float(q[here].mean()),
                mean_px=float(residual.mean()),
                rms_px=float(np.sqrt(np.mean(residual**2))),
                points=int(here.sum()),
            )
        )
    return tuple(found)


def _check(found: Calibration) -> None:
    """Refuse a fit that nobody should reduce with.

    Raises
    ------
    ReductionError
        If it is poor.
    """
    used = found.points / found.fit.used.size
    center = max(found.beam_center_sigma_px)
    distance = found.sigma["distance_m"] / found.geometry.distance_m
    demands = (
        (
            found.rms_px <= _LARGEST_RMS_PX,
            f"points within {_LARGEST_RMS_PX:g} pixels of the rings (rms)",
            f"{found.rms_px:.2f}",
        ),
        (used >= _LEAST_USED, f"{_LEAST_USED:.0%} of the points to agree", f"{used:.0%}"),
        (
            found.explained >= _LEAST_EXPLAINED,
            f"{_LEAST_EXPLAINED:.0%} of the frame's peaks on rings",
            f"{found.explained:.0%}",
        ),
        (
            center <= _LARGEST_CENTER_SIGMA_PX,
            f"the beam's centre known to {_LARGEST_CENTER_SIGMA_PX:g} pixel",
            f"{center:.2f}",
        ),
        (
            distance <= _LARGEST_DISTANCE_SIGMA,
            f"the distance known to {_LARGEST_DISTANCE_SIGMA:.1%}",
            f"{distance:.2%}",
        ),
    )
    for met, expected, value in demands:
        if not met:
            raise ReductionError(
                f"expected {expected}, found {value}: the fit of {found.calibrant} is poor: is it "
                "this standard, and its wavelength?"
            )


def _with_sigma(value: float, sigma: float) -> str:
    """Give a value with its uncertainty, of which two digits count."""
    if not (np.isfinite(sigma) and sigma > 0):
        return f"{value:.5f} ± {sigma:g}"
    decimals = max(0, 1 - int(np.floor(np.log10(sigma))))
    return f"{value:.{decimals}f} ± {sigma:.{decimals}f}"
