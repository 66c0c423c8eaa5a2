"""The callback: documents in, raw frames and curves out, while the scan runs."""

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.api.processed_documents import RAW_RUN
from h5xs_bluesky.callbacks.documents import (
    Document,
    FrameStack,
    RunIndex,
    carries_frames,
    documents_of,
    snapshot,
    take,
)
from h5xs_bluesky.callbacks.early import EarlyDocuments
from h5xs_bluesky.callbacks.pipeline import Pipeline, SampleAttributes
from h5xs_bluesky.callbacks.room import Room
from h5xs_bluesky.callbacks.status import RunStatus, StatusTicker
from h5xs_bluesky.callbacks.subscribers import Subscribers
from h5xs_bluesky.config import Beamline
from h5xs_bluesky.errors import FramesNotSavedError
from h5xs_bluesky.io.bitshuffle import compress

logger = logging.getLogger(__name__)

_MEGABYTE = 1_000_000
_MAY_BE_EARLY = ("stream_datum", "datum")  # before their descriptor and resource


class LiveReduction:
    """Writes and reduces the frames of every run whose documents it is called with.

    In the caller's thread a document is copied, queued, and that is all. A writer thread puts
    frames and documents on disk; worker threads compress and reduce. A failing reduction is
    logged and counted, and never disturbs the scan.

    Parameters
    ----------
    beamline
        The configuration. Where the experiment's file exists already, its detectors and q-grid
        win over those given here.
    folder
        The experiment folder; by default the one in the configuration, which may be a template
        over the start document.
    workers
        Threads that reduce, and as many that compress; by default one for each processor.
    pause
        Called instead of failing the plan when memory stays full and the configuration says
        ``when_full = "pause"``; for example ``RE.request_pause``.
    attributes
        Gives further attributes of a run's sample, from its start document.

    Attributes
    ----------
    beamline : Beamline
    folder : Path or None
        As given.

    Raises
    ------
    FramesNotSavedError
        From a call, where frames could not be written or memory stayed full: the only error
        that reaches the scan, and only where pixels would be lost otherwise.

    Examples
    --------
    >>> RE.subscribe(LiveReduction(Beamline.from_toml("beamline.toml")))  # doctest: +SKIP
    """

    def __init__(
        self,
        beamline: Beamline,
        folder: str | Path | None = None,
        *,
        workers: int | None = None,
        pause: Callable[[], object] | None = None,
        attributes: SampleAttributes | None = None,
    ) -> None:
        output = beamline.output
        if output.when_full == "pause" and pause is None:
            raise ValueError(
                'when_full = "pause" needs a function that pauses the plan: '
                "LiveReduction(..., pause=RE.request_pause)"
            )
        workers = workers or max(2, len(os.sched_getaffinity(0)))
        self.beamline = beamline
        self.folder = None if folder is None else Path(folder)
        self._max_block_s = output.max_block_s
        self._pause = pause if output.when_full == "pause" else None
        self._lock = threading.RLock()
        self._index = RunIndex()
        self._early = EarlyDocuments()
        self._room = Room(output.max_pending_mb * _MEGABYTE)
        self._runs: dict[str, RunStatus] = {}
        self._processed: set[str] = set()
        self._compressors = ThreadPoolExecutor(workers, thread_name_prefix="h5xs-compress")
        self._subscribers = Subscribers()
        self._pipeline = Pipeline(
            beamline,
            self.folder,
            room=self._room,
            workers=workers,
            subscribers=self._subscribers,
            attributes=attributes,
        )
        self._ticker = StatusTicker(self._write_status, period_s=1.0)
        self._closed = False
        atexit.register(self.close)

    def __repr__(self) -> str:
        """Tell where it writes, and how far it is."""
        status = self.status()
        folder = self.folder or self.beamline.output.base / self.beamline.output.folder
        going_on = sum(not run["finished"] for run in status["runs"])
        counters = ", ".join(f"{status[name]} {name}" for name in ("received", "reduced", "failed"))
        state = "closed" if self._closed else f"runs going on: {going_on}"
        return f"<LiveReduction into {folder}: {state}; frames: {counters}>"

    def __call__(self, name: str, doc: Document) -> None:
        """Take a document; see the class for what may be raised."""
        if self._closed:
            self._refuse_closed(name, doc)
            return
        try:
            with self._lock:
                for each_name, each in documents_of(name, doc):
                    self._take(each_name, each)
        except FramesNotSavedError:
            raise
        except Exception as error:
            logger.exception("A %s document could not be taken over", name)
            if self._carries_frames(name, doc):
                raise FramesNotSavedError(
                    f"an {name} could not be taken over: {type(error).__name__}: {error}"
                ) from error

    def subscribe(self, callback: Callable[[str, Document], object]) -> int:
        """Send the processed runs that begin from now on to a callback, such as LivePlot.

        For every raw run there is a processed one: see `ProcessedRun` for its documents. The
        callback is called in a thread of its own, and what it raises is logged: it can neither
        slow the reduction nor fail it. If 10 000 documents wait for it, it misses the rest of
        that run.

        Parameters
        ----------
        callback
            Called with the name of a document and the document.

        Returns
        -------
        int
            A token for `unsubscribe`.
        """
        return self._subscribers.add(callback)

    def unsubscribe(self, token: int) -> None:
        """Call the callback of this token no more, once it has what waits for it.

        Parameters
        ----------
        token
            As `subscribe` gave it.
        """
        self._subscribers.remove(token)

    def status(self) -> dict[str, Any]:
        """Give the counters of all runs together, and under ``runs`` those of each.

        Returns
        -------
        dict
            ``received``, ``acknowledged``, ``reduced``, ``failed``, ``lost``, ``missing``,
            ``queue`` and ``behind`` (acknowledged, waiting for the reduction) in frames;
            ``last_error``, "" where there was none; ``runs`` the same with more.
        """
        runs = [run.to_mapping() for run in list(self._runs.values())]
        counters = (
            *("received", "acknowledged", "reduced", "failed", "lost", "missing"),
            *("queue", "behind"),
        )
        totals: dict[str, Any] = {key: sum(run[key] for run in runs) for key in counters}
        errors = [run["last_error"] for run in runs if run["last_error"]]
        return {**totals, "last_error": errors[-1] if errors else "", "runs": runs}

    def sample_folder(self, *, timeout_s: float = 5.0) -> Path | None:
        """Give the folder of the run that was started last and goes on; None where there is none.

        Parameters
        ----------
        timeout_s
            How long to wait until the folder of a run that has just started is there.

        Returns
        -------
        Path or None
            The folder.
        """
        for run in reversed(list(self._runs.values())):
            if not run.stopped:
                if not run.placed.wait(timeout_s):
                    run.warn(
                        f"its folder was not there within {timeout_s:g} s: a detector that asked "
                        "for it writes elsewhere"
                    )
                return Path(run.folder) if run.folder else None
        return None

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until all that was received is on disk and reduced, as far as it can be.

        Parameters
        ----------
        timeout_s
            How long to wait at most; without end by default.

        Returns
        -------
        bool
            False if the time ran out first.
        """
        done = self._room.wait_empty(timeout_s)
        if done:
            with suppress(OSError):  # the ticker tells it
                self._write_status()
        return done

    def close(self) -> None:
        """Finish what was received, then end all threads; later documents are refused."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        atexit.unregister(self.close)
        if len(self._early):
            logger.warning(
                "%d documents of runs that were not seen are left alone", len(self._early)
            )
        self._pipeline.close()
        self._subscribers.close()
        self._compressors.shutdown()
        self._ticker.close()

    def _take(self, name: str, doc: Document) -> None:
        uid = self._index.run_of(name, doc)
        if uid is None and name in _MAY_BE_EARLY and self._early.add(name, snapshot(doc)):
            return
        if self._is_processed(uid, name, doc):
            return
        run = self._run(uid, name)
        if run is None:
            logger.warning("A %s document of a run whose start was not seen is left alone", name)
            return
        if run.lost_reason and self._carries_frames(name, doc):
            run.lost_told = True
            raise FramesNotSavedError(run.lost_reason)
        pipeline = self._pipeline
        taken = take(name, doc, pipeline.data_keys, self._compress, never=pipeline.monitor_fields)
        frames, size = _frames_and_bytes(taken)
        run.count(received=frames)
        if not self._room.enter(size, timeout_s=0):
            self._wait_for_room(run, size, frames)
        run.count(queue=frames)
        run.stopped = run.stopped or name == "stop"
        self._pipeline.put(run, name, taken, size)
        if name in ("descriptor", "resource", "stream_resource") and len(self._early):
            for early in self._early.take(lambda *each: self._index.run_of(*each) is not None):
                self._take(*early)
        if run.lost_reason and not run.lost_told:  # the scan has to know, though too late
            run.lost_told = True
            raise FramesNotSavedError(run.lost_reason)

    def _is_processed(self, uid: str | None, name: str, doc: Document) -> bool:
        """Whether a document is of a processed run, our own or another's: it has no frames."""
        if name == "start" and RAW_RUN in doc:
            self._processed.add(str(doc["uid"]))
        known = uid in self._processed
        if name == "stop":
            self._processed.discard(str(uid))
        return known

    def _carries_frames(self, name: str, doc: Document) -> bool:
        pipeline = self._pipeline
        return carries_frames(name, doc, pipeline.data_keys, never=pipeline.monitor_fields)

    def _run(self, uid: str | None, name: str) -> RunStatus | None:
        if uid is not None and name == "start":
            self._runs[uid] = RunStatus(uid=uid)
            for old in [u for u, run in self._runs.items() if run.finished][:-100]:
                del self._runs[old]
        return self._runs.get(uid or "")

    def _refuse_closed(self, name: str, doc: Document) -> None:
        if self._carries_frames(name, doc):
            raise FramesNotSavedError(f"an {name} with frames came after close()")
        logger.warning("A %s document came after close() and is left alone", name)

    def _wait_for_room(self, run: RunStatus, size: int, frames: int) -> None:
        """Wait for memory, at most the configured time, then do what the configuration says."""
        began = time.monotonic()
        logger.warning(
            "Memory for frames is full (%d MB wait for the disk): the scan is held for up to %g s",
            *(self._room.size // _MEGABYTE, self._max_block_s),
        )
        if self._room.enter(size, timeout_s=self._max_block_s):
            run.warn(f"the scan was held for {time.monotonic() - began:.2f} s: memory was full")
        elif self._pause is not None:
            self._room.enter_anyway(size)
            run.warn("the plan was paused: memory was full; resume when the queue is short")
            self._pause()
        else:
            run.count(lost=frames)
            raise FramesNotSavedError(
                f"memory for frames was full for {self._max_block_s} s: frames are not written as "
                "fast as they come. Raise output.max_pending_mb, or check the disk"
            )

    def _compress(self, frames: NDArray[Any]) -> "Future[list[bytes]]":
        return self._compressors.submit(_compress_all, frames)

    def _write_status(self) -> None:
        for run in list(self._runs.values()):
            run.write_if_changed()


def _compress_all(frames: NDArray[Any]) -> list[bytes]:
    return [compress(frame) for frame in frames]


def _frames_and_bytes(doc: Document) -> tuple[int, int]:
    data = doc.get("data")
    if not isinstance(data, dict):
        return 0, 0
    stacks = [value.frames for value in data.values() if isinstance(value, FrameStack)]
    return sum(len(frames) for frames in stacks), int(np.sum([f.nbytes for f in stacks], dtype=int))
