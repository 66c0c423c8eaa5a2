"""The parts of the simulated endstation: what happened when, what frames show, how files are."""

import asyncio
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky import plan_stubs as bps
from hypothesis import given
from hypothesis import strategies as st
from small_endstation import (
    SAXS,
    Hutch,
    endstation_beamline,
    endstation_detectors,
    own_monitors,
)

from h5xs_bluesky import plans
from h5xs_bluesky.config import Monitors
from h5xs_bluesky.errors import ConfigurationError
from h5xs_bluesky.sim import beamline as beamlines
from h5xs_bluesky.sim.endstation import Endstation, MeasuredFrames, SimulatedFrames, StorageRing
from h5xs_bluesky.sim.endstation.detector import DATA, IocFile
from h5xs_bluesky.sim.endstation.electrometers import Clock
from h5xs_bluesky.sim.endstation.history import History
from h5xs_bluesky.sim.endstation.history import Path as Way
from h5xs_bluesky.sim.endstation.holders import elution, standard_holders
from h5xs_bluesky.sim.endstation.scene import Scene

STEADY = {"drift": 0.0, "wavering": 0.0}


def test_history_knows_what_was_when() -> None:
    shutter = History("Close")
    shutter.record(10.0, "Open")
    shutter.record(12.0, "Close")
    shutter.record(15.0, "Open")
    assert [shutter.at(time) for time in (0, 10, 11, 12, 20)] == [
        *("Close", "Open", "Open", "Close", "Open")
    ]
    assert (shutter.since(0), shutter.since(13)) == (float("-inf"), 12.0)


@given(
    st.lists(st.floats(0, 100), min_size=1, max_size=8),
    st.floats(0, 100),
    st.floats(0, 100),
)
def test_what_was_not_open_was_closed(times: list[float], one: float, other: float) -> None:
    shutter = History(False)
    for number, when in enumerate(sorted(times)):
        shutter.record(when, number % 2 == 0)
    start, stop = sorted((one, other))
    total = shutter.lasted_s(True, start, stop) + shutter.lasted_s(False, start, stop)
    assert total == pytest.approx(stop - start)


def test_way_is_even_between_the_moments_that_were_told() -> None:
    way = Way(1.0)
    way.record(10.0, 1.0)
    way.record(20.0, 3.0)
    assert [way.at(time) for time in (5, 10, 15, 20, 30)] == [1, 1, 2, 3, 3]
    assert (way.since(9), way.since(15), way.since(30)) == (float("-inf"), 15, 20)
    way.record(15.0, 2.0)  # it was stopped
    assert [way.at(time) for time in (15, 20)] == [2, 2]


def test_ring_decays_wavers_and_is_dumped() -> None:
    ring = StorageRing(photons_per_s=1e12, drift=0.1, refill_s=10.0, wavering=0.0)
    ring.dump(5.0, 7.0)
    assert ring.flux([0.0, 4.0, 6.0, 9.0]) / 1e12 == pytest.approx([1, 0.96, 0, 0.91])
    wavering = StorageRing(drift=0.0, wavering=0.01).flux(np.linspace(0, 10, 500))
    assert wavering.std() / wavering.mean() == pytest.approx(0.01 / np.sqrt(2), rel=0.1)


def test_clock_is_ahead_and_gains() -> None:
    clock = Clock(offset_s=-30.0, drift=1e-3, set_s=100.0)
    assert clock.reads(100.0) == 70.0
    assert clock.reads(1100.0) == pytest.approx(1071.0)


@pytest.fixture(scope="module")
def source() -> SimulatedFrames:
    return SimulatedFrames(endstation_beamline())


def scene_of(position: str, **ring: Any) -> Scene:
    scene = Scene(StorageRing(**{**STEADY, **ring}), standard_holders(), position)
    scene.load(100.0, position)
    return scene


def test_nothing_arrives_while_the_shutter_is_closed() -> None:
    scene = scene_of("water")
    assert set(scene.exposed(101, 102).photons_cm) == {0.0}
    scene.shut(110.0, is_open=True)
    whole, half = scene.exposed(111, 112), scene.exposed(109.5, 110.5)
    assert half.photons_cm[0] == pytest.approx(whole.photons_cm[0] / 2)
    sample = standard_holders()["water"].sample
    photons = StorageRing().photons_per_s * sample.transmission() * sample.thickness_cm
    assert whole.photons_cm[0] == pytest.approx(photons)


def test_damage_comes_with_the_time_in_the_beam_and_stays_on_its_spot() -> None:
    scene = scene_of("fragile")
    scene.shut(200.0, is_open=True)
    protein, aggregate = (
        np.array([scene.exposed(t, t + 0.1).photons_cm[n] for t in (200.5, 201.8)]) for n in (1, 2)
    )
    assert aggregate[0] == 0
    assert aggregate[1] / (protein[1] + aggregate[1]) == pytest.approx(0.12 * 0.85, abs=1e-3)
    scene.move_x(202.0, 0.0)
    scene.move_x(202.1, 1.0)
    assert scene.exposed(202.5, 202.6).photons_cm[2] == 0


