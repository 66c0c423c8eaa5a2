"""The devices of a simulated endstation, together."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bluesky.preprocessors import SupplementalData
from bluesky.run_engine import call_in_bluesky_event_loop
from ophyd_async.core import (
    Device,
    PathProvider,
    StaticPathProvider,
    UUIDFilenameProvider,
    soft_signal_rw,
)

from h5xs_bluesky.config import Beamline, Monitors
from h5xs_bluesky.errors import ConfigurationError
from h5xs_bluesky.sim.endstation.detector import SimulatedDetector
from h5xs_bluesky.sim.endstation.electrometers import (
    BufferingElectrometer,
    Clock,
    Electrometer,
    MonitoredElectrometer,
    TriggeredElectrometer,
)
from h5xs_bluesky.sim.endstation.frame_sources import FrameSource, SimulatedFrames
from h5xs_bluesky.sim.endstation.movers import CLOSED, OPEN, Selector, Stage
from h5xs_bluesky.sim.endstation.ring import StorageRing
from h5xs_bluesky.sim.endstation.scene import Scene

_KEV_ANGSTROM = 12.398419843320026  # h c
_SHUTTER_S = 0.01
_CHANGER_S = 0.1
_MONITOR = "_monitor"  # the end of the streams that bluesky's `monitor` makes
_WRONG_CLOCK = {"offset_s": -37.4, "drift": 2e-5}
_GOOD_CLOCK = {"offset_s": 0.002, "drift": 0.0}


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Endstation:
    """Devices that write the documents, and files, that a configuration expects.

    Attributes
    ----------
    beamline : Beamline
        The configuration.
    detectors : tuple of SimulatedDetector
        In its order. They write files.
    electrometers : tuple of Electrometer
        The incident beam's, and the transmitted beam's, as far as they are configured.
    shutter, changer : Selector
        Take ``"Open"`` and ``"Close"``, and the name of a sample.
    stage : Stage
        The sample's motors ``stage.x`` and ``stage.y``.
    energy
        Of the beam, in keV: a signal.
    scene : Scene
        What is in the beam; ``scene.ring.dump(…)`` takes the beam away.
    source : FrameSource
        What may be put into it, under ``holders``.
    """

    beamline: Beamline
    detectors: tuple[SimulatedDetector, ...]
    electrometers: tuple[Electrometer, ...]
    shutter: Selector
    changer: Selector
    stage: Stage
    energy: Any
    scene: Scene
    source: FrameSource

    def __repr__(self) -> str:
        return f"<Endstation {self.beamline.name!r}: {', '.join(d.name for d in self.devices)}>"

    @classmethod
    def from_beamline(
        cls,
        beamline: Beamline,
        folder: str | Path | None = None,
        *,
        path_provider: PathProvider | None = None,
        frame_source: FrameSource | None = None,
        ring: StorageRing | None = None,
        compressed: bool = True,
        rate_hz: float = 25.0,
        seed: int = 0,
    ) -> "Endstation":
        """Make the devices, and connect them. The RunEngine has to be there.

        Parameters
        ----------
        beamline
            Names the fields, and says where monitors come from: in a stream ``<device>_monitor``
            single readings, in any other blocks of them, in the frames' stream their means.
        folder
            Detectors write into its folder ``detectors``; needed where there is no
        path_provider
            that tells where they do: `SamplePathProvider`, for experiments that move as one.
        frame_source
            Makes the frames; by default `SimulatedFrames` of `standard_holders`.
        ring
            Gives the beam.
        compressed
            Whether the detectors' files are.
        rate_hz
            Of the electrometers' readings, where they run on their own.
        seed
            Of all noise.

        Raises
        ------
        ConfigurationError
            If there is neither `folder` nor `path_provider`.
        RuntimeError
            If there is no RunEngine: ophyd-async's devices live in its event loop.
        """
        source = SimulatedFrames(beamline) if frame_source is None else frame_source
        scene = Scene(ring or StorageRing(), source.holders, next(iter(source.holders)))
        rngs = np.random.default_rng(seed).spawn(len(beamline.detectors) + 2)
        made = cls(
            beamline=beamline,
            detectors=tuple(
                SimulatedDetector(
                    detector.data_key,
                    detector.geometry.shape,
                    path_provider=path_provider or _paths(folder),
                    source=source,
                    scene=scene,
                    rng=rng,
                    compressed=compressed,
                )
                for detector, rng in zip(beamline.detectors, rngs[2:], strict=True)
            ),
            electrometers=tuple(
                _electrometers(beamline.monitors, scene, rngs[:2], rate_hz=rate_hz)
            ),
            shutter=Selector(
                "shutter",
                (CLOSED, OPEN),
                takes_s=_SHUTTER_S,
                arrived=lambda time_s, position: scene.shut(time_s, is_open=position == OPEN),
            ),
            changer=Selector(
                "changer",
                tuple(source.holders),
                takes_s=_CHANGER_S,
                before=source.load,
                arrived=scene.load,
            ),
            stage=Stage("stage", x_told=scene.move_x, y_told=scene.move_y),
            energy=soft_signal_rw(
                float, _energy_kev(beamline), name=_energy_field(beamline), units="keV"
            ),
            scene=scene,
            source=source,
        )
        call_in_bluesky_event_loop(made._connect(), timeout=30)
        return made

    async def _connect(self) -> None:
        for device in self.devices:
            await device.connect()
        await self.stage.set_speed()

    @property
    def devices(self) -> tuple[Device, ...]:
        """All of them."""
        return (
            *self.detectors,
            *self.electrometers,
            *(self.shutter, self.changer, self.stage, self.energy),
        )

    @property
    def saxs(self) -> SimulatedDetector:
        """The first detector."""
        return self.detectors[0]

    @property
    def waxs(self) -> SimulatedDetector:
        """The second detector; an AttributeError where only one is configured."""
        if len(self.detectors) < 2:
            raise AttributeError(
                "expected a second detector in the configuration, found only "
                f"{self.beamline.detectors[0].extension!r}"
            )
        return self.detectors[1]

    @property
    def em1(self) -> Electrometer:
        """The incident beam's electrometer, or the only one; an AttributeError without any."""
        return self._electrometer(0)

    @property
    def em2(self) -> Electrometer:
        """The transmitted beam's electrometer, or the only one."""
        return self._electrometer(-1)

    def _electrometer(self, place: int) -> Electrometer:
        if not self.electrometers:
            raise AttributeError("expected [monitors] in the configuration, found none")
        return self.electrometers[place]

    @property
    def read(self) -> list[Any]:
        """What a plan triggers and reads: the detectors, and monitors that are read with them."""
        read_with = [em for em in self.electrometers if isinstance(em, TriggeredElectrometer)]
        return [*self.detectors, *read_with]

    def supplemental_data(self) -> SupplementalData:
        """Give what to append to ``RE.preprocessors``: baseline, and monitors that run always."""
        single = [em for em in self.electrometers if isinstance(em, MonitoredElectrometer)]
        blocks = [em for em in self.electrometers if isinstance(em, BufferingElectrometer)]
        return SupplementalData(  # type: ignore[no-untyped-call]
            baseline=[self.energy, self.changer, self.stage], monitors=single, flyers=blocks
        )


