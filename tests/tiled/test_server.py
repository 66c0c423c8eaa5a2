"""A server in a process of its own shows a folder as it is, while it is measured into, too."""

import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import httpx
import numpy as np
import pytest
from small_beamline import run_documents, small_beamline, small_frames, write_experiment
from small_catalogue import complete, tree
from small_server import Server, serving, wait_until
from tiled.queries import FullText, Key

from h5xs_bluesky import h5xs
from h5xs_bluesky.callbacks.live_reduction import LiveReduction

logger = logging.getLogger(__name__)

REQUESTS = int(os.environ.get("H5XS_REQUESTS", "320"))
CLIENTS = 8


@pytest.fixture(scope="module")
def samples(server: Server) -> Any:
    return server.client()["served"]


@pytest.mark.parametrize(
    ("query", "expected", "reason"),
    [
        (Key("sample_name") == "lysozyme", ["lysozyme"], "by name"),
        (Key("plan_name") == "count", ["lysozyme"], "by plan"),
        (Key("scan_id") > 1, ["lysozyme", "nothing"], "by number"),
        (Key("time_start") > 0, ["buffer", "lysozyme", "nothing"], "by time"),
        (Key("time_start") < 1000, [], "by time, none so early"),
        (Key("buffer") == "buffer", ["lysozyme"], "by what is its background"),
        (Key("start.scan_id") == 1, ["buffer"], "by anything in the headers"),
        (FullText("lysozyme"), ["lysozyme"], "by any word"),
    ],
)
def test_samples_are_found_in_the_catalogue(
    samples: Any, query: Any, expected: list[str], reason: str
) -> None:
    assert sorted(samples.search(query)) == expected, reason


def test_client_reads_what_the_file_holds(samples: Any, experiment: Path) -> None:
    sample, dt = samples["lysozyme"], h5xs(experiment)
    assert dict(sample.metadata["start"]) == dt.header("lysozyme")
    curve = dt.get_d1("lysozyme", "averaged")
    np.testing.assert_array_equal(sample["processed/averaged"].read(), [curve.data, curve.err])
    np.testing.assert_array_equal(sample["curves/averaged_I"].read(), curve.data)
    frame = dt.get_d2("lysozyme", "_SAXS", 5).data
    np.testing.assert_array_equal(sample["primary/data/saxs_image"][5], frame)
    table = sample["monitors"].read()
    assert table["kept"].tolist() == [True] * 7 + [False]


@pytest.mark.parametrize(
    ("path", "key", "status", "reason"),
    [
        ("metadata/served/lysozyme", None, 401, "no key"),
        ("metadata/served/lysozyme", "wrong", 401, "another key"),
        ("array/full/served/lysozyme/processed/averaged", None, 401, "no key"),
        ("array/full/served/lysozyme/processed/averaged", "secret1", 200, "the key"),
        ("metadata/served/nobody", "secret1", 404, "no such sample"),
        ("metadata/served/lysozyme/primary/data/nothing", "secret1", 404, "no such field"),
        ("metadata/served/lysozyme/processed/merged/x", "secret1", 404, "arrays end the path"),
        ("metadata/..%2F..%2Fetc%2Fpasswd", "secret1", 404, "no path on disk"),
        ("asset/bytes/served/lysozyme", "secret1", 403, "whole files are not given"),
        ("asset/manifest/served/lysozyme", "secret1", 403, "nor are they listed"),
    ],
)
def test_who_gets_what(
    server: Server, path: str, key: str | None, status: int, reason: str
) -> None:
    params = {"id": 1} if path.startswith("asset") else {}
    assert server.get(path, key, **params).status_code == status, reason


def test_public_server_is_read_without_a_key_and_changed_with_it_only(experiment: Path) -> None:
    with serving(experiment.parent, "--public", "--raw-files") as server:
        client = server.client()
        wait_until(lambda: "served" in client and "lysozyme" in client["served"])
        path = "metadata/served/lysozyme"
        answer = server.get(path, None)
        assert answer.json()["data"]["attributes"]["metadata"]["sample_name"] == "lysozyme"
        url = f"{server.address}/api/v1/{path}"
        assert httpx.delete(url).status_code == 401
        assert httpx.put(url, json={"metadata": {}}).status_code == 401
        raw = server.get("asset/bytes/served/lysozyme", None, id=1)
        assert raw.status_code == 200
        assert raw.content == experiment.read_bytes()


def found_by(key: str, value: object, comparison: str = "eq") -> str:
    """Make the query of a search, as Tiled's client makes it."""
    condition = {"key": key, "value": json.dumps(value)}
    if comparison != "eq":
        condition["operator"] = comparison
    kind = "eq" if comparison == "eq" else "comparison"
    return urlencode(
        {f"filter[{kind}][condition][{name}]": text for name, text in condition.items()}
    )


