"""A detector as the reduction sees it: geometry, mask, scale."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.geometry import Geometry


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Detector:
    """One area detector.

    Parameters
    ----------
    extension
        Names its curves, as in ``processed/_SAXS``.
    data_key
        The field of its frames in event documents.
    model
        As the exported header shows it.
    geometry
        Where it stands.
    mask : ndarray of bool, shape (H, W)
        True where a pixel is excluded from every frame.
    fix_scale
        By what its intensities are divided to lie on a common scale with the other detectors.
        Without further differences that is its pixels' solid angle relative to the first's.
    saturation
        Counts from which on a pixel is excluded; None for the default of the frames' dtype.

    Raises
    ------
    ReductionError
        If the mask does not fit the geometry, or a number is not positive.
    """

    extension: str
    data_key: str
    model: str
    geometry: Geometry
    mask: NDArray[np.bool_]
    fix_scale: float = 1.0
    saturation: float | None = None

    def __post_init__(self) -> None:
        shape = self.geometry.shape
        mask = np.array(self.mask, dtype=bool)
        mask.setflags(write=False)
        object.__setattr__(self, "mask", mask)
        if mask.shape != shape:
            raise ReductionError(
                f"{self.extension}: expected a mask of shape {shape} as the geometry's, "
                f"found {mask.shape}"
            )
        if not (np.isfinite(self.fix_scale) and self.fix_scale > 0):
            raise ReductionError(
                f"{self.extension}: expected a positive fix_scale, found {self.fix_scale}"
            )
        if self.saturation is not None and not self.saturation > 0:
            raise ReductionError(
                f"{self.extension}: expected a positive saturation, found {self.saturation}"
            )
