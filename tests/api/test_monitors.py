"""How much beam each frame had: monitors of every kind, live and offline, and the water peak."""

import logging
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from small_beamline import Documents, run_documents, small_beamline, small_frames
from small_monitors import METADATA, add_blocks, add_readings, own_streams

from h5xs_bluesky import Data1d, h5xs
from h5xs_bluesky.config import Monitors, ReductionOptions
from h5xs_bluesky.errors import ReductionError, SampleNotFoundError
from h5xs_bluesky.io.processed import read_processed
from h5xs_bluesky.reduction.monitors import MonitorReadings

Play = Callable[..., Path]
FRAMES = 5
STARTS = 101.0 + np.arange(FRAMES)  # the stamps of the small beamline's frames
TIMES = np.arange(99, 108, 0.05)


def beam(times: Any) -> Any:
    """What the transmitted monitor reads, as a function of time; its integrals are exact."""
    return 800 + 1.0 * (np.asarray(times) - 101)


def asynchronous_run(*, times: Any = TIMES, **start: Any) -> Documents:
    frames = small_frames(FRAMES, seed=4, mean=60.0)
    documents = run_documents(frames, monitors={}, exposure_time=0.5, **start)
    documents = add_readings(
        documents, "em1_monitor", "em1", times=TIMES, values=np.full(TIMES.size, 1000.0)
    )
    return add_readings(
        documents,
        "em2_monitor",
        "em2",
        times=times,
        values=beam(TIMES if np.size(times) == TIMES.size else times),
    )


def stored(path: Path, sample: str = "water") -> Any:
    with h5py.File(path) as file:
        return read_processed(file[sample])


def test_streams_are_integrated_over_the_true_exposures_live(play: Play) -> None:
    reduced = stored(play(asynchronous_run(), monitors=own_streams(), metadata=METADATA))
    assert reduced.transmitted == pytest.approx(beam(STARTS + 0.25))
    assert reduced.incident == pytest.approx([1000.0] * FRAMES)
    assert reduced.incident_sigma == pytest.approx([1.0] * FRAMES)
    assert reduced.average.trans == pytest.approx(beam(STARTS + 0.25).mean())
    assert reduced.average.trans_sigma > 0


def test_live_and_offline_agree_to_the_last_bit(play: Play) -> None:
    path = play(asynchronous_run(), monitors=own_streams(), metadata=METADATA)
    live = stored(path)
    dt = h5xs(path)
    dt.load_data()
    assert "water" not in dt._memory.unsaved, "the same numbers: what was live stays"
    dt.average_d1s("water")
    again = stored(path)
    for name in ("transmitted", "incident", "transmitted_sigma", "incident_sigma"):
        assert np.array_equal(getattr(again, name), getattr(live, name)), name
    assert np.array_equal(
        again.average.accumulators.to_array(), live.average.accumulators.to_array()
    )


@pytest.mark.parametrize(
    ("times", "known", "said"),
    [
        (TIMES[TIMES > 102.2], [False, False, True, True, True], "before its first reading"),
        (TIMES[TIMES < 104.3], [True, True, True, False, False], "after its last reading"),
        (TIMES[(TIMES < 102.1) | (TIMES > 103.9)], [True, False, False, True, True], "gap"),
        (np.where(np.abs(TIMES - 103.2) < 0.06, 103.2, TIMES), [True, True, False, True, True],
         "timestamps repeat"),
    ],
)  # fmt: skip
def test_what_a_stream_does_not_tell_is_nan_and_warned_of(
    play: Play, caplog: pytest.LogCaptureFixture, times: Any, known: list[bool], said: str
) -> None:
    path = play(asynchronous_run(times=times), monitors=own_streams(), metadata=METADATA)
    reduced = stored(path)
    assert np.isfinite(reduced.transmitted).tolist() == known
    assert np.isfinite(reduced.incident).all()
    assert reduced.selection.kept.tolist() == known, "frames without a reading are left out"
    assert any(said in text for text in caplog.messages)
    found = h5xs(path).get_mon("water", extend_mon_stream=True)
    assert isinstance(found, MonitorReadings)
    if "reading" in said:
        assert np.isfinite(found.transmitted).all(), "extended when asked"


