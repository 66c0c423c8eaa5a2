"""Every plan on the simulated endstation, reduced live; the results against what is simulated."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from bluesky import plan_stubs as bps
from bluesky.utils import FailedPause, RunEngineInterrupted
from small_endstation import Hutch, endstation_beamline, endstation_detectors, own_monitors

from h5xs_bluesky import h5exp, h5xs, plans
from h5xs_bluesky.api.verify import verify
from h5xs_bluesky.errors import PlanError
from h5xs_bluesky.io.processed import read_reduced
from h5xs_bluesky.reduction.guinier import fit_guinier
from h5xs_bluesky.sim.endstation import SimulatedFrames
from h5xs_bluesky.sim.endstation.holders import elution, film, standard_holders
from h5xs_bluesky.sim.profiles import ring_positions
from h5xs_bluesky.sim.samples import PROTEIN

pytestmark = pytest.mark.alone  # a busy machine delays devices that keep real time

ELUTION = elution(at_s=2.2, width_s=0.2, tail_s=0.05)
HOLDERS = standard_holders()
HOLDERS["column"] = replace(HOLDERS["column"], concentration=ELUTION)
TRANSMISSION_ERROR = 4e-3  # of two monitors, 0.0005 each, and what the shutter's edge leaves


@pytest.fixture(scope="module")
def hutch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hutch]:
    """Where each plan has run once."""
    source = SimulatedFrames(endstation_beamline(), HOLDERS)
    folder = tmp_path_factory.mktemp("plans") / "experiment"
    with Hutch(folder, frame_source=source) as made:
        station, devices = made.station, made.devices
        stage, read = station.stage, station.read
        made.run(plans.calibrate(read, frames=3, exposure_s=0.05, **devices))
        made.run(
            plans.measure_with_buffer(
                read, "protein", "buffer", frames=6, exposure_s=0.1, motor=stage.x, **devices
            )
        )
        made.run(
            plans.map_scan(
                *(read, "film", stage.y, -0.4, 0.4, 2, stage.x, -1.0, 1.0, 5),
                exposure_s=0.04,
                **devices,
            )
        )
        made.run(
            plans.fly_scan(
                *(station.detectors, "flown", stage.x, -1.0, 1.0, 10),
                exposure_s=0.08,
                position="film",
                **devices,
            )
        )
        made.run(
            plans.sec_series(station.detectors, "column", frames=90, exposure_s=0.04, **devices)
        )
        yield made


@pytest.fixture(scope="module")
def dt(hutch: Hutch) -> h5xs:
    return hutch.open()


SAMPLES = (
    *("agbh", "protein_buffer_before", "protein", "protein_buffer_after"),
    *("film", "flown", "column"),
)


_MAP = "no average of a map of 2 × 5 places, whose frames differ"


def test_all_frames_were_reduced_without_a_complaint(hutch: Hutch) -> None:
    runs = hutch.live.status()["runs"]
    assert [run["sample"] for run in runs] == list(SAMPLES)
    for run in runs:
        assert run["received"] == run["acknowledged"] == run["reduced"] > 0, run["sample"]
        assert run["errors"] == [], run["sample"]
        told = [text for text in run["warnings"] if "not averaged yet" not in text]
        assert told == ([_MAP] if run["sample"] == "film" else []), run["sample"]


def test_results_are_made_again_to_the_last_bit(hutch: Hutch) -> None:
    found = {each.sample: each.outcome for each in verify(hutch.folder)}
    assert found == dict.fromkeys(SAMPLES, "identical")


def test_frames_are_the_detectors_own_and_links_stay_within(hutch: Hutch) -> None:
    with h5py.File(hutch.folder / "experiment.h5", "r") as file:
        data = file["column/primary/data/pil1M_image"]
        (own,) = (hutch.folder / "column" / "detectors").glob("pil1M_image-*.h5")
        with h5py.File(own, "r") as written:
            assert np.array_equal(written["entry/data/data"][()], data[()])
            stamps = written["entry/instrument/NDAttributes/NDArrayTimeStamp"][()]
        assert np.array_equal(file["column/primary/data/pil1M_timestamp"][()], stamps)
    assert np.diff(stamps) == pytest.approx(0.04, abs=1e-5)


@pytest.mark.parametrize(
    ("sample", "holder"),
    [
        ("agbh", "agbh"),
        ("protein", "protein"),
        ("protein_buffer_after", "buffer"),
        ("column", "water"),
    ],
)
def test_transmission_is_the_sample_s_though_clocks_differ(
    dt: h5xs, sample: str, holder: str
) -> None:
    true = HOLDERS[holder].sample.transmission()
    found = dt.get_mon(sample).transmission
    assert found == pytest.approx(true, rel=TRANSMISSION_ERROR)
    assert found.mean() == pytest.approx(true, rel=TRANSMISSION_ERROR / 4)


def test_transmission_of_a_fly_scan_follows_the_film(dt: h5xs) -> None:
    found = dt.get_mon("flown").transmission
    at = np.linspace(-1, 1, 10, endpoint=False) + 0.1
    thickness = [HOLDERS["film"].at(x, 0.4).transmission() for x in at]
    assert found == pytest.approx(thickness, abs=0.04)  # the motor moves on by 0.2 mm in a frame
    assert found.argmin() in (4, 5)


def test_clocks_do_differ(hutch: Hutch) -> None:
    """Without the shutter's edge nothing would be known."""
    monitors = own_monitors(synchronise="no")
    dt = hutch.open()
    dt.monitors = monitors
    assert np.isnan(dt.get_mon("column").transmission).all()