SAMPLE = "experiment/water"
FRAMES = f"metadata/{SAMPLE}/primary/data/saxs_image"
CURVES = f"metadata/{SAMPLE}/processed/merged"
PATHS = [
    f"search/experiment?{found_by('sample_name', 'water')}",
    f"search/experiment?{found_by('plan_name', 'count')}",
    f"search/experiment?{found_by('time_start', 1000.0, 'gt')}",
    f"metadata/{SAMPLE}",
    f"search/{SAMPLE}/primary/data",
    FRAMES,
    CURVES,
    f"array/full/{SAMPLE}/processed/merged?slice=0",
    f"array/full/{SAMPLE}/processed/merged?slice=0&format=dat",
    f"array/block/{SAMPLE}/primary/data/saxs_image?block=0,0,0",
    f"array/full/{SAMPLE}/primary/time",
    f"table/full/{SAMPLE}/monitors?format=json",
    f"array/full/{SAMPLE}/curves/q",
]


@dataclass(frozen=True)
class Answer:
    """What was answered: with the names found by a search, or the rows of an array."""

    path: str
    status: int
    retry_after: bool
    found: list[str] | int | None

    @classmethod
    def of(cls, path: str, answer: httpx.Response) -> "Answer":
        found = None
        if answer.status_code == 200 and path.startswith("search/experiment?"):
            found = [item["id"] for item in answer.json()["data"]]
        elif answer.status_code == 200 and path in (FRAMES, CURVES):
            found = answer.json()["data"]["attributes"]["structure"]["shape"][0]
        return cls(path, answer.status_code, "retry-after" in answer.headers, found)


def ask(server: Server, first: int, answers: list[Answer]) -> None:
    """Ask for one path after the other."""
    headers = {"Authorization": f"Apikey {server.key}"}
    with httpx.Client(headers=headers, timeout=60) as http:
        for turn in range(REQUESTS // CLIENTS):
            path = PATHS[(first + turn) % len(PATHS)]
            answers.append(Answer.of(path, http.get(f"{server.address}/api/v1/{path}")))


@pytest.mark.alone
@pytest.mark.timeout(120 + REQUESTS // 5)
def test_scan_is_served_while_it_runs_and_nothing_but_200_and_503_is_answered(
    tmp_path: Path,
) -> None:
    """In its long form, H5XS_REQUESTS=10000, it tells the rate in the log (--log-level=INFO)."""
    live = LiveReduction(small_beamline(), tmp_path / "experiment")
    events = 60 + REQUESTS // 5
    documents = run_documents(small_frames(events, seed=4), sample_name="water", plan_name="count")
    for document in documents[:4]:
        live(*document)
    assert live.wait(30)
    answers: list[list[Answer]] = [[] for _ in range(CLIENTS)]
    with serving(tmp_path, lives_s=600 + REQUESTS) as server:
        client = server.client()
        wait_until(lambda: "experiment" in client and "water" in client["experiment"])
        threads = [
            threading.Thread(target=ask, args=(server, number, answers[number]))
            for number in range(CLIENTS)
        ]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        rest = iter(documents[4:])
        while any(thread.is_alive() for thread in threads):
            if document := next(rest, None):
                live(*document)
            time.sleep(0.2)
        seconds = time.monotonic() - began
        left = list(rest)
        for document in left:
            live(*document)
        live.close()
        everything = [answer for each in answers for answer in each]
        logger.info(
            "%d requests in %.0f s, %.0f per second, while %d frames came; 503: %d",
            *(len(everything), seconds, len(everything) / seconds, events - len(left)),
            sum(answer.status == 503 for answer in everything),
        )
        wrong = [
            a for a in everything if (a.status, a.retry_after) not in ((200, False), (503, True))
        ]
        assert wrong == []
        assert len(everything) == REQUESTS // CLIENTS * CLIENTS
        assert sum(answer.status == 200 for answer in everything) > 0.9 * len(everything)
        assert {answer.path for answer in everything} == set(PATHS)
        searched = [a.found for a in everything if isinstance(a.found, list)]
        assert searched == [["water"]] * len(searched)
        for path in (FRAMES, CURVES):
            for each in answers:
                rows = [a.found for a in each if a.path == path and isinstance(a.found, int)]
                assert rows == sorted(rows)
                assert rows[0] < rows[-1] <= events
        found = client["experiment"].search
        wait_until(lambda: "water" in found(Key("exit_status") == "success"))
        wait_until(lambda: client[SAMPLE].metadata["frames"] == events)
        assert client[f"{SAMPLE}/processed/averaged"].read().shape == (2, 25)


@pytest.mark.timeout(300)
def test_killed_server_is_made_anew_from_the_folder(
    running: Callable[[int], Path], tmp_path: Path
) -> None:
    running(2)
    kept = tmp_path / "catalog" / "catalog.db"
    name = tmp_path.name
    uid = h5xs(tmp_path / "experiment.h5").header("water")["uid"]
    with serving(tmp_path, f"--catalog={kept}") as server:
        client = server.client()
        wait_until(lambda: f"runs/curves/{uid}" in client)
        server.kill()
    running(5)
    with serving(tmp_path, f"--catalog={kept}") as server:
        client = server.client()
        wait_until(lambda: client[name]["water"].metadata["frames"] == 5)
        curves = client["runs/curves"]
        wait_until(lambda: curves[uid].shape[0] == 5)
        running(7)
        wait_until(lambda: client[name]["water"].metadata["kept"] is not None)
        wait_until(lambda: complete(client, [uid]))
        before = tree(client)
    assert f"/runs/raw/{uid}/primary/internal" in before
    assert h5xs(tmp_path / "experiment.h5").get_d1("water", "merged", -1).label.endswith("frame 5")
    kept.unlink()
    with serving(tmp_path, f"--catalog={kept}") as server:
        client = server.client()
        wait_until(lambda: name in client and "water" in client[name])
        wait_until(lambda: complete(client, [uid]))
        assert tree(client) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_server_that_is_told_to_stop_leaves_nothing_behind(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    with serving(tmp_path) as server:
        assert [path.suffix for path in temporary.glob("h5xs-serve-*/*.db")] == [".db"]
        server.process.send_signal(number)
        assert server.process.wait(20) == 0
    assert not list(temporary.iterdir())


@pytest.mark.timeout(300)
def test_folder_that_was_moved_with_its_catalogue_is_served(
    running: Callable[[int], Path], tmp_path: Path
) -> None:
    path = running(7)
    uid = h5xs(path).header("water")["uid"]
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    for each in (path, path.with_name("water")):
        each.rename(before / each.name)
    for folder in (before, after):
        if folder == after:
            before.rename(after)
        with serving(folder, f"--catalog={folder / 'catalog.db'}") as server:
            client = server.client()
            wait_until(lambda client=client: complete(client, [uid]), within_s=60)
            assert client["runs/curves"][uid].read().shape[0] == 6


@pytest.mark.timeout(300)
def test_kept_catalogue_has_no_runs_of_a_folder_that_was_served_before(tmp_path: Path) -> None:
    def holds_only(client: Any, uid: str) -> bool:
        if not complete(client, [uid]):
            return False
        return [len(list(client["runs"][kind])) for kind in ("raw", "processed", "curves")] == [
            1
        ] * 3

    for name in ("first", "second"):
        documents = run_documents(small_frames(2), sample_name="water")
        write_experiment(tmp_path / name, documents)
        with serving(tmp_path / name, f"--catalog={tmp_path / 'catalog.db'}") as server:
            there = partial(holds_only, server.client(), documents[0][1]["uid"])
            wait_until(there, within_s=60)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["{missing}"], "expected a folder to serve"),
        (["{folder}", "--api-key=a-b"], "letters and digits"),
        (["{folder}", "--port={taken}"], "ddress already in use"),
        (["{folder}", "--port={taken}"], "--port 0"),
        (["{folder}", "--port=0", "--catalog={text}"], "name a file that is not there yet"),
        (["{folder}", "--port=0", "--catalog={other}"], "name a file that is not there yet"),
        (["{folder}", "--port=0", "--catalog={folder}"], "name a file that is not there yet"),
    ],
)
def test_what_cannot_be_served_is_told(
    experiment: Path, server: Server, tmp_path: Path, options: list[str], message: str
) -> None:
    places = {
        "missing": tmp_path / "missing",
        "folder": experiment.parent,
        "taken": server.address.rpartition(":")[2],
        "text": tmp_path / "notes.txt",
        "other": tmp_path / "other.db",
    }
    (tmp_path / "notes.txt").write_text("nothing to serve")
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE numbers (number INTEGER)")
    arguments = [option.format(**places) for option in options]
    command = [sys.executable, "-m", "h5xs_bluesky.cli", "serve", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "notes.txt").read_text() == "nothing to serve"


