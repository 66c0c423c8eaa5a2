"""The real IPython with the real profile, typed into through a pseudo-terminal."""

import json
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import httpx
import numpy as np
import pexpect
import pytest
from small_server import wait_until

from h5xs_bluesky import h5xs
from h5xs_bluesky.io.repair import repair_experiment

_PROFILE = Path(__file__).parents[1] / "profile"
_START_S = 90  # on a machine that has other things to do
_STEP_S = 90
_MOST_CPU_S = 10


@dataclass(frozen=True)
class Terminal:
    """A session that is typed into."""

    process: Any
    folder: Path
    told: str
    cpu_s: float  # until the first prompt, without the server's

    def type(self, line: str) -> str:
        """Type a line; gives what is shown until the next prompt."""
        self.process.sendline(line)
        return _until_prompt(self.process, _STEP_S)

    def hang_up(self) -> None:
        """Close the terminal, as a connection that is lost does; waits for the session's end."""
        self.process.ptyproc.fileobj.close()
        self.process.closed = self.process.ptyproc.closed = True
        try:
            wait_until(lambda: not self.process.isalive())
        finally:
            if self.process.isalive():
                self.process.kill(signal.SIGKILL)

    def leave(self) -> int:
        """Leave as a user does; gives the exit status."""
        self.process.sendline("exit()")
        self.process.expect(pexpect.EOF, timeout=_STEP_S)
        self.process.close()
        return int(self.process.exitstatus)


def _until_prompt(process: Any, timeout_s: float) -> str:
    process.expect(r"In \[\d+\]: ", timeout=timeout_s)
    return _plain(process.before)


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).replace("\r", "")


