"""The plans that count, on ophyd's own simulated devices."""

from typing import Any

import pytest
from bluesky import RunEngine
from ophyd.sim import SynAxis, det
from small_devices import Source

from h5xs_bluesky import plans

BEGAN_MM = 0.7


class Axis(SynAxis):
    """A motor that notes where it went."""

    def __init__(self) -> None:
        super().__init__(name="x", value=BEGAN_MM)
        self.went: list[float] = []

    def set(self, value: float) -> Any:
        self.went.append(value)
        return super().set(value)


class Failing(Source):
    """A detector that does not answer the third time."""

    def trigger(self) -> Any:
        try:
            return super().trigger()
        except StopIteration:
            raise OSError("no answer") from None


SPOTS = [BEGAN_MM + 0.1, BEGAN_MM + 0.2]


def test_motor_of_fresh_spots_returns_after_each_run() -> None:
    motor = Axis()
    RunEngine()(plans.measure_with_buffer([det], "protein", "buffer", frames=3, motor=motor))
    assert motor.went == pytest.approx([*SPOTS, BEGAN_MM] * 3)


def test_motor_of_fresh_spots_returns_when_a_run_fails() -> None:
    motor, failing = Axis(), Failing("it", [1, 2])
    with pytest.raises(OSError, match="no answer"):
        RunEngine()(plans.count_sample([failing], "water", frames=5, motor=motor))
    assert motor.went == pytest.approx([*SPOTS, BEGAN_MM])


def test_run_on_fresh_spots_gives_its_uid() -> None:
    starts: list[str] = []
    plan, found = plans.count_sample([det], "water", frames=2, motor=Axis()), []

    def noted() -> Any:
        found.append((yield from plan))

    RunEngine()(noted(), lambda name, doc: starts.append(doc["uid"]) if name == "start" else None)
    assert found == starts
