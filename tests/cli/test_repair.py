"""`h5xs repair`."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_beamline import run_documents, small_beamline, small_frames
from small_damage import CUTS, ZEROS, cut
from typer.testing import CliRunner

from h5xs_bluesky import h5xs
from h5xs_bluesky.callbacks import LiveReduction
from h5xs_bluesky.cli import app
from h5xs_bluesky.errors import FrameAbsentError
from h5xs_bluesky.io import repair
from h5xs_bluesky.io.journal import JournalWriter
from h5xs_bluesky.io.run_files import RunFolder

MONITORS = ("em1", "em2")


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    live = LiveReduction(small_beamline(), tmp_path)
    for name, doc in run_documents(small_frames(2)):
        live(name, doc)
    live.close()
    return tmp_path


def test_clean_experiment_has_nothing_to_repair(experiment: Path) -> None:
    result = CliRunner().invoke(app, ["repair", str(experiment)])
    assert result.exit_code == 0
    assert "nothing to repair" in result.output


def test_json_tells_each_sample(experiment: Path) -> None:
    result = CliRunner().invoke(app, ["repair", str(experiment), "--json"])
    (sample,) = json.loads(result.output)
    assert sample["sample"] == "water"
    assert sample["ended"]
    assert set(sample["frames"].values()) == {2}


def test_damaged_journal_is_told_and_fails(experiment: Path) -> None:
    journal = experiment / "water" / "documents.msgpack"
    journal.write_bytes(b"no journal at all" + journal.read_bytes()[17:])
    result = CliRunner().invoke(app, ["repair", str(experiment), "--json"])
    assert result.exit_code == 1
    assert "journal" in json.loads(result.output)[0]["problem"]


def test_missing_folder_is_one_line_and_exit_status_two(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["repair", str(tmp_path / "gone")])
    assert result.exit_code == 2
    assert "found none at" in result.output


@pytest.mark.parametrize(
    ("odd", "told"),
    [
        (
            ("stream_datum", {"uid": "u", "descriptor": "d", "stream_resource": "unknown"}),
            "expected its stream_resource 'unknown', found none",
        ),
        (("event", {"descriptor": "unknown", "seq_num": 1}), "expected its descriptor 'unknown'"),
        (("descriptor", {}), "descriptor: KeyError"),
        (("stream_resource", {"uid": "r"}), "stream_resource: KeyError"),
        (("h5xs_found", {"stream": "none", "rows": [0]}), "h5xs_found: KeyError"),
    ],
)
def test_record_that_does_not_fit_is_left_out_and_told(
    experiment: Path, odd: tuple[str, dict[str, object]], told: str
) -> None:
    """The other records count, and so do the other samples."""
    live = LiveReduction(small_beamline(), experiment)
    for name, doc in run_documents(small_frames(3), sample_name="z"):
        live(name, doc)
    live.close()
    journal = JournalWriter(experiment / "water" / "documents.msgpack")
    journal.append(*odd)
    journal.close()
    for sample in ("water", "z"):
        (experiment / sample / "run.h5").unlink()
    result = CliRunner().invoke(app, ["repair", str(experiment), "--json"])
    assert result.exit_code == 0
    water, other = json.loads(result.output)
    assert told in water["left_out"][0]
    assert (water["problem"], other["problem"], other["left_out"]) == ("", "", [])
    assert set(water["frames"].values()) == {2}
    assert set(other["frames"].values()) == {3}
    assert "a record was left out" in CliRunner().invoke(app, ["repair", str(experiment)]).output


def test_sample_that_cannot_be_repaired_does_not_hold_the_others(
    experiment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong with it."""
    (experiment / "z").mkdir()
    journal = JournalWriter(experiment / "z" / "documents.msgpack")
    journal.append("start", {"uid": "u"})
    journal.close()
    real = repair.repair_sample

    def fails(folder: RunFolder) -> repair.Repaired:
        if folder.sample == "water":
            raise KeyError("something else")
        return real(folder)

    monkeypatch.setattr(repair, "repair_sample", fails)
    result = CliRunner().invoke(app, ["repair", str(experiment), "--json"])
    assert result.exit_code == 1
    assert [sample["problem"] for sample in json.loads(result.output)] == [
        "KeyError('something else')",
        "",
    ]


