"""What happened to the frames of each run: counters, and the file that shows them."""

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from h5xs_bluesky import schema
from h5xs_bluesky.io.replace import replace_whole

logger = logging.getLogger(__name__)


_PRIVATE = {"private": True}
_MOST_ERRORS = 20


@dataclass(kw_only=True, slots=True)
class RunStatus:
    """Counters of one run, in frames of all detectors.

    Every frame received is acknowledged once it is safe on disk, or lost where it could not be
    written, or missing where documents announced it and it was not found; then, where a detector
    of the configuration wrote it, reduced or failed. Frames of other cameras are only
    acknowledged. A run is `incomplete` where the disk did not take all documents, frames and files.
    `queue` counts the frames that are on their way, `behind` those of them that are
    safe on disk and wait for the reduction. A run is `stopped` once its last document came, and
    `finished` once its frames are averaged.
    """

    uid: str
    sample: str = ""
    folder: str = ""
    received: int = 0
    acknowledged: int = 0
    reduced: int = 0
    failed: int = 0
    lost: int = 0
    missing: int = 0
    queue: int = 0
    behind: int = 0
    stopped: bool = False
    finished: bool = False
    last_error: str = ""
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    lost_reason: str = ""
    lost_told: bool = field(default=False, metadata=_PRIVATE)
    incomplete: bool = field(default=False, metadata=_PRIVATE)
    placed: threading.Event = field(default_factory=threading.Event, metadata=_PRIVATE)
    _written: str = field(default="", metadata=_PRIVATE)
    _lock: threading.Lock = field(default_factory=threading.Lock, metadata=_PRIVATE)

    def count(self, **more: int) -> None:
        """Add to counters; any thread may."""
        with self._lock:
            for name, number in more.items():
                setattr(self, name, getattr(self, name) + number)

    def fail(self, message: str) -> None:
        """Keep and log what went wrong; of many errors the first different ones."""
        self.last_error = message
        level = logging.DEBUG
        if message not in self.errors and len(self.errors) < _MOST_ERRORS:
            self.errors.append(message)
            level = logging.ERROR
        logger.log(level, "Run %s (%s): %s", self.uid[:8], self.sample, message)

    def warn(self, message: str, *, level: int = logging.WARNING) -> None:
        """Keep and log what the user should know, once; what is no surprise at a lower level."""
        if message not in self.warnings:
            self.warnings.append(message)
            logger.log(level, "Run %s (%s): %s", self.uid[:8], self.sample, message)

    def to_mapping(self) -> dict[str, Any]:
        """Give the public counters as plain values."""
        return {f.name: getattr(self, f.name) for f in fields(self) if not f.metadata}

    def write_if_changed(self) -> None:
        """Replace the run's status file, if there is news; without a folder there is none."""
        text = json.dumps(self.to_mapping(), indent=1) + "\n"
        if not self.folder or text == self._written:
            return
        with replace_whole(Path(self.folder) / schema.STATUS_FILE) as temporary:
            temporary.write_text(text, encoding="utf-8")
        self._written = text


class StatusTicker:
    """Calls a function every `period_s` in a thread of its own, until closed."""

    def __init__(self, tick: Callable[[], None], *, period_s: float) -> None:
        self._tick = tick
        self._period_s = period_s
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="h5xs-status", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Call the function a last time and end the thread."""
        self._closing.set()
        self._thread.join()

    def _loop(self) -> None:
        ended, level = False, logging.ERROR
        while not ended:
            ended = self._closing.wait(self._period_s)
            try:
                self._tick()
                level = logging.ERROR
            except OSError as error:
                logger.log(level, "The status files could not be written: %s", error)
                level = logging.DEBUG  # the next one says the same
