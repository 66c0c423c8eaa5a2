"""The callback in a real RunEngine."""

import gc
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import h5py
import hdf5plugin  # noqa: F401 - registers the filters
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.plans import count
from bluesky.utils import RunEngineInterrupted
from ophyd import Signal
from small_beamline import SAXS, WAXS, small_beamline, small_frames
from small_devices import Source
from small_monitors import METADATA, own_streams

from h5xs_bluesky.callbacks.live_reduction import LiveReduction
from h5xs_bluesky.config import MetadataSource
from h5xs_bluesky.errors import FramesNotSavedError
from h5xs_bluesky.io.processed import read_processed


def devices(frames: list[Any]) -> list[Source]:
    return [
        Source(SAXS, [frame[SAXS] for frame in frames]),
        Source(WAXS, [frame[WAXS] for frame in frames]),
        Source("em1", [1000.0] * len(frames)),
        Source("em2", [800.0] * len(frames)),
    ]


def failing(*_: Any, **__: Any) -> Any:
    raise RuntimeError("injected")


@pytest.fixture
def run_engine() -> RunEngine:
    return RunEngine({}, context_managers=[])


def test_plan_finishes_and_its_frames_are_on_disk(run_engine: RunEngine, tmp_path: Path) -> None:
    frames = small_frames(5)
    live = LiveReduction(small_beamline(), tmp_path)
    run_engine.subscribe(live)
    run_engine(count(devices(frames), 5), sample_name="water")
    assert live.wait(30)
    live.close()
    with h5py.File(tmp_path / "experiment.h5") as file:
        for field in (SAXS, WAXS):
            sent = [frame[field] for frame in frames]
            assert np.array_equal(file[f"water/primary/data/{field}"][()], sent)


def test_callback_that_nobody_else_refers_to_stays_subscribed(
    run_engine: RunEngine, tmp_path: Path
) -> None:
    run_engine.subscribe(LiveReduction(small_beamline(), tmp_path))
    gc.collect()
    run_engine(count(devices(small_frames(2)), 2), sample_name="water")
    deadline = time.monotonic() + 20
    while not (tmp_path / "water" / "processed.h5").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (tmp_path / "water" / "processed.h5").exists()


@pytest.mark.parametrize(
    "place",
    [
        "h5xs_bluesky.reduction.integration.compiled.CompiledIntegrator.integrate",
        "h5xs_bluesky.callbacks.reducer.RunReducer.start",
        "h5xs_bluesky.callbacks.reducer.LiveProcessedFile",
        "h5xs_bluesky.callbacks.finish.average_run",
        "h5xs_bluesky.callbacks.finish.write_processed",
        "h5xs_bluesky.callbacks.raw_writer.write_run_file",
        "h5xs_bluesky.callbacks.open_run.add_sample",
    ],
)
def test_failing_reduction_does_not_fail_the_plan(
    run_engine: RunEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, caplog: Any
) -> None:
    monkeypatch.setattr(place, failing)
    frames = small_frames(4)
    stops = []
    live = LiveReduction(small_beamline(), tmp_path)
    run_engine.subscribe(live)
    run_engine.subscribe(lambda _, doc: stops.append(doc), "stop")
    run_engine(count(devices(frames), 4), sample_name="water")
    assert live.wait(30)
    status = live.status()
    live.close()
    assert stops[0]["exit_status"] == "success"
    assert status["acknowledged"] == 8
    assert "injected" in caplog.text
    if "raw_writer" not in place:  # without a run file nothing else is missing
        assert any("injected" in error for error in status["runs"][0]["errors"])
    with h5py.File(tmp_path / "water" / f"primary.{SAXS}.h5") as file:
        assert np.array_equal(file["data"][()], [frame[SAXS] for frame in frames])