def test_another_trigger_is_taken_by_its_timestamps(dt: h5xs) -> None:
    """As py4xs names one. It moved before each frame but the first."""
    true = HOLDERS["protein"].sample.transmission()
    found = dt.get_mon("protein", "stage_x").transmission
    assert found[1:] == pytest.approx(true, rel=TRANSMISSION_ERROR)


def test_rings_of_silver_behenate_are_where_they_should_be(dt: h5xs) -> None:
    q = dt.qgrid.centers
    curve = dt.get_d1("agbh", "averaged").data
    for ring in ring_positions(0.4):
        near = np.abs(q - ring) < 0.012
        floor = np.interp(q[near], q[near][[0, -1]], curve[near][[0, -1]])
        weight = curve[near] - floor
        assert np.sum(weight * q[near]) / weight.sum() == pytest.approx(ring, abs=7e-4)


def test_calibration_finds_where_the_detectors_stand(hutch: Hutch) -> None:
    file = hutch.folder / "experiment.h5"
    found = h5exp(file).recalibrate("agbh", dry_run=True, detectors="_SAXS")["_SAXS"]
    true = endstation_detectors()[0].geometry
    assert found.detector.geometry.distance_m == pytest.approx(true.distance_m, rel=2e-3)


def test_buffers_were_subtracted_live(hutch: Hutch, dt: h5xs) -> None:
    names = "protein_buffer_before  protein_buffer_after"
    with h5py.File(hutch.folder / "experiment.h5", "r") as file:
        assert file["protein"].attrs["buffer"] == names
        live = file["protein/processed/subtracted"][()]
    rg = fit_guinier(live, dt.qgrid.centers, q_max=1.3 / PROTEIN.guinier_radius_angstrom)
    assert rg.rg == pytest.approx(PROTEIN.guinier_radius_angstrom, rel=0.03)
    assert rg.rg_sigma < 0.01 * rg.rg


def test_a_point_of_a_map_is_found_by_its_place(dt: h5xs) -> None:
    start = dt.header("film")
    assert start["shape"] == [2, 5]
    assert start["motors"] == ["stage_y", "stage_x"]
    place = np.linspace(-1, 1, 5)
    counts = np.array(
        [
            [dt.get_d2("film", frn=(line, point))["_SAXS"].data.sum() for point in range(5)]
            for line in range(2)
        ]
    )
    thick = [[film(x, y) > 0.5 for x in place] for y in (-0.4, 0.4)]
    assert np.array_equal(counts > counts.max() / 2, thick)
    with h5py.File(dt.fn, "r") as file:
        assert file["film/primary/data/stage_x"][()].tolist() == pytest.approx([*place, *place])


def test_series_shows_the_peak_when_it_elutes(hutch: Hutch, dt: h5xs) -> None:
    start = dt.header("column")
    assert (start["plan_name"], start["num_points"]) == ("sec_series", 90)
    low = dt.qgrid.centers < 0.04
    with h5py.File(hutch.folder / "experiment.h5", "r") as file:
        curves = file["column/processed/merged"][:, 0, low]
        began_s = file["column/primary/data/pil1M_timestamp"][()]
    loaded_s = hutch.station.scene.loaded_since(began_s[0])
    expected = np.array([ELUTION(time_s + 0.02) for time_s in began_s - loaded_s])
    found = curves.sum(axis=1) - curves[:3].sum(axis=1).mean()
    scale = found @ expected / (expected @ expected)
    assert found == pytest.approx(scale * expected, abs=0.05 * scale)


