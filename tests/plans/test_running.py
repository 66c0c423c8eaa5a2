"""What all plans do with the devices that they are given."""

from collections.abc import Callable
from typing import Any

import pytest
from bluesky import RunEngine
from ophyd import Component, DetectorBase, Device, Signal
from ophyd.areadetector.cam import CamBase
from ophyd.sim import det, make_fake_device

from h5xs_bluesky import plans

WAS_S, ASKED_S = 7.0, 0.3


class Camera(DetectorBase):
    cam = Component(CamBase, "cam1:")
    total = Component(Signal, value=1.0, kind="hinted")


class Counter(Device):
    exposure_time = Component(Signal, value=WAS_S, kind="config")
    total = Component(Signal, value=1.0, kind="hinted")


class ShownOnly(Device):
    exposure_time = Component(Signal, value=WAS_S, kind="normal")


def camera() -> Any:
    made = make_fake_device(Camera)("XF:", name="camera")
    made.cam.acquire_time.sim_put(WAS_S)
    made.cam.acquire_period.sim_put(WAS_S)
    return made


@pytest.mark.parametrize(
    ("device", "signal", "expected", "why"),
    [
        (lambda: det, None, None, "ophyd's devices all have `configure`; this one takes nothing"),
        (lambda: Counter(name="it"), "exposure_time", ASKED_S, "it is configured by that"),
        (lambda: ShownOnly(name="it"), "exposure_time", WAS_S, "it only shows that"),
        (camera, "cam.acquire_time", ASKED_S, "an area detector's exposure"),
        (camera, "cam.acquire_period", WAS_S, "not its own to say: one frame for each trigger"),
    ],
)
def test_exposure_is_set_where_a_device_of_ophyd_has_one(
    device: Callable[[], Any], signal: str | None, expected: float | None, why: str
) -> None:
    made, documents = device(), []
    RunEngine()(
        plans.count_sample([made], "water", frames=2, exposure_s=ASKED_S),
        lambda name, doc: documents.append((name, doc)),
    )
    names = [name for name, _ in documents]
    assert names == ["start", "descriptor", "event", "event", "stop"], why
    assert documents[-1][1]["exit_status"] == "success"
    if signal is not None:
        found = made
        for part in signal.split("."):
            found = getattr(found, part)
        assert found.get() == expected, why
