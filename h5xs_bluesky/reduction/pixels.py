"""What is known about each pixel before a frame comes, and which pixels a frame disqualifies."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.detector import Detector


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Pixels:
    """What does not change from frame to frame.

    Parameters
    ----------
    q : ndarray, shape (H, W)
        In Å⁻¹.
    normalization : ndarray, shape (H, W)
        What a pixel's counts are divided by: solid angle × polarisation × fix_scale.
    mask : ndarray of bool, shape (H, W)
        True where a pixel is excluded from every frame.
    saturation
        Counts from which on a pixel is excluded; None for the default of the frame's dtype.
    """

    q: NDArray[np.float64]
    normalization: NDArray[np.float64]
    mask: NDArray[np.bool_]
    saturation: float | None = None

    def __post_init__(self) -> None:
        if not self.q.shape == self.normalization.shape == self.mask.shape:
            raise ReductionError(
                "expected q, normalisation and mask of one shape, found "
                f"{self.q.shape}, {self.normalization.shape} and {self.mask.shape}"
            )

    @classmethod
    def from_detector(
        cls, detector: Detector, *, polarization: float | None, solid_angle: bool
    ) -> "Pixels":
        """Compute a detector's pixels.

        Parameters
        ----------
        detector
            The detector.
        polarization
            Factor of the beam's polarisation, 1 for horizontal; None for no correction.
        solid_angle
            Whether the pixels' solid angles are corrected for.
        """
        geometry = detector.geometry
        normalization = np.full(geometry.shape, detector.fix_scale, dtype=float)
        if solid_angle:
            normalization *= geometry.solid_angle_map()
        if polarization is not None:
            normalization *= geometry.polarization_map(polarization)
        return cls(
            q=geometry.q_map(),
            normalization=normalization,
            mask=detector.mask,
            saturation=detector.saturation,
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        return self.q.shape

    def check(self, frame: NDArray[Any]) -> None:
        """Refuse a frame that these pixels do not describe.

        Raises
        ------
        ReductionError
            If its shape differs, or it does not hold real numbers.
        """
        if frame.shape != self.shape:
            raise ReductionError(f"expected a frame of shape {self.shape}, found {frame.shape}")
        if frame.dtype.kind not in "iuf":
            raise ReductionError(f"expected a frame of real numbers, found dtype {frame.dtype}")

    def disqualified(self, frame: NDArray[Any]) -> NDArray[np.bool_] | None:
        """Tell which pixels the frame's own values exclude; None where it can exclude none.

        Negative and non-finite values, and values at or above saturation: for unsigned
        integers without a given saturation the top two values of the dtype, which detectors
        use as flags.

        Parameters
        ----------
        frame : ndarray
            Of any shape.
        """
        bad = None
        if frame.dtype.kind == "f":
            bad = ~np.isfinite(frame) | (frame < 0)
        elif frame.dtype.kind == "i":
            bad = frame < 0
        limit = self.saturation
        if limit is None and frame.dtype.kind == "u":
            limit = int(np.iinfo(frame.dtype).max) - 1
        if limit is None:
            return bad
        high = frame >= limit
        return high if bad is None else bad | high
