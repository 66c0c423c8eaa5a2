"""Detectors of ophyd-async, which write real files, in a real RunEngine."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any

import h5py
import numpy as np
import pytest
from bluesky import plan_stubs as bps
from bluesky import plans as bp
from bluesky import preprocessors as bpp
from ophyd_async.core import TriggerInfo, init_devices, soft_signal_rw
from small_beamline import run_documents, small_beamline, small_frames
from small_endstation import SAXS, WAXS, Hutch, endstation_beamline

from h5xs_bluesky import h5xs
from h5xs_bluesky.callbacks import LiveReduction, SamplePathProvider
from h5xs_bluesky.callbacks.raw_writer import RawWriter
from h5xs_bluesky.config import Output
from h5xs_bluesky.errors import ConfigurationError
from h5xs_bluesky.io.external import path_of
from h5xs_bluesky.io.run_files import RunFolder


class Station(Hutch):
    """Two detectors that write files, nothing else in the runs, and a value to read with them."""

    def __init__(self, folder: Path) -> None:
        beamline = endstation_beamline(monitors=None, output=Output(max_wait_s=5.0))
        super().__init__(folder, beamline)
        self.saxs, self.waxs = self.detectors = self.station.detectors
        self.motor = self.station.stage.x
        with init_devices():
            self.reading = soft_signal_rw(float, name="reading")

    def status(self) -> dict[str, Any]:
        assert self.live.wait(20)
        return dict(self.live.status()["runs"][-1])

    def prepared(self, events: int = 1, per_event: int = 1) -> Any:
        info = TriggerInfo(number_of_events=events, collections_per_event=per_event, livetime=0.02)
        for detector in self.detectors:
            yield from bps.prepare(detector, info, wait=True)


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    with Station(tmp_path / "experiment") as made:
        made.engine.preprocessors.clear()
        yield made


def fly(station: Station, *, events: int, per_event: int = 1) -> Any:
    @bpp.stage_decorator(station.detectors)
    @bpp.run_decorator(md={"sample_name": "flown"})
    def inner() -> Any:
        yield from station.prepared(events, per_event)
        yield from bps.declare_stream(*station.detectors, name="primary", collect=True)
        yield from bps.kickoff_all(*station.detectors, wait=True)
        yield from bps.collect_while_completing(
            station.detectors, station.detectors, flush_period=0.02, stream_name="primary"
        )

    return inner()


def check(station: Station, sample: str, frames: int) -> None:
    """Curves made live equal those made offline; raw frames are the detector's own."""
    run = station.status()
    assert run["sample"] == sample
    assert (run["received"], run["acknowledged"], run["reduced"]) == (2 * frames,) * 3
    assert run["errors"] == []
    with h5py.File(station.folder / "experiment.h5", "r", swmr=True) as file:
        group = file[sample]
        for name in (SAXS, WAXS):
            (path,) = (station.folder / sample / "detectors").glob(f"{name}-*.h5")
            with h5py.File(path, "r") as own:
                written = own["entry/data/data"][()]
            assert np.array_equal(group[f"primary/data/{name}"][()], written)
            assert len(group[f"primary/timestamps/{name}"]) == frames
            assert len(written) == frames
        live = group["processed/merged"][()]
    dt = h5xs(station.folder / "experiment.h5", read_only=True)
    dt.load_data(update_only=False)
    offline = np.array([[curve.data, curve.err] for curve in dt.d1s[sample]["merged"]])
    assert np.array_equal(live, offline, equal_nan=True)


def test_count(station: Station) -> None:
    """A stream without any value of its own: its events are empty."""
    station.engine(bp.count(station.detectors, num=4), sample_name="counted")
    check(station, "counted", 4)