def test_bubbles_let_more_through() -> None:
    scene = scene_of("bubbles")
    scene.shut(100.0, is_open=True)
    true = standard_holders()["bubbles"].sample
    assert scene.transmission(100.5) == pytest.approx(true.transmission())
    assert scene.transmission(101.1) == pytest.approx(true.transmission(0.35))


def test_elution_has_its_maximum_behind_the_gaussian_s_centre() -> None:
    concentration = elution(at_s=10.0, width_s=1.0, tail_s=0.5)
    times = np.linspace(0, 20, 2001)
    values = np.array([concentration(time) for time in times.tolist()])
    assert values.max() == pytest.approx(1, abs=1e-4)
    assert 10 < times[values.argmax()] < 10.5


def test_frames_have_poisson_s_noise_about_what_is_expected(source: SimulatedFrames) -> None:
    scene = scene_of("water")
    scene.shut(100.0, is_open=True)
    seen = scene.exposed(101.0, 101.2)
    rng = np.random.default_rng(0)
    frames = np.array([source.frame(SAXS, "water", seen.photons_cm, rng) for _ in range(30)])
    mean, variance = frames.mean(axis=0), frames.var(axis=0, ddof=1)
    lit = (mean > 5) & (mean < 1e4)
    assert lit.sum() > 10_000
    assert (variance[lit] / mean[lit]).mean() == pytest.approx(1, abs=0.01)


def test_masked_pixels_do_not_count(tmp_path: Path) -> None:
    """Gaps are flagged; what else is masked, as the beam stop, lies in the shadow."""
    beamline = beamlines.endstation_beamline(tmp_path)
    source = SimulatedFrames(beamline)
    detector = beamline.data_keys[SAXS]
    scene = scene_of("water")
    scene.shut(100.0, is_open=True)
    seen = scene.exposed(101.0, 101.2)
    frame = source.frame(SAXS, "water", seen.photons_cm, np.random.default_rng(0))
    assert (frame[detector.mask] <= 0).all()
    assert (frame[detector.mask] == -1).mean() > 0.5
    assert (frame[~detector.mask] >= 0).all()
    assert np.median(frame[~detector.mask]) > 1


def test_frames_of_real_exposures(tmp_path: Path, h5xs_data: Path) -> None:
    setup = beamlines.exposures_beamline(tmp_path, h5xs_data)
    source = MeasuredFrames(setup.beamline, h5xs_data)
    assert list(source.holders) == ["empty", "agbh", "buffer", "sample"]
    scene = Scene(StorageRing(**STEADY), source.holders, "sample")
    scene.shut(100.0, is_open=True)
    seen = scene.exposed(101.0, 101.5)
    (key,) = setup.beamline.data_keys
    frame = source.frame(key, "sample", seen.photons_cm, np.random.default_rng(0))
    counts = np.maximum(setup.samples[2].originals[key], 0).sum()
    assert frame.sum() == pytest.approx(counts * 0.5 * 30 / 300, rel=0.01)
    with pytest.raises(ConfigurationError, match="one detector"):
        MeasuredFrames(endstation_beamline(), h5xs_data)


@pytest.mark.parametrize("compressed", [True, False])
def test_file_can_be_read_while_it_is_written(tmp_path: Path, *, compressed: bool) -> None:
    frames = np.random.default_rng(0).poisson(3, (3, 40, 30)).astype(np.int32)
    file = IocFile(tmp_path / "a.h5", (40, 30), compressed=compressed)
    with h5py.File(tmp_path / "a.h5", "r", swmr=True) as reading:
        for number, frame in enumerate(frames, start=1):
            file.append(frame, 100.0 + number)
            reading[DATA].refresh()
            assert np.array_equal(reading[DATA][()], frames[:number])
        assert bool(reading[DATA].id.get_create_plist().get_nfilters()) == compressed
    file.close()


def test_a_detector_needs_a_place_for_its_files() -> None:
    RunEngine()
    with pytest.raises(ConfigurationError, match="expected a folder, or a path_provider"):
        Endstation.from_beamline(endstation_beamline())


def test_devices_follow_the_configuration(tmp_path: Path) -> None:
    RunEngine()
    names = {}
    for monitors in (
        own_monitors(),
        own_monitors(incident_stream="em1"),
        Monitors(transmitted="em2_mean_value"),
        None,
    ):
        beamline = endstation_beamline(monitors=monitors)
        station = Endstation.from_beamline(beamline, tmp_path)
        extra = station.supplemental_data()
        names[monitors] = [
            [device.name for device in devices]
            for devices in (station.read, extra.monitors, extra.flyers)
        ]
        assert [device.name for device in extra.baseline] == ["energy_kev", "changer", "stage"]
    with pytest.raises(AttributeError, match="expected \\[monitors\\]"):
        _ = station.em1
    detectors = ["pil1M", "pilW1"]
    assert list(names.values()) == [
        [detectors, ["em1", "em2"], []],
        [detectors, ["em2"], ["em1"]],
        [[*detectors, "em2"], [], []],
        [detectors, [], []],
    ]


