"""Runs that a RunEngine made while they were reduced live, and their documents, for every store."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from bluesky import RunEngine
from bluesky import plan_stubs as bps
from bluesky import plans as bp
from bluesky import preprocessors as bpp
from bluesky.utils import RunEngineInterrupted
from ophyd_async.core import TriggerInfo, init_devices, soft_signal_rw
from ophyd_async.sim import SimBlobDetector, SimMotor
from small_beamline import small_beamline
from small_devices import Source

from h5xs_bluesky import Beamline, Detector
from h5xs_bluesky.callbacks import LiveReduction, SamplePathProvider
from h5xs_bluesky.config import Monitors
from h5xs_bluesky.reduction.geometry import Geometry

SHAPE = (48, 64)
Documents = list[tuple[str, dict[str, Any]]]


def station_beamline(**changes: Any) -> Beamline:
    detectors = tuple(
        Detector(
            extension=extension,
            data_key=name,
            model="blobs",
            geometry=Geometry.from_beam_center(
                shape=SHAPE,
                pixel_size_m=(172e-6, 172e-6),
                distance_m=0.5,
                beam_center_px=(24.0, 32.0),
                wavelength_m=1e-10,
            ),
            mask=np.zeros(SHAPE, bool),
        )
        for extension, name in (("_SAXS", "saxs"), ("_WAXS", "waxs"))
    )
    monitors = Monitors(incident="em1", transmitted="em2", relative_uncertainty=0.001)
    return small_beamline(**{"detectors": detectors, "monitors": monitors, **changes})


@dataclass(eq=False)
class Recording:
    """An experiment that was reduced live, and the documents of each of its runs."""

    folder: Path
    runs: dict[str, Documents] = field(default_factory=dict)

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        if name == "start":
            self.runs[doc["sample_name"]] = []
        list(self.runs.values())[-1].append((name, copy.deepcopy(doc)))

    @property
    def documents(self) -> Documents:
        return [each for documents in self.runs.values() for each in documents]

    def uid(self, sample: str) -> str:
        return str(self.runs[sample][0][1]["uid"])


@patch.multiple("ophyd_async.sim._blob_data_logic", HEIGHT=SHAPE[0], WIDTH=SHAPE[1])
def record(folder: Path) -> Recording:
    """Make six runs: arrays in events, ophyd-async's step and fly scan, paused (both), aborted.

    The simulated detectors are made small, since databroker keeps frames in events as text.
    """
    recording = Recording(folder)
    live = LiveReduction(station_beamline(), folder)
    engine = RunEngine()
    engine.subscribe(live)
    engine.subscribe(recording)
    with init_devices():
        files = [SimBlobDetector(SamplePathProvider(live), name=n) for n in ("saxs", "waxs")]
        motor = SimMotor(name="motor", instant=True)
        em1, em2 = (soft_signal_rw(float, v, name=n) for n, v in (("em1", 10.0), ("em2", 8.0)))
    engine(bp.count(arrays(1), num=3), sample_name="arrays", holder="A", purpose={"kind": "test"})
    engine(bp.scan([*files, em1, em2], motor, 0, 2, 3), sample_name="step", holder="A")
    engine(fly(files), sample_name="flown", holder="B")
    for name, devices in (("paused", arrays(2)), ("paused files", [*files, em1, em2])):
        engine_until_pause(engine, devices, sample_name=name, holder="B", buffer="arrays")
        engine.resume()
    engine_until_pause(engine, arrays(3), sample_name="aborted", holder="B")
    engine.abort("the beam was lost")
    assert live.wait(30)
    live.close()
    assert [run["errors"] for run in live.status()["runs"]] == [[]] * 6
    return recording


def arrays(seed: int) -> list[Any]:
    """Give devices whose frames come in events."""
    rng = np.random.default_rng(seed)
    frames = {n: list(rng.poisson(50, (5, *SHAPE)).astype(np.uint16)) for n in ("saxs", "waxs")}
    monitors = {"em1": [1000.0 + n for n in range(5)], "em2": [800.0 + n for n in range(5)]}
    return [Source(name, values) for name, values in {**frames, **monitors}.items()]


def fly(detectors: list[Any]) -> Any:
    @bpp.stage_decorator(detectors)
    @bpp.run_decorator()
    def inner() -> Iterator[Any]:
        info = TriggerInfo(number_of_events=3, collections_per_event=2, livetime=0.02, deadtime=0.0)
        for each in detectors:
            yield from bps.prepare(each, info, wait=True)
        yield from bps.declare_stream(*detectors, name="primary", collect=True)
        yield from bps.kickoff_all(*detectors, wait=True)
        yield from bps.collect_while_completing(
            detectors, detectors, flush_period=0.02, stream_name="primary"
        )

    return inner()


def engine_until_pause(engine: RunEngine, devices: list[Any], **start: Any) -> None:
    """Measure three points; pause after the second, which a resumed plan repeats."""
    seen = []

    def plan() -> Iterator[Any]:
        for number in range(3):
            yield from bps.checkpoint()
            yield from bps.trigger_and_read(devices)
            if number == 1 and not seen:
                seen.append(1)
                yield from bps.pause()

    try:
        engine(bpp.stage_wrapper(bpp.run_wrapper(plan()), devices), **start)
    except RunEngineInterrupted:
        return
    raise AssertionError("the plan did not pause")
