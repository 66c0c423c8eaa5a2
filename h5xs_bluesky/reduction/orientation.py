"""How a sample and a picture are turned about the beam, and what follows for azimuth and qr, qn."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleOrientation:
    """What the azimuth is measured from, and how a surface lies in the beam.

    Parameters
    ----------
    sample_normal_deg
        Added to the azimuth φ: the sample's normal then stands at φ = 90° (py4xs'
        ``sample_normal``).
    incident_angle_deg
        Angle α between the beam and the sample's surface; None where there is no surface.
    mirrored
        Whether the picture is seen against the beam, as a mirror would show it (py4xs' negative
        ``flip``): its azimuth runs the other way round.

    Raises
    ------
    ReductionError
        If an angle is not finite, or α is beyond ±90°.
    """

    sample_normal_deg: float = 0.0
    incident_angle_deg: float | None = None
    mirrored: bool = False

    def __post_init__(self) -> None:
        if not np.isfinite(self.sample_normal_deg):
            raise ReductionError(
                f"expected a finite sample_normal_deg, found {self.sample_normal_deg}"
            )
        angle = self.incident_angle_deg
        if angle is not None and not (np.isfinite(angle) and abs(angle) <= 90):
            raise ReductionError(f"expected an incident_angle_deg from -90 to 90, found {angle}")

    def azimuth_deg(self, chi_rad: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the azimuth φ from pyFAI's χ, in degrees from −180 to below 180.

        φ = −χ + sample_normal, or χ + sample_normal where mirrored: 0 towards higher columns,
        counter-clockwise in a picture whose row 0 is at the top.
        """
        turned = np.degrees(chi_rad) if self.mirrored else -np.degrees(chi_rad)
        wrapped = (turned + self.sample_normal_deg + 180) % 360 - 180
        return np.where(wrapped < 180, wrapped, -180.0)

    def surface_coordinates(
        self, *, q: NDArray[np.float64], azimuth_deg: NDArray[np.float64], wavelength_m: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give qr, along the surface, and qn, along its normal, in Å⁻¹.

        With sin θ = q λ / 4π the momentum transfer is q (cos θ cos φ, cos θ sin φ, sin θ), the
        last against the beam. The normal is (0, cos α, sin α), so that

            qn = q (cos θ sin φ cos α + sin θ sin α)
            qr = ± √(q² − qn²), with the sign of cos φ

        (Yang, J. Synchrotron Rad. 20 (2013) 211; py4xs' ``Qn`` and ``Qr``).

        Parameters
        ----------
        q, azimuth_deg : ndarray
            Of each pixel, in Å⁻¹ and degrees.
        wavelength_m
            Of the beam.

        Raises
        ------
        ReductionError
            If there is no incident angle.
        """
        if self.incident_angle_deg is None:
            raise ReductionError(
                "expected an incident angle for qr and qn, found none: give the detector a "
                "SampleOrientation with incident_angle_deg"
            )
        alpha, phi = np.radians(self.incident_angle_deg), np.radians(azimuth_deg)
        sine = np.clip(q * wavelength_m * 1e10 / (4 * np.pi), 0, 1)
        cosine = np.sqrt(1 - sine**2)
        along = q * (cosine * np.sin(phi) * np.cos(alpha) + sine * np.sin(alpha))
        across = np.sqrt(np.maximum(q**2 - along**2, 0))
        return np.copysign(across, np.cos(phi)), along