def test_frames_that_cannot_be_written_fail_the_plan(
    run_engine: RunEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("h5xs_bluesky.io.frames.FrameFile.commit", full)
    live = LiveReduction(small_beamline(), tmp_path)
    stops: list[Any] = []
    run_engine.subscribe(live)
    run_engine.subscribe(lambda _, doc: stops.append(doc), "stop")
    frames = small_frames(50)
    with pytest.raises(FramesNotSavedError, match="No space left"):
        run_engine(count(devices(frames), 50, delay=0.02), sample_name="water")
    live.close()
    assert stops[0]["exit_status"] == "fail"


def test_run_aborted_by_its_plan_is_complete_as_far_as_it_went(
    run_engine: RunEngine, tmp_path: Path
) -> None:
    frames = small_frames(3)

    @bpp.run_decorator(md={"sample_name": "water"})
    def plan() -> Any:
        detectors = devices(frames)
        for _ in range(3):
            yield from bps.trigger_and_read(detectors)
        raise ValueError("the shutter is stuck")

    live = LiveReduction(small_beamline(), tmp_path)
    run_engine.subscribe(live)
    with pytest.raises(ValueError, match="stuck"):
        run_engine(plan())
    assert live.wait(30)
    live.close()
    with h5py.File(tmp_path / "experiment.h5") as file:
        assert file[f"water/primary/data/{SAXS}"].shape[0] == 3
        assert '"exit_status": "fail"' in file["water"].attrs["stop"]
        assert "averaged" in file["water/processed"]


_READER = """
    import sys, time
    import h5py, hdf5plugin, numpy as np
    folder, frames = sys.argv[1], int(sys.argv[2])
    for seen in range(1, frames + 1):
        while True:
            try:
                with h5py.File(folder + "/experiment.h5", "r", swmr=True) as file:
                    committed = file["water/primary/data/saxs_image"].parent["committed"][0]
                    curves = file["water/processed/merged"]
                    curves.refresh()
                    if committed >= seen and curves.shape[0] >= seen:
                        assert not np.isnan(curves[seen - 1, 0]).all()
                        print(time.time(), flush=True)
                        break
            except (KeyError, OSError):
                pass
            time.sleep(0.002)
"""


@pytest.mark.alone
def test_another_process_sees_frame_and_curve_while_the_scan_runs(
    run_engine: RunEngine, tmp_path: Path, record_property: Any
) -> None:
    """The median delay between an event and what a reader sees is below 100 ms."""
    frames = small_frames(30)
    live = LiveReduction(small_beamline(), tmp_path)
    reader = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_READER), str(tmp_path), str(len(frames))],
        stdout=subprocess.PIPE,
        text=True,
    )
    events = []
    run_engine.subscribe(lambda _, doc: events.append(time.time()), "event")
    run_engine.subscribe(live)
    try:
        run_engine(count(devices(frames), len(frames), delay=0.05), sample_name="water")
        output, _ = reader.communicate(timeout=30)
    finally:
        reader.kill()
        reader.communicate()
        live.close()
    seen = np.array(output.split(), dtype=float)
    delays_ms = 1e3 * (seen - events)
    record_property("median_delay_ms", float(np.median(delays_ms)))
    assert len(seen) == len(frames)
    assert np.median(delays_ms) < 100
    assert seen[20] < events[-1], "seen while the scan was running"


@pytest.mark.alone
def test_callback_holds_the_run_engine_for_little_more_than_the_copy(tmp_path: Path) -> None:
    """A call with a frame of 4 MB returns in a few ms, far below what a scan would notice."""
    from small_beamline import run_documents

    frame = np.random.default_rng(0).poisson(5, (1043, 981)).astype("i4")
    documents = run_documents([{"pilatus": frame}] * 30)
    live = LiveReduction(small_beamline(), tmp_path)
    took = []
    for name, doc in documents:
        began = time.perf_counter()
        live(name, doc)
        took.append(time.perf_counter() - began)
        time.sleep(0.02)
    assert live.wait(30)
    live.close()
    assert np.median(took) < 0.02


def test_frames_taken_again_after_pause_and_resume_supersede_the_first(
    run_engine: RunEngine, tmp_path: Path
) -> None:
    """The RunEngine goes back to the checkpoint: the event before the pause comes twice."""
    frames = small_frames(4)
    detectors = devices(frames)

    @bpp.run_decorator(md={"sample_name": "water"})
    def plan() -> Any:
        yield from bps.checkpoint()
        yield from bps.trigger_and_read(detectors)
        yield from bps.checkpoint()
        yield from bps.trigger_and_read(detectors)
        yield from bps.pause()
        yield from bps.checkpoint()
        yield from bps.trigger_and_read(detectors)

    live = LiveReduction(small_beamline(), tmp_path)
    run_engine.subscribe(live)
    with pytest.raises(RunEngineInterrupted):
        run_engine(plan())
    run_engine.resume()
    assert live.wait(30)
    live.close()
    with h5py.File(tmp_path / "experiment.h5") as file:
        assert file["water/primary/seq_num"][()].tolist() == [1, 2, 2, 3]
        assert file["water/primary/superseded"][()].tolist() == [False, True, False, False]
        sent = [frame[SAXS] for frame in frames]
        assert np.array_equal(file[f"water/primary/data/{SAXS}"][()], sent)
        assert not file["water/processed"].attrs["selected"][1]


