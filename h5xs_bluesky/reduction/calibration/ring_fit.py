"""The place of a detector from points on rings: robust least squares."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.calibration.calibrants import Calibrant
from h5xs_bluesky.reduction.calibration.cones import Placement, angles, pixels_per_rad
from h5xs_bluesky.reduction.calibration.ring_points import RingPoints
from h5xs_bluesky.reduction.geometry import Geometry

PARAMETERS = ("distance_m", "poni1_m", "poni2_m")
TILTS = ("rot1_rad", "rot2_rad")
_PLACE = ("length_m", "beam1_m", "beam2_m")

_OUTLIER_SIGMA = 4.0
_ROUNDS = 6
_MEDIAN_OF_CHI2 = 0.4549  # of one degree of freedom
_FEWEST_POINTS = 8

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RingFit:
    """A fitted place, and how well it explains the points.

    Parameters
    ----------
    geometry
        The detector's.
    parameters
        Names, with units, of what was fitted.
    covariance : ndarray, shape (p, p)
        Of these.
    points
        All points.
    residual_px : ndarray, shape (n,)
        Distance of each from its ring, outwards, in pixels.
    used : ndarray of bool, shape (n,)
        False where a point is an outlier.
    scatter_px
        By how much points scatter beyond their own uncertainties, as one standard deviation that
        was added to all of them.
    reduced_chi2
        Of the points used, with their own uncertainties alone.
    """

    geometry: Geometry
    parameters: tuple[str, ...]
    covariance: Array
    points: RingPoints
    residual_px: Array
    used: NDArray[np.bool_]
    scatter_px: float
    reduced_chi2: float


def fit_place(points: RingPoints, start: Geometry, calibrant: Calibrant, *, tilt: bool) -> RingFit:
    """Fit distance and PONI, and perhaps two rotations, to points on rings.

    The residuals are distances from the rings in units of √(σ² + s²), where s is the scatter
    that makes the median of their squares what it should be. They enter with the soft L1 loss
    first; then points beyond four standard deviations are left out, and the rest is fitted by
    plain least squares, whose covariance is given.

    Parameters
    ----------
    points
        Points on rings.
    start
        Where the detector stands, roughly; what is not fitted stays.
    calibrant
        The standard.
    tilt
        Whether rot1 and rot2 are fitted.

    Raises
    ------
    ReductionError
        If there are too few points.
    """
    model = _Model(points, start, calibrant, tilt=tilt)
    if len(points) < _FEWEST_POINTS:
        raise ReductionError(
            f"expected at least {_FEWEST_POINTS} points on rings of {calibrant.name}, found "
            f"{len(points)}"
        )
    values, used, scatter = model.start, np.ones(len(points), bool), 0.5
    for round_ in range(_ROUNDS):
        loss = "soft_l1" if round_ < _ROUNDS // 2 else "linear"
        values = model.solve(values, scatter, used, loss=loss)
        residual = model.residual_px(values)
        scatter = _excess_scatter(residual[used], points.sigma_px[used])
        used = np.abs(residual) < _OUTLIER_SIGMA * np.hypot(points.sigma_px, scatter)
        if used.sum() < _FEWEST_POINTS:
            raise ReductionError(
                f"expected at least {_FEWEST_POINTS} points that agree on rings of "
                f"{calibrant.name}, found {used.sum()} of {len(points)}"
            )
    values = model.solve(values, scatter, used, loss="linear")
    residual = model.residual_px(values)
    freedom = max(1, int(used.sum()) - values.size)
    return RingFit(
        geometry=model.geometry(values),
        parameters=PARAMETERS + (TILTS if tilt else ()),
        covariance=model.covariance(values, scatter, used),
        points=points,
        residual_px=residual,
        used=used,
        scatter_px=scatter,
        reduced_chi2=float(((residual / points.sigma_px)[used] ** 2).sum() / freedom),
    )


class _Model:
    """The residuals of points as functions of a placement, in units in which all are alike."""

    def __init__(
        self, points: RingPoints, start: Geometry, calibrant: Calibrant, *, tilt: bool
    ) -> None:
        self._points, self._start = points, start
        self._rings = calibrant.two_theta(start.wavelength_m)[points.ring - 1]
        self._place = Placement.of(start)
        self._names = _PLACE + (TILTS if tilt else ())
        pixel, length = min(start.pixel_size_m), self._place.length_m
        # What moves a point by about a pixel.
        self._units = np.array([pixel, pixel, pixel, pixel / length, pixel / length])
        self._units[0] = 0.002 * length
        self._units[3:] *= 10
        self._units = self._units[: len(self._names)]
        self.start = np.zeros(len(self._names))

    def geometry(self, values: Array) -> Geometry:
        changes = {
            name: getattr(self._place, name) + float(value)
            for name, value in zip(self._names, values * self._units, strict=True)
        }
        return replace(self._place, **changes).geometry(self._start)

    def residual_px(self, values: Array) -> Array:
        geometry = self.geometry(values)
        two_theta, chi = angles(geometry, self._points.first_m, self._points.second_m)
        off: Array = (two_theta - self._rings) * pixels_per_rad(geometry, self._rings, chi)
        return off

    def solve(self, values: Array, scatter: float, used: NDArray[np.bool_], *, loss: str) -> Array:
        from scipy.optimize import least_squares

        sigma = np.hypot(self._points.sigma_px, scatter)[used]
        found = least_squares(
            lambda at: self.residual_px(at)[used] / sigma, values, loss=loss, f_scale=1.5
        )
        return np.asarray(found.x, dtype=float)

    def covariance(self, values: Array, scatter: float, used: NDArray[np.bool_]) -> Array:
        """Give the covariance of PONI's parameters: (Jᵀ J)⁻¹ χ² / (n − p), taken over to these."""
        sigma = np.hypot(self._points.sigma_px, scatter)[used]
        slopes = _slopes(lambda at: self.residual_px(at)[used] / sigma, values)
        own = np.linalg.pinv(slopes.T @ slopes, hermitian=True)
        names = PARAMETERS + (TILTS if len(self._names) > len(_PLACE) else ())

        def poni(at: Array) -> Array:
            geometry = self.geometry(at)
            return np.array([getattr(geometry, name) for name in names])

        change = _slopes(poni, values)
        freedom = max(1, int(used.sum()) - values.size)
        spread = ((self.residual_px(values)[used] / sigma) ** 2).sum() / freedom
        covariance: Array = spread * (change @ own @ change.T)
        return covariance


def _slopes(function: Callable[[Array], Array], values: Array) -> Array:
    """Give the derivatives (m, p) of a function, by central differences of a thousandth."""
    step = 1e-3
    return np.stack(
        [
            (function(values + step * axis) - function(values - step * axis)) / (2 * step)
            for axis in np.eye(values.size)
        ],
        axis=1,
    )


def _excess_scatter(residual: Array, sigma: Array) -> float:
    """Find s for which the median of residual² / (σ² + s²) is that of χ² with one freedom."""
    from scipy.optimize import brentq

    def excess(scatter: float) -> float:
        return float(np.median(residual**2 / (sigma**2 + scatter**2))) - _MEDIAN_OF_CHI2

    largest = 10 * float(np.max(np.abs(residual))) + 1e-9
    if excess(0.0) <= 0 or excess(largest) >= 0:
        return 0.0
    return float(brentq(excess, 0.0, largest))
