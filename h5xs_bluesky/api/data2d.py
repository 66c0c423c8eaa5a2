"""One scattering pattern, with the detector that took it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.detector import Detector


@dataclass(kw_only=True, eq=False)
class Data2d:
    """One frame.

    Parameters
    ----------
    data : ndarray, shape (H, W)
        The counts as the detector sent them, masked and negative pixels included.
    detector
        Its geometry.
    label
        Names it in plots.
    md
        Metadata; ``"frame #"`` is its place among the sample's frames.

    Raises
    ------
    ReductionError
        If the data are no picture.
    """

    data: NDArray[Any]
    detector: Detector
    label: str = ""
    md: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if np.ndim(self.data) != 2:
            raise ReductionError(
                f"{self.label}: expected a frame (H, W), found shape {np.shape(self.data)}"
            )

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The detector's mask (H, W): True where a pixel is excluded from every frame."""
        return self.detector.mask