def test_step_scan(station: Station) -> None:
    station.engine(
        bp.scan([*station.detectors, station.reading], station.motor, 0, 3, 4),
        sample_name="scanned",
    )
    check(station, "scanned", 4)
    with h5py.File(station.folder / "experiment.h5", "r", swmr=True) as file:
        assert file["scanned/primary/data/stage_x"][()].tolist() == [0, 1, 2, 3]
        assert file["scanned/primary/data/pil1M_timestamp"].shape == (4,)


@pytest.mark.parametrize("per_event", [1, 3])
def test_fly_scan(station: Station, per_event: int) -> None:
    station.engine(fly(station, events=5, per_event=per_event))
    check(station, "flown", 5 * per_event)
    with h5py.File(station.folder / "experiment.h5", "r", swmr=True) as file:
        assert file["flown/primary/seq_num"][()].tolist() == [1, 2, 3, 4, 5]
        assert np.isfinite(file["flown/primary/time"][()]).all()


def test_monitor_stream_beside_the_frames(station: Station) -> None:
    def plan() -> Any:
        for number in range(3):
            yield from bps.mv(station.reading, float(number))
            yield from bps.trigger_and_read(station.detectors)

    wrapped = bpp.monitor_during_wrapper(
        bpp.stage_wrapper(bpp.run_wrapper(plan()), station.detectors), [station.reading]
    )
    station.engine(wrapped, sample_name="monitored")
    check(station, "monitored", 3)
    with h5py.File(station.folder / "experiment.h5", "r", swmr=True) as file:
        data = file["monitored/reading_monitor/data/reading"][()]
    assert data[-1] == 2.0


def test_plan_that_goes_back_to_its_checkpoint_keeps_both_rows(station: Station) -> None:
    """The number repeats; what was measured again supersedes."""
    engine, seen = station.engine, []

    def plan() -> Any:
        for _ in range(3):
            yield from bps.checkpoint()
            yield from bps.trigger_and_read([*station.detectors, station.reading])
            if not seen:
                seen.append(1)
                yield from bps.pause()

    with pytest.raises(Exception, match="paused"):
        engine(bpp.stage_wrapper(bpp.run_wrapper(plan()), station.detectors), sample_name="resumed")
    engine.resume()
    check(station, "resumed", 4)
    with h5py.File(station.folder / "experiment.h5", "r", swmr=True) as file:
        assert file["resumed/primary/seq_num"][()].tolist() == [1, 1, 2, 3]
        assert file["resumed/primary/superseded"][()].tolist() == [True, False, False, False]
        assert file["resumed/reduction/selection/kept"][()].tolist() == [False, True, True, True]


def test_detectors_prepared_before_their_run_write_into_the_experiment(station: Station) -> None:
    @bpp.stage_decorator([station.saxs])
    def plan() -> Any:
        info = TriggerInfo(number_of_events=3, livetime=0.005)
        yield from bps.prepare(station.saxs, info, wait=True)
        yield from bps.open_run(md={"sample_name": "early"})
        yield from bps.declare_stream(station.saxs, name="primary", collect=True)
        yield from bps.kickoff(station.saxs, wait=True)
        yield from bps.collect_while_completing(
            [station.saxs], [station.saxs], flush_period=0.02, stream_name="primary"
        )
        yield from bps.close_run()

    station.engine(plan())
    run = station.status()
    assert (run["reduced"], run["errors"]) == (3, [])
    assert len(list((station.folder / "detectors").glob("pil1M_image-*.h5"))) == 1
    with h5py.File(station.folder / "early" / "primary.pil1M_image.h5", "r") as file:
        link = file.get("data", getlink=True)
    assert link.filename.startswith("../detectors/pil1M_image-")


def test_path_provider_needs_a_run_where_its_folder_depends_on_it(tmp_path: Path) -> None:
    output = Output(folder="{proposal}", base=tmp_path)
    live = LiveReduction(small_beamline(output=output))
    with pytest.raises(ConfigurationError, match="Prepare detectors after open_run"):
        SamplePathProvider(live)("saxs")
    live.close()