def test_series_is_averaged_over_its_peak_once_its_monitors_are_known(dt: h5xs) -> None:
    """They run on their own, and are read when the run has ended."""
    found = dt.get_sec("column")
    assert found.main is not None
    assert np.isfinite(dt.get_d1("column", "averaged").trans)
    assert dt.attrs["column"]["selected"].tolist() == found.sample_frames.tolist()
    assert (found.buffer_frames.sum(), found.sample_frames.sum()) >= (20, 5)
    fit = dt.get_d1("column", "subtracted").guinier()
    assert fit.rg == pytest.approx(PROTEIN.guinier_radius_angstrom, rel=0.03)


def test_fly_scan_tells_where_the_motor_was(hutch: Hutch) -> None:
    with h5py.File(hutch.folder / "experiment.h5", "r") as file:
        motor = file["flown/stage_x_monitor/data/stage_x"][()]
        assert len(file["flown/primary/data/pil1M_image"]) == 10
    assert (motor.min(), motor.max()) == (-1, 1)
    assert len(motor) > 5


def test_start_documents_tell_what_was_done(dt: h5xs) -> None:
    start = dt.header("agbh")
    assert (start["plan_name"], start["purpose"]) == ("calibrate", "calibration")
    assert (start["exposure_time"], start["num_points"]) == (0.05, 3)
    assert dt.md_dict("agbh")


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Hutch]:
    with Hutch(tmp_path / "experiment") as made:
        yield made


def kept(hutch: Hutch, sample: str) -> list[bool]:
    with h5py.File(hutch.folder / "experiment.h5", "r") as file:
        return list(map(bool, file[f"{sample}/reduction/selection/kept"][()]))


def test_sample_measured_again_gets_the_buffers_of_that_time(fresh: Hutch) -> None:
    station = fresh.station
    for _ in range(2):
        plan = plans.measure_with_buffer(
            station.read, "protein", "buffer", frames=3, exposure_s=0.04, **fresh.devices
        )
        fresh.run(plan)
    dt, buffers = fresh.open(), {}
    with h5py.File(dt.fn, "r") as file:
        for name in dt.samples:
            reduced = read_reduced(file[name], roots=[fresh.folder])
            if reduced is not None and reduced.subtraction is not None:
                buffers[name] = reduced.subtraction.buffer
    assert buffers == {
        "protein": "protein_buffer_before  protein_buffer_after",
        "protein_5": "protein_buffer_before_4  protein_buffer_after_6",
    }


def test_map_over_an_edge_has_its_transmission_and_no_average(fresh: Hutch) -> None:
    stage = fresh.station.stage
    plan = plans.map_scan(
        *(fresh.station.read, "film", stage.y, 0.0, 0.5, 2, stage.x, -1.0, 1.0, 4),
        exposure_s=0.04,
        **fresh.devices,
    )
    status = fresh.run(plan)
    assert "no average" in str(status)
    dt = fresh.open()
    assert "averaged" not in dt.d1s.get("film", {})
    assert [each.outcome for each in verify(fresh.folder)] == ["identical"]
    with h5py.File(dt.fn, "r") as file:
        trans = file["film/processed/merged"].attrs["trans"]
    assert np.isfinite(trans).all()


def count(hutch: Hutch, sample: str, **options: Any) -> Any:
    return plans.count_sample(hutch.station.read, sample, **{**hutch.devices, **options})


def series(hutch: Hutch, sample: str, frames: int, exposure_s: float) -> Any:
    """A long series of what does not elute."""
    return plans.sec_series(
        *(hutch.station.detectors, sample),
        frames=frames,
        exposure_s=exposure_s,
        md={"elution": False},
        **hutch.devices,
    )


def test_radiation_damage_is_not_averaged_and_does_not_come_on_fresh_spots(fresh: Hutch) -> None:
    fresh.run(series(fresh, "fragile", 20, 0.08))
    assert sum(kept(fresh, "fragile")[:8]) >= 7  # one in a hundred series loses a good frame
    assert not any(kept(fresh, "fragile")[-3:])
    motor = fresh.station.stage.x
    fresh.run(count(fresh, "spots", frames=6, exposure_s=0.05, position="fragile", motor=motor))
    assert sum(kept(fresh, "spots")) >= 5


def test_frames_with_bubbles_or_without_beam_are_not_averaged(fresh: Hutch) -> None:
    fresh.run(series(fresh, "bubbles", 25, 0.06))
    transmission = fresh.open().get_mon("bubbles").transmission
    bubble = transmission > 1.02 * np.median(transmission)
    assert bubble.any()
    assert not np.any(np.array(kept(fresh, "bubbles")) & bubble)

    def lose(name: str, doc: Any) -> None:
        if name == "descriptor" and doc["name"] == "primary":
            now = time.time()
            fresh.station.scene.ring.dump(now + 0.4, now + 0.6)

    fresh.engine.subscribe(lose)
    fresh.run(series(fresh, "water", 20, 0.06))
    incident = fresh.open().get_mon("water").incident
    lost = incident < 0.7 * np.nanmedian(incident)  # the clocks agree to some 10 ms of 60
    assert lost.any()
    assert not np.any(np.array(kept(fresh, "water")) & lost)


