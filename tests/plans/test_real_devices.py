"""Plans with ophyd-async's classes for EPICS, over Channel Access to an IOC."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky import plan_stubs as bps
from bluesky.run_engine import call_in_bluesky_event_loop
from bluesky.utils import RunEngineInterrupted
from ophyd_async.core import StrictEnum, init_devices
from ophyd_async.epics.adcore import ADState, ADWriterFactory
from ophyd_async.epics.adpilatus import PilatusDetector, PilatusReadoutTime
from ophyd_async.epics.core import epics_signal_rw
from ophyd_async.epics.motor import Motor
from ophyd_async.sim import SimBlobDetector
from packaging.version import Version
from small_endstation import endstation_beamline
from soft_ioc import CENTER_PX, SHAPE, serving

from h5xs_bluesky import plans
from h5xs_bluesky.callbacks import LiveReduction, SamplePathProvider
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.geometry import Geometry

DEAD_S = float(PilatusReadoutTime.PILATUS2)
FLOWN = {"frames": 4, "exposure_s": 0.05}


class Hutch:
    """A Pilatus, and a motor, of an IOC, in a RunEngine with live reduction."""

    def __init__(self, folder: Path, **options: Any) -> None:
        geometry = Geometry.from_beam_center(
            shape=SHAPE,
            pixel_size_m=(172e-6, 172e-6),
            distance_m=1.0,
            beam_center_px=CENTER_PX,
            wavelength_m=1e-10,
        )
        detector = Detector(
            extension="_SAXS",
            data_key="saxs",
            model="Pilatus100k",
            geometry=geometry,
            mask=np.zeros(SHAPE, bool),
        )
        self.folder = folder
        self.live = LiveReduction(
            endstation_beamline(detectors=(detector,), monitors=None, metadata={}), folder
        )
        self.engine = RunEngine()
        self.engine.subscribe(self.live)
        paths = SamplePathProvider(self.live, **options)
        with init_devices():
            saxs = PilatusDetector(
                "BL:PIL1:", ADWriterFactory.hdf(paths), readout_time=PilatusReadoutTime.PILATUS2
            )
            camera = SimBlobDetector(paths)
            x = Motor("BL:STAGE:X")
        self.saxs, self.camera, self.motor = saxs, camera, x

    def run(self, plan: Any) -> dict[str, Any]:
        self.engine(plan)
        assert self.live.wait(30)
        return dict(self.live.status()["runs"][-1])

    def read(self, signal: Any) -> Any:
        found = []

        def plan() -> Any:
            found.append((yield from bps.rd(signal)))

        self.engine(plan())
        return found[0]


@pytest.fixture(scope="module")
def hutch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hutch]:
    serving()
    made = Hutch(tmp_path_factory.mktemp("epics") / "experiment")
    yield made
    made.live.close()


def check_reduced(run: dict[str, Any], frames: int) -> None:
    assert (run["received"], run["acknowledged"], run["reduced"]) == (frames,) * 3
    assert run["errors"] == run["warnings"] == []


def test_frames_are_reduced_from_the_file_that_the_ioc_writes(hutch: Hutch) -> None:
    check_reduced(hutch.run(plans.count_sample([hutch.saxs], "water", frames=2)), 2)
    (path,) = (hutch.folder / "water" / "detectors").glob("saxs-*.h5")
    with h5py.File(path) as own, h5py.File(hutch.folder / "experiment.h5", swmr=True) as file:
        assert np.array_equal(own["entry/data/data"], file["water/primary/data/saxs"])
        assert own["entry/data/data"].shape == (2, *SHAPE)


def test_each_exposure_is_as_long_as_was_asked_for(hutch: Hutch) -> None:
    hutch.run(plans.count_sample([hutch.saxs], "long", frames=1, exposure_s=0.3))
    assert hutch.read(hutch.saxs.driver.acquire_time) == 0.3


def test_a_series_leaves_all_detectors_the_dead_time_of_the_slowest(hutch: Hutch) -> None:
    both = [hutch.camera, hutch.saxs]
    run = hutch.run(plans.sec_series(both, "column", frames=5, exposure_s=0.05))
    assert (run["received"], run["reduced"], run["errors"]) == (10, 5, [])  # the camera is not ours
    assert hutch.read(hutch.saxs.driver.acquire_period) == pytest.approx(0.05 + DEAD_S)


def test_a_motor_flies_for_exposures_and_the_dead_time_between_them(hutch: Hutch) -> None:
    plan = plans.fly_scan([hutch.saxs], "flown", hutch.motor, -1.0, 1.0, **FLOWN)
    check_reduced(hutch.run(plan), FLOWN["frames"])
    takes_s = 4 * 0.05 + 3 * DEAD_S
    assert hutch.read(hutch.motor.velocity) == pytest.approx(2.0 / takes_s)


def test_a_series_that_is_cut_short_leaves_the_detector_idle(hutch: Hutch) -> None:
    some = threading.Event()
    pause = threading.Thread(target=lambda: some.wait(30) and hutch.engine.request_pause())
    pause.start()
    with pytest.raises(RunEngineInterrupted):
        hutch.engine(
            plans.sec_series([hutch.saxs], "cut", frames=500, exposure_s=0.05),
            lambda name, doc: name == "stream_datum" and doc["seq_nums"]["stop"] > 3 and some.set(),
        )
    pause.join()
    assert hutch.live.wait(30)
    run = hutch.live.status()["runs"][-1]
    assert run["reduced"] == run["received"] > 3
    assert hutch.read(hutch.saxs.driver.acquire) is False
    assert hutch.read(hutch.saxs.driver.detector_state) == ADState.ABORTED
    check_reduced(hutch.run(plans.count_sample([hutch.saxs], "after", frames=1)), 1)


class Command(StrictEnum):
    CLOSE = "Close"
    OPEN = "Open"


def test_a_record_with_the_two_strings_is_a_shutter_that_a_pause_closes(hutch: Hutch) -> None:
    with init_devices():
        shutter = epics_signal_rw(Command, "BL:SHUTTER:CMD")
    engine, some = hutch.engine, threading.Event()
    pause = threading.Thread(target=lambda: some.wait(30) and engine.request_pause(defer=True))
    pause.start()
    with pytest.raises(RunEngineInterrupted):
        hutch.engine(
            plans.count_sample([hutch.saxs], "paused", frames=6, exposure_s=0.05, shutter=shutter),
            lambda name, doc: name == "event" and doc["seq_num"] == 2 and some.set(),
        )
    pause.join()
    assert call_in_bluesky_event_loop(shutter.get_value()) == "Close"
    hutch.engine.resume()
    assert hutch.live.wait(30)
    check_reduced(hutch.live.status()["runs"][-1], 6)
    assert hutch.read(shutter) == "Close"
    with h5py.File(hutch.folder / "experiment.h5", swmr=True) as file:
        counts = file["paused/primary/data/saxs"][()].sum(axis=(1, 2))
    assert (counts > 10_000).all(), "no frame is dark"


@pytest.mark.parametrize(
    ("theirs", "why"),
    [("X:\\", "Windows, with a drive for the folder"), ("/proc/self/root", "another mount")],
)
def test_the_ioc_may_have_the_folder_elsewhere(
    hutch: Hutch, tmp_path: Path, theirs: str, why: str
) -> None:
    there = Hutch(tmp_path / "a b%20ä", mounts={"/": theirs})
    check_reduced(there.run(plans.count_sample([there.saxs], "water", frames=2)), 2)
    path = there.read(there.saxs.hdf.file_path)
    assert path.startswith(theirs), why
    assert len(list(there.folder.glob("water/detectors/saxs-*.h5"))) == 1
    there.live.close()


CHECK = """
import os
from bluesky import RunEngine, plan_stubs as bps
from bluesky.preprocessors import monitor_during_wrapper
from h5xs_bluesky import plans

fields = {}
RE = RunEngine()
for device in (x, em2, shutter):
    device.wait_for_connection(timeout=10)
plan = plans.count_sample([em2], "water", frames=2, shutter=shutter, motor=x, step_mm=0.5)
RE(
    monitor_during_wrapper(plan, [em2]),
    {"descriptor": lambda _, doc: fields.update({doc["name"]: set(doc["data_keys"])})},
)
assert fields == {"em2_monitor": {"em2"}, "primary": {"em2", "x", "x_user_setpoint"}}, fields
assert shutter.get() == "Close", shutter.get()
print("done", flush=True)
os._exit(0)  # its client's threads never end
"""


@pytest.mark.skipif(
    Version(version("ophyd")) < Version("1.11"), reason="older ones do not take caproto 1.3"
)
def test_devices_of_ophyd_as_the_page_has_them() -> None:
    """By the client of Channel Access that is there: they need no other one."""
    serving()
    page = Path(__file__).parents[2] / "docs" / "how-to" / "real-devices.md"
    (block,) = re.findall(r"```python\n(from ophyd import .*?)```", page.read_text(), re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", block + CHECK],
        env={**os.environ, "OPHYD_CONTROL_LAYER": "caproto"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.endswith("done\n"), done.stderr