@pytest.mark.parametrize("end", ["abort", "halt", "stop"])
def test_interrupted_run_is_closed_with_what_it_has(
    run_engine: RunEngine, tmp_path: Path, end: str
) -> None:
    def plan() -> Any:
        yield from bps.open_run(md={"sample_name": "water"})
        detectors = devices(small_frames(2))
        yield from bps.trigger_and_read(detectors)
        yield from bps.trigger_and_read(detectors)
        yield from bps.pause()

    live = LiveReduction(small_beamline(), tmp_path)
    run_engine.subscribe(live)
    with pytest.raises(RunEngineInterrupted):
        run_engine(plan())
    getattr(run_engine, end)()
    assert live.wait(30)
    assert live.status()["runs"][0]["finished"]
    live.close()
    with h5py.File(tmp_path / "experiment.h5") as file:
        assert file[f"water/primary/data/{SAXS}"].shape[0] == 2
        assert "averaged" in file["water/processed"]


def test_baseline_is_a_stream_of_its_own_and_may_name_the_buffer(
    run_engine: RunEngine, tmp_path: Path
) -> None:
    metadata = {"buffer": MetadataSource(source="baseline", key="buffer_name")}
    live = LiveReduction(small_beamline(metadata=metadata), tmp_path)
    run_engine.subscribe(live)
    for name, buffer in (("water", "none"), ("protein", "water")):
        before = [Source("buffer_name", [buffer] * 2), Source("temperature", [20.0, 21.0])]
        plan = bpp.baseline_wrapper(count(devices(small_frames(3)), 3), before)
        run_engine(plan, sample_name=name)
    assert live.wait(30)
    live.close()
    with h5py.File(tmp_path / "experiment.h5") as file:
        assert file["protein/baseline/data/temperature"][()].tolist() == [20.0, 21.0]
        assert file["protein/baseline/data/buffer_name"].asstr()[()].tolist() == ["water"] * 2
        assert file["protein"].attrs["buffer"] == "water"
        assert "subtracted" in file["protein/processed"]


@pytest.mark.parametrize("interpolation", ["step", "linear"])
def test_monitored_signals_are_integrated_over_the_exposures(
    run_engine: RunEngine, tmp_path: Path, interpolation: Any
) -> None:
    """Signals of ophyd, in the streams of Bluesky's own monitor: three levels, a frame in each."""
    beams = {name: Signal(name=name, value=0.0) for name in ("em1", "em2")}
    cameras = devices(small_frames(3))[:2]

    def read_at(level: float) -> None:
        for signal, part in zip(beams.values(), (1.0, 0.5), strict=True):
            signal.put(level * part, force=True)

    def plan() -> Any:
        for level in (100.0, 300.0, 200.0):
            read_at(level)
            yield from bps.sleep(0.15)
            yield from bps.trigger_and_read(cameras)
            yield from bps.sleep(0.02)
            read_at(level)

    monitors = own_streams(stamped="end", interpolation=interpolation, max_gap_s=10.0)
    live = LiveReduction(small_beamline(monitors=monitors, metadata=METADATA), tmp_path)
    run_engine.subscribe(live)
    whole = bpp.monitor_during_wrapper(bpp.run_wrapper(plan()), list(beams.values()))
    run_engine(whole, sample_name="water", exposure_time=0.1)
    assert live.wait(30)
    live.close()
    with h5py.File(tmp_path / "experiment.h5") as file:
        found = read_processed(file["water"])
    assert found.incident == pytest.approx([100.0, 300.0, 200.0], rel=1e-6)
    assert found.transmitted == pytest.approx([50.0, 150.0, 100.0], rel=1e-6)
    assert found.average is not None
