"""A server in a process of its own shows a folder as it is, while it is measured into, too."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from small_beamline import run_documents, small_beamline, small_frames
from small_catalogue import complete, tree
from small_server import Server, serving, wait_until
from tiled.queries import FullText, Key

from h5xs_bluesky import h5xs
from h5xs_bluesky.callbacks.live_reduction import LiveReduction

REQUESTS = int(os.environ.get("H5XS_REQUESTS", "160"))
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


PATHS = [
    "metadata/{}",
    "search/{}/primary/data",
    "metadata/{}/primary/data/saxs_image",
    "array/full/{}/processed/merged?slice=0",
    "array/block/{}/primary/data/saxs_image?block=0,0,0",
    "array/full/{}/primary/time",
    "table/full/{}/monitors?format=json",
    "array/full/{}/curves/q",
]


def ask(server: Server, sample: str, first: int, answers: list[tuple[str, int, bool]]) -> None:
    """Ask for one path after the other; notes status, and whether a retry was asked for."""
    headers = {"Authorization": f"Apikey {server.key}"}
    with httpx.Client(headers=headers, timeout=60) as http:
        for turn in range(REQUESTS // CLIENTS):
            path = PATHS[(first + turn) % len(PATHS)].format(sample)
            answer = http.get(f"{server.address}/api/v1/{path}")
            answers.append((path, answer.status_code, "retry-after" in answer.headers))


def test_scan_is_served_while_it_runs_and_nothing_but_200_and_503_is_answered(
    tmp_path: Path,
) -> None:
    live = LiveReduction(small_beamline(), tmp_path / "experiment")
    documents = run_documents(small_frames(60, seed=4), sample_name="water")
    for document in documents[:4]:
        live(*document)
    assert live.wait(30)
    answers: list[tuple[str, int, bool]] = []
    counts: list[int] = []
    with serving(tmp_path) as server:
        client = server.client()
        wait_until(lambda: "experiment" in client and "water" in client["experiment"])
        threads = [
            threading.Thread(target=ask, args=(server, "experiment/water", number, answers))
            for number in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        for document in documents[4:]:
            counts.append(client["experiment/water/processed/merged"].shape[0])
            live(*document)
        for thread in threads:
            thread.join()
        live.close()
        wrong = [answer for answer in answers if answer[1:] not in ((200, False), (503, True))]
        assert wrong == []
        assert len(answers) == REQUESTS // CLIENTS * CLIENTS
        assert sum(status == 200 for _, status, _ in answers) > 0.9 * len(answers)
        assert counts == sorted(counts)
        assert counts[0] < 10 < counts[-1]
        found = client["experiment"].search
        wait_until(lambda: "water" in found(Key("exit_status") == "success"))
        wait_until(lambda: client["experiment/water"].metadata["frames"] == 60)
        assert client["experiment/water/processed/averaged"].read().shape == (2, 25)


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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["{missing}"], "expected a folder to serve"),
        (["{folder}", "--api-key=a-b"], "letters and digits"),
        (["{folder}", "--port={taken}"], "ddress already in use"),
    ],
)
def test_what_cannot_be_served_is_told(
    experiment: Path, server: Server, tmp_path: Path, options: list[str], message: str
) -> None:
    places = {
        "missing": tmp_path / "missing",
        "folder": experiment.parent,
        "taken": server.address.rpartition(":")[2],
    }
    arguments = [option.format(**places) for option in options]
    command = [sys.executable, "-m", "h5xs_bluesky.cli", "serve", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 2
    assert message in done.stderr
