"""The live path, from documents to files."""

import json
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401 - registers the filters
import numpy as np
import pytest
from small_beamline import (
    SAXS,
    WAXS,
    Documents,
    run_documents,
    small_beamline,
    small_frames,
)

from h5xs_bluesky import h5xs
from h5xs_bluesky.callbacks import live_reduction
from h5xs_bluesky.callbacks.live_reduction import LiveReduction
from h5xs_bluesky.callbacks.room import Room
from h5xs_bluesky.config import Monitors, Output
from h5xs_bluesky.errors import FramesNotSavedError
from h5xs_bluesky.io.journal import FrameReference, read_journal
from h5xs_bluesky.io.processed import read_processed


def play(documents: Documents, folder: Path, **changes: Any) -> dict[str, Any]:
    """Send documents through a new callback into the experiment `folder`, to the end."""
    live = LiveReduction(small_beamline(**changes), folder)
    try:
        send(live, documents)
        assert live.wait(30)
        return live.status()
    finally:
        live.close()


def send(live: LiveReduction, documents: Documents) -> None:
    for name, doc in documents:
        live(name, doc)


def opened(folder: Path) -> h5py.File:
    return h5py.File(folder / "experiment.h5", "r")


def test_every_frame_is_on_disk_bit_for_bit(tmp_path: Path) -> None:
    frames = small_frames(6)
    status = play(run_documents(frames), tmp_path)
    with opened(tmp_path) as file:
        for field in (SAXS, WAXS):
            data = file[f"water/primary/data/{field}"]
            assert data.dtype == np.int32
            assert np.array_equal(data[()], [frame[field] for frame in frames])
    assert (status["received"], status["acknowledged"], status["reduced"]) == (12, 12, 12)
    assert (status["failed"], status["lost"], status["queue"]) == (0, 0, 0)


def test_layout_is_the_documented_one(tmp_path: Path) -> None:
    play(run_documents(small_frames(3)), tmp_path)
    with opened(tmp_path) as file:
        sample = file["water"]
        assert set(file.attrs) >= {"detectors", "qgrid", "trans", "h5xs_schema"}
        assert set(sample) == {"primary", "processed", "reduction"}
        assert set(sample["primary/data"]) == {SAXS, WAXS, "em1", "em2"}
        assert set(sample["primary/timestamps"]) == {SAXS, WAXS, "em1", "em2"}
        assert set(sample["processed"]) == {"_SAXS", "_WAXS", "merged", "averaged"}
        assert sample["processed/merged"].shape == (3, 2, 25)
        assert sample["processed/averaged"].shape == (2, 25)
        assert sample["primary/time"].shape == (3,)
        assert sample["primary/data/em2"][()].tolist() == [800.0] * 3
        assert json.loads(sample.attrs["start"])["sample_name"] == "water"
        assert json.loads(sample.attrs["stop"])["exit_status"] == "success"


def test_journal_holds_every_document_with_references_for_pixels(tmp_path: Path) -> None:
    documents = run_documents(small_frames(3))
    play(documents, tmp_path)
    records = list(read_journal(tmp_path / "water" / "documents.msgpack"))
    ours = [(name, doc) for name, doc in records if not name.startswith("h5xs")]
    assert [name for name, _ in ours] == [name for name, _ in documents]
    for (_, found), (_, sent) in zip(ours, documents, strict=True):
        if "data" not in sent:
            assert found == sent
            continue
        number = sent["seq_num"] - 1
        assert found["data"][SAXS] == FrameReference(
            "primary.saxs_image.h5", number, 1, (64, 48), "<i4"
        )
        assert found["data"]["em1"] == sent["data"]["em1"]
        assert {**found, "data": None} == {**sent, "data": None}


def test_buffer_is_subtracted_when_it_was_measured_before(tmp_path: Path) -> None:
    play(run_documents(small_frames(5, seed=1), sample_name="buffer"), tmp_path)
    sample = small_frames(5, seed=2, mean=80.0)
    play(run_documents(sample, sample_name="protein", buffer="buffer"), tmp_path)
    with opened(tmp_path) as file:
        subtracted = file["protein/processed/subtracted"][()]
        averaged = [file[f"{name}/processed/averaged"][()] for name in ("protein", "buffer")]
    assert subtracted[0] == pytest.approx(averaged[0][0] - averaged[1][0], nan_ok=True)


