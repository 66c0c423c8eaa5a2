"""What a pause does to the shutter, and to the beam on the sample."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky import plan_stubs as bps
from bluesky.suspenders import SuspendBoolHigh
from bluesky.utils import RunEngineInterrupted
from ophyd import Signal
from ophyd.sim import det
from ophyd.status import Status
from small_devices import Source
from small_endstation import Hutch
from small_server import wait_until

from h5xs_bluesky import plans


class Shutter(Signal):
    """One of ophyd's own, that notes where it went."""

    def __init__(self) -> None:
        super().__init__(name="shutter", value="Close")
        self.went: list[str] = []

    def set(self, value: str, **options: Any) -> Any:
        self.went.append(value)
        return super().set(value, **options)


class Pausing(Source):
    """A detector during whose second exposure the RunEngine is asked to pause."""

    def __init__(self, engine: RunEngine, *, defer: bool) -> None:
        super().__init__("it", range(9))
        self._engine, self._defer = engine, defer
        self._exposures = 0

    def trigger(self) -> Any:
        status = super().trigger()
        self._exposures += 1
        if self._exposures == 2:
            thread = threading.Thread(target=self._engine.request_pause, args=(self._defer,))
            thread.start()
        return status


def count(detectors: Any, shutter: Any, frames: int = 3) -> Any:
    return plans.count_sample(detectors, "x", frames=frames, shutter=shutter, settle_s=0.01)


@pytest.mark.parametrize("defer", [True, False])
@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ("resume", ["Close", "Open", "Close", "Open", "Close"]),
        ("abort", ["Close", "Open", "Close", "Close"]),
        ("stop", ["Close", "Open", "Close", "Close"]),
        ("halt", ["Close", "Open", "Close"]),  # without a clean-up
    ],
)
def test_shutter_is_closed_in_a_pause_and_opened_to_go_on(
    end: str, expected: list[str], defer: bool
) -> None:
    engine, shutter = RunEngine(), Shutter()
    with pytest.raises(RunEngineInterrupted):
        engine(count([Pausing(engine, defer=defer)], shutter))
    assert engine.state == "paused"
    assert shutter.get() == "Close"
    getattr(engine, end)()
    assert engine.state == "idle"
    assert shutter.went == expected


def test_shutter_is_closed_while_a_suspender_holds_the_plan() -> None:
    engine, shutter, trouble = RunEngine(), Shutter(), Signal(name="trouble", value=0)
    engine.install_suspender(SuspendBoolHigh(trouble))
    seen: list[str] = []

    def come_and_go(exposure: Status) -> None:
        trouble.put(1)
        wait_until(lambda: shutter.went[-1] == "Close")
        seen.append(shutter.get())
        exposure.set_finished()
        trouble.put(0)

    class Disturbed(Source):
        def trigger(self) -> Any:
            status = super().trigger()
            if not seen:
                status = Status()
                threading.Thread(target=come_and_go, args=(status,)).start()
            return status

    engine(count([Disturbed("it", range(9))], shutter))
    assert seen == ["Close"]
    assert shutter.went == ["Close", "Open", "Close", "Open", "Close"]


def test_shutter_that_was_left_open_is_closed_before_anything_else() -> None:
    shutter, changer = Shutter(), Signal(name="changer", value="")
    shutter.put("Open")
    seen: list[str] = []
    changer.subscribe(lambda **_: seen.append(shutter.get()), run=False)
    plan = plans.count_sample([det], "x", frames=1, shutter=shutter, changer=changer, settle_s=0)
    RunEngine()(plan)
    assert seen == ["Close"]
    assert shutter.went == ["Close", "Open", "Close"]


def test_pause_of_another_plan_leaves_the_shutter_as_it_is() -> None:
    engine, shutter = RunEngine(), Shutter()

    def plan() -> Any:
        yield from count([det], shutter)
        yield from bps.mv(shutter, "Open")
        yield from bps.checkpoint()
        yield from bps.pause()

    with pytest.raises(RunEngineInterrupted):
        engine(plan())
    assert shutter.get() == "Open"
    engine.resume()
    assert shutter.get() == "Open"


class Stuck(Shutter):
    def set(self, value: str, **options: Any) -> Any:
        status = super().set(value, **options)
        if self.went == ["Close", "Open", "Close"]:
            raise OSError("stuck")
        return status


def test_shutter_that_does_not_close_in_a_pause_is_told(caplog: pytest.LogCaptureFixture) -> None:
    engine, shutter = RunEngine(), Stuck()
    with pytest.raises(RunEngineInterrupted):
        engine(count([Pausing(engine, defer=True)], shutter))
    assert engine.state == "paused"
    assert "shutter could not be closed for the pause: end the plan with RE.abort()" in caplog.text
    engine.abort()
    assert shutter.went == ["Close", "Open", "Close", "Close"]


class Broken(Shutter):
    def set(self, value: str, **options: Any) -> Any:
        status = super().set(value, **options)
        if self.went == ["Close", "Open", "Close", "Open"]:
            raise OSError("no air")
        return status


def test_shutter_that_does_not_open_again_ends_the_plan() -> None:
    engine, shutter = RunEngine(), Broken()
    with pytest.raises(RunEngineInterrupted):
        engine(count([Pausing(engine, defer=True)], shutter))
    with pytest.raises(OSError, match="no air"):
        engine.resume()
    assert shutter.went[-1] == "Close"


@pytest.fixture
def hutch(tmp_path: Path) -> Iterator[Hutch]:
    with Hutch(tmp_path / "experiment") as made:
        yield made


@pytest.mark.alone
@pytest.mark.parametrize("defer", [True, False])
def test_frames_before_and_after_a_pause_have_beam_and_monitors(hutch: Hutch, defer: bool) -> None:
    engine, station = hutch.engine, hutch.station
    timers: list[threading.Timer] = []

    def pause_soon(name: str, doc: Any) -> None:
        if name == "descriptor" and doc["name"] == "primary":
            timers.append(threading.Timer(0.2, engine.request_pause, [defer]))
            timers[-1].start()

    engine.subscribe(pause_soon)
    with pytest.raises(RunEngineInterrupted):
        engine(plans.count_sample(station.read, "water", frames=6, exposure_s=0.1, **hutch.devices))
    assert station.scene.incident(time.time()) == 0.0
    time.sleep(0.5)
    engine.resume()
    assert station.scene.incident(time.time()) == 0.0
    assert hutch.live.wait(30)
    (run,) = hutch.live.status()["runs"]
    assert run["errors"] == []
    dt = hutch.open()
    counts = [dt.get_d2("water", frn=number)["_SAXS"].data.sum() for number in range(6)]
    assert counts == pytest.approx([np.mean(counts)] * 6, rel=0.05)
    transmission = dt.get_mon("water").transmission
    assert np.isfinite(transmission).all(), transmission
    assert transmission == pytest.approx(transmission.mean(), rel=4e-3)


@pytest.mark.alone
def test_shutter_that_was_left_open_costs_no_monitors(hutch: Hutch) -> None:
    hutch.engine(bps.mv(hutch.station.shutter, "Open"))
    plan = plans.measure_with_buffer(
        hutch.station.read, "protein", "buffer", frames=3, exposure_s=0.05, **hutch.devices
    )
    hutch.engine(plan)
    assert hutch.live.wait(60)
    assert np.isfinite(hutch.open().get_d1("protein", "subtracted").data).any()