def test_what_a_full_disk_does_not_take_is_told_and_done_by_the_next_repair(
    experiment: Path,
) -> None:
    """Where no file can have a byte more; the numbers come from the journal in the end."""
    water = experiment / "water"
    numbers = water / "primary.h5"
    with h5py.File(experiment / "experiment.h5") as file:
        before = {key: file["water/primary/data"][key][()] for key in MONITORS}
    with h5py.File(numbers, "r+", libver="latest") as file:
        file.swmr_mode = True
        left_open = numbers.read_bytes()
    numbers.write_bytes(left_open)
    files = {path.name: path.read_bytes() for path in water.glob("*.h5")}

    def full() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    command = [sys.executable, "-m", "h5xs_bluesky.cli", "repair", str(experiment)]
    told = subprocess.run(
        [*command, "--json"], preexec_fn=full, capture_output=True, text=True, check=False
    )
    assert (told.returncode, told.stderr) == (1, "")
    (sample,) = json.loads(told.stdout)
    assert set(sample["frames"].values()) == {2}
    assert sample["ended"]
    assert sample["problem"] == f"[Errno 27] File too large: '{water / 'run.h5'}'"
    assert {path.name: path.read_bytes() for path in water.glob("*.h5")} == files
    assert "repaired primary.h5" in _run("repair", experiment)[1]
    numbers.unlink()
    with h5py.File(experiment / "experiment.h5") as file:
        for key, values in before.items():
            np.testing.assert_array_equal(file["water/primary/data"][key][()], values)


def test_what_is_not_known_of_a_sample_is_not_told(experiment: Path) -> None:
    claimed = RunFolder.open(experiment / "water")
    try:
        status, told = _run("repair", experiment)
    finally:
        claimed.close()
    assert status == 1
    assert "ended" not in told
    assert "none" not in told


@pytest.mark.parametrize("name", CUTS)
def test_run_file_that_was_cut_is_named_and_written_anew(experiment: Path, name: str) -> None:
    before = json.loads(_run("info", experiment, "--json")[1])
    CUTS[name](experiment / "water" / "run.h5")
    status, told = _run("info", experiment)
    assert status == 1
    assert "water" in told
    assert "truncated file" in told
    status, told = _run("repair", experiment)
    assert status == 0, told
    assert "repaired run.h5" in told
    assert json.loads(_run("info", experiment, "--json")[1]) == before
    assert "nothing to repair" in _run("repair", experiment)[1]


@pytest.mark.parametrize("name", [*CUTS, "zeros but for the superblock", "zeros in the middle"])
def test_results_that_are_damaged_are_told_and_made_again(experiment: Path, name: str) -> None:
    processed = experiment / "water" / "processed.h5"
    {**CUTS, **ZEROS}[name](processed)
    status, told = _run("info", experiment)
    assert status == 1
    assert "water" in told
    for _ in range(2):
        status, told = _run("repair", experiment, "--json")
        assert status == 1
        problem = json.loads(told)[0]["problem"]
        assert str(processed) in problem
        assert "delete it, and reduce the frames again with load_data" in problem
    processed.unlink()
    dt = h5xs(experiment / "experiment.h5")
    dt.load_data()
    dt.average_d1s()
    assert _run("info", experiment)[0] == 0
    assert "nothing to repair" in _run("repair", experiment)[1]


@pytest.mark.parametrize("name", [*CUTS, "zeros but for the superblock"])
def test_numbers_that_are_damaged_come_from_the_journal(experiment: Path, name: str) -> None:
    with h5py.File(experiment / "experiment.h5") as file:
        before = {key: file["water/primary/data"][key][()] for key in MONITORS}
    {**CUTS, **ZEROS}[name](experiment / "water" / "primary.h5")
    assert _run("repair", experiment)[0] == 0
    assert "nothing to repair" in _run("repair", experiment)[1]
    with h5py.File(experiment / "experiment.h5") as file:
        for key, values in before.items():
            np.testing.assert_array_equal(file["water/primary/data"][key][()], values)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_frames_that_were_cut_are_told_each_time(experiment: Path, share: float) -> None:
    (frames,) = (experiment / "water").glob("primary.saxs*.h5")
    cut(frames, share)
    for _ in range(2):
        status, told = _run("repair", experiment, "--json")
        assert status == 1
        assert str(frames) in json.loads(told)[0]["problem"]


def test_frames_before_the_cut_are_read(experiment: Path) -> None:
    (frames,) = (experiment / "water").glob("primary.saxs*.h5")
    dt = h5xs(experiment / "experiment.h5")
    whole = dt.get_d2("water", "_SAXS", frn=0).data
    with h5py.File(frames) as file:
        last = file["data"].id.get_chunk_info(1)
    os.truncate(frames, last.byte_offset + last.size - 1)
    np.testing.assert_array_equal(dt.get_d2("water", "_SAXS", frn=0).data, whole)
    with pytest.raises(FrameAbsentError):
        dt.get_d2("water", "_SAXS", frn=1)
    told = json.loads(_run("repair", experiment, "--json")[1])[0]["problem"]
    assert "expected 2 frames, found that 1 are lost" in told


def _run(command: str, experiment: Path, *options: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, [command, str(experiment), *options], env={"COLUMNS": "400"})
    return result.exit_code, result.stdout