def test_blocks_of_an_electrometer_are_read(play: Play) -> None:
    """One event with (rep, points) and a list of times, in a stream named after the device."""
    documents = run_documents(small_frames(FRAMES), monitors={"em1": 1000.0}, exposure_time=0.5)
    ends = np.arange(99.5, 108, 0.5)
    points = ends[:, None] - 0.5 + np.arange(1, 101) / 100 * 0.5
    documents = add_blocks(documents, "em2", "em2", times=ends.tolist(), blocks=beam(points))
    monitors = own_streams(incident_stream=None, transmitted_stream="em2")
    path = play(documents, monitors=monitors, metadata=METADATA)
    assert stored(path).transmitted == pytest.approx(beam(STARTS + 0.25))
    assert stored(path).incident.tolist() == [1000.0] * FRAMES
    with h5py.File(path) as file:
        assert file["water/em2/data/em2"].shape == (1, 17, 100)
        assert file["water/em2/timestamps/em2"][()].tolist() == [ends.tolist()]


def test_large_blocks_are_no_frames(play: Play) -> None:
    documents = run_documents(small_frames(2), monitors={}, exposure_time=0.5)
    ends = np.arange(99.0, 199.0)
    documents = add_blocks(documents, "em2", "em2", times=ends.tolist(), blocks=np.ones((100, 200)))
    monitors = own_streams(transmitted_stream="em2", incident_stream=None)
    path = play(documents, monitors=monitors, metadata=METADATA)
    assert not list(path.parent.glob("water/em2.em2*.h5"))
    assert stored(path).transmitted.tolist() == [1.0, 1.0]


def test_get_mon_gives_readings_transmission_and_uncertainties(experiment: Path) -> None:
    """Read with the detectors: one reading for each frame, the configured uncertainty."""
    dt = h5xs(experiment)
    found = dt.get_mon("lysozyme")
    assert isinstance(found, MonitorReadings)
    assert found.transmitted.tolist() == [800.0] * 8
    assert found.transmission == pytest.approx([0.8] * 8)
    assert found.transmission_sigma == pytest.approx([0.8 * 0.001 * np.sqrt(2)] * 8)
    assert dt.d0s["lysozyme"]["incident"].tolist() == [1000.0] * 8
    several = dt.get_mon(["lysozyme", "buffer"])
    assert isinstance(several, dict)
    assert [len(one.incident) for one in several.values()] == [8, 5]
    padded = dt.get_mon("buffer", check_size=7)
    assert isinstance(padded, MonitorReadings)
    assert np.isnan(padded.transmitted).tolist() == [False] * 5 + [True] * 2


def test_get_mon_takes_what_is_given_instead_of_the_configuration(play: Play) -> None:
    path = play(asynchronous_run(), monitors=own_streams(), metadata=METADATA)
    dt = h5xs(path)

    def transmitted(*args: Any, **kwargs: Any) -> Any:
        found = dt.get_mon("water", *args, **kwargs)
        assert isinstance(found, MonitorReadings)
        return found.transmitted

    assert transmitted() == pytest.approx(beam(STARTS + 0.25))
    assert transmitted(exp=0.2) == pytest.approx(beam(STARTS + 0.1))
    assert transmitted(stamped="end") == pytest.approx(beam(STARTS - 0.25))
    assert transmitted(force_synch_trig=0.3) == pytest.approx(beam(STARTS + 0.55))
    assert transmitted("time", exp=0.2).shape == (FRAMES,)
    lagging = dt.get_mon("water", force_synch=3.5)
    assert isinstance(lagging, MonitorReadings)
    assert np.isnan(lagging.incident).tolist() == [True, True, False, False, False]


@pytest.mark.parametrize("by", ["transmitted", "frames"])
def test_clocks_are_set_by_the_shutter(play: Play, by: Any) -> None:
    """The incident monitor's clock is 40 s off; the shutter opens with the first exposure."""
    opens = 101.0
    values = np.where(opens <= TIMES, 1000.0, 0.0)
    late = TIMES - 40.0
    documents = run_documents(small_frames(FRAMES), monitors={}, exposure_time=0.5)
    documents = add_readings(documents, "em1_monitor", "em1", times=late, values=values)
    documents = add_readings(documents, "em2_monitor", "em2", times=TIMES, values=values)
    path = play(documents, monitors=own_streams(synchronise=by), metadata=METADATA)
    reduced = stored(path)
    assert reduced.incident[1:] == pytest.approx([1000.0] * 4)
    assert reduced.transmitted[1:] == pytest.approx([1000.0] * 4)
    assert (reduced.incident[0], reduced.transmitted[0]) == pytest.approx((1000, 1000), rel=0.1)


