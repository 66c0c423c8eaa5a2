"""What moves at the simulated endstation: the shutter, the sample changer, the stage."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from bluesky.protocols import Location, Movable
from ophyd_async.core import (
    AsyncStatus,
    MovableLogic,
    SignalRW,
    StandardReadable,
    StandardReadableFormat,
    soft_signal_r_and_setter,
)
from ophyd_async.sim import SimMotor

OPEN, CLOSED = "Open", "Close"

_VELOCITY_MM_PER_S = 20.0
_READBACK_S = 0.05


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

    def __repr__(self) -> str:
        """Tell its name and where it can be."""
        return f"{type(self).__name__}(name={self.name!r}, positions={self.positions})"

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


@dataclass
class _Moving(MovableLogic[float]):
    """Moves at a constant velocity; a velocity of 0 is infinitely fast, as `SimMotor` has it."""

    told: Callable[[float, float], None]
    velocity: SignalRW[float]
    set_readback: Callable[[float], None]
    stopped: bool = False

    async def stop(self) -> None:
        """End the move that goes on; later versions of ophyd-async cancel it, too."""
        self.stopped = True

    async def move(self, new_position: float, timeout: object) -> None:
        """Tell where it is and will be, and go there."""
        velocity, old = await asyncio.gather(self.velocity.get_value(), self.readback.get_value())
        await self.setpoint.set(new_position)
        self.stopped = False
        way, start_s = new_position - old, time.time()
        takes_s = abs(way / velocity) if velocity else 0.0
        self.told(start_s, old)
        self.told(start_s + takes_s, new_position)
        try:
            while (gone_s := time.time() - start_s) < takes_s and not self.stopped:
                self.set_readback(old + way * gone_s / takes_s)
                await asyncio.sleep(min(takes_s - gone_s, _READBACK_S))
        finally:
            now = time.time()
            if now - start_s < takes_s:
                new_position = old + way * (now - start_s) / takes_s
                self.told(now, new_position)
            self.set_readback(new_position)


class Axis(SimMotor):
    """A motor that tells whoever is interested where it is, and will be.

    Parameters
    ----------
    told
        Called with a time and the position then, in mm.
    """

    def __init__(self, told: Callable[[float, float], None]) -> None:
        self._told = told
        super().__init__(instant=False)

    @cached_property
    def movable_logic(self) -> MovableLogic[float]:
        """How it moves."""
        return _Moving(
            readback=self.user_readback,
            setpoint=self.user_setpoint,
            told=self._told,
            velocity=self.velocity,
            set_readback=self._user_readback_set,
        )


class Stage(StandardReadable):
    """Moves the sample across the beam: motors `x` and `y`, in mm.

    Parameters
    ----------
    name
        Of the device; its fields are ``<name>_x`` and ``<name>_y``.
    x_told, y_told
        As for `Axis`.
    """

    def __init__(
        self,
        name: str,
        *,
        x_told: Callable[[float, float], None],
        y_told: Callable[[float, float], None],
    ) -> None:
        with self.add_children_as_readables():
            self.x, self.y = Axis(x_told), Axis(y_told)
        super().__init__(name="")
        self.set_name(name, child_name_separator="_")

    async def set_speed(self) -> None:
        """Set the motors' velocity; they need no time to reach it."""
        for motor in (self.x, self.y):
            await motor.velocity.set(_VELOCITY_MM_PER_S)
            await motor.acceleration_time.set(0.0)