def test_buffer_is_subtracted_when_it_is_measured_after(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    sample = small_frames(5, seed=2, mean=80.0)
    first = play(run_documents(sample, sample_name="protein", buffer="buffer"), tmp_path)
    assert "not averaged yet" in first["runs"][0]["warnings"][0]
    told = [r.levelno for r in caplog.records if "not averaged yet" in r.getMessage()]
    assert told == [logging.INFO], "that is the order of things"
    play(run_documents(small_frames(5, seed=1), sample_name="buffer"), tmp_path)
    with opened(tmp_path) as file:
        assert "subtracted" in file["protein/processed"]
        assert "subtracted" not in file["buffer/processed"]


def test_sample_that_cannot_be_subtracted_is_told_in_one_line_and_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its buffer is measured again and again."""
    play(run_documents(small_frames(3), monitors={}, sample_name="s", buffer="buffer"), tmp_path)
    for _ in range(3):
        play(run_documents(small_frames(3, seed=1), sample_name="buffer"), tmp_path)
    told = [r for r in caplog.records if "subtracted from s" in r.getMessage()]
    assert [(r.levelno, r.exc_info) for r in told] == [(logging.WARNING, None)]
    assert "no usable monitor" in told[0].getMessage()


@pytest.mark.parametrize("even", [True, False])
def test_map_has_no_average_and_that_is_one_line(
    tmp_path: Path, even: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Also of a sample that fills it evenly: the places are the user's to choose."""
    caplog.set_level(logging.INFO)
    documents = run_documents(small_frames(6), sample_name="film", shape=[2, 3])
    if not even:
        for number, (_, doc) in enumerate(documents[2:-1]):
            doc["data"]["em2"] = 1000.0 if number % 2 else 700.0
    run = play(documents, tmp_path)["runs"][0]
    with opened(tmp_path) as file:
        assert "averaged" not in file["film/processed"]
        assert len(file["film/processed/merged"]) == 6
    assert run["warnings"] == ["no average of a map of 2 × 3 places, whose frames differ"]
    assert run["errors"] == []
    own = [r.levelno for r in caplog.records if r.name.startswith("h5xs_bluesky")]
    assert own == [logging.INFO]


NAMES = [
    # what the start document says, the group that appears, why
    ({"sample_name": "lysozyme"}, "lysozyme", "an ordinary name stays"),
    ({"sample_name": "../a/b"}, "_._a_b", "a path is no path here"),
    ({"sample_name": ""}, "scan_7", "an empty name is none"),
    ({"sample_name": 42}, "42", "a number is a name"),
    ({"sample_name": {"name": "nested"}}, "nested", "event-model allows a sample document"),
    ({"sample_name": "experiment.h5"}, "experiment.h5_7", "the experiment's own file stays"),
    ({"sample_name": "a\0b\n"}, "a_b_", "control characters cannot be in a name"),
    ({"sample_name": "x" * 500}, "x" * 120, "disks have limits"),
    ({"sample_name": ".hidden"}, "_hidden", "nothing hides"),
    ({"sample_name": "µ-gel 5 %"}, "µ-gel 5 %", "letters of any language and signs are fine"),
]


@pytest.mark.parametrize(("start", "group", "why"), NAMES, ids=[row[2] for row in NAMES])
def test_frames_are_written_whatever_the_sample_is_called(
    tmp_path: Path, start: dict[str, Any], group: str, why: str
) -> None:
    folder = tmp_path / "experiment"
    play(run_documents(small_frames(1), **start), folder)
    with opened(folder) as file:
        assert list(file) == [group], why
        assert file[f"{group}/primary/data/{SAXS}"].shape == (1, 64, 48)
    assert sorted(tmp_path.iterdir()) == [folder], "nothing outside the experiment's folder"


def test_run_without_a_sample_name_is_called_after_its_scan(tmp_path: Path) -> None:
    documents = run_documents(small_frames(1))
    del documents[0][1]["sample_name"]
    status = play(documents, tmp_path)
    with opened(tmp_path) as file:
        assert list(file) == ["scan_7"]
    assert "'sample_name'" in status["runs"][0]["warnings"][0]


def test_second_run_of_a_sample_gets_a_group_of_its_own(tmp_path: Path) -> None:
    for scan_id in (1, 2, 2):
        play(run_documents(small_frames(1), scan_id=scan_id), tmp_path)
    with opened(tmp_path) as file:
        names = sorted(file)
    assert names[:2] == ["water", "water_2"]
    assert names[2].startswith("water_2_")


ODD_RUNS = [
    # what comes, frames written, frames reduced, part of the warning or error, why
    ([], 0, 0, "nothing to reduce", "an empty run"),
    ([{"other": np.zeros((80, 80), "u2")}] * 2, 2, 0, "'em2', 'other']", "no detector of ours"),
    ([{"temperature": 20.5}] * 2, 0, 0, "no frames of ['saxs_image'", "no detector at all"),
    ([{SAXS: np.ones((30, 30), "i4")}] * 2, 2, 0, "shape (64, 48)", "a frame of the wrong shape"),
    ([{SAXS: np.ones((64, 48), "c8")}] * 2, 0, 0, "nothing to reduce", "complex numbers"),
    ([{SAXS: np.ones((64, 48), "f4")}] * 2, 2, 2, "", "a frame of floats is a frame"),
    ([{SAXS: np.ones((3, 64, 48), "u2")}] * 2, 6, 6, "", "several frames per event"),
    ([{SAXS: np.ones((64, 48), "i4").tolist()}] * 2, 2, 2, "", "nested lists, as from a store"),
]


@pytest.mark.parametrize(("events", "written", "reduced", "said", "why"), ODD_RUNS)
def test_odd_runs_end_in_an_ordinary_way(
    tmp_path: Path,
    events: list[dict[str, Any]],
    written: int,
    reduced: int,
    said: str,
    why: str,
) -> None:
    status = play(run_documents(events), tmp_path)
    run = status["runs"][0]
    assert run["finished"], why
    assert (run["acknowledged"], run["reduced"]) == (written, reduced), why
    assert run["lost"] == 0
    assert said in " ".join([*run["errors"], *run["warnings"]])
    with opened(tmp_path) as file:
        assert list(file) == ["water"]


def test_shape_that_changes_within_a_run_goes_to_a_second_file(tmp_path: Path) -> None:
    good, odd = np.ones((64, 48), "i4"), np.full((20, 20), 7, "i4")
    status = play(run_documents([{SAXS: f} for f in (good, odd, 3 * good)]), tmp_path)
    with opened(tmp_path) as file:
        data = file["water/primary/data"]
        assert np.array_equal(data[SAXS][()], [good, 3 * good])
        assert np.array_equal(data[SAXS + "_2"][()], [odd])
        curves = file["water/processed/_SAXS"][()]
    assert np.isnan(curves).all(axis=(1, 2)).tolist() == [False, True, False]
    assert (status["reduced"], status["failed"]) == (2, 1)


def test_run_without_monitors_is_averaged_but_not_subtracted(tmp_path: Path) -> None:
    play(run_documents(small_frames(3), monitors={}, sample_name="buffer"), tmp_path)
    documents = run_documents(small_frames(3), monitors={}, buffer="buffer")
    run = play(documents, tmp_path)["runs"][0]
    with opened(tmp_path) as file:
        assert set(file["water/processed"]) >= {"averaged"}
        assert "subtracted" not in file["water/processed"]
        assert np.isnan(file["water/reduction/transmitted"][()]).all()
    assert "the frames are not normalised" in run["warnings"][0]
    assert "transmitted" in run["last_error"]


def test_beamline_without_monitors_subtracts_equal_exposures(tmp_path: Path) -> None:
    for name in ("buffer", "water"):
        documents = run_documents(small_frames(3), sample_name=name, buffer="buffer")
        play(documents, tmp_path, monitors=None)
    with opened(tmp_path) as file:
        assert "subtracted" in file["water/processed"]


def test_only_the_incident_monitor_normalises_when_there_is_no_other(tmp_path: Path) -> None:
    play(run_documents(small_frames(3)), tmp_path, monitors=Monitors(incident="em1"))
    with opened(tmp_path) as file:
        assert file["water/processed/merged"].attrs["trans"].tolist() == [1000.0] * 3
        assert file.attrs["trans"] == "0,em1"


def test_frames_measured_again_after_a_pause_supersede_the_first(tmp_path: Path) -> None:
    play(run_documents(small_frames(4), seq_nums=[1, 2, 2, 3]), tmp_path)
    with opened(tmp_path) as file:
        assert file["water/primary/superseded"][()].tolist() == [False, True, False, False]
        assert file[f"water/primary/data/{SAXS}"].shape[0] == 4
        assert not file["water/processed"].attrs["selected"][1]
        assert file["water/reduction/selection/reason"][1] == b"superseded"


def test_array_is_copied_before_the_call_returns(tmp_path: Path) -> None:
    buffer = np.zeros((64, 48), "i4")
    sent = []
    live = LiveReduction(small_beamline(), tmp_path)
    for name, doc in run_documents([{SAXS: buffer}] * 5):
        if name == "event":
            buffer[:] = doc["seq_num"]
            sent.append(buffer.copy())
        live(name, doc)
        buffer[:] = -1
    assert live.wait(30)
    live.close()
    with opened(tmp_path) as file:
        assert np.array_equal(file[f"water/primary/data/{SAXS}"][()], sent)


def test_interleaved_runs_are_kept_apart(tmp_path: Path) -> None:
    first = run_documents(small_frames(3, seed=1), sample_name="first")
    second = run_documents(small_frames(3, seed=2), sample_name="second")
    play([doc for pair in zip(first, second, strict=True) for doc in pair], tmp_path)
    with opened(tmp_path) as file:
        for name, seed in (("first", 1), ("second", 2)):
            frames = [frame[SAXS] for frame in small_frames(3, seed=seed)]
            assert np.array_equal(file[f"{name}/primary/data/{SAXS}"][()], frames)


def test_event_pages_are_taken_apart(tmp_path: Path) -> None:
    import event_model

    documents = run_documents(small_frames(3))
    events = [doc for name, doc in documents if name == "event"]
    page = event_model.pack_event_page(*events)
    paged = [pair for pair in documents if pair[0] != "event"]
    paged.insert(2, ("event_page", dict(page)))
    play(paged, tmp_path)
    with opened(tmp_path) as file:
        frames = [frame[SAXS] for frame in small_frames(3)]
        assert np.array_equal(file[f"water/primary/data/{SAXS}"][()], frames)


def test_strings_and_arrays_lie_in_the_run_file_after_the_stop(tmp_path: Path) -> None:
    events = [{SAXS: np.ones((64, 48), "i4"), "mode": m, "trace": np.arange(4) + i}
              for i, m in enumerate(["in", "out"])]  # fmt: skip
    play(run_documents(events), tmp_path)
    with opened(tmp_path) as file:
        data = file["water/primary/data"]
        assert data["mode"].asstr()[()].tolist() == ["in", "out"]
        assert data["trace"][()].tolist() == [[0, 1, 2, 3], [1, 2, 3, 4]]


def test_experiment_has_the_last_word_on_the_detectors(tmp_path: Path) -> None:
    from small_beamline import small_detector

    play(run_documents(small_frames(2)), tmp_path)
    other = (small_detector("_SAXS", SAXS, distance_m=0.9),)
    play(run_documents(small_frames(2), scan_id=8), tmp_path, detectors=other)
    with opened(tmp_path) as file:
        assert set(file["water_8/processed"]) >= {"_SAXS", "_WAXS"}
        curves = [file[f"{name}/processed/_SAXS"][()] for name in ("water", "water_8")]
    assert np.array_equal(curves[0], curves[1], equal_nan=True)


def test_folder_may_be_a_template_over_the_start_document(tmp_path: Path) -> None:
    output = Output(folder="{cycle}/{proposal.id}", base=tmp_path)
    documents = run_documents(small_frames(1), cycle="2026-3", proposal={"id": "../../etc"})
    live = LiveReduction(small_beamline(output=output))
    for name, doc in documents:
        live(name, doc)
    assert live.wait(30)
    live.close()
    assert (tmp_path / "2026-3" / "_._.._etc" / "water" / "run.h5").is_file()


def test_missing_key_of_the_template_does_not_stop_the_frames(tmp_path: Path) -> None:
    output = Output(folder="{cycle}", base=tmp_path)
    live = LiveReduction(small_beamline(output=output))
    for name, doc in run_documents(small_frames(1)):
        live(name, doc)
    assert live.wait(30)
    status = live.status()
    live.close()
    assert (tmp_path / "unsorted" / "water" / "run.h5").is_file()
    assert "'cycle'" in status["last_error"]


def test_folder_that_goes_away_between_runs_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "experiment"
    live = LiveReduction(small_beamline(), folder)
    for scan_id in (7, 8, 9):
        if scan_id == 9:
            folder.rename(tmp_path / "moved")
        assert "has gone" not in caplog.text
        for name, doc in run_documents(small_frames(1), scan_id=scan_id):
            live(name, doc)
        assert live.wait(30)
    live.close()
    assert caplog.text.count("experiment.h5 has gone since the last run: a new experiment") == 1
    for found, samples in (("moved", {"water", "water_8"}), ("experiment", {"water"})):
        assert set(h5xs(tmp_path / found / "experiment.h5").samples) == samples


class _Broken:
    """Fails where a fault is to be injected."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise self.error


def test_failing_reduction_leaves_the_raw_frames_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from h5xs_bluesky.reduction.integration.compiled import CompiledIntegrator

    monkeypatch.setattr(CompiledIntegrator, "integrate", _Broken(RuntimeError("injected")))
    with caplog.at_level(logging.ERROR):
        status = play(run_documents(small_frames(4)), tmp_path)
    assert (status["acknowledged"], status["failed"], status["reduced"]) == (8, 8, 0)
    assert "injected" in caplog.text
    with opened(tmp_path) as file:
        assert file[f"water/primary/data/{SAXS}"].shape[0] == 4
        assert np.isnan(file["water/processed/merged"][()]).all()


def test_frames_that_cannot_be_written_raise_into_the_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from h5xs_bluesky.io.frames import FrameFile

    monkeypatch.setattr(FrameFile, "commit", _Broken(OSError(28, "No space left on device")))
    live = LiveReduction(small_beamline(), tmp_path)
    documents = run_documents(small_frames(3))
    for name, doc in documents[:3]:
        live(name, doc)
    assert live.wait(30)
    with pytest.raises(FramesNotSavedError, match="No space left"):
        live(*documents[3])
    live(*documents[-1])
    assert live.wait(30)
    status = live.status()
    live.close()
    assert status["acknowledged"] == 0
    assert status["lost"] == 2
    assert status["runs"][0]["finished"]


def test_folder_that_cannot_be_made_raises_into_the_scan(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the experiment should be")
    live = LiveReduction(small_beamline(), tmp_path / "taken")
    documents = run_documents(small_frames(2))
    live(*documents[0])
    assert live.wait(30)
    with pytest.raises(FramesNotSavedError):
        send(live, documents[1:])
    live.close()


def test_full_memory_holds_the_scan_and_then_fails_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    monkeypatch.setattr(
        live_reduction, "compress", lambda frame: (release.wait(30), frame.tobytes())[1]
    )
    output = Output(max_pending_mb=1, max_block_s=0.2)
    live = LiveReduction(small_beamline(output=output), tmp_path)
    frame = {SAXS: np.ones((600, 600), "i4")}
    documents = run_documents([frame] * 3)
    began = time.monotonic()
    with pytest.raises(FramesNotSavedError, match="max_pending_mb"):
        send(live, documents)
    assert 0.2 <= time.monotonic() - began < 5
    release.set()
    live.close()


def test_full_memory_pauses_the_plan_where_the_configuration_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compress, release, paused = live_reduction.compress, threading.Event(), []
    monkeypatch.setattr(
        live_reduction, "compress", lambda frame: (release.wait(30), compress(frame))[1]
    )
    output = Output(max_pending_mb=1, max_block_s=0.1, when_full="pause")
    live = LiveReduction(small_beamline(output=output), tmp_path, pause=lambda: paused.append(True))
    for name, doc in run_documents([{SAXS: np.ones((600, 600), "i4")}] * 3):
        live(name, doc)
    release.set()
    assert live.wait(30)
    status = live.status()
    live.close()
    assert paused
    assert status["lost"] == 0
    with opened(tmp_path) as file:
        assert file[f"water/primary/data/{SAXS}"].shape[0] == 3


def test_frames_are_read_back_from_disk_when_memory_is_short(tmp_path: Path) -> None:
    """With a quarter of it taken, the reducer gets no frames in memory, and the same bits."""
    roomy = play(run_documents(small_frames(8)), tmp_path / "roomy")
    live = LiveReduction(small_beamline(), tmp_path / "tight")
    live._room.enter_anyway(live._room._most)  # as if other frames filled it
    live._room._most *= 10
    for name, doc in run_documents(small_frames(8)):
        live(name, doc)
    live._room._most //= 10
    live._room.leave(live._room._most)
    assert live.wait(30)
    live.close()
    assert roomy["reduced"] == 16
    with opened(tmp_path / "roomy") as first, opened(tmp_path / "tight") as second:
        for name in ("_SAXS", "_WAXS", "merged", "averaged"):
            curves = [file[f"water/processed/{name}"][()] for file in (first, second)]
            assert np.array_equal(*curves, equal_nan=True)


def test_flooded_reduction_falls_behind_says_so_and_catches_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scan is not held, no frame is dropped, and the curves are those of a slow scan."""
    from h5xs_bluesky.reduction.integration.compiled import CompiledIntegrator

    frames = small_frames(60)
    calm = play(run_documents(frames), tmp_path / "calm")
    integrate = CompiledIntegrator.integrate

    def slowly(self: CompiledIntegrator, frame: Any) -> Any:
        time.sleep(0.02)
        return integrate(self, frame)

    monkeypatch.setattr(CompiledIntegrator, "integrate", slowly)
    # 1.5 MB of frames, so that those that wait leave memory and are read back
    live = LiveReduction(small_beamline(output=Output(max_pending_mb=1)), tmp_path / "flood")
    *documents, stop = run_documents(frames)

    def unwritten() -> int:
        status = live.status()
        return int(status["queue"] - status["behind"])

    for name, doc in documents:  # as fast as they are written
        live(name, doc)
        wait_until(lambda: unwritten() < 10)
    live(*stop)
    wait_until(lambda: live.status()["acknowledged"] == 120)
    before = live.status()
    assert before["behind"] > 30, "two threads reduce a hundred frames per second"
    assert before["behind"] >= 120 - before["reduced"] - 4
    wait_until(lambda: read_status(tmp_path / "flood")["behind"] > 0)
    assert live.wait(30)
    after = live.status()
    live.close()
    assert (after["reduced"], after["failed"], after["lost"]) == (120, 0, 0)
    assert (after["behind"], after["queue"]) == (0, 0)
    assert after["runs"][0]["warnings"] == calm["runs"][0]["warnings"], "the scan was not held"
    with opened(tmp_path / "calm") as first, opened(tmp_path / "flood") as second:
        for name in ("_SAXS", "_WAXS", "merged", "averaged"):
            curves = [file[f"water/processed/{name}"][()] for file in (first, second)]
            assert np.array_equal(*curves, equal_nan=True)


def wait_until(true: Callable[[], bool], *, timeout_s: float = 20.0) -> None:
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def read_status(folder: Path) -> dict[str, Any]:
    path = folder / "water" / "status.json"
    return dict(json.loads(path.read_text())) if path.exists() else {"behind": 0}


def test_reducer_gives_way_while_memory_is_short_and_goes_on_all_the_same() -> None:
    room = Room(100)
    room.enter_anyway(80)
    began = time.monotonic()
    room.wait_calm(0.2)
    assert time.monotonic() - began >= 0.2, "held for its time, not for ever"
    threading.Timer(0.1, room.leave, [10]).start()
    began = time.monotonic()
    room.wait_calm(20.0)
    assert time.monotonic() - began < 10


def test_status_file_tells_the_same_as_the_status(tmp_path: Path) -> None:
    status = play(run_documents(small_frames(2)), tmp_path)
    found = json.loads((tmp_path / "water" / "status.json").read_text())
    assert found == status["runs"][0]
    assert found["finished"]


def test_run_that_never_stops_is_closed_with_the_callback(tmp_path: Path) -> None:
    live = LiveReduction(small_beamline(), tmp_path)
    for name, doc in run_documents(small_frames(3))[:-1]:
        live(name, doc)
    live.close()
    with opened(tmp_path) as file:
        assert "stop" not in file["water"].attrs
        assert file[f"water/primary/data/{SAXS}"].shape[0] == 3
        assert file["water/processed/averaged"].shape == (2, 25)


def test_documents_of_a_run_whose_start_was_missed_are_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        status = play(run_documents(small_frames(2))[1:], tmp_path)
    assert status["received"] == 0
    assert "start was not seen" in caplog.text


def test_average_is_the_union_of_the_kept_frames(tmp_path: Path) -> None:
    play(run_documents(small_frames(5)), tmp_path)
    with opened(tmp_path) as file:
        sample = read_processed(file["water"])
    assert sample.average is not None
    kept = sample.merged[sample.average.kept]
    assert np.array_equal(sample.average.accumulators.signal, kept.signal.sum(axis=0))


def test_event_without_frames_leaves_a_gap_in_the_curves(tmp_path: Path) -> None:
    """Curves stand at their frame's position also when a detector misses events."""
    frames = small_frames(5)
    documents = run_documents(frames)
    for number, (name, doc) in enumerate(documents):
        if name == "event" and doc["seq_num"] in (1, 3):
            rest = {k: v for k, v in doc["data"].items() if k not in (SAXS, WAXS)}
            documents[number] = (name, {**doc, "data": rest})
    status = play(documents, tmp_path)
    with opened(tmp_path) as file:
        curves = file["water/processed/merged"][()]
        data = file[f"water/primary/data/{SAXS}"]
        assert data.parent["position"][()].tolist() == [1, 3, 4]
        assert file["water/reduction/transmitted"][()].tolist() == [800.0] * 5
    assert np.isnan(curves).all(axis=(1, 2)).tolist() == [True, False, True, False, False]
    assert (status["reduced"], status["failed"]) == (6, 0)


def test_event_with_another_number_of_frames_is_told_and_has_no_curves(tmp_path: Path) -> None:
    events = [{SAXS: np.ones((k, 64, 48), "i4")} for k in (2, 3, 2)]
    status = play(run_documents(events), tmp_path)
    with opened(tmp_path) as file:
        curves = file["water/processed/_SAXS"][()]
        data = file[f"water/primary/data/{SAXS}"]
        assert data.shape[0] == 7
        assert data.parent["position"][()].tolist() == [0, 1, -1, -1, -1, 4, 5]
    assert np.isnan(curves).all(axis=(1, 2)).tolist() == [False, False, True, True, False, False]
    assert "expected 2 frames" in " ".join(status["runs"][0]["errors"])


def test_after_close_only_frames_are_refused(tmp_path: Path) -> None:
    live = LiveReduction(small_beamline(), tmp_path)
    live.close()
    documents = run_documents(small_frames(1))
    send(live, [pair for pair in documents if pair[0] != "event"])
    (event,) = [pair for pair in documents if pair[0] == "event"]
    with pytest.raises(FramesNotSavedError, match="after close"):
        live(*event)
    assert live.wait(1)


def test_loss_is_told_at_the_stop_when_no_event_came_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the run is closed all the same."""
    from h5xs_bluesky.io.frames import FrameFile

    monkeypatch.setattr(FrameFile, "commit", _Broken(OSError(28, "No space left on device")))
    live = LiveReduction(small_beamline(), tmp_path)
    documents = run_documents(small_frames(1))
    send(live, documents[:-1])
    assert live.wait(30)
    with pytest.raises(FramesNotSavedError, match="No space left"):
        live(*documents[-1])
    assert live.wait(30)
    assert live.status()["runs"][0]["finished"]
    live.close()


def test_event_without_frames_is_taken_also_when_frames_were_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from h5xs_bluesky.io.frames import FrameFile

    monkeypatch.setattr(FrameFile, "commit", _Broken(OSError(28, "No space left on device")))
    live = LiveReduction(small_beamline(), tmp_path)
    documents = run_documents([*small_frames(2), {"temperature": 20.0}])
    send(live, documents[:3])
    assert live.wait(30)
    with pytest.raises(FramesNotSavedError):
        live(*documents[3])
    send(live, documents[4:])
    assert live.wait(30)
    live.close()


def test_document_that_makes_no_sense_does_not_reach_the_scan(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    live = LiveReduction(small_beamline(), tmp_path)
    send(live, run_documents(small_frames(1))[:2])
    live("descriptor", {"uid": "x"})
    live("event", {"no": "data"})
    live("nonsense", {})
    assert live.wait(30)
    live.close()
    assert "left alone" in caplog.text


@pytest.mark.parametrize("dtype", ["number", "integer", "string", "array"])
def test_frames_are_readable_whatever_their_descriptor_calls_them(
    tmp_path: Path, dtype: str
) -> None:
    frames = small_frames(3)
    documents = run_documents(frames)
    for name, doc in documents:
        if name == "descriptor":
            doc["data_keys"][SAXS] = {"source": "x", "dtype": dtype, "shape": []}
    status = play(documents, tmp_path)
    assert (status["acknowledged"], status["reduced"], status["last_error"]) == (6, 6, "")
    with opened(tmp_path) as file:
        found = file[f"water/primary/data/{SAXS}"][()]
        assert np.array_equal(found, [frame[SAXS] for frame in frames])
        assert file["water/primary/data/em1"].shape == (3,)
    dt = h5xs(tmp_path / "experiment.h5", read_only=True)
    assert np.array_equal(dt.get_d2("water", frn=2)["_SAXS"].data, frames[2][SAXS])


def test_second_kind_of_frames_does_not_take_the_name_of_another_field(tmp_path: Path) -> None:
    first, second = small_frames(2)
    documents = run_documents([{**first, f"{SAXS}_2": 5.0}, {**second, f"{SAXS}_2": 6.0}])
    events = [doc for name, doc in documents if name == "event"]
    events[1]["data"][SAXS] = second[SAXS].astype(np.int64)
    assert play(documents, tmp_path)["acknowledged"] == 4
    with opened(tmp_path) as file:
        data = file["water/primary/data"]
        assert data[f"{SAXS}_2"][()].tolist() == [5.0, 6.0]
        assert np.array_equal(data[f"{SAXS}_3"][0], second[SAXS])


def test_run_file_that_cannot_be_replaced_is_told(tmp_path: Path) -> None:
    live = LiveReduction(small_beamline(), tmp_path)
    *documents, stop = run_documents(small_frames(2))
    send(live, documents)
    assert live.wait(10)
    run_file = tmp_path / "water/run.h5"
    run_file.unlink()
    run_file.mkdir()
    send(live, [stop])
    assert live.wait(10)
    (run,) = live.status()["runs"]
    live.close()
    assert any("run.h5 could not be replaced" in error for error in run["errors"])
    assert run["acknowledged"] == 4