def test_streams_that_cannot_be_synchronised_are_not_known(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    path = play(asynchronous_run(), monitors=own_streams(synchronise="frames"), metadata=METADATA)
    assert np.isnan(stored(path).transmitted).all()
    assert any("shutter" in text for text in caplog.messages)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"metadata": {}}, "'exposure'"),
        ({"monitors": own_streams(transmitted_stream="em3")}, "no such stream"),
        ({"monitors": own_streams(transmitted_stream="em1_monitor")}, "found ['em1']"),
        ({"monitors": own_streams(trigger="motor")}, "timestamps of 'motor'"),
    ],
)
def test_missing_source_is_told_and_the_frames_are_reduced(
    play: Play, caplog: pytest.LogCaptureFixture, changes: dict[str, Any], said: str
) -> None:
    values = {"monitors": own_streams(), "metadata": METADATA, **changes}
    reduced = stored(play(asynchronous_run(), **values))
    assert np.isnan(reduced.transmitted).all()
    assert any(said in text for text in caplog.messages)
    assert reduced.average is not None


def test_missing_exposure_time_is_told(play: Play, caplog: pytest.LogCaptureFixture) -> None:
    documents = run_documents(small_frames(2), monitors={})
    documents = add_readings(documents, "em2_monitor", "em2", times=TIMES, values=beam(TIMES))
    documents = add_readings(documents, "em1_monitor", "em1", times=TIMES, values=beam(TIMES))
    path = play(documents, monitors=own_streams(), metadata=METADATA)
    assert any("exposure time in s where [metadata] says, found None" in m for m in caplog.messages)
    found = h5xs(path).get_mon("water", exp=0.5)
    assert isinstance(found, MonitorReadings)
    assert np.isfinite(found.transmitted).all()


def test_failure_of_the_monitors_does_not_cost_the_average(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any, **__: Any) -> Any:
        raise OSError("injected")

    monkeypatch.setattr("h5xs_bluesky.callbacks.finish.complete_trans", failing)
    reduced = stored(play(asynchronous_run(), monitors=own_streams(), metadata=METADATA))
    assert reduced.average is not None
    assert np.isnan(reduced.average.trans)


def test_without_monitors_get_mon_says_so(play: Play, experiment: Path) -> None:
    dt = h5xs(experiment)
    with pytest.raises(SampleNotFoundError, match="lysozyme"):
        dt.get_mon("lysozim")
    with pytest.raises(ReductionError, match="nothing: expected frames of"):
        dt.get_mon("nothing")


def test_beamline_without_monitors_has_none(play: Play) -> None:
    dt = h5xs(play(run_documents(small_frames(2), monitors={}), monitors=None))
    with pytest.raises(ReductionError, match="water: expected monitors"):
        dt.get_mon("water")


def test_monitors_are_plotted_against_the_exposures(play: Play) -> None:
    from matplotlib import pyplot as plt

    path = play(asynchronous_run(), monitors=own_streams(), metadata=METADATA)
    h5xs(path).get_mon("water", plot_trigger=True)
    axes = plt.gcf().axes[0]
    assert axes.get_xlabel() == "time from the first exposure (s)"
    assert axes.get_title() == "water"
    assert len(axes.lines) >= 4, "both streams, and both monitors during the exposures"
    plt.close("all")


def test_monitors_read_with_the_detectors_are_plotted_by_frame(experiment: Path) -> None:
    from matplotlib import pyplot as plt

    h5xs(experiment).get_mon("buffer", plot_trigger=True)
    assert plt.gcf().axes[0].get_xlabel() == "frame"
    plt.close("all")


# The small beamline's grid ends at 0.3 1/Å: its "water peak" is put where it has bins.
PEAK = ReductionOptions(trans="water", water_q_range=(0.1, 0.18))


def in_peak(d1: Data1d) -> Any:
    return (d1.qgrid > 0.1) & (d1.qgrid < 0.18)


def merged(dt: h5xs, sample: str) -> list[Data1d]:
    curves = dt.d1s[sample]["merged"]
    assert isinstance(curves, list)
    return curves


