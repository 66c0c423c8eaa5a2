"""The examples of the page on serving, run as they stand there beside what `make serve` serves."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import httpx
import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image
from small_catalogue import complete
from small_server import Server, serving, wait_until
from typer.testing import CliRunner

from h5xs_bluesky import h5xs
from h5xs_bluesky.cli import app

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
ADDRESS = "http://127.0.0.1:8000"

pytestmark = pytest.mark.timeout(300)  # a demo and servers, which may have little of the processor


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The experiment that `make serve` measures, with fewer frames."""
    out = tmp_path_factory.mktemp("serve") / "demo-output"
    CliRunner().invoke(app, ["demo", "--out", str(out), "--frames", "6"])
    return out / "experiment" / "experiment.h5"


@pytest.fixture(scope="module")
def demo(made: Path) -> Iterator[Server]:
    """What `make serve` serves, published wholly."""
    uids = [str(h5xs(made).header(name)["uid"]) for name in ("agbh", "buffer", "protein")]
    with serving(made.parent) as server:
        client = server.client()
        wait_until(lambda: complete(client, uids), within_s=90)
        yield server


def blocks(language: str, section: str) -> list[str]:
    """Give the blocks of a section of the page."""
    text = (HOW_TO / "serve-with-tiled.md").read_text(encoding="utf-8")
    part = text.partition(f"## {section}\n")[2].partition("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```", part, re.MULTILINE | re.DOTALL)


def at(server: Server, code: str) -> str:
    """Put in what differs from run to run: the port, and the key that is printed."""
    assert ADDRESS in code
    assert "…" in code
    return code.replace(ADDRESS, server.address).replace("…", server.key)


def test_python_of_the_page_runs(
    demo: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All blocks on samples, and the one on ended runs, in order, in one session."""
    samples, runs = blocks("python", "In Python"), blocks("python", "Runs")[:1]
    assert len(samples) == 3
    monkeypatch.chdir(tmp_path)
    session: dict[str, object] = {}
    exec(at(demo, "\n".join(samples + runs)), session)  # noqa: S102 - our own page
    plt.close("all")
    assert {"client", "sample", "following", "dt", "processed"} <= set(session)
    assert list((tmp_path / "out").glob("*.dat"))


def test_curl_of_the_page_runs(demo: Server, made: Path, tmp_path: Path) -> None:
    (script,) = blocks("sh", "With curl")
    done = subprocess.run(
        ["bash", "-euc", at(demo, script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    local = h5xs(made)
    metadata = json.loads((tmp_path / "header.json").read_text())["data"]["attributes"]["metadata"]
    assert metadata["start"] == local.header("protein")
    assert np.loadtxt(tmp_path / "averaged.dat").shape[1] == 3
    assert np.loadtxt(tmp_path / "frame3.dat").shape[1] == 3
    with h5py.File(tmp_path / "protein.h5") as file:
        assert file["entry/definition"][()] == b"NXcanSAS"
    np.testing.assert_array_equal(
        h5xs(tmp_path / "sample.h5").get_d1(frn=3).data, local.get_d1("protein", frn=3).data
    )
    for name in ("averaged.png", "frame3.png"):
        assert Image.open(tmp_path / name).format == "PNG"
    assert len((tmp_path / "monitors.csv").read_text().splitlines()) == 7


def test_server_of_a_few_lines_takes_what_is_published(made: Path, tmp_path: Path) -> None:
    shutil.copy(HOW_TO / "tiled-single-user.yml", tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    places = {"/data/experiment": str(made.parent), "8001": str(port)}
    start, publish = (
        re.sub("|".join(places), lambda found: places[found[0]], block)
        for block in blocks("sh", "Runs")[1:]
    )
    folders = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": folders}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            ["bash", "-c", start.replace("tiled", "exec tiled", 1)],
            cwd=tmp_path,
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:

        def answers() -> bool:
            assert process.poll() is None, (tmp_path / "log").read_text()
            try:
                return httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
            except httpx.TransportError:
                return False

        wait_until(answers, within_s=90)
        told = subprocess.run(
            ["bash", "-euc", publish], env=environment, capture_output=True, text=True, check=True
        )
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    assert told.stdout.count("added, written") == 3
