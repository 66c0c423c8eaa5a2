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
        In Å⁻¹, or any other coordinate that the bins are of.
    normalization : ndarray, shape (H, W)
        What a pixel's counts are divided by: solid angle × polarisation × flat × fix_scale.
    mask : ndarray of bool, shape (H, W)
        True where a pixel is excluded from every frame.
    saturation
        Counts from which on a pixel is excluded; None for the default of the frame's dtype.
    half_width : ndarray, shape (H, W), optional
        Largest distance in q of a corner from the centre: pixels are split over bins by their
        bounding boxes. None for no splitting.
    dark, dark_variance : ndarray, shape (H, W), optional
        Counts without beam, which are subtracted, and their variance.
    any_value
        Take every value for a count: nothing a frame holds excludes a pixel.
    """

    q: NDArray[np.float64]
    normalization: NDArray[np.float64]
    mask: NDArray[np.bool_]
    saturation: float | None = None
    half_width: NDArray[np.float64] | None = None
    dark: NDArray[np.float64] | None = None
    dark_variance: NDArray[np.float64] | None = None
    any_value: bool = False

    def __post_init__(self) -> None:
        arrays = {
            name: getattr(self, name)
            for name in ("q", "normalization", "mask", "half_width", "dark", "dark_variance")
        }
        shapes = {name: array.shape for name, array in arrays.items() if array is not None}
        if len(set(shapes.values())) != 1:
            raise ReductionError(f"expected arrays of one shape, found {shapes}")

    @classmethod
    def from_detector(
        cls,
        detector: Detector,
        *,
        polarization: float | None,
        solid_angle: bool,
        splitting: str = "no",
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
        splitting
            ``"no"``, or ``"bbox"`` by bounding boxes.
        """
        geometry, positions = detector.geometry, detector.geometry.positions()
        normalization = np.full(geometry.shape, detector.fix_scale, dtype=float)
        if solid_angle:
            normalization *= positions.solid_angle_map()
        if polarization is not None:
            normalization *= positions.polarization_map(polarization)
        mask = detector.mask
        if detector.flat is not None:
            unusable = ~(np.isfinite(detector.flat) & (detector.flat > 0))
            normalization *= np.where(unusable, 1.0, detector.flat)
            mask = mask | unusable
        for array in (detector.dark, detector.dark_variance):
            if array is not None:
                mask = mask | ~np.isfinite(array)
        return cls(
            q=positions.q_map(),
            normalization=normalization,
            mask=mask,
            saturation=detector.saturation,
            half_width=geometry.q_half_width_map() if splitting == "bbox" else None,
            dark=detector.dark,
            dark_variance=detector.dark_variance,
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
        return None if self.any_value else disqualified_values(frame, saturation=self.saturation)


def disqualified_values(
    frame: NDArray[Any], *, saturation: float | None
) -> NDArray[np.bool_] | None:
    """Tell which values are no counts; see `Pixels.disqualified`."""
    bad = None
    if frame.dtype.kind == "f":
        bad = ~np.isfinite(frame) | (frame < 0)
    elif frame.dtype.kind == "i":
        bad = frame < 0
    limit = saturation
    if limit is None and frame.dtype.kind == "u":
        limit = int(np.iinfo(frame.dtype).max) - 1
    if limit is None:
        return bad
    high = frame >= limit
    return high if bad is None else bad | high
