"""Where a powder's cones of scattering meet a detector: angles of points, points of angles."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.geometry import Geometry
from h5xs_bluesky.reduction.py4xs_geometry import pyfai_rotation

_LEAST_COSINE = 0.05

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """A detector's place, told by where the direct beam meets its plane.

    Of these numbers none depends much on another, unlike PONI and rotations of a detector that
    stands almost upright.

    Parameters
    ----------
    length_m
        From the sample to that point, along the beam.
    beam1_m, beam2_m
        The point, along the slow and the fast axis, from the outer corner of pixel (0, 0).
    rot1_rad, rot2_rad
        pyFAI's rotations.
    """

    length_m: float
    beam1_m: float
    beam2_m: float
    rot1_rad: float
    rot2_rad: float

    @classmethod
    def of(cls, geometry: Geometry) -> "Placement":
        """Tell the place of a detector.

        Raises
        ------
        ReductionError
            If the beam does not meet its plane.
        """
        along = _beam_axis(geometry)
        length = geometry.distance_m / along[2]
        return cls(
            length_m=float(length),
            beam1_m=float(geometry.poni1_m + length * along[0]),
            beam2_m=float(geometry.poni2_m + length * along[1]),
            rot1_rad=geometry.rot1_rad,
            rot2_rad=geometry.rot2_rad,
        )

    def geometry(self, start: Geometry) -> Geometry:
        """Give the geometry of a detector that is otherwise like `start`."""
        turned = replace(start, rot1_rad=self.rot1_rad, rot2_rad=self.rot2_rad)
        along = _beam_axis(turned)
        return replace(
            turned,
            distance_m=float(self.length_m * along[2]),
            poni1_m=float(self.beam1_m - self.length_m * along[0]),
            poni2_m=float(self.beam2_m - self.length_m * along[1]),
        )


def beam_center_px(geometry: Geometry) -> tuple[float, float]:
    """Give row and column where the direct beam meets a detector; a whole number is a centre."""
    place, (height, width) = Placement.of(geometry), geometry.pixel_size_m
    return place.beam1_m / height - 0.5, place.beam2_m / width - 0.5


def angles(geometry: Geometry, first_m: Array, second_m: Array) -> tuple[Array, Array]:
    """Give 2θ and pyFAI's χ, in rad, of points along the slow and the fast axis.

    t = R · (first − poni1, second − poni2, distance), tan 2θ = √(t₁² + t₂²) / t₃, tan χ = t₁ / t₂
    (pyFAI documentation, "Geometry").
    """
    rotation = pyfai_rotation(geometry)
    offset1, offset2 = first_m - geometry.poni1_m, second_m - geometry.poni2_m
    t1, t2, t3 = (
        row[0] * offset1 + row[1] * offset2 + row[2] * geometry.distance_m for row in rotation
    )
    return np.arctan2(np.hypot(t1, t2), t3), np.arctan2(t1, t2)


def points(geometry: Geometry, two_theta_rad: Array, chi_rad: Array) -> tuple[Array, Array]:
    """Give where rays of these angles meet a detector's plane; NaN where they do not.

    Returns
    -------
    first_m, second_m
        Along the slow and the fast axis, from the outer corner of pixel (0, 0).
    """
    sine = np.sin(two_theta_rad)
    ray = np.stack(
        np.broadcast_arrays(sine * np.sin(chi_rad), sine * np.cos(chi_rad), np.cos(two_theta_rad))
    )
    u1, u2, u3 = np.tensordot(pyfai_rotation(geometry).T, ray, axes=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(u3 > 0, geometry.distance_m / u3, np.nan)
    return geometry.poni1_m + scale * u1, geometry.poni2_m + scale * u2


def pixels_per_rad(geometry: Geometry, two_theta_rad: Array, chi_rad: Array) -> Array:
    """Give how far a point moves on the detector with 2θ, in pixels per rad."""
    step = 1e-6
    first, second = (points(geometry, two_theta_rad + sign * step / 2, chi_rad) for sign in (-1, 1))
    height, width = geometry.pixel_size_m
    moved = np.hypot((second[0] - first[0]) / height, (second[1] - first[1]) / width)
    return np.asarray(moved / step)


def pixel_centers(geometry: Geometry) -> tuple[Array, Array]:
    """Give the places of all rows (H, 1) and all columns (1, W), in m."""
    rows, columns = np.ogrid[: geometry.shape[0], : geometry.shape[1]]
    return (rows + 0.5) * geometry.pixel_size_m[0], (columns + 0.5) * geometry.pixel_size_m[1]


def _beam_axis(geometry: Geometry) -> Array:
    """Give the direction of the beam in the detector's axes."""
    along: Array = pyfai_rotation(geometry)[2]
    if along[2] < _LEAST_COSINE:
        raise ReductionError(
            "expected a detector whose plane the beam meets, found one along or behind it: its "
            "centre cannot be calibrated"
        )
    return along
