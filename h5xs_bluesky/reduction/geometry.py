"""Where a detector stands, in pyFAI's convention, and what follows for each pixel."""

import math
from dataclasses import dataclass
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
        per_nm = self._pyfai().center_array(self.shape, unit="q_nm^-1", scale=True)
        return np.asarray(per_nm, dtype=float) * _PER_ANGSTROM_FROM_PER_NM

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
        return np.asarray(self._pyfai().solidAngleArray(self.shape, absolute=False), dtype=float)

    def polarization_map(self, factor: float) -> NDArray[np.float64]:
        """Give the polarisation correction of each pixel, (H, W); 1 in the direct beam.

        P = ½ [1 + cos² 2θ − f cos 2χ (1 − cos² 2θ)], f = 1 for a horizontally polarised beam
        (pyFAI, `Geometry.polarization`).

        Raises
        ------
        ReductionError
            If the factor is not between −1 and 1.
        """
        if not -1 <= factor <= 1:
            raise ReductionError(f"expected a polarisation factor from −1 to 1, found {factor}")
        correction = self._pyfai().polarization(self.shape, factor=factor, with_checksum=False)
        return np.asarray(correction, dtype=float)

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
