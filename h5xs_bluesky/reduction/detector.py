"""A detector as the reduction sees it: geometry, mask, scale."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.geometry import Geometry
from h5xs_bluesky.reduction.orientation import SampleOrientation


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
    flat : ndarray, shape (H, W), optional
        Relative sensitivity of each pixel. One that is not positive excludes its pixel.
    dark : ndarray, shape (H, W), optional
        What a frame counts without beam. One that is not finite excludes its pixel.
    dark_variance : ndarray, shape (H, W), optional
        Its variance, in counts².
    orientation
        What azimuths are measured from, and how a surface lies in the beam.

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
    flat: NDArray[np.float64] | None = None
    dark: NDArray[np.float64] | None = None
    dark_variance: NDArray[np.float64] | None = None
    orientation: SampleOrientation = field(default_factory=SampleOrientation)

    CORRECTIONS: ClassVar = ("flat", "dark", "dark_variance")

    def __post_init__(self) -> None:
        shape = self.geometry.shape
        mask = np.array(self.mask, dtype=bool)
        mask.setflags(write=False)
        object.__setattr__(self, "mask", mask)
        for name in self.CORRECTIONS:
            self._freeze(name)
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
        if self.dark_variance is not None and self.dark is None:
            raise ReductionError(
                f"{self.extension}: expected a dark with dark_variance, found none"
            )

    @property
    def corrections(self) -> dict[str, NDArray[np.float64]]:
        """Those of flat, dark and dark_variance that there are, by name."""
        found = {name: getattr(self, name) for name in self.CORRECTIONS}
        return {name: array for name, array in found.items() if array is not None}

    def _freeze(self, name: str) -> None:
        if getattr(self, name) is None:
            return
        array = np.array(getattr(self, name), dtype=float)
        array.setflags(write=False)
        object.__setattr__(self, name, array)
        if array.shape != self.geometry.shape:
            raise ReductionError(
                f"{self.extension}: expected a {name} of shape {self.geometry.shape} as the "
                f"geometry's, found {array.shape}"
            )
