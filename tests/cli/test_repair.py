"""`h5xs repair`."""

import json
from pathlib import Path

import pytest
from small_beamline import run_documents, small_beamline, small_frames
from typer.testing import CliRunner

from h5xs_bluesky.callbacks import LiveReduction
from h5xs_bluesky.cli import app
from h5xs_bluesky.io import repair
from h5xs_bluesky.io.journal import JournalWriter
from h5xs_bluesky.io.run_files import RunFolder


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
