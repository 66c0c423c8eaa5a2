"""Offline reduction: the bits of the live one, averages, selections, and saving them."""

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.plans import count
from small_beamline import SAXS, WAXS, run_documents, small_beamline, small_frames
from small_devices import Source

from h5xs_bluesky import h5xs, schema
from h5xs_bluesky.api.verify import verify
from h5xs_bluesky.callbacks.live_reduction import LiveReduction
from h5xs_bluesky.errors import ReductionError, RefusedError
from h5xs_bluesky.io.journal import JournalWriter, read_journal
from h5xs_bluesky.io.processed import read_processed
from h5xs_bluesky.reduction.accumulators import Accumulators
from h5xs_bluesky.reduction.sample import ReducedSample

Play = Callable[..., Path]


def stored(experiment: Path, sample: str = "lysozyme") -> ReducedSample:
    with h5py.File(experiment.parent / sample / "processed.h5") as file:
        return read_processed(file)


def offline(experiment: Path, sample: str = "lysozyme", **options: Any) -> ReducedSample:
    """Do everything anew, after the live result was taken away."""
    for path in experiment.parent.glob("*/processed.h5"):
        path.unlink()
    dt = h5xs(experiment)
    dt.load_data(**options)
    dt.average_d1s()
    return stored(experiment, sample)


def assert_same_bits(one: ReducedSample, other: ReducedSample) -> None:
    assert list(one.detectors) == list(other.detectors)
    for extension, part in one.detectors.items():
        assert same(part.to_array(), other.detectors[extension].to_array())
    assert same(one.merged.curve(), other.merged.curve())
    assert same(one.transmitted, other.transmitted)
    assert same(one.incident, other.incident)
    assert same(one.superseded, other.superseded)
    assert (one.selection is None) == (other.selection is None)
    if one.selection is not None and other.selection is not None:
        assert same(one.selection.kept, other.selection.kept)
        assert same(one.selection.p_value, other.selection.p_value)
        assert one.selection.reason == other.selection.reason
        assert one.selection.reference == other.selection.reference
    if one.average is not None and other.average is not None:
        sums, others = one.average.accumulators, other.average.accumulators
        assert same(sums.to_array(), others.to_array())
        assert same(one.average.trans, other.average.trans)
        assert same(one.average.trans_sigma, other.average.trans_sigma)
    assert (one.subtraction is None) == (other.subtraction is None)
    if one.subtraction is not None and other.subtraction is not None:
        assert same(one.subtraction.curve, other.subtraction.curve)
        assert one.subtraction.buffer == other.subtraction.buffer


def same(one: Any, other: Any) -> bool:
    return np.array_equal(one, other, equal_nan=np.asarray(one).dtype.kind == "f")


def test_offline_gives_the_bits_of_the_live_reduction(experiment: Path) -> None:
    live = stored(experiment)
    assert live.average is not None
    assert live.subtraction is not None
    assert_same_bits(live, offline(experiment))


def test_offline_gives_the_bits_of_the_live_reduction_of_a_run_engine(tmp_path: Path) -> None:
    frames = small_frames(6, seed=9)
    devices = [
        Source(SAXS, [frame[SAXS] for frame in frames]),
        Source(WAXS, [frame[WAXS] for frame in frames]),
        Source("em1", np.linspace(990, 1010, 6)),
        Source("em2", np.linspace(790, 810, 6)),
    ]
    live = LiveReduction(small_beamline(), tmp_path)
    engine = RunEngine({}, context_managers=[])
    engine.subscribe(live)
    engine(count(devices, 6), sample_name="lysozyme")
    assert live.wait(30)
    live.close()
    experiment = tmp_path / "experiment.h5"
    assert np.ptp(stored(experiment).transmitted) == 20
    assert_same_bits(stored(experiment), offline(experiment))


@pytest.mark.parametrize("executor", ["default", "processes"])
def test_executor_does_not_change_a_bit(play: Play, executor: str) -> None:
    experiment = play(run_documents(small_frames(40, seed=5), sample_name="lysozyme"))
    live = stored(experiment)
    if executor == "default":
        assert_same_bits(live, offline(experiment))
        return
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:  # threads do not fork
        assert_same_bits(live, offline(experiment, executor=pool, progress=True))


