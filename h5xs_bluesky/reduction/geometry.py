"""Where a detector stands, in pyFAI's convention, and what follows for each pixel."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError

_PER_ANGSTROM_FROM_PER_NM = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Geometry:
    """Position of a flat detector, as pyFAI defines it with orientation 3.

    The point of normal incidence (PONI) is where the normal through the sample meets the
    detector's plane; it is measured from the outer corner of pixel (0, 0). Three rotations tilt
    the detector about the sample (pyFAI documentation, "Geometry").

    Parameters
    ----------
    shape
        Rows and columns.
    pixel_size_m
        Along the columns' direction (slow axis) and the rows' (fast axis).
    distance_m
        From the sample to the PONI.
    poni1_m, poni2_m
        The PONI along the slow and the fast axis.
    rot1_rad, rot2_rad, rot3_rad
        The rotations.
    wavelength_m
        Of the beam.

    Raises
    ------
    ReductionError
        If a length is not positive and finite.
    """

    shape: tuple[int, int]
    pixel_size_m: tuple[float, float]
    distance_m: float
    poni1_m: float
    poni2_m: float
    rot1_rad: float = 0.0
    rot2_rad: float = 0.0
    rot3_rad: float = 0.0
    wavelength_m: float

    def __post_init__(self) -> None:
        positive = {
            "rows": self.shape[0],
            "columns": self.shape[1],
            "pixel size (slow)": self.pixel_size_m[0],
            "pixel size (fast)": self.pixel_size_m[1],
            "distance": self.distance_m,
            "wavelength": self.wavelength_m,
        }
        for name, value in positive.items():
            if not (np.isfinite(value) and value > 0):
                raise ReductionError(f"expected a positive {name}, found {value}")
        for name in ("poni1_m", "poni2_m", "rot1_rad", "rot2_rad", "rot3_rad"):
            if not np.isfinite(getattr(self, name)):
                raise ReductionError(f"expected a finite {name}, found {getattr(self, name)}")

    @classmethod
    def from_beam_center(
        cls,
        *,
        shape: tuple[int, int],
        pixel_size_m: tuple[float, float],
        distance_m: float,
        beam_center_px: tuple[float, float],
        wavelength_m: float,
    ) -> "Geometry":
        """Make the geometry of a detector that stands upright in the beam.

        Parameters
        ----------
        beam_center_px
            Row and column where the direct beam would hit, as array indices: a whole number is
            the centre of a pixel.
        shape, pixel_size_m, distance_m, wavelength_m
            As in the class.
        """
        return cls(
            shape=shape,
            pixel_size_m=pixel_size_m,
            distance_m=distance_m,
            poni1_m=(beam_center_px[0] + 0.5) * pixel_size_m[0],
            poni2_m=(beam_center_px[1] + 0.5) * pixel_size_m[1],
            wavelength_m=wavelength_m,
        )

    def q_map(self) -> NDArray[np.float64]:
        """Give q = 4π sin(θ) / λ of each pixel's centre, (H, W), in Å⁻¹."""
        return self.positions().q_map()

    def q_half_width_map(self) -> NDArray[np.float64]:
        """Give the largest distance in q of a pixel's corner from its centre, (H, W), in Å⁻¹."""
        per_nm = self._pyfai().delta_array(self.shape, unit="q_nm^-1", scale=True)
        return np.asarray(per_nm, dtype=float) * _PER_ANGSTROM_FROM_PER_NM

    def two_theta_half_width_map(self) -> NDArray[np.float64]:
        """Give the largest distance in 2θ of a corner from the centre, (H, W), in rad."""
        return np.asarray(self._pyfai().delta_array(self.shape, unit="2th_rad"), dtype=float)

    def two_theta_map(self) -> NDArray[np.float64]:
        """Give the scattering angle 2θ of each pixel's centre, (H, W), in rad."""
        return np.asarray(self._pyfai().center_array(self.shape, unit="2th_rad"), dtype=float)

    def chi_map(self) -> NDArray[np.float64]:
        """Give pyFAI's azimuth χ of each pixel's centre, (H, W), in rad."""
        return np.asarray(self._pyfai().center_array(self.shape, unit="chi_rad"), dtype=float)

    def solid_angle_map(self) -> NDArray[np.float64]:
        """Give the solid angle of each pixel, (H, W), relative to one at the PONI."""
        return self.positions().solid_angle_map()

    def polarization_map(self, factor: float) -> NDArray[np.float64]:
        """Give the polarisation correction of each pixel, (H, W); 1 in the direct beam.

        P = ½ [1 + cos² 2θ − f cos 2χ (1 − cos² 2θ)], f = 1 for a horizontally polarised beam.

        Raises
        ------
        ReductionError
            If the factor is not between −1 and 1.
        """
        return self.positions().polarization_map(factor)

    def positions(self) -> "PixelPositions":
        """Compute where the pixels' centres lie; several maps may be made of it."""
        along, up, aside = self._pyfai().position_array(self.shape, corners=False).T
        return PixelPositions(geometry=self, along_m=along.T, up_m=up.T, aside_m=aside.T)

    @property
    def beam_distance_m(self) -> float:
        """The distance from the sample to the detector's plane along the beam."""
        return self.distance_m / (math.cos(self.rot1_rad) * math.cos(self.rot2_rad))

    @property
    def beam_center_m(self) -> tuple[float, float]:
        """Where the beam meets the detector's plane: down and across, from its outer corner."""
        down = self.distance_m * math.tan(self.rot2_rad) / math.cos(self.rot1_rad)
        return self.poni1_m + down, self.poni2_m - self.distance_m * math.tan(self.rot1_rad)

    def solid_angle_at_poni(self) -> float:
        """Give the solid angle of a pixel at the PONI, in sr: its area over the distance²."""
        return self.pixel_size_m[0] * self.pixel_size_m[1] / self.distance_m**2

    def _pyfai(self) -> Any:
        from pyFAI.detectors import Detector
        from pyFAI.geometry import Geometry as PyFaiGeometry

        detector = Detector(
            pixel1=self.pixel_size_m[0],
            pixel2=self.pixel_size_m[1],
            max_shape=self.shape,
            orientation=3,
        )
        return PyFaiGeometry(
            dist=self.distance_m,
            poni1=self.poni1_m,
            poni2=self.poni2_m,
            rot1=self.rot1_rad,
            rot2=self.rot2_rad,
            rot3=self.rot3_rad,
            detector=detector,
            wavelength=self.wavelength_m,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class PixelPositions:
    """Where the pixels' centres lie, and what follows without any further angle.

    It is what pyFAI computes from angles, in single precision where it is a correction; square
    roots alone take a fifth of the time.

    Parameters
    ----------
    geometry
        Of the detector.
    along_m, up_m, aside_m : ndarray, shape (H, W)
        Distance from the sample along the beam, upwards, and to the side.
    """

    geometry: Geometry
    along_m: NDArray[np.float64]
    up_m: NDArray[np.float64]
    aside_m: NDArray[np.float64]

    @cached_property
    def _off_beam_squared(self) -> NDArray[np.float64]:
        return np.asarray(self.up_m**2 + self.aside_m**2)

    @cached_property
    def _distance_squared(self) -> NDArray[np.float64]:
        return np.asarray(self._off_beam_squared + self.along_m**2)

    def q_map(self) -> NDArray[np.float64]:
        """Give q as `Geometry.q_map`: sin² θ = ρ² / [2 r (r + z)], ρ off the beam, z along it.

        Behind the sample that is (r − z) / 2 r, for the same exactness.
        """
        distance = np.sqrt(self._distance_squared)
        squared = self._off_beam_squared / (2 * distance * (distance + np.abs(self.along_m)))
        behind = self.along_m < 0
        if behind.any():
            squared = np.where(behind, (distance - self.along_m) / (2 * distance), squared)
        return np.asarray(4e-10 * np.pi / self.geometry.wavelength_m * np.sqrt(squared))

    def solid_angle_map(self) -> NDArray[np.float64]:
        """Give solid angles as `Geometry.solid_angle_map`: (L / r)³, L the distance of the PONI."""
        squared = self.geometry.distance_m**2 / self._distance_squared
        return np.asarray(squared * np.sqrt(squared))

    def polarization_map(self, factor: float) -> NDArray[np.float64]:
        """Give the correction as `Geometry.polarization_map`: ½ [1 + (z² − f (x² − y²)) / r²].

        Raises
        ------
        ReductionError
            If the factor is not between −1 and 1.
        """
        if not -1 <= factor <= 1:
            raise ReductionError(f"expected a polarisation factor from −1 to 1, found {factor}")
        field = self.along_m**2 - factor * (self.aside_m**2 - self.up_m**2)
        return np.asarray(0.5 * (1 + field / self._distance_squared))
