"""What moves at the simulated endstation: the shutter, the sample changer, the stage."""

import asyncio
import time
from collections.abc import Callable, Sequence

from bluesky.protocols import Location, Movable, Reading
from ophyd_async.core import (
    AsyncStatus,
    StandardReadable,
    StandardReadableFormat,
    soft_signal_r_and_setter,
)
from ophyd_async.sim import SimMotor

OPEN, CLOSED = "Open", "Close"

_VELOCITY_MM_PER_S = 20.0
_ACCELERATION_S = 0.01


class Selector(StandardReadable, Movable[str]):
    """A device that is at one of some named positions.

    Parameters
    ----------
    name
        Of the device, and of its field.
    positions
        Where it can be; it begins at the first.
    takes_s
        How long it moves.
    before, arrived
        Called with the position: before it moves, in a thread of its own; and with the time and the
        position, once it is there.
    """

    def __init__(
        self,
        name: str,
        positions: Sequence[str],
        *,
        takes_s: float,
        arrived: Callable[[float, str], None],
        before: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.positions = tuple(positions)
        self._takes_s, self._before, self._arrived = takes_s, before, arrived
        self._target = self.positions[0]
        with self.add_children_as_readables(StandardReadableFormat.HINTED_SIGNAL):
            self.position, self._set_position = soft_signal_r_and_setter(str, self._target)
        super().__init__(name=name)
        self.position.set_name(name)

    @AsyncStatus.wrap
    async def set(self, value: str) -> None:
        """Go there.

        Raises
        ------
        ValueError
            If there is no such position.
        """
        if value not in self.positions:
            raise ValueError(
                f"{self.name}: expected one of its positions {', '.join(self.positions)}, found "
                f"{value!r}"
            )
        self._target = value
        await asyncio.gather(asyncio.to_thread(self._before, value), asyncio.sleep(self._takes_s))
        self._arrived(time.time(), value)
        self._set_position(value)

    async def locate(self) -> Location[str]:
        """Tell where it should be, and where it is."""
        return Location(setpoint=self._target, readback=await self.position.get_value())


class Stage(StandardReadable):
    """Moves the sample across the beam: motors `x` and `y`, in mm.

    Parameters
    ----------
    name
        Of the device; its fields are ``<name>_x`` and ``<name>_y``.
    moved
        Called with the time, and ``x_mm`` or ``y_mm``, whenever it is elsewhere.
    """

    def __init__(self, name: str, *, moved: Callable[..., None]) -> None:
        self._moved = moved
        with self.add_children_as_readables():
            self.x, self.y = SimMotor(instant=False), SimMotor(instant=False)
        super().__init__(name="")
        self.set_name(name, child_name_separator="_")

    async def follow(self) -> None:
        """Set the motors' speed, and tell from now on where they are."""
        for motor, axis in ((self.x, "x_mm"), (self.y, "y_mm")):
            await motor.velocity.set(_VELOCITY_MM_PER_S)
            await motor.acceleration_time.set(_ACCELERATION_S)
            teller = _Teller(axis, self._moved)
            motor.user_setpoint.subscribe_reading(teller.departs)
            motor.user_readback.subscribe_reading(teller.arrives)


class _Teller:
    """Tells where one axis is: also when it departs, so that it was at rest before."""

    def __init__(self, axis: str, moved: Callable[..., None]) -> None:
        self._axis, self._moved = axis, moved
        self._position = 0.0

    def departs(self, readings: dict[str, Reading[float]]) -> None:
        self._moved(time.time(), **{self._axis: self._position})

    def arrives(self, readings: dict[str, Reading[float]]) -> None:
        for reading in readings.values():
            self._position = float(reading["value"])
        self._moved(time.time(), **{self._axis: self._position})
