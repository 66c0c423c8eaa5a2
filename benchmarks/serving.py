"""A server for a folder, in a process of its own, while something is measured."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_KEY = "benchmark"
_STOPS_WITHIN_S = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """A server that runs.

    Parameters
    ----------
    address, api_key
        Where it listens, and the key that may write.
    process
        Its process.
    """

    address: str
    api_key: str
    process: "subprocess.Popen[str]"

    def client(self) -> Any:
        """Connect to it."""
        from tiled.client import from_uri

        return from_uri(self.address, api_key=self.api_key)


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[Server]:
    """Run `h5xs serve` on a folder while the block runs."""
    command = [sys.executable, "-m", "h5xs_bluesky.cli", "serve", str(folder), "--json"]
    with running([*command, "--port=0", f"--api-key={_KEY}", *options]) as process:
        started = json.loads(process.stdout.readline())  # type: ignore[union-attr]
        yield Server(address=started["address"], api_key=_KEY, process=process)


@contextmanager
def running(command: list[str]) -> Iterator["subprocess.Popen[str]"]:
    """Run a program while the block runs; what it prints can be read."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