@pytest.mark.parametrize("sample", ["lysozyme", "nothing"])
def test_sample_is_exported_as_json(server: Server, samples: Any, sample: str) -> None:
    answer = server.get(f"container/full/served/{sample}", format="json")
    assert answer.status_code == 200
    assert answer.json()["metadata"]["sample_name"] == sample


def test_catalogue_of_a_killed_start_is_made_anew(tmp_path: Path) -> None:
    from h5xs_bluesky.tiled.server import _prepare_catalog

    path = tmp_path / "catalog.db"
    path.touch()
    (tmp_path / ".catalog.db.new").write_bytes(b"half")
    _prepare_catalog(path)
    assert list(tmp_path.iterdir()) == [path]
    with closing(sqlite3.connect(path)) as found:
        assert found.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)


def test_server_that_is_slow_to_start_is_told_and_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from h5xs_bluesky.tiled import server

    monkeypatch.setattr(server, "_START_WITHIN_S", 0)
    stop = threading.Event()
    options = server.ServerOptions(folder=tmp_path)
    slow, nobody = SimpleNamespace(started=False), "http://127.0.0.1:9"
    arguments = (slow, nobody, tmp_path / "catalog.db", options, "key", print, stop)
    waiting = threading.Thread(target=server._watch, args=arguments)
    waiting.start()
    wait_until(lambda: "has not started within" in caplog.text)
    assert waiting.is_alive()
    stop.set()
    waiting.join(10)
    assert not waiting.is_alive()
