"""`h5xs repair`."""

import json
from pathlib import Path

import pytest
from small_beamline import run_documents, small_beamline, small_frames
from typer.testing import CliRunner

from h5xs_bluesky.callbacks import LiveReduction
from h5xs_bluesky.cli import app


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
