from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.protocols import Configurable, Movable, Readable, Triggerable
from bluesky.utils import FailedStatus, Msg, MsgGenerator, RunEngineInterrupted
from small_beamline import SAXS, SHAPES, WAXS, small_beamline

from h5xs_bluesky.errors import ConfigurationError
from h5xs_bluesky.sim.plans import count_sample
from h5xs_bluesky.sim.shots import Shot
from h5xs_bluesky.sim.station import Station


def shots(count: int) -> Iterator[Shot]:
    for number in range(count):
        yield Shot(
            frames={key: np.full(SHAPES[key], number, np.int32) for key in (SAXS, WAXS)},
            incident=1000.0 + number,
            transmitted=800.0 + number,
        )


@pytest.fixture
def station() -> Station:
    return Station.from_beamline(small_beamline())


class Recorder:
    def __init__(self) -> None:
        self.docs: list[tuple[str, dict[str, Any]]] = []
        self.copies: list[dict[str, Any]] = []

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        self.docs.append((name, doc))
        if name == "event" and SAXS in doc["data"]:
            self.copies.append({key: np.copy(value) for key, value in doc["data"].items()})

    def named(self, name: str) -> list[dict[str, Any]]:
        return [doc for each, doc in self.docs if each == name]


def run(station: Station, *, available: int = 3, frames: int = 3) -> Recorder:
    recorder = Recorder()
    engine = RunEngine({}, context_managers=[])
    engine.subscribe(recorder)
    plan = count_sample(
        station, shots(available), frames=frames, exposure_s=0.5, metadata={"sample_name": "water"}
    )
    engine(plan)
    return recorder


def test_devices_follow_blueskys_protocols(station: Station) -> None:
    assert isinstance(station.shutter, Movable)
    for detector in station.detectors:
        assert isinstance(detector, Readable)
        assert isinstance(detector, Triggerable)
        assert isinstance(detector, Configurable)
    for monitor in station.monitors:
        assert isinstance(monitor, Readable)
        assert isinstance(monitor, Triggerable)


def test_a_run_holds_each_exposure_once_for_all_devices(station: Station) -> None:
    events = run(station).copies
    assert len(events) == 3
    for number, event in enumerate(events):
        assert (event[SAXS] == number).all()
        assert (event[WAXS] == number).all()
        assert event["em1"] == 1000.0 + number
        assert event["em2"] == 800.0 + number
        assert event["sample_x"] == pytest.approx(0.1 * number)


def test_a_detector_reuses_its_buffer_for_the_next_event(station: Station) -> None:
    recorder = run(station)
    sent = [doc["data"][SAXS] for doc in recorder.named("event") if SAXS in doc["data"]]
    assert sent[0] is sent[1]
    assert (sent[0] == 2).all()


def test_the_descriptor_tells_shape_dtype_and_exposure(station: Station) -> None:
    (descriptor,) = (d for d in run(station).named("descriptor") if d["name"] == "primary")
    key = descriptor["data_keys"][SAXS]
    assert (key["dtype"], key["shape"], key["dtype_numpy"]) == ("array", [64, 48], "<i4")
    assert descriptor["configuration"]["saxs"]["data"] == {"saxs_exposure_time": 0.5}


def test_the_start_document_tells_what_is_measured(station: Station) -> None:
    (start,) = run(station).named("start")
    assert start["sample_name"] == "water"
    assert start["num_points"] == 3
    assert start["exposure_time"] == 0.5
    assert start["detectors"] == ["saxs", "waxs"]


def test_the_baseline_is_read_before_and_after(station: Station) -> None:
    events = [d for d in run(station).named("event") if "energy_kev" in d["data"]]
    assert len(events) == 2
    assert events[0]["data"]["energy_kev"] == pytest.approx(12.398, abs=1e-3)


def test_a_plan_that_goes_back_to_its_checkpoint_reads_the_same_exposure(station: Station) -> None:
    recorder = Recorder()
    engine = RunEngine({}, context_managers=[])
    engine.subscribe(recorder)
    plan = count_sample(
        station, shots(3), frames=3, exposure_s=0.5, metadata={"sample_name": "water"}
    )
    with pytest.raises(RunEngineInterrupted):
        engine(paused_after_the_first_event(plan))
    engine.resume()
    assert [int(event[SAXS][0, 0]) for event in recorder.copies] == [0, 0, 1, 2]
    assert recorder.named("stop")[0]["exit_status"] == "success"


def paused_after_the_first_event(plan: MsgGenerator[Any]) -> MsgGenerator[Any]:
    """Pause between an event and the next checkpoint, so that the event is taken again."""
    left = ["primary"]

    def insert(msg: Msg) -> tuple[None, MsgGenerator[None] | None]:
        if msg.command == "create" and msg.kwargs.get("name") in left:
            left.append("to come")
        if msg.command == "save" and "to come" in left:
            left.clear()
            return None, bps.pause()
        return None, None

    return bpp.plan_mutator(plan, insert)


def test_a_plan_that_wants_more_exposures_than_there_are_fails(station: Station) -> None:
    with pytest.raises(FailedStatus) as caught:
        run(station, available=2, frames=3)
    assert "no more of them" in str(caught.value.__cause__ or caught.value.args)


def test_an_exposure_out_of_order_fails(station: Station) -> None:
    station.shutter.load(shots(3))
    engine = RunEngine({}, context_managers=[])
    with pytest.raises(FailedStatus):
        engine(bps.abs_set(station.shutter, 2, wait=True))


def test_reading_before_any_exposure_tells_what_to_do(station: Station) -> None:
    with pytest.raises(RuntimeError, match="set it first"):
        station.detectors[0].trigger()


def test_an_unknown_configuration_is_refused(station: Station) -> None:
    with pytest.raises(ValueError, match="gain"):
        station.detectors[0].configure({"gain": 1.0})


def test_a_field_that_no_simulated_detector_writes_is_refused() -> None:
    beamline = small_beamline()
    odd = beamline.detectors[0]
    renamed = type(odd)(
        extension=odd.extension,
        data_key="frames",
        model=odd.model,
        geometry=odd.geometry,
        mask=odd.mask,
    )
    with pytest.raises(ConfigurationError, match="_image"):
        Station.from_beamline(beamline.with_detectors([renamed], beamline.qgrid))


def test_a_beamline_without_monitors_has_none() -> None:
    assert list(Station.from_beamline(small_beamline(monitors=None)).monitors) == []
