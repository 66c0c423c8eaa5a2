"""`h5xs reduce`: as scripts use it."""

import json
from pathlib import Path

import pytest
from small_beamline import run_documents, small_beamline, small_frames, write_experiment
from typer.testing import CliRunner, Result

from h5xs_bluesky.callbacks import LiveReduction
from h5xs_bluesky.cli import app


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment with a run of holder 1, one of holder 2, and one without an end."""
    folder = tmp_path_factory.mktemp("measured")
    live = LiveReduction(small_beamline(), folder)
    for holder in (1, 2):
        for name, doc in run_documents(small_frames(2), sample_name=f"s{holder}", holder=holder):
            live(name, doc)
    for name, doc in run_documents(small_frames(1), sample_name="open")[:-1]:
        live(name, doc)
    live.close()
    return folder


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """An experiment without samples, which has the configuration."""
    write_experiment(tmp_path / "there", run_documents(small_frames(1), sample_name="first"))
    return tmp_path / "there"


def call(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["reduce", *(str(word) for word in words)])


def test_filters_choose_and_json_tells(measured: Path, there: Path) -> None:
    done = call("--from", measured, "--folder", there, "--where", "holder=2", "--json")
    assert done.exit_code == 0, done.output
    (run,) = json.loads(done.stdout)
    assert (run["sample"], run["outcome"], run["lost"]) == ("s2", "reduced", [])
    assert run["status"]["reduced"] == 4
    again = call("--from", measured, "--folder", there, "--uid", run["uid"][:6])
    assert again.exit_code == 0
    assert "there" in again.stdout


def test_run_without_an_end_exits_with_1(measured: Path, there: Path) -> None:
    done = call("--from", measured, "--folder", there, "--all")
    assert done.exit_code == 1
    assert "goes on" in done.stdout
    assert {path.parent.name for path in there.glob("*/run.h5")} == {"first", "s1", "s2"}
    assert call("--from", measured, "--folder", there, "--all", "--unfinished").exit_code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--uid", "00000000"], "expected one run whose uid begins with '00000000'"),
        (["--since", "yesterday", "--all"], "expected a date as 2026-11-25"),
        (["--group-by", "proposal", "--all"], "expected the key 'proposal'"),
        (["--where", "holder"], "expected key=value"),
        ([], "expected runs by their uid, filters, or --all"),
    ],
)
def test_what_cannot_be_used_exits_with_2(
    measured: Path, there: Path, words: list[str], message: str
) -> None:
    done = call("--from", measured, "--folder", there, *words)
    assert done.exit_code == 2
    assert message in " ".join(done.output.replace("│", " ").split())


@pytest.mark.parametrize("source", ["profile:nowhere", "databroker:nowhere", "nowhere"])
def test_source_that_is_not_there_exits_with_2(there: Path, source: str) -> None:
    done = call("--from", source, "--folder", there, "--all")
    assert done.exit_code == 2
    assert "nowhere" in done.output