def test_water_peak_normalises_live_where_configured(play: Play) -> None:
    buffer = run_documents(small_frames(4, seed=1), monitors={}, sample_name="buffer")
    sample = run_documents(
        small_frames(4, seed=2, mean=80.0), monitors={}, sample_name="protein", buffer="buffer"
    )
    path = play(buffer, sample, monitors=None, reduction=PEAK)
    dt = h5xs(path)
    dt.load_d1s("protein")
    for d1 in merged(dt, "protein"):
        assert d1.trans == d1.trans_w == pytest.approx(d1.data[in_peak(d1)].sum())
        assert d1.trans_w_sigma == pytest.approx(np.sqrt((d1.err[in_peak(d1)] ** 2).sum()))
        assert np.isnan(d1.trans_e)
    subtracted = dt.get_d1("protein", "subtracted")
    assert subtracted.data[in_peak(subtracted)].sum() == pytest.approx(0, abs=1e-9)
    live = stored(path, "protein")
    dt.load_data()
    dt.average_d1s()
    again = stored(path, "protein")
    assert np.array_equal(again.water, live.water)
    assert np.array_equal(again.subtraction.curve, live.subtraction.curve, equal_nan=True)


def test_monitors_of_a_file_that_does_not_tell_them_can_be_given(tmp_path: Path) -> None:
    """As in files of the ancestor: frames, and electrometers in streams beside them."""
    beamline = small_beamline()
    path = tmp_path / "lix.h5"
    frames = small_frames(FRAMES)
    with h5py.File(path, "w") as file:
        sample = file.create_group("lysozyme")
        sample.attrs["start"] = '{"uid": "x", "time": 1.0}'
        for field in ("saxs_image", "waxs_image"):
            sample[f"primary/data/{field}"] = np.stack([frame[field] for frame in frames])
            sample[f"primary/timestamps/{field}"] = STARTS[:1]  # one for the whole series
        for field in ("em1", "em2"):
            sample[f"{field}/data/{field}"] = beam(TIMES)
            sample[f"{field}/timestamps/{field}"] = TIMES
    dt = h5xs(path, [beamline.detectors, beamline.qgrid])
    with pytest.raises(ReductionError, match="lysozyme: expected monitors"):
        dt.get_mon("lysozyme")
    dt.monitors = own_streams(incident_stream="em1", transmitted_stream="em2", dead_time_s=0.1)
    starts = STARTS[0] + 0.6 * np.arange(FRAMES)
    found = dt.get_mon("lysozyme", exp=0.5)
    assert isinstance(found, MonitorReadings)
    assert found.transmitted == pytest.approx(beam(starts + 0.25))
    assert found.transmission == pytest.approx([1.0] * FRAMES)
    dt.load_data()
    assert np.isnan([d1.trans for d1 in merged(dt, "lysozyme")]).all(), "no exposure time there"
    dt.set_trans("external", "lysozyme", exp=0.5)
    trans = [d1.trans for d1 in merged(dt, "lysozyme")]
    assert trans == pytest.approx(beam(starts + 0.25).tolist())


@pytest.mark.parametrize(("mode", "by_water"), [("2,em2", True), ("0,em2", False)])
def test_mode_in_an_ancestor_s_file_is_taken_over(play: Play, mode: str, by_water: bool) -> None:
    path = play(run_documents(small_frames(3)))
    with h5py.File(path, "r+") as file:
        del file.attrs["beamline"]
        file.attrs["trans"] = mode
    reduction = h5xs(path)._memory.beamline.reduction
    assert (reduction.trans == "water") is by_water


def test_root_attribute_tells_the_ancestor_that_the_water_peak_normalises(play: Play) -> None:
    path = play(run_documents(small_frames(3)), reduction=PEAK)
    with h5py.File(path) as file:
        assert file.attrs["trans"] == "2,em2"


class trans_mode(Enum):  # noqa: N801 - as the ancestor's
    external = 0
    from_waxs = 2


