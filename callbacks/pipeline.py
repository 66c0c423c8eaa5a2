"""The writer thread: acknowledges documents in order and hands their frames to the reducer."""

import logging
import queue
import threading
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from h5xs_bluesky import schema
from h5xs_bluesky.callbacks.configurations import Configurations
from h5xs_bluesky.callbacks.documents import Document, FrameStack, external_fields
from h5xs_bluesky.callbacks.finish import finish_run
from h5xs_bluesky.callbacks.raw_writer import AcknowledgedEvent, RawWriter
from h5xs_bluesky.callbacks.reducer import Reducer, RunReducer
from h5xs_bluesky.callbacks.room import Room
from h5xs_bluesky.callbacks.status import RunStatus
from h5xs_bluesky.config import Beamline
from h5xs_bluesky.errors import H5xsError
from h5xs_bluesky.io.experiment import add_sample
from h5xs_bluesky.io.run_files import RunFolder

logger = logging.getLogger(__name__)

_IDLE_S = 0.5


@dataclass(kw_only=True, slots=True)
class _Run:
    """One run on its way through the writer thread."""

    experiment: Path
    status: RunStatus
    writer: RawWriter
    reducer: RunReducer
    linked: bool = False

    def link(self) -> None:
        """Show the run in the experiment; where that fails, the next occasion tries again."""
        if self.linked:
            return
        try:
            add_sample(self.experiment, self.writer.folder.sample)
            self.linked = True
        except (H5xsError, OSError) as error:
            self.status.fail(f"{self.experiment / schema.EXPERIMENT_FILE}: {error}")


class Pipeline:
    """Takes documents from a queue to disk, and from there to the reducer.

    Parameters
    ----------
    beamline
        The configuration that new experiments get.
    folder
        The experiment's folder; None for the one that the configuration makes of a start document.
    room
        Told when a document has arrived.
    workers
        Threads that reduce.
    """

    def __init__(
        self, beamline: Beamline, folder: Path | None, *, room: Room, workers: int
    ) -> None:
        self._configurations = Configurations(beamline, folder)
        self._room = room
        self._runs: dict[str, _Run] = {}
        self._reducer = Reducer(workers=workers)
        self._queue: queue.SimpleQueue[tuple[RunStatus, str, Document, int] | None]
        self._queue = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._loop, name="h5xs-writer", daemon=True)
        self._thread.start()

    @property
    def data_keys(self) -> frozenset[str]:
        """The fields that configured detectors write."""
        return self._configurations.data_keys

    def put(self, status: RunStatus, name: str, doc: Document, size: int) -> None:
        """Queue a document that holds `size` bytes of the room."""
        self._queue.put((status, name, doc, size))

    def close(self) -> None:
        """Write what is queued, close the runs that have not ended, end the threads."""
        self._queue.put(None)
        self._thread.join()
        self._reducer.close()

    def _loop(self) -> None:
        while True:
            try:
                item = self._queue.get(timeout=_IDLE_S)
            except queue.Empty:
                for run in self._runs.values():
                    run.writer.idle()
                continue
            if item is None:
                break
            self._handle(*item)
        for run in self._runs.values():  # runs that have not ended by close()
            self._finish(run)

    def _handle(self, status: RunStatus, name: str, doc: Document, size: int) -> None:
        frames = _frames_in(name, doc)
        try:
            if name == "start":
                self._runs[status.uid] = self._start(status, doc)
            elif status.uid not in self._runs:  # a run without a folder
                status.count(lost=frames)
            elif name == "event":
                event = self._runs[status.uid].writer.write_event(doc)
                status.count(acknowledged=frames)
                self._reduce(self._runs[status.uid], event, frames, size)
                return
            elif name == "stop":
                self._stop(self._runs.pop(status.uid), doc, size)
                return
            else:
                self._record(self._runs[status.uid], name, doc)
        except Exception as error:
            logger.debug("A %s document could not be written", name, exc_info=error)
            _lose(status, name, frames, error)
        self._leave(status, frames, size)

    def _leave(self, status: RunStatus, frames: int, size: int) -> None:
        status.count(queue=-frames)
        self._room.leave(size)

    def _reduce(self, run: _Run, event: AcknowledgedEvent, frames: int, size: int) -> None:
        """Hand an event to the reducer; where memory is short, it reads the frames from disk."""
        if size and self._room.half_full:
            event = replace(event, frames={})
            self._room.give_back(size)
            size = 0
        self._reducer.reduce(run.reducer, event, partial(self._leave, run.status, frames, size))

    @staticmethod
    def _record(run: _Run, name: str, doc: Document) -> None:
        run.writer.record(name, doc)
        if name == "descriptor":
            run.link()
            elsewhere = external_fields(doc)
            if elsewhere:
                run.status.warn(
                    f"frames of {elsewhere} are not in the events but in files that others write: "
                    "the journal tells where, they are neither copied nor reduced"
                )

    def _stop(self, run: _Run, doc: Document, size: int) -> None:
        try:
            run.writer.record("stop", doc)
        except OSError as error:
            run.status.fail(f"stop: {type(error).__name__}: {error}")
        self._finish(run)
        self._reducer.then(partial(self._leave, run.status, 0, size))

    def _finish(self, run: _Run) -> None:
        try:
            run.writer.close()
        except OSError as error:
            run.status.fail(f"{type(error).__name__}: {error}")
        run.link()
        self._reducer.then(partial(finish_run, run.experiment, run.writer, run.reducer))

    def _start(self, status: RunStatus, doc: Document) -> _Run:
        experiment, configuration = self._configurations.for_run(doc, status)
        beamline = configuration.beamline
        uid = str(doc["uid"])
        scan_id = doc.get("scan_id")
        name = beamline.sample_name(doc)
        if name is None:
            name = f"scan_{scan_id}" if scan_id is not None else f"run_{uid[:8]}"
            status.warn(
                f"expected the sample's name under {beamline.sample_name_key!r} in the start "
                f"document, found none: it is called {name}"
            )
        folder = RunFolder.claim(experiment, name=name, scan_id=scan_id, uid=uid)
        status.sample, status.folder = folder.sample, str(folder.path)
        writer = RawWriter(folder, {schema.SAMPLE_NAME: name})
        writer.record("start", doc)
        reducer = RunReducer(
            folder=folder, configuration=configuration, status=status, publish=writer.publish
        )
        return _Run(experiment=experiment, status=status, writer=writer, reducer=reducer)


def _frames_in(name: str, doc: Document) -> int:
    data = doc["data"].values() if name == "event" else ()
    return sum(len(value.frames) for value in data if isinstance(value, FrameStack))


def _lose(status: RunStatus, name: str, frames: int, error: Exception) -> None:
    """Count what could not be written; the next document tells the scan."""
    status.count(lost=frames)
    status.fail(f"{name}: {type(error).__name__}: {error}")
    if frames or name == "start":
        status.lost_reason = (
            f"frames of run {status.uid[:8]} ({status.sample or 'no folder yet'}) could not be "
            f"written: {type(error).__name__}: {error}. Those acknowledged before are safe in "
            f"{status.folder or 'no folder'}. Free the disk or choose another folder, then repeat"
        )
