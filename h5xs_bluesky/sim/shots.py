"""One exposure of all detectors and monitors, as the devices hand it out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Shot:
    """What one opening of the shutter leaves behind.

    Parameters
    ----------
    frames : mapping of data key to ndarray, shape (H, W)
        One frame of each detector.
    incident, transmitted
        The monitors' readings in photons, with their noise.
    """

    frames: Mapping[str, NDArray[Any]]
    incident: float
    transmitted: float