@pytest.mark.parametrize("mode", ["water", "from_waxs", trans_mode.from_waxs, 2])
def test_set_trans_takes_the_water_peak_and_what_was_made_follows(
    experiment: Path, mode: Any
) -> None:
    dt = h5xs(experiment)
    dt.load_d1s("lysozyme")
    before = dt.get_d1("lysozyme", "averaged")
    kept = dt.attrs["lysozyme"]["selected"]
    assert before.trans == 800.0
    dt.set_trans(mode, q_start=0.1, q_end=0.18)
    after = dt.get_d1("lysozyme", "averaged")
    frames = [d1 for d1, keep in zip(merged(dt, "lysozyme"), kept, strict=True) if keep]
    assert after.trans == pytest.approx(np.mean([d1.trans_w for d1 in frames]))
    assert after.trans_e == before.trans
    assert np.allclose(after.data, before.data, rtol=1e-12, equal_nan=True), "curves stay undivided"
    assert np.array_equal(dt.attrs["lysozyme"]["selected"], kept)
    subtracted = dt.get_d1("lysozyme", "subtracted")
    assert subtracted.data[in_peak(subtracted)].sum() == pytest.approx(0, abs=1e-9)
    again = h5xs(experiment)
    assert again.get_d1("lysozyme", "averaged").trans == after.trans, "saved"
    again.average_d1s("lysozyme", selection=kept)
    assert again.get_d1("lysozyme", "averaged").trans == after.trans, "and kept"
    again.set_trans("external")
    assert again.get_d1("lysozyme", "averaged").trans == 800.0


def test_trans_of_another_kind_is_not_mixed(
    experiment: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dt = h5xs(experiment, read_only=True)
    dt.set_trans("water", "lysozyme", q_start=0.1, q_end=0.18)
    assert "subtracted" not in dt.d1s["lysozyme"]
    assert any("from the same source" in text for text in caplog.messages)


def test_water_peak_can_be_found_beside_the_monitor(experiment: Path) -> None:
    dt = h5xs(experiment, read_only=True)
    dt.set_trans("external", "lysozyme", q_start=0.1, q_end=0.18, calc_water_peak=True)
    d1 = merged(dt, "lysozyme")[0]
    assert (d1.trans, d1.trans_e) == (800.0, 800.0)
    assert d1.trans_w == pytest.approx(d1.data[in_peak(d1)].sum())


def test_set_trans_refuses_what_is_not_there(experiment: Path, play: Play) -> None:
    dt = h5xs(experiment, read_only=True)
    with pytest.raises(ReductionError, match=r"lysozyme: .*water peak, from 1\.85 to 2\.15"):
        dt.set_trans("water", "lysozyme")
    with pytest.raises(ReductionError, match="nothing: expected reduced frames"):
        dt.set_trans("water", "nothing")
    with pytest.raises(ReductionError, match="'external' or 'water', found 'waxs'"):
        dt.set_trans("waxs")
    with pytest.raises(SampleNotFoundError, match="lysozyme"):
        dt.set_trans("water", "lysozim")


def test_external_trans_without_readings_is_refused(play: Play) -> None:
    path = play(run_documents(small_frames(3), monitors={}), monitors=None, reduction=PEAK)
    with pytest.raises(ReductionError, match="water: expected readings of a monitor"):
        h5xs(path).set_trans("external", "water")


def test_missing_water_peak_is_told_live_and_the_frames_are_averaged(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        path = play(
            run_documents(small_frames(3)),
            monitors=Monitors(transmitted="em2"),
            reduction=ReductionOptions(trans="water"),
        )
    assert any("do not see it" in text for text in caplog.messages)
    average = stored(path).average
    assert np.isnan(average.trans)
    assert average.trans_mode == "water"


def test_frames_by_a_given_trigger_normalise(play: Play) -> None:
    path = play(asynchronous_run(), monitors=own_streams(), metadata=METADATA)
    dt = h5xs(path)
    dt.set_trans("external", "water", exp=0.2)
    assert [d1.trans for d1 in merged(dt, "water")] == pytest.approx(beam(STARTS + 0.1).tolist())


def test_small_beamline_configuration_comes_back(tmp_path: Path) -> None:
    from h5xs_bluesky.config import Beamline

    beamline = small_beamline(monitors=own_streams(max_gap_s=1.0), reduction=PEAK)
    again = Beamline.from_mapping(
        beamline.to_mapping(),
        detectors=beamline.detectors,
        qgrid=beamline.qgrid,
        origin="a test",
    )
    assert again.monitors == beamline.monitors
    assert again.reduction == beamline.reduction