def _cpu_s(pid: int) -> float:
    """Give the time that a process has computed, which other processes do not change."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def session(folder: Path, **environment: str) -> Iterator[Terminal]:
    """Start IPython with a copy of the profile, which it writes its history into."""
    profile = folder / "profile"
    shutil.copytree(_PROFILE, profile, ignore=shutil.ignore_patterns("*.sqlite*", "db", "pid"))
    own = {"H5XS_FOLDER": str(folder / "data"), "MPLBACKEND": "Agg", "TERM": "dumb"}
    process = pexpect.spawn(
        sys.executable,
        ["-m", "IPython", f"--profile-dir={profile}"],
        env={**os.environ, **own, **environment},
        cwd=str(folder),
        encoding="utf-8",
        dimensions=(50, 160),
        preexec_fn=_heed_hang_up,
    )
    process.delayafterterminate = 5  # s, for a machine that is busy
    try:
        told = _until_prompt(process, _START_S)
        yield Terminal(process, folder, told, _cpu_s(process.pid))
    finally:
        process.close(force=True)


def _heed_hang_up() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # as in a terminal, even if under `nohup` here


def test_a_scan_is_measured_reduced_shown_and_served(tmp_path: Path) -> None:
    with session(tmp_path) as terminal:
        assert "without" not in terminal.told, terminal.told
        assert "reduces every run into" in terminal.told
        assert terminal.told.count("\n") < 20
        assert terminal.cpu_s < _MOST_CPU_S
        assert re.search(r"view +no display for windows: pictures in", terminal.told)
        address = re.search(r"http://127\.0\.0\.1:\d+", terminal.told)
        assert address is not None

        scan = terminal.type(
            'RE(measure_with_buffer("protein", "buffer", frames=4)); live.wait(60)'
        )
        assert "Traceback" not in scan, scan
        assert "not averaged yet" not in scan, scan
        assert terminal.type("%h5xs last").count("protein: 4 frames") == 1
        status = terminal.type("%h5xs status")
        assert "24 received, 24 acknowledged, 24 reduced" in status, status
        plotted = terminal.type("%h5xs plot protein --save protein.png")
        assert (tmp_path / "protein.png").read_bytes().startswith(b"\x89PNG"), plotted
        wait_until(lambda: re.search(r"\]: 3\n", terminal.type("len(db)")))
        assert httpx.get(address[0]).status_code == 200
        assert terminal.leave() == 0

    with pytest.raises(httpx.ConnectError):
        httpx.get(address[0])
    dt = h5xs(tmp_path / "data/experiment/experiment.h5")
    assert np.isfinite(dt.get_d1("protein", "subtracted").data).mean() > 0.9


def test_without_a_server_all_else_is_there(tmp_path: Path) -> None:
    with session(tmp_path, H5XS_WITHOUT="server") as terminal:
        assert "without server: H5XS_WITHOUT names it" in terminal.told, terminal.told
        scan = terminal.type('RE(count_sample("agbh", frames=2)); live.wait(60)')
        assert "Traceback" not in scan, scan
        assert "4 reduced" in terminal.type("%h5xs status")
        assert terminal.leave() == 0
    assert json.loads((tmp_path / "data/metadata.json").read_text())["scan_id"] == 1


def test_a_server_that_does_not_start_is_told_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/catalog.db").write_text("no database")
    with session(tmp_path) as terminal:
        assert re.search(r"without server: .*server\.log", terminal.told), terminal.told
        assert "True" in terminal.type("db is None")


def test_second_session_in_the_folder_stops_and_tells_what_to_do(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    shared = {"H5XS_FOLDER": str(tmp_path / "data"), "H5XS_WITHOUT": "server,view"}
    with session(tmp_path / "one", **shared), session(tmp_path / "two", **shared) as second:
        assert "set H5XS_FOLDER to another folder" in " ".join(second.told.split()), second.told
        assert "False" in second.type("'RE' in globals()")


@pytest.mark.parametrize(
    ("state", "how"),
    [("paused", "exit"), ("paused", "terminal closed"), ("running", "terminal closed")],
)
def test_plan_is_aborted_when_the_session_is_left(state: str, how: str, tmp_path: Path) -> None:
    with session(tmp_path, H5XS_WITHOUT="server,view") as terminal:
        terminal.process.sendline('RE(count_sample("protein", frames=500))')
        wait_until(lambda: list((tmp_path / "data/experiment").glob("protein/*.h5")))
        if state == "paused":
            terminal.process.sendintr()
            paused = _until_prompt(terminal.process, _STEP_S)
            assert "'paused'" in terminal.type("RE.state"), paused
        if how == "exit":
            terminal.leave()
        else:
            terminal.hang_up()
    with h5py.File(tmp_path / "data/experiment/experiment.h5") as file:
        stop = json.loads(file["protein"].attrs["stop"])
    assert stop["exit_status"] == "abort", "the plan came to its end, which closes the shutter"


_FULL = """
import resource, signal
from bluesky.run_engine import call_in_bluesky_event_loop
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
def disk_takes(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
primary = []
def fill(name, doc):
    if name == "descriptor" and doc["name"] == "primary":
        primary.append(doc["uid"])
    if name == "event" and doc["seq_num"] == 8 and doc["descriptor"] in primary:
        disk_takes(10_000)
"""


@pytest.mark.parametrize("without", ["server", "server,view"])
def test_full_disk_fails_the_plan_and_the_session_goes_on(tmp_path: Path, without: str) -> None:
    """A limit on the size of files stands in for it: no file grows any more."""
    (tmp_path / "full.py").write_text(_FULL)
    with session(tmp_path, H5XS_WITHOUT=without) as terminal:
        terminal.type(f"%run {tmp_path / 'full.py'}")
        terminal.type("token = RE.subscribe(fill)")
        began = time.monotonic()
        scan = terminal.type('RE(count_sample("water", frames=60))')
        assert time.monotonic() - began < 60 * 0.2, "it waits for frames that do not come"
        assert re.search(r"FailedStatus: .*detectors/pil.*\.h5: File too large", scan), scan
        told = terminal.type("live.wait(60)") + scan
        found = re.search(r"(\d+) frames are safe in \S+/water\. Free the disk", told)
        assert found is not None, told
        safe = int(found[1])
        assert "id ref count" not in told, told
        assert "h5xs_bluesky/callbacks" not in told, "a traceback of ours"
        assert "'Close'" in terminal.type("call_in_bluesky_event_loop(shutter.locate())")
        assert "cut short" in terminal.type("%h5xs last")
        assert f"{safe} acknowledged" in terminal.type("%h5xs status")
        terminal.type("disk_takes(resource.RLIM_INFINITY); RE.unsubscribe(token)")
        again = terminal.type('RE(count_sample("water", frames=3)); live.wait(60)')
        assert "Traceback" not in again, again
        assert "water_2 (water): 3 frames, 3 reduced, ended" in terminal.type("%h5xs last")
        assert terminal.leave() == 0
    (repaired, _) = repair_experiment(tmp_path / "data/experiment")
    assert (repaired.sample, repaired.problem) == ("water", "")
    assert sum(repaired.frames.values()) == safe >= 6, told
    dt = h5xs(tmp_path / "data/experiment/experiment.h5")
    dt.load_data()
    dt.average_d1s()
    averaged = dt.get_d1("water", "averaged")
    assert np.isfinite([*averaged.data, averaged.trans]).mean() > 0.9
    assert averaged.trans > 0
