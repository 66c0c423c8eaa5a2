"""What is in the beam, at any time: what detectors count and electrometers read follows from it."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from h5xs_bluesky.sim.endstation.history import History, Path
from h5xs_bluesky.sim.endstation.holders import Holder
from h5xs_bluesky.sim.endstation.ring import StorageRing
from h5xs_bluesky.sim.samples import Condition, Sample

_MOMENTS = 8  # at which an exposure is looked at


@dataclass(frozen=True, slots=True)
class Exposed:
    """What a detector saw during an exposure.

    Parameters
    ----------
    position
        On the changer; the one at the exposure's beginning.
    photons_cm
        For each of `Sample.profiles`: transmitted photons × its thickness in cm.
    """

    position: str
    photons_cm: tuple[float, ...]


class Scene:
    """The beam, the shutter, and the sample, and how they were before.

    Parameters
    ----------
    ring
        Gives the beam.
    holders
        What may be put into it, by position on the changer.
    position
        What is in it at first.
    """

    def __init__(self, ring: StorageRing, holders: Mapping[str, Holder], position: str) -> None:
        self.ring = ring
        self._holders = holders
        self._open = History(False)
        self._loaded = History(position)
        self._x_mm, self._y_mm = Path(0.0), Path(0.0)
        self._lock = threading.Lock()

    def shut(self, time_s: float, *, is_open: bool) -> None:
        """Open the shutter, or close it."""
        with self._lock:
            self._open.record(time_s, is_open)

    def load(self, time_s: float, position: str) -> None:
        """Put something fresh into the beam."""
        with self._lock:
            self._loaded.record(time_s, position)

    def loaded_since(self, time_s: float) -> float:
        """Give when what was in the beam had been put there."""
        with self._lock:
            return self._loaded.since(time_s)

    def move_x(self, time_s: float, x_mm: float) -> None:
        """Tell where the stage is, or will be."""
        with self._lock:
            self._x_mm.record(time_s, x_mm)

    def move_y(self, time_s: float, y_mm: float) -> None:
        """Tell where the stage is, or will be."""
        with self._lock:
            self._y_mm.record(time_s, y_mm)

    def incident(self, time_s: float) -> float:
        """Give the photons per second behind the shutter."""
        with self._lock:
            return float(self.ring.flux(time_s)) if self._open.at(time_s) else 0.0

    def transmission(self, time_s: float) -> float:
        """Give the part of the beam that comes through what is in it."""
        with self._lock:
            sample, condition = self._state(time_s)
        return sample.transmission(condition.filling)

    def exposed(self, start_s: float, stop_s: float) -> Exposed:
        """Give what a detector sees between two moments."""
        edges = np.linspace(start_s, stop_s, _MOMENTS + 1)
        moments = (edges[1:] + edges[:-1]) / 2
        photons = self.ring.flux(moments) * (stop_s - start_s) / _MOMENTS
        total = np.zeros(len(self._holders[self._loaded.at(start_s)].sample.profiles))
        with self._lock:
            for moment, share in zip(moments.tolist(), photons, strict=True):
                if self._open.at(moment):
                    sample, condition = self._state(moment)
                    total += (
                        share * sample.transmission(condition.filling) * sample.amounts(condition)
                    )
            return Exposed(self._loaded.at(start_s), tuple(total.tolist()))

    def _state(self, time_s: float) -> tuple[Sample, Condition]:
        holder = self._holders[self._loaded.at(time_s)]
        loaded = max(self._loaded.since(time_s), 0.0)
        arrived = max(loaded, self._x_mm.since(time_s), self._y_mm.since(time_s))
        condition = holder.condition(
            beam_s=self._open.lasted_s(True, loaded, time_s),
            spot_s=self._open.lasted_s(True, arrived, time_s),
            loaded_s=time_s - loaded,
        )
        return holder.at(self._x_mm.at(time_s), self._y_mm.at(time_s)), condition
