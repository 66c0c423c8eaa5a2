"""`h5xs reduce`: as scripts use it."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_beamline import run_documents, small_beamline, small_frames, write_experiment
from small_server import Server, serving, wait_until
from typer.testing import CliRunner, Result

from h5xs_bluesky.callbacks import LiveReduction
from h5xs_bluesky.cli import app


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment with a run of holder 1, one of holder 2, and one without an end."""
    folder = tmp_path_factory.mktemp("alone") / "measured"  # what is beside it is served, too
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
        (["--sample", "protien"], "no run fits --sample protien"),
        (["--where", "holder=3", "--plan", "count"], "no run fits --plan count --where holder=3"),
    ],
)
def test_filters_that_no_run_fits_exit_with_1(
    measured: Path, there: Path, words: list[str], message: str
) -> None:
    for more in ([], ["--json"]):
        done = call("--from", measured, "--folder", there, *words, *more)
        assert done.exit_code == 1
        assert done.stderr == f"h5xs reduce: {measured}: {message}\n"
        assert done.stdout == ("[]\n" if more else "")


def test_run_that_is_named_and_does_not_fit_is_told(measured: Path, there: Path) -> None:
    everything = call("--from", measured, "--folder", there, "--all", "--json")
    uids = {run["sample"]: run["uid"] for run in json.loads(everything.stdout)}
    named = ["--uid", uids["s1"], "--uid", uids["s2"]]
    done = call("--from", measured, "--folder", there, *named, "--sample", "s2", "--json")
    assert done.exit_code == 1
    found = {run["uid"]: run for run in json.loads(done.stdout)}
    assert list(found) == [uids["s1"], uids["s2"]]
    assert found[uids["s1"]]["outcome"] == "excluded"
    assert "does not fit the filters" in found[uids["s1"]]["reason"]
    assert found[uids["s2"]]["outcome"] == "there"


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
    assert done.output.startswith(("h5xs reduce: ", "Usage: "))


@pytest.fixture(scope="module")
def server(measured: Path) -> Iterator[Server]:
    with serving(measured.parent) as running:
        client = running.client()
        wait_until(lambda: len(client.get("runs/raw", ())) == 3, within_s=60)
        yield running


@pytest.mark.parametrize("name", ["H5XS_API_KEY", "TILED_API_KEY", "--api-key"])
def test_key_is_taken_from_wherever_it_is_named(
    server: Server, there: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--from", server.address, "--folder", there, "--sample", "s1"]
    refused = call(*words)
    assert refused.exit_code == 2
    advice = "found none: give --api-key (api_key), or set H5XS_API_KEY or TILED_API_KEY"
    assert refused.stderr.startswith(f"h5xs reduce: {server.address}: expected a key")
    assert advice in refused.stderr
    assert "from_uri" not in refused.stderr
    if name.startswith("--"):
        words += [name, server.key]
    else:
        monkeypatch.setenv(name, server.key)
    done = call(*words)
    assert done.exit_code == 0, done.output


def test_key_that_is_refused_is_told(server: Server, there: Path) -> None:
    words = ["--from", server.address, "--folder", there, "--all", "--api-key", "another"]
    done = call(*words)
    assert done.exit_code == 2
    assert "found one that is refused: give --api-key" in done.stderr
    assert "another" not in done.stderr


def test_samples_are_not_taken_for_runs(
    server: Server, measured: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("H5XS_API_KEY", server.key)
    for path in (measured.name, f"{measured.name}/s1"):
        address = f"{server.address}/api/v1/metadata/{path}"
        done = call("--from", address, "--folder", there, "--all")
        assert done.exit_code == 2
        assert f"{server.address}/{path}: expected a catalogue of Bluesky's runs" in done.stderr
        assert "its node runs/raw" in done.stderr


@pytest.mark.alone
def test_address_that_is_dead_is_told_at_once(there: Path) -> None:
    began = time.monotonic()
    done = call("--from", "http://127.0.0.1:9", "--folder", there, "--all")
    assert time.monotonic() - began < 5
    assert done.exit_code == 2
    assert done.stderr.startswith("h5xs reduce: http://127.0.0.1:9: it cannot be opened")


@pytest.mark.parametrize("source", ["profile:nowhere", "databroker:nowhere", "nowhere"])
def test_source_that_is_not_there_exits_with_2(there: Path, source: str) -> None:
    done = call("--from", source, "--folder", there, "--all")
    assert done.exit_code == 2
    assert "nowhere" in done.output
