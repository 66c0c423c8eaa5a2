"""Electrometers: beam monitors of ophyd-async that read by their own clocks."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from bluesky.protocols import Hints, Reading
from event_model import DataKey
from ophyd_async.core import AsyncStatus, Device, TriggerInfo

Callback = Callable[[dict[str, Reading[float]]], None]

DARK_PER_S = 1e5  # photons per s that an electrometer reads without beam
_MOST_LATE_S = 5.0
_MOMENTS = 8  # at which the beam of an exposure is looked at


@dataclass(frozen=True, kw_only=True, slots=True)
class Clock:
    """A clock that is not set, and runs fast or slow.

    Parameters
    ----------
    offset_s
        By how much it was ahead at `set_s`.
    drift
        Seconds that it gains in a second.
    set_s
        When, in s since the epoch.

    Examples
    --------
    >>> Clock(offset_s=-30.0, drift=1e-3, set_s=100.0).reads(1100.0)
    1071.0
    """

    offset_s: float = 0.0
    drift: float = 0.0
    set_s: float = 0.0

    def reads(self, time_s: float) -> float:
        """Give what it shows at a time."""
        return time_s + self.offset_s + self.drift * (time_s - self.set_s)


class Electrometer(Device):
    """Reads a beam's intensity, in photons per s.

    Parameters
    ----------
    name
        Of the device.
    field
        Of its readings.
    beam
        Gives the photons per s at a time.
    clock
        Stamps its readings.
    rate_hz
        Of readings.
    noise
        Relative standard deviation of one reading.
    rng
        The source of chance.
    """

    def __init__(
        self,
        name: str,
        field: str,
        *,
        beam: Callable[[float], float],
        clock: Clock,
        rate_hz: float,
        noise: float,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(name=name)
        self._field, self._beam, self._clock = field, beam, clock
        self._interval_s, self._noise, self._rng = 1 / rate_hz, noise, rng

    @property
    def hints(self) -> Hints:
        """Nothing for tables and plots: its readings are many."""
        return {"fields": []}

    def _reading(self, time_s: float) -> tuple[float, float]:
        """Give what is read at a time, and the time by its own clock."""
        return self._noisy(self._beam(time_s)), self._clock.reads(time_s)

    def _noisy(self, beam: float) -> float:
        return (beam + DARK_PER_S) * (1 + self._noise * float(self._rng.standard_normal()))

    async def _readings(self, start_s: float) -> AsyncIterator[tuple[float, float]]:
        """Read at the rate, for ever; what others held up is caught up, some seconds of it."""
        due_s = start_s
        while True:
            due_s = max(due_s + self._interval_s, time.time() - _MOST_LATE_S)
            await asyncio.sleep(max(due_s - time.time(), 0))
            yield self._reading(due_s)

    def _key(self, shape: list[int | None]) -> dict[str, DataKey]:
        key: DataKey = {
            "source": f"sim://{self.name}",
            "dtype": "array" if shape else "number",
            "shape": shape,
            "dtype_numpy": "<f8",
            "units": "photons/s",
        }
        return {self._field: key}


class MonitoredElectrometer(Electrometer):
    """One whose single readings are events: for ``monitors`` of ``SupplementalData``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._tasks: dict[Callback, asyncio.Task[None]] = {}

    async def describe(self) -> dict[str, DataKey]:
        """Describe its reading."""
        return self._key([])

    async def read(self) -> dict[str, Reading[float]]:
        """Read now."""
        return self._as_read(*self._reading(time.time()))

    def subscribe(self, function: Callback) -> None:
        """Call with readings from now on; in the event loop's thread."""
        self._tasks[function] = asyncio.get_running_loop().create_task(self._tell(function))

    def clear_sub(self, function: Callback) -> None:
        """Call no more."""
        task = self._tasks.pop(function, None)
        if task is not None:
            task.cancel()

    async def _tell(self, function: Callback) -> None:
        async for value, stamp in self._readings(time.time()):
            function(self._as_read(value, stamp))

    def _as_read(self, value: float, stamp_s: float) -> dict[str, Reading[float]]:
        return {self._field: {"value": value, "timestamp": stamp_s}}


class BufferingElectrometer(Electrometer):
    """One that hands out blocks of readings at the end: for ``flyers`` of ``SupplementalData``.

    All blocks come in one event, (blocks, points), whose timestamp is a list: when each block was
    read. It ends late, with the block that is being filled.

    Parameters
    ----------
    points
        Of a block.
    stream
        In which its event comes.
    """

    def __init__(self, *args: Any, stream: str, points: int = 25, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stream, self._points = stream, points
        self._blocks: list[list[float]] = []
        self._stamps: list[float] = []
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @AsyncStatus.wrap
    async def kickoff(self) -> None:
        """Begin to read."""
        await self._end()
        self._blocks, self._stamps, self._stopping = [], [], asyncio.Event()
        self._task = asyncio.create_task(self._fill())

    @AsyncStatus.wrap
    async def complete(self) -> None:
        """End with the present block."""
        if self._task is None:
            raise RuntimeError(f"{self.name}: expected that it reads, found that it was not begun")
        self._stopping.set()
        await self._task

    def describe_collect(self) -> dict[str, dict[str, DataKey]]:
        """Describe its event."""
        return {self._stream: self._key([None, self._points])}

    def collect(self) -> Iterator[dict[str, Any]]:
        """Give its event."""
        yield {
            "time": time.time(),
            "data": {self._field: self._blocks},
            "timestamps": {self._field: self._stamps},
        }

    async def stop(self, success: bool = True) -> None:
        """End now."""
        await self._end()

    async def _fill(self) -> None:
        block: list[float] = []
        async for value, stamp in self._readings(time.time()):
            block.append(value)
            if len(block) == self._points:
                self._blocks.append(block)
                self._stamps.append(stamp)
                block = []
                if self._stopping.is_set():
                    return

    async def _end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None


class TriggeredElectrometer(Electrometer):
    """One that is triggered and read with the detectors: its reading is the exposure's mean."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._exposure_s = 0.2
        self._read: tuple[float, float] = (float("nan"), 0.0)

    @AsyncStatus.wrap
    async def prepare(self, value: TriggerInfo) -> None:
        """Take the length of an exposure."""
        self._exposure_s = value.livetime or self._exposure_s

    @AsyncStatus.wrap
    async def trigger(self) -> None:
        """Read for an exposure."""
        start_s = time.time()
        await asyncio.sleep(self._exposure_s)
        moments = start_s + self._exposure_s * (np.arange(_MOMENTS) + 0.5) / _MOMENTS
        mean = float(np.mean([self._beam(moment) for moment in moments.tolist()]))
        self._read = (self._noisy(mean), self._clock.reads(time.time()))

    async def describe(self) -> dict[str, DataKey]:
        """Describe its reading."""
        return self._key([])

    async def read(self) -> dict[str, Reading[float]]:
        """Give the reading of the last exposure."""
        value, stamp_s = self._read
        return {self._field: {"value": value, "timestamp": stamp_s}}
