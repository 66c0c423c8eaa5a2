"""The names that the startup files of a profile share, and what became of the optional parts."""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from h5xs_bluesky.errors import ConfigurationError, FileInUseError
from h5xs_bluesky.io.replace import FileLock

logger = logging.getLogger(__name__)

FOLDER_VARIABLE = "H5XS_FOLDER"
WITHOUT_VARIABLE = "H5XS_WITHOUT"
DEFAULT_FOLDER = "h5xs-data"
LOCK_FILE = "session.lock"

_ABORT_WITHIN_S = 30.0
_LOOK_S = 0.05

_MAKERS = {
    "RE": "10-engine.py",
    "beamline": "20-reduction.py",
    "live": "20-reduction.py",
    "endstation": "40-devices.py",
}


@dataclass(kw_only=True, repr=False, eq=False)
class Session:
    """What startup files hand on to each other.

    Parameters
    ----------
    folder
        What the session writes lies below it: the environment variable ``H5XS_FOLDER``, by default
        ``h5xs-data`` where the session began.
    server : ServerProcess or None
        Serves the experiment.
    db : CatalogOfBlueskyRuns or None
        The raw runs on the server.
    view : LiveView or None
        The live windows.
    notes
        Lines that tell what runs.
    missing
        Optional parts that are not there, and why.

    Attributes
    ----------
    RE : RunEngine
        Runs the plans.
    beamline : Beamline
        The configuration.
    live : LiveReduction
        Subscribed to `RE`.
    endstation : Endstation
        The simulated devices; a beamline has its own instead.
    """

    folder: Path = field(
        default_factory=lambda: Path(os.environ.get(FOLDER_VARIABLE, DEFAULT_FOLDER)).absolute()
    )
    RE: Any = field(init=False)
    beamline: Any = field(init=False)
    live: Any = field(init=False)
    endstation: Any = field(init=False)
    server: Any = None
    db: Any = None
    view: Any = None
    notes: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    _lock: FileLock | None = field(default=None, init=False)
    _asked: set[str] = field(default_factory=set, init=False)  # optional parts

    def __getattr__(self, name: str) -> Any:
        if name not in _MAKERS:
            raise AttributeError(f"a session has no {name!r}")
        raise AttributeError(
            f"expected {name!r} in the session, found none: {_MAKERS[name]} makes it, and did not "
            "run to its end; its message stands above"
        )

    def claim(self) -> None:
        """Take the folder for this process alone, as long as it lives.

        Raises
        ------
        FileInUseError
            If another session has it.
        ConfigurationError
            If nothing can be written there.
        """
        if self._lock is not None:
            return
        lock = FileLock(self.folder / LOCK_FILE)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except FileInUseError:
            raise FileInUseError(
                f"{self.folder}: expected a folder without a session, found that another one is at "
                f"work there: leave that, or set {FOLDER_VARIABLE} to another folder"
            ) from None
        except OSError as error:
            raise ConfigurationError(
                f"expected a folder that can be written into, found {self.folder}: "
                f"{error.strerror}: set {FOLDER_VARIABLE} to another folder"
            ) from None
        self._lock = lock

    def abort_when_left(self) -> None:
        """Let the end of the process abort a plan that is not done: its shutter may be open.

        So does a terminal that is closed, or a connection that is lost (SIGHUP), and SIGTERM.
        """
        # What atexit calls comes too late: threads, which devices may need, cannot be had then.
        threading._register_atexit(self._abort_plan)  # type: ignore[attr-defined] # noqa: SLF001
        for number in (signal.SIGHUP, signal.SIGTERM):
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _leave)

    def _abort_plan(self) -> None:
        if self.RE.state not in ("paused", "running"):
            return
        self.RE.abort("the session was left")
        end = time.monotonic() + _ABORT_WITHIN_S
        while self.RE.state != "idle" and time.monotonic() < end:
            time.sleep(_LOOK_S)

    @contextmanager
    def optional(self, part: str) -> Iterator[None]:
        """Go on without a part whose block fails; the reason stands in `missing`.

        Parameters
        ----------
        part
            What it is called.

        Yields
        ------
        None
            Once.
        """
        try:
            yield
        except Exception as error:
            logger.debug("%s is not there", part, exc_info=True)
            lines = str(error).splitlines() or [type(error).__name__]
            self.missing[part] = lines[0]

    def wants(self, part: str) -> bool:
        """Tell whether an optional part is wanted: ``H5XS_WITHOUT`` names those that are not.

        Parameters
        ----------
        part
            What it is called.

        Returns
        -------
        bool
            False stands in `missing`, too.
        """
        self._asked.add(part)
        if part in _unwanted():
            self.missing[part] = f"{WITHOUT_VARIABLE} names it"
            return False
        return True

    def describe(self) -> str:
        """Tell what runs, where files go, and what is not there.

        Returns
        -------
        str
            A few lines.
        """
        lines = [*self.notes, *(f"without {part}: {why}" for part, why in self.missing.items())]
        unknown = [name for name in _unwanted() if name not in self._asked]
        if unknown:
            lines.append(
                f"{WITHOUT_VARIABLE}: expected some of {', '.join(sorted(self._asked))}, found "
                f"{', '.join(unknown)}"
            )
        return "\n".join(lines)


def _leave(number: int, frame: Any) -> None:
    """End the process as `exit()` does; what is printed into a closed terminal must not fail."""
    del frame
    if number == signal.SIGHUP:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.__stdout__, sys.__stderr__):
            if stream is not None:
                os.dup2(nowhere, stream.fileno())
    raise SystemExit(128 + number)


def _unwanted() -> list[str]:
    names = os.environ.get(WITHOUT_VARIABLE, "").split(",")
    return [name.strip() for name in names if name.strip()]


session = Session()