def _paths(folder: str | Path | None) -> PathProvider:
    if folder is None:
        raise ConfigurationError(
            "expected a folder, or a path_provider, that tells where detectors write: found neither"
        )
    place = Path(folder).resolve() / "detectors"
    place.mkdir(parents=True, exist_ok=True)
    return StaticPathProvider(UUIDFilenameProvider(), place)


def _electrometers(
    monitors: Monitors | None,
    scene: Scene,
    rngs: Sequence[np.random.Generator],
    *,
    rate_hz: float,
) -> list[Electrometer]:
    if monitors is None:
        return []

    def transmitted(time_s: float) -> float:
        return scene.incident(time_s) * scene.transmission(time_s)

    known = (
        ("incident", monitors.incident, scene.incident, _WRONG_CLOCK),
        ("transmitted", monitors.transmitted, transmitted, _GOOD_CLOCK),
    )
    made: list[Electrometer] = []
    for (which, key, beam, clock), rng in zip(known, rngs, strict=True):
        if key is None:
            continue
        stream = monitors.streams.get(which)
        common: dict[str, Any] = {
            "beam": beam,
            "clock": Clock(set_s=time.time(), **clock),
            "noise": monitors.relative_uncertainty,
            "rng": rng,
            "rate_hz": rate_hz,
        }
        if stream is None:
            name = key.removesuffix("_mean_value")
            made.append(TriggeredElectrometer(name, key, **common))
        elif stream.endswith(_MONITOR):
            name = stream.removesuffix(_MONITOR)
            made.append(MonitoredElectrometer(name, key, **common))
        else:
            made.append(BufferingElectrometer(stream, key, stream=stream, **common))
    return made


def _energy_kev(beamline: Beamline) -> float:
    return _KEV_ANGSTROM / (beamline.detectors[0].geometry.wavelength_m * 1e10)


def _energy_field(beamline: Beamline) -> str:
    source = beamline.metadata.get("energy")
    return source.key if source is not None and source.source == "baseline" else "energy_kev"