def test_changer_and_shutter_show_where_they_can_be(tmp_path: Path) -> None:
    RunEngine()
    station = Endstation.from_beamline(endstation_beamline(), tmp_path)
    assert repr(station.changer).startswith("Selector(name='changer', positions=('empty', 'agbh', ")
    assert repr(station.shutter) == "Selector(name='shutter', positions=('Close', 'Open'))"


def test_a_stopped_motor_is_where_it_was_stopped(tmp_path: Path) -> None:
    engine = RunEngine()
    station = Endstation.from_beamline(endstation_beamline(), tmp_path)
    motor = station.stage.x

    def plan() -> Any:
        yield from bps.mv(motor.velocity, 1.0)
        yield from bps.abs_set(motor, 5.0, group="move")
        yield from bps.sleep(0.1)
        yield from bps.stop(motor)
        try:
            yield from bps.wait("move")
        except Exception:  # noqa: BLE001 - it was stopped
            yield from bps.null()

    engine(plan())
    where = asyncio.run_coroutine_threadsafe(motor.user_readback.get_value(), engine.loop).result()
    assert 0.05 < where < 4.5  # 0.1 where nothing else runs
    assert station.scene._x_mm.at(time.time()) == pytest.approx(where)


def test_frame_is_made_anew_if_the_shutter_closes_during_its_exposure(tmp_path: Path) -> None:
    with Hutch(tmp_path / "experiment", endstation_beamline(monitors=None)) as hutch:
        station = hutch.station

        def plan() -> Any:
            yield from bps.mv(station.changer, "water", station.shutter, "Open")
            yield from bps.sleep(0.02)
            yield from bps.stage_all(*station.detectors)
            yield from bps.open_run(md={"sample_name": "cut"})
            yield from plans.running.set_exposure(station.detectors, 0.4)
            yield from bps.trigger(station.saxs, group="frame")
            yield from bps.sleep(0.1)
            yield from bps.mv(station.shutter, "Close")
            yield from bps.wait("frame")
            yield from bps.trigger(station.saxs, group="dark")
            yield from bps.wait("dark")
            yield from bps.close_run()
            yield from bps.unstage_all(*station.detectors)

        hutch.engine(plan())
        (path,) = (hutch.folder / "cut" / "detectors").glob(f"{SAXS}-*.h5")
        with h5py.File(path) as file:
            cut, dark = file[DATA][()].sum(axis=(1, 2))
        assert dark == 0
        assert cut > 0
    whole = SimulatedFrames(endstation_beamline())
    scene = scene_of("water")
    scene.shut(0.0, is_open=True)
    seen = scene.exposed(101.0, 101.4)
    full = whole.frame(SAXS, "water", seen.photons_cm, np.random.default_rng(0)).sum()
    assert 0.1 < cut / full < 0.6


@pytest.mark.alone
def test_frames_of_full_detectors_take_little_more_than_their_exposures(
    tmp_path: Path,
) -> None:
    """Less than 0.2 s on an idle machine; here half a second, since tests share theirs."""
    beamline = beamlines.endstation_beamline(tmp_path)
    with Hutch(tmp_path / "experiment", beamline, rate_hz=25.0) as hutch:
        began, frames = time.monotonic(), 5
        Endstation.from_beamline(beamline, tmp_path)
        assert time.monotonic() - began < 2
        plan = plans.count_sample(
            hutch.station.read, "water", frames=frames, exposure_s=0.1, **hutch.devices
        )
        stamps: list[float] = []

        def note(name: str, doc: Any) -> None:
            if name == "event" and "pil1M_image" not in doc["data"] and not doc["data"]:
                stamps.append(doc["time"])

        hutch.engine.subscribe(note)
        hutch.run(plan)
    assert len(stamps) == frames
    assert np.median(np.diff(stamps)) < 0.1 + 0.5


def test_small_detectors_cover_what_the_tests_need() -> None:
    saxs, waxs = (detector.geometry.q_map() for detector in endstation_detectors())
    assert saxs.max() > waxs.min()


def test_endstation_shows_itself_in_one_line(tmp_path: Path) -> None:
    RunEngine()  # in whose loop the devices live
    shown = repr(Endstation.from_beamline(endstation_beamline(), tmp_path))
    assert "\n" not in shown
    assert all(name in shown for name in ("pil1M", "shutter", "changer", "stage"))