def stacks(events: int, frames: int) -> list[dict[str, Any]]:
    """Events that bring several frames each, and one reading of `em2` for each frame."""
    flat = small_frames(events * frames, seed=6)
    parts = [flat[i * frames : (i + 1) * frames] for i in range(events)]
    return [
        {key: np.stack([frame[key] for frame in part]) for key in (SAXS, WAXS)}
        | {"em2": np.linspace(790.0, 810.0, frames) + number}
        for number, part in enumerate(parts)
    ]


def without(events: list[dict[str, Any]], key: str, *numbers: int) -> list[dict[str, Any]]:
    return [
        {k: v for k, v in event.items() if k != key or number not in numbers}
        for number, event in enumerate(events)
    ]


def reshaped(events: list[Any], number: int) -> list[Any]:
    """One event's frame has another shape than the detector."""
    odd = {**events[number], SAXS: np.ones((8, 9), np.int32)}
    return [*events[:number], odd, *events[number + 1 :]]


@pytest.mark.parametrize(
    ("events", "options", "reason"),
    [
        (stacks(4, 3), {"monitors": {"em1": 1000.0}}, "three frames per event, and a reading each"),
        (small_frames(6), {"seq_nums": [1, 2, 3, 3, 4, 5]}, "an event measured again"),
        (small_frames(5), {"monitors": {}}, "no monitors"),
        (without(small_frames(5), WAXS, 3), {}, "an event without one of the detectors"),
        (reshaped(small_frames(5), 2), {}, "a frame of another shape"),
        (small_frames(1), {}, "a single frame"),
        (without(small_frames(4), WAXS, 0, 1, 2, 3), {}, "one detector only"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_offline_gives_the_bits_of_the_live_reduction_in_every_case(
    play: Play, events: list[Any], options: dict[str, Any], reason: str
) -> None:
    documents = run_documents(events, **{"sample_name": "lysozyme", **options})
    experiment = play(documents)
    live = stored(experiment)
    assert_same_bits(live, offline(experiment))


def test_average_from_the_same_numbers_stays_when_frames_are_reduced_again(
    experiment: Path,
) -> None:
    before = (experiment.parent / "lysozyme" / "processed.h5").stat().st_ino
    dt = h5xs(experiment)
    dt.load_data()
    assert "subtracted" in dt.d1s["lysozyme"]
    assert (experiment.parent / "lysozyme" / "processed.h5").stat().st_ino == before


def test_merging_again_changes_nothing(experiment: Path) -> None:
    dt = h5xs(experiment, read_only=True)
    dt.load_data(samples="lysozyme")
    before = dt.get_d1("lysozyme", frn=2).data
    dt.merge_d1s()
    assert same(dt.get_d1("lysozyme", frn=2).data, before)


def test_merging_nothing_is_an_error(experiment: Path) -> None:
    dt = h5xs(experiment)
    with pytest.raises(ReductionError, match=r"found none: call load_d1s"):
        dt.merge_d1s()
    dt.load_d1s()
    dt.merge_d1s()


def test_update_only_leaves_reduced_and_averaged_samples_alone(experiment: Path) -> None:
    (experiment.parent / "buffer" / "processed.h5").unlink()
    before = (experiment.parent / "lysozyme" / "processed.h5").stat().st_ino
    dt = h5xs(experiment, save_d1=False)
    dt.load_data(update_only=True)
    dt.average_d1s(update_only=True)
    assert (experiment.parent / "lysozyme" / "processed.h5").stat().st_ino == before
    assert not (experiment.parent / "buffer" / "processed.h5").exists()
    assert "averaged" in dt.d1s["buffer"]
    dt.save_d1s()
    assert stored(experiment, "buffer").average is not None


def test_selection_of_the_user_wins_and_comes_back(experiment: Path) -> None:
    wanted = [True, False, True, True, False, True, True, True]
    dt = h5xs(experiment)
    dt.average_d1s("lysozyme", selection=wanted)
    again = h5xs(experiment)
    again.load_d1s("lysozyme")
    assert again.attrs["lysozyme"]["selected"].tolist() == wanted
    assert stored(experiment).selection.reason[1] == "explicit"  # type: ignore[union-attr]
    again.average_d1s("lysozyme")
    assert again.attrs["lysozyme"]["selected"].tolist() == wanted
    again.average_d1s("lysozyme", filter_data=True)
    reasons = stored(experiment).selection.reason  # type: ignore[union-attr]
    assert "explicit" not in reasons


def test_changed_attribute_is_the_user_s_selection(experiment: Path) -> None:
    dt = h5xs(experiment)
    dt.load_d1s()
    dt.attrs["lysozyme"]["selected"] = [True] * 3 + [False] * 5
    dt.average_d1s()
    assert dt.get_d1("lysozyme", "averaged").comments == "average of 3 of 8 frames"
    assert dt.get_d1("buffer", "averaged").comments == "average of 5 of 5 frames"


@pytest.mark.parametrize(
    ("selection", "message", "reason"),
    [
        ([True, False], "selection of 8 frames", "too short"),
        ([False] * 8, "to be kept, found none", "nothing left"),
    ],
)
def test_selection_that_cannot_be_used_is_an_error(
    experiment: Path, selection: list[bool], message: str, reason: str
) -> None:
    with pytest.raises(ReductionError, match=message):
        h5xs(experiment).average_d1s("lysozyme", selection=selection)


def test_sample_whose_buffer_is_averaged_anew_is_subtracted_anew(experiment: Path) -> None:
    before = stored(experiment).subtraction
    dt = h5xs(experiment)
    dt.average_d1s("buffer", selection=[True, False, False, False, False])
    after = stored(experiment).subtraction
    assert before is not None
    assert after is not None
    assert not same(before.curve, after.curve)
    assert same(dt.get_d1("lysozyme", "subtracted").data, after.curve[0])


def test_sample_without_usable_monitor_keeps_its_average(play: Play) -> None:
    buffer = run_documents(small_frames(3), monitors={}, sample_name="buffer")
    sample = run_documents(small_frames(3), monitors={}, sample_name="lysozyme", buffer="buffer")
    experiment = play(buffer, sample)
    result = offline(experiment)
    assert result.average is not None
    assert result.subtraction is None


def test_saved_curves_load_as_they_were(experiment: Path) -> None:
    dt = h5xs(experiment)
    dt.average_d1s("lysozyme", selection=[True] * 6 + [False] * 2)
    again = h5xs(experiment)
    again.load_d1s()
    for group in ("_SAXS", "_WAXS", "merged"):
        for one, other in zip(dt.d1s["lysozyme"][group], again.d1s["lysozyme"][group], strict=True):
            assert same(one.data, other.data)
            assert same(one.err, other.err)
            assert one.trans == other.trans
    for group in ("averaged", "subtracted"):
        assert same(dt.get_d1("lysozyme", group).data, again.get_d1("lysozyme", group).data)
    with h5py.File(experiment) as file:
        curve = file["lysozyme/processed/averaged"][()]
    assert same(curve[0], again.get_d1("lysozyme", "averaged").data)


def test_saving_links_the_processed_file_where_the_live_reduction_failed(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(
            "h5xs_bluesky.callbacks.reducer.LiveProcessedFile.__init__",
            lambda *_, **__: (_ for _ in ()).throw(OSError("injected")),
        )
        experiment = play(run_documents(small_frames(4), sample_name="lysozyme", text="x"))
    with h5py.File(experiment) as file:
        before = set(file["lysozyme"])
        attrs = dict(file["lysozyme"].attrs)
    dt = h5xs(experiment)
    dt.load_data()
    dt.average_d1s()
    with h5py.File(experiment) as file:
        assert set(file["lysozyme"]) == before | {"processed", "reduction"}
        assert file["lysozyme/processed/averaged"].shape == (2, 25)
        assert dict(file["lysozyme"].attrs) == attrs
        assert file["lysozyme/primary/data/em2"].shape == (4,)


def test_saving_links_the_processed_file_of_a_run_whose_writer_died(experiment: Path) -> None:
    folder = experiment.parent / "lysozyme"
    (folder / "processed.h5").unlink()
    records = list(read_journal(folder / "documents.msgpack"))
    (folder / "documents.msgpack").unlink()
    journal = JournalWriter(folder / "documents.msgpack")
    for name, doc in records:
        if name != "stop":
            journal.append(name, doc)
    journal.close()
    with h5py.File(folder / "run.h5", "r+") as file:
        del file["lysozyme/processed"], file["lysozyme/reduction"], file["lysozyme"].attrs["stop"]
    dt = h5xs(experiment)
    dt.load_data(samples="lysozyme")
    dt.average_d1s("lysozyme")
    with h5py.File(experiment) as file:
        sample = file["lysozyme"]
        assert sample["processed/subtracted"].shape == (2, 25)
        assert sample["primary/data/em2"][()].tolist() == [800.0] * 8
        assert sample["primary/seq_num"].shape == (8,)
        assert sample.attrs["buffer"] == "buffer"
        assert "stop" not in sample.attrs


def test_nothing_to_save_is_an_error(experiment: Path) -> None:
    with pytest.raises(ReductionError, match="load_data"):
        h5xs(experiment).save_d1s("nothing")


def file_of_another_origin(path: Path, *samples: str) -> list[Any]:
    """Write a file like py4xs' without detectors or results; gives the frames of each sample."""
    frames = small_frames(3)
    with h5py.File(path, "w") as file:
        for name in samples:
            data = file.create_group(f"{name}/primary/data")
            file[name].attrs["start"] = json.dumps({"time": 1.0, "uid": f"u-{name}"})
            for key in (SAXS, WAXS):
                stack = np.stack([frame[key] for frame in frames])
                data[key] = stack[None] if key == SAXS else stack  # 4-D frames are met, too
            data["em2"] = [800.0, 801.0, 802.0]
    return frames


def test_results_for_a_file_of_another_origin_go_into_a_sidecar(tmp_path: Path) -> None:
    beamline = small_beamline()
    path = tmp_path / "packed.h5"
    frames = file_of_another_origin(path, "water", "buffer")
    content = path.read_bytes()
    setup = [beamline.detectors, beamline.qgrid]
    dt = h5xs(path, setup, transField="em2")
    dt.load_data()
    integrator = beamline.integrators()["_WAXS"]
    expected = integrator.integrate(frames[2][WAXS]).curve()
    assert same(dt.get_d1("water", "_WAXS", 2).data, expected[0])
    assert dt.get_d1("water", frn=2).trans == 802.0
    dt.average_d1s("water")
    assert path.read_bytes() == content
    again = h5xs(path, setup, transField="em2")
    again.load_d1s()
    for sample, names in (("water", ["_WAXS", "merged", "averaged"]), ("buffer", ["merged"])):
        for name in names:
            one, other = again.get_d1(sample, name), dt.get_d1(sample, name)
            assert same(one.data, other.data), (sample, name)
            assert same(one.err, other.err), (sample, name)
    with h5py.File(tmp_path / "packed.processed.h5") as file:
        assert set(file) == {"water", "buffer"}
        assert set(file["water"]) == {"processed", "reduction"}


def test_sidecar_that_links_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    beamline = small_beamline()
    path = tmp_path / "inside" / "packed.h5"
    path.parent.mkdir()
    file_of_another_origin(path, "water")
    with h5py.File(tmp_path / "o.h5", "w") as file:
        file["processed/merged"] = np.zeros((1, 2, 25))
    with h5py.File(tmp_path / "inside" / "packed.processed.h5", "w") as file:
        file["water"] = h5py.ExternalLink(str(tmp_path / "o.h5"), "/")
    with pytest.raises(RefusedError, match=r"o\.h5"):
        h5xs(path, [beamline.detectors, beamline.qgrid]).load_d1s("water")


def test_results_stay_in_memory_where_no_sidecar_can_be_written(
    tmp_path: Path, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    beamline = small_beamline()
    path = tmp_path / "packed.h5"
    file_of_another_origin(path, "water")

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "no space left")

    monkeypatch.setattr("h5xs_bluesky.api.stored.write_sidecar", fail)
    dt = h5xs(path, [beamline.detectors, beamline.qgrid], transField="em2")
    dt.load_data()
    assert "stay in memory" in caplog.text
    assert dt.get_d1("water", frn=2).trans == 802.0


def test_map_is_averaged_only_over_frames_that_the_user_chooses(
    play: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path = play(run_documents(small_frames(6), sample_name="film", shape=[2, 3]))
    caplog.clear()
    dt = h5xs(path)
    dt.load_data()
    dt.average_d1s()
    assert caplog.records == []
    assert "averaged" not in dt.d1s["film"]
    told = r"^film: no average of a map of 2 × 3 places, whose frames differ: .*selection="
    with pytest.raises(ReductionError, match=told):
        dt.average_d1s("film")
    assert caplog.records == [], "an error that is raised is not logged, too"
    assert dt.get_selection("film", preview=True) is None
    with pytest.raises(ReductionError, match="found no average of a map"):
        dt.plot_selection("film")
    assert [each.outcome for each in verify(path)] == ["identical"]
    kept = [True, True, False, False, False, False]
    dt.average_d1s("film", selection=kept)
    dt.average_d1s("film")
    chosen = dt.get_selection("film")
    assert chosen is not None
    assert chosen.kept.tolist() == kept, "the choice stays"
    dt.average_d1s("film", filter_data=True)
    selected = dt.get_selection("film")
    assert selected is not None
    assert selected.kept.all()


def test_frames_that_are_all_rejected_are_counted_by_reason(experiment: Path) -> None:
    dt = h5xs(experiment)
    with pytest.raises(ReductionError, match="8 frames to be kept, found none: 8 explicit"):
        dt.average_d1s("lysozyme", selection=[False] * 8)


def test_sample_without_frames_is_passed_over_unless_it_is_named(experiment: Path) -> None:
    dt = h5xs(experiment)
    dt.load_data()
    assert "nothing" not in dt.d1s
    with pytest.raises(ReductionError, match="nothing to reduce"):
        dt.load_data(samples=["nothing"])
    with pytest.raises(ReductionError, match="load_data"):
        dt.average_d1s(["nothing", "lysozyme"])
    assert "averaged" in dt.d1s["lysozyme"]


def test_frame_that_cannot_be_read_is_missing(experiment: Path, caplog: Any) -> None:
    path = experiment.parent / "lysozyme" / f"primary.{SAXS}.h5"
    with h5py.File(path, "r+") as file:
        file["data"].id.write_direct_chunk((4, 0, 0), b"\0" * 40)
    result = offline(experiment)
    assert result.merged.is_missing().tolist() == [n == 4 for n in range(8)]
    assert "frame 4 was left out" in caplog.text


def test_file_without_positions_has_its_frames_in_order(experiment: Path) -> None:
    live = stored(experiment)
    for path in (experiment.parent / "lysozyme").glob("primary.*_image.h5"):
        with h5py.File(path, "r+") as file:
            del file[schema.POSITION]
    assert_same_bits(live, offline(experiment))


def test_object_for_curves_only_reduces_nothing(experiment: Path) -> None:
    dt = h5xs(experiment, have_raw_data=False)
    with pytest.raises(RefusedError):
        dt.load_data()
    assert isinstance(dt.get_d1("lysozyme").data, np.ndarray)


def test_rows_beyond_the_journal_are_ignored(experiment: Path) -> None:
    live = stored(experiment)
    path = experiment.parent / "lysozyme" / f"primary.{SAXS}.h5"
    with h5py.File(path, "r+") as file:
        for name in ("data", "timestamps", "position"):
            file[name].resize(9, axis=0)
        file["position"][8] = 8
        file["committed"][0] = 9
    assert_same_bits(live, offline(experiment))


def test_missing_frames_are_nan_in_their_place(play: Play) -> None:
    events = without(small_frames(5), WAXS, 3)
    experiment = play(run_documents(events, sample_name="lysozyme"))
    dt = h5xs(experiment, read_only=True)
    dt.load_data()
    assert np.isnan(dt.get_d1("lysozyme", "_WAXS", 3).data).all()
    assert np.isnan(dt.get_d1("lysozyme", "merged", 3).data).all()
    assert np.isfinite(dt.get_d1("lysozyme", "_SAXS", 3).data).any()
    assert isinstance(offline(experiment).detectors["_WAXS"], Accumulators)


@pytest.mark.parametrize("given", [True, False, 0, -1.0, float("nan"), "2"])
def test_what_is_no_distance_is_refused(experiment: Path, given: Any) -> None:
    """The fifth argument in calls written for py4xs is its debug."""
    with pytest.raises(ReductionError, match=r"max_distance as a positive number, found.*debug"):
        h5xs(experiment).average_d1s("lysozyme", False, None, False, given)