@pytest.mark.parametrize(
    ("mounts", "expected", "why"),
    [
        ({"/": "X:\\"}, PureWindowsPath("X:\\"), "a drive"),
        ({"/": "X:/"}, PureWindowsPath("X:\\"), "with slashes"),
        ({"/": "\\\\nas\\data"}, PureWindowsPath("\\\\nas\\data"), "a share"),
        ({"/": "/ioc"}, PurePosixPath("/ioc"), "another mount"),
    ],
)
def test_detectors_may_see_folders_elsewhere(
    tmp_path: Path, mounts: dict[str, str], expected: PurePath, why: str
) -> None:
    folder = tmp_path.resolve() / "a b%20ä"
    live = LiveReduction(small_beamline(), folder)
    place = SamplePathProvider(live, mounts=mounts)("saxs")
    assert place.directory_path == expected.joinpath(*folder.parts[1:], "detectors"), why
    assert path_of(place.directory_uri) == folder / "detectors"
    live.close()


def test_the_innermost_mount_counts(tmp_path: Path) -> None:
    live = LiveReduction(small_beamline(), tmp_path / "experiment")
    paths = SamplePathProvider(live, mounts={"/": "/all", tmp_path: "/ours", "/nowhere": "/no"})
    assert paths("saxs").directory_path == PurePosixPath("/ours/experiment/detectors")
    live.close()


@pytest.mark.parametrize(
    ("mounts", "said"),
    [
        ({"/nowhere": "X:\\"}, "expected a folder in one of the mounts /nowhere, found /"),
        ({"/": "X:data"}, "expected an absolute path .*, found 'X:data'"),
        ({"/": "data"}, "expected an absolute path .*, found 'data'"),
    ],
)
def test_mounts_that_tell_nothing_are_refused(
    tmp_path: Path, mounts: dict[str, str], said: str
) -> None:
    live = LiveReduction(small_beamline(), tmp_path)
    with pytest.raises(ConfigurationError, match=said):
        SamplePathProvider(live, mounts=mounts)("saxs")
    live.close()


def test_folder_of_a_sample_does_not_wait_for_the_frames_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The RunEngine asks for it in the thread of the scan."""
    release = threading.Event()
    real = RawWriter.write_event

    def held(self: RawWriter, doc: Any) -> Any:
        release.wait(20)
        return real(self, doc)

    monkeypatch.setattr(RawWriter, "write_event", held)
    live = LiveReduction(small_beamline(), tmp_path)
    provider = SamplePathProvider(live)
    try:
        for name, doc in run_documents(small_frames(2), sample_name="one"):
            live(name, doc)
        *second, stop = run_documents(small_frames(1), sample_name="two")
        for name, doc in second:
            live(name, doc)
        began = time.monotonic()
        assert provider("saxs").directory_path == tmp_path.resolve() / "two" / "detectors"
        assert time.monotonic() - began < 2
    finally:
        release.set()
    live(*stop)
    assert live.wait(20)
    assert [run["reduced"] for run in live.status()["runs"]] == [4, 2]
    live.close()


def test_folder_that_does_not_come_in_time_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    real = RunFolder.claim

    def held(*args: Any, **kwargs: Any) -> RunFolder:
        release.wait(20)
        return real(*args, **kwargs)

    monkeypatch.setattr(RunFolder, "claim", held)
    live = LiveReduction(small_beamline(), tmp_path)
    documents = run_documents(small_frames(1))
    live(*documents[0])
    try:
        info = SamplePathProvider(live, timeout_s=0.1)("saxs")
    finally:
        release.set()
    assert info.directory_path == tmp_path.resolve() / "detectors"
    for name, doc in documents[1:]:
        live(name, doc)
    assert live.wait(20)
    (run,) = live.status()["runs"]
    assert any("writes elsewhere" in warning for warning in run["warnings"])
    live.close()
