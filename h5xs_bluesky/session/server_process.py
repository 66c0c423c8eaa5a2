"""The Tiled server of a session: `h5xs serve` as a process of its own."""

import atexit
import json
import logging
import os
import secrets
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from h5xs_bluesky.errors import ServerError

logger = logging.getLogger(__name__)

_STOP_WITHIN_S = 10.0
_LOOK_S = 0.1


class ServerProcess:
    """Serves a folder from a process of its own, which ends with this one however it ends.

    It starts in the background: `address` and `client` wait for it.

    Parameters
    ----------
    folder
        What is served; made if it is not there.
    log
        The file that the server's messages are appended to.
    catalog
        The catalogue's file, kept; by default a temporary one.
    port
        Where it listens, on this machine only; 0 takes a free port.
    api_key
        Letters and digits; by default one is made up.

    Raises
    ------
    OSError
        If the process cannot be started, or the log not be written.
    """

    def __init__(
        self,
        folder: Path,
        *,
        log: Path,
        catalog: Path | None = None,
        port: int = 0,
        api_key: str | None = None,
    ) -> None:
        self.api_key = api_key or secrets.token_hex(16)
        self.log = log
        folder.mkdir(parents=True, exist_ok=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "h5xs_bluesky.cli", "serve", str(folder), "--json"]
        self._command = [*command, "--until-stdin-closes"]
        if catalog is not None:
            self._command.append(f"--catalog={catalog}")
        self._start(port)

    def _start(self, port: int) -> None:
        self._line = ""
        self._stopping = False
        self._started = threading.Event()
        with self.log.open("ab") as messages:
            self._process = subprocess.Popen(
                [*self._command, f"--port={port}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=messages,
                text=True,
                env={**os.environ, "H5XS_API_KEY": self.api_key},
                start_new_session=True,  # Ctrl-C pauses a plan, and must not end the server
            )
        self._reader = threading.Thread(target=self._read_address, name="h5xs-server", daemon=True)
        self._reader.start()
        atexit.register(self.stop)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def address(self, *, timeout_s: float = 60.0) -> str:
        """Give the server's address, once it answers.

        Parameters
        ----------
        timeout_s
            How long to wait for that.

        Returns
        -------
        str
            As ``http://127.0.0.1:8000``.

        Raises
        ------
        ServerError
            If it has ended, or does not answer in time.
        """
        if not self._started.wait(timeout_s):
            raise ServerError(
                f"expected the server to answer within {timeout_s:g} s, found it silent: see "
                f"{self.log}"
            )
        if not self._line:
            raise ServerError(f"expected a server, found that it ended: {self._last_message()}")
        return str(json.loads(self._line)["address"])

    def browser_address(self, *, timeout_s: float = 60.0) -> str:
        """Give what to open in a browser, key included.

        Parameters
        ----------
        timeout_s
            As of `address`, which tells also what is raised.

        Returns
        -------
        str
            A URL.
        """
        return f"{self.address(timeout_s=timeout_s)}/ui/?api_key={self.api_key}"

    def client(self, path: str = "", *, timeout_s: float = 60.0) -> Any:
        """Give a Tiled client, of the whole catalogue or of a node in it, once that is there.

        Parameters
        ----------
        path
            The node's keys with slashes between them.
        timeout_s
            How long to wait for both.

        Returns
        -------
        Container or another client of Tiled's
            The node.

        Raises
        ------
        ServerError
            If the server has ended, or does not answer in time, or has no such node by then.
        """
        end = time.monotonic() + timeout_s
        address = self.address(timeout_s=timeout_s)  # its message tells what to install

        from tiled.client import from_uri

        node = from_uri(address, api_key=self.api_key)
        for name in filter(None, path.split("/")):
            while (found := node.get(name)) is None:
                if time.monotonic() > end:
                    raise ServerError(
                        f"expected {name!r} in {node.uri} within {timeout_s:g} s, found "
                        f"{sorted(node)}: see {self.log}"
                    )
                time.sleep(_LOOK_S)
            node = found
        return node

    def stop(self) -> None:
        """End the server; nothing happens if it has ended."""
        atexit.unregister(self.stop)
        self._stopping = True
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(_STOP_WITHIN_S)

    def restart(self) -> None:
        """Start it again, at the address and with the key that it had: its clients go on.

        Raises
        ------
        OSError
            As the constructor.
        """
        self.stop()
        self._start(urlsplit(json.loads(self._line)["address"]).port or 0 if self._line else 0)

    def _read_address(self) -> None:
        if self._process.stdout is not None:
            with self._process.stdout as output:
                self._line = output.readline()
                self._started.set()
                output.read()
        if self._line and not self._stopping:
            logger.warning(
                "The Tiled server has ended, see %s. Scans and their files do not need it; its "
                "restart(), in the profile session.server.restart(), brings it back",
                self.log,
            )

    def _last_message(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f"{lines[-1]} ({self.log})" if lines else f"it left no message in {self.log}"