@pytest.mark.parametrize(
    ("monitors", "why"),
    [
        (
            own_monitors(incident_stream="em1", transmitted_stream="em2"),
            "electrometers that hand out blocks at the end",
        ),
        (None, "electrometers that are read with the detectors"),
    ],
)
def test_transmission_from_other_electrometers(tmp_path: Path, monitors: Any, why: str) -> None:
    from h5xs_bluesky.config import Monitors

    with_frames = Monitors(
        incident="em1_mean_value", transmitted="em2_mean_value", relative_uncertainty=5e-4
    )
    beamline = endstation_beamline(monitors=monitors or with_frames)
    with Hutch(tmp_path / "experiment", beamline) as hutch:
        run = hutch.run(count(hutch, "water", frames=4, exposure_s=0.1))
        assert run["errors"] == [], why
        found = hutch.open().get_mon("water").transmission
        true = HOLDERS["water"].sample.transmission()
        assert found == pytest.approx(true, rel=TRANSMISSION_ERROR), why


def paused(hutch: Hutch, plan: Any, *, when: str) -> None:
    """Run a plan that is paused at once 0.1 s after a stream of this name begins."""
    timers: list[threading.Timer] = []

    def watch(name: str, doc: Any) -> None:
        if name == "descriptor" and doc["name"] == when:
            timers.append(threading.Timer(0.1, hutch.engine.request_pause))
            timers[-1].start()

    token = hutch.engine.subscribe(watch)
    with pytest.raises((RunEngineInterrupted, FailedPause)):
        hutch.engine(plan)
    hutch.engine.unsubscribe(token)


def test_pause_during_an_exposure_takes_it_again(fresh: Hutch) -> None:
    paused(fresh, count(fresh, "water", frames=4, exposure_s=0.15), when="primary")
    time.sleep(0.3)
    fresh.engine.resume()
    assert fresh.live.wait(30)
    (run,) = fresh.live.status()["runs"]
    assert (run["reduced"], run["errors"]) == (8, [])
    with h5py.File(fresh.folder / "experiment.h5", "r") as file:
        stamps = file["water/primary/data/pil1M_timestamp"][()]
    (own,) = (fresh.folder / "water" / "detectors").glob("pil1M_image-*.h5")
    with h5py.File(own, "r") as file:
        written = file["entry/data/data"][()]
        told = np.isin(file["entry/instrument/NDAttributes/NDArrayTimeStamp"][()], stamps)
    assert told.sum() == 4 <= len(written)
    dt = fresh.open()
    for number, frame in enumerate(written[told]):
        assert np.array_equal(dt.get_d2("water", frn=number)["_SAXS"].data, frame)


def test_series_that_is_paused_ends_with_the_shutter_closed(fresh: Hutch) -> None:
    """It cannot be taken up in its middle; what was taken is there, and the next run starts."""
    paused(fresh, series(fresh, "water", 99, 0.05), when="primary")
    assert fresh.engine.state == "idle"
    assert fresh.station.scene.incident(time.time()) == 0.0
    assert fresh.live.wait(30)
    assert fresh.live.status()["runs"][-1]["errors"] == []
    run = fresh.run(count(fresh, "water", frames=2, exposure_s=0.05))
    assert (run["reduced"], run["errors"]) == (4, [])


def test_shutter_is_closed_when_a_plan_fails(fresh: Hutch) -> None:
    class Broken:
        name, parent = "broken", None

        def read(self) -> Any:
            raise OSError("no answer")

        describe = read

        def trigger(self) -> Any:
            raise OSError("no answer")

    with pytest.raises(OSError, match="no answer"):
        fresh.run(plans.count_sample([Broken()], "water", frames=2, **fresh.devices))
    assert fresh.station.scene.incident(time.time()) == 0.0


def test_unknown_sample_is_told_with_those_that_are_there(fresh: Hutch) -> None:
    with pytest.raises(PlanError, match=r"one of empty, agbh, .*, found 'agbeh'"):
        count(fresh, "agbeh", frames=1)
    with pytest.raises(Exception, match="expected one of its positions empty, agbh") as error:
        fresh.run(bps.mv(fresh.station.changer, "agbeh"))
    assert "found 'agbeh'" in str(error.value)
