import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from small_server import wait_until

from h5xs_bluesky.errors import ServerError
from h5xs_bluesky.session import ServerProcess

_STARTS_A_SERVER = """
import sys, time
from pathlib import Path
from h5xs_bluesky.session import ServerProcess
server = ServerProcess(Path(sys.argv[1]), log=Path(sys.argv[2]))
print(server.address(), server.pid, flush=True)
time.sleep(100)
"""


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_the_server_answers_and_is_gone_afterwards(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", log=tmp_path / "server.log") as server:
        assert set(server.client()) <= {"runs"}, "the folder is empty"
        address, pid = server.address(), server.pid
    assert not _is_running(pid)
    with pytest.raises(httpx.ConnectError):
        httpx.get(address)


def test_the_server_ends_with_a_process_that_is_killed(tmp_path: Path) -> None:
    arguments = [str(tmp_path / "data"), str(tmp_path / "server.log")]
    parent = subprocess.Popen(
        [sys.executable, "-c", _STARTS_A_SERVER, *arguments], stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        _, pid = parent.stdout.readline().split()
        assert _is_running(int(pid))
        parent.send_signal(signal.SIGKILL)
    end = time.monotonic() + 15
    while _is_running(int(pid)):
        assert time.monotonic() < end, "the server outlived its session"
        time.sleep(0.05)


def test_the_end_of_a_server_that_nobody_stopped_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with ServerProcess(tmp_path / "data", log=tmp_path / "server.log") as server:
        server.address()
        os.kill(server.pid, signal.SIGKILL)
        wait_until(lambda: "The Tiled server has ended" in caplog.text)
    caplog.clear()
    with ServerProcess(tmp_path / "data", log=tmp_path / "server.log") as server:
        server.address()
    assert caplog.text == ""


@pytest.mark.parametrize("killed", [True, False])
def test_clients_of_a_server_that_is_started_again_go_on(killed: bool, tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.db"
    with ServerProcess(tmp_path / "data", log=tmp_path / "log", catalog=catalog) as server:
        client, pid = server.client(), server.pid
        if killed:
            os.kill(pid, signal.SIGKILL)
        server.restart()
        server.address()
        assert server.pid != pid
        assert not _is_running(pid)
        assert set(client) <= {"runs"}


def test_ctrl_c_reaches_the_session_and_not_the_server(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", log=tmp_path / "server.log") as server:
        server.address()
        assert os.getpgid(server.pid) != os.getpgrp()


def test_why_a_server_ended_is_told(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, log=tmp_path / "log" / "server.log", api_key="not a key!")
    with pytest.raises(ServerError, match=r"that it ended.*expected an API key.*server\.log"):
        server.address()
    server.stop()


def test_why_a_server_ended_is_told_where_tiled_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tiled.client", None)
    server = ServerProcess(tmp_path, log=tmp_path / "server.log", api_key="not a key!")
    with pytest.raises(ServerError, match="expected an API key"):
        server.client()
    server.stop()
