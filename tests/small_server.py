"""A real server in a process of its own, on loopback, stopped through its own handle."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

_KEY = "secret1"
_START_S = 90
_LIVES_S = 1800.0  # at the most, whatever becomes of the tests


@dataclass(frozen=True)
class Server:
    address: str
    key: str
    process: "subprocess.Popen[str]"

    def client(self, **more: Any) -> Any:
        from tiled.client import from_uri

        return from_uri(self.address, api_key=self.key, **more)

    def get(self, path: str, key: str | None = _KEY, **params: Any) -> httpx.Response:
        headers = {} if key is None else {"Authorization": f"Apikey {key}"}
        return httpx.get(
            f"{self.address}/api/v1/{path}", params=params, headers=headers, timeout=30
        )

    def kill(self) -> None:
        """Kill it, as a crash does."""
        self.process.kill()
        self.process.wait()


@contextmanager
def serving(
    folder: Path, *options: str, port: int = 0, lives_s: float = _LIVES_S
) -> Iterator[Server]:
    """Run `h5xs serve` while the block runs."""
    command = ["env", "--default-signal=HUP"]  # as in a terminal, even if under `nohup` here
    command += [sys.executable, "-m", "h5xs_bluesky.cli", "serve", str(folder), "--json"]
    arguments = [f"--port={port}", f"--api-key={_KEY}", *options]
    process = subprocess.Popen(
        [*command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "MPLBACKEND": "Agg"},
    )
    limit = threading.Timer(lives_s, process.kill)
    limit.daemon = True
    limit.start()
    errors: list[str] = []
    assert process.stderr is not None
    drain = threading.Thread(target=lambda: errors.extend(process.stderr or ()), daemon=True)
    drain.start()
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"the server did not start: {''.join(errors)}"
        started = json.loads(line)
        yield Server(started["address"], started["api_key"], process)
    finally:
        limit.cancel()
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        drain.join(5)
        process.stdout.close()
        process.stderr.close()


def wait_until(condition: Callable[[], Any], *, within_s: float = 30.0) -> Any:
    """Give what a condition gives, once it is true."""
    end = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < end, f"not true within {within_s} s"
        time.sleep(0.05)
    return found
