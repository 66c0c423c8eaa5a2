"""The devices of a simulated beamline, together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from h5xs_bluesky.config import Beamline, Monitors
from h5xs_bluesky.errors import ConfigurationError
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.sim.devices import AreaDetector, Monitor, Shutter

if TYPE_CHECKING:
    from h5xs_bluesky.sim.shots import Shot

_IMAGE = "_image"
_KEV_ANGSTROM = 12.398419843320026  # h c


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Station:
    """The devices that a plan needs.

    Parameters
    ----------
    shutter
        Makes the exposures.
    detectors, monitors
        Read them.
    motor
        Moves the sample: an ophyd positioner.
    baseline
        What is read before and after each run.
    """

    shutter: Shutter
    detectors: Sequence[AreaDetector]
    monitors: Sequence[Monitor]
    motor: Any
    baseline: Sequence[Any]

    @classmethod
    def from_beamline(cls, beamline: Beamline) -> "Station":
        """Make the devices that write the fields a configuration names.

        Raises
        ------
        ConfigurationError
            If the field of a detector does not end in ``_image``.
        """
        from ophyd import Signal
        from ophyd.sim import SynAxis

        shutter = Shutter("shutter")
        energy_kev = _KEV_ANGSTROM / (beamline.detectors[0].geometry.wavelength_m * 1e10)
        return cls(
            shutter=shutter,
            detectors=[_area_detector(detector, shutter) for detector in beamline.detectors],
            monitors=_monitors(beamline.monitors, shutter),
            motor=SynAxis(name="sample_x", labels={"motors"}),
            baseline=[Signal(name="energy_kev", value=energy_kev)],
        )


def _area_detector(detector: Detector, shutter: Shutter) -> AreaDetector:
    if not detector.data_key.endswith(_IMAGE):
        raise ConfigurationError(
            f"expected the data_key of a simulated detector to end in {_IMAGE!r}, found "
            f"{detector.data_key!r}"
        )
    name = detector.data_key.removesuffix(_IMAGE)
    return AreaDetector(
        name, shape=detector.geometry.shape, dtype=np.dtype(np.int32), shutter=shutter
    )


def _monitors(monitors: Monitors | None, shutter: Shutter) -> list[Monitor]:
    if monitors is None:
        return []
    readings: list[tuple[str | None, Callable[[Shot], float]]] = [
        (monitors.incident, lambda shot: shot.incident),
        (monitors.transmitted, lambda shot: shot.transmitted),
    ]
    return [
        Monitor(name, shutter=shutter, reading=reading)
        for name, reading in readings
        if name is not None
    ]
