"""Reduces acknowledged frames in worker threads and appends their curves in frame order."""

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky import schema
from h5xs_bluesky.api.processed_documents import ProcessedRun
from h5xs_bluesky.callbacks.configurations import Configuration
from h5xs_bluesky.callbacks.documents import Document
from h5xs_bluesky.callbacks.room import Room
from h5xs_bluesky.callbacks.rows import AcknowledgedEvent
from h5xs_bluesky.callbacks.status import RunStatus
from h5xs_bluesky.callbacks.subscribers import Subscribers
from h5xs_bluesky.errors import ReductionError, details_of
from h5xs_bluesky.io.frames import open_frames, read_frame
from h5xs_bluesky.io.processed import LiveProcessedFile
from h5xs_bluesky.io.provenance import Provenance
from h5xs_bluesky.io.run_files import RunFolder
from h5xs_bluesky.reduction.accumulators import Accumulators
from h5xs_bluesky.reduction.merge import merge_detectors

logger = logging.getLogger(__name__)

T = TypeVar("T")
Task = Callable[[], None]

_GIVE_WAY_S = 0.2  # at most, before the frames of an event


@dataclass(kw_only=True, slots=True)
class _Position:
    """One frame position on its way: what each detector's frame becomes, and its monitors."""

    parts: dict[str, "Future[Accumulators] | None"]
    transmitted: float
    incident: float


@dataclass(kw_only=True)
class RunReducer:
    """Reduces one run; the methods are called in the reducer's thread.

    Parameters
    ----------
    folder
        Of the run; the processed file is made there with the first frame.
    configuration
        The beamline's, and what reduces each detector's frames.
    status
        Counts what was reduced and what failed.
    publish
        Links the processed file into the run file.
    subscribers
        Follow the processed run; none of them can disturb the reduction.
    """

    folder: RunFolder
    configuration: Configuration
    status: RunStatus
    publish: Callable[[], None]
    subscribers: Subscribers
    processed: ProcessedRun | None = None
    file: LiveProcessedFile | None = None
    frames_per_event: int = 1
    broken: bool = False
    _extensions: tuple[str, ...] = field(default=())
    _without: list[AcknowledgedEvent] = field(default_factory=list)

    def begin(self, start: Document) -> None:
        """Begin the processed run beside the raw one, where somebody follows it."""
        if not self.subscribers:
            return
        try:
            self.processed = ProcessedRun(
                start,
                sample=self.folder.sample,
                beamline=self.configuration.beamline,
                emit=self.subscribers.emit,
            )
        except Exception as error:
            logger.exception("The processed run could not begin")
            self.status.fail(f"processed documents: {type(error).__name__}: {error}")

    def tell(self, what: Callable[[ProcessedRun], None]) -> None:
        """Let the processed run, if there is one, emit documents; what fails ends it."""
        if self.processed is None:
            return
        try:
            what(self.processed)
        except Exception as error:
            logger.exception("Processed documents could not be made")
            self.processed = None
            self.status.fail(f"processed documents: {type(error).__name__}: {error}")

    def start(self, event: AcknowledgedEvent, submit: Callable[..., Any]) -> list[_Position]:
        """Begin to reduce the frames of an event; those of other streams and cameras are none."""
        if event.stream != self.configuration.beamline.stream or self.broken:
            return []
        detectors = self.configuration.beamline.data_keys
        fields = {detectors[f].extension: f for f in event.references if f in detectors}
        if not fields:  # its rows are written once a later event shows that they are needed
            self._without.append(event)
            return []
        if self.file is None:
            self._open(fields, event)
        positions = [p for each in self._without for p in self._positions(each, {}, submit)]
        self._without.clear()
        return positions + self._positions(event, fields, submit)

    def _positions(
        self, event: AcknowledgedEvent, fields: Mapping[str, str], submit: Callable[..., Any]
    ) -> list[_Position]:
        """Begin the frame positions of one event; a detector without a field has no frame there."""
        transmitted, incident = (
            self._monitor(event, name) for name in (schema.TRANSMITTED, schema.INCIDENT)
        )
        return [
            _Position(
                parts={
                    extension: submit(self._reduce, extension, event, fields[extension], index)
                    if extension in fields
                    else None
                    for extension in self._extensions
                },
                transmitted=transmitted[index],
                incident=incident[index],
            )
            for index in range(self.frames_per_event)
        ]

    def commit(self, position: _Position) -> None:
        """Append one frame position; a frame that could not be reduced is NaN."""
        frame = {}
        for extension, future in position.parts.items():
            frame[extension] = Accumulators.missing((len(self.configuration.beamline.qgrid),))
            if future is None:
                continue
            try:
                frame[extension] = future.result()
                self.status.count(reduced=1)
            except Exception as error:
                logger.debug("The reduction failed", exc_info=error)
                self.status.count(failed=1)
                self.status.fail(f"{extension}: {type(error).__name__}: {error}")
        if self.file is None or self.broken:
            return
        number = self.file.rows
        try:
            self.file.append(frame, transmitted=position.transmitted, incident=position.incident)
            self.file.flush()
        except (OSError, RuntimeError) as error:
            self.broken = self.status.incomplete = True
            self.status.fail(
                f"{schema.PROCESSED_FILE} could not be written: {error}; the raw frames are not "
                "affected, reduce them later with load_data()"
            )
            return
        self.tell(
            lambda processed: processed.frame(
                number,
                merge_detectors(frame),
                transmitted=position.transmitted,
                incident=position.incident,
            )
        )

    def close(self) -> None:
        """Close the live file; the rows are in it."""
        if self.file is not None:
            self.file.close()

    def _open(self, fields: Mapping[str, str], event: AcknowledgedEvent) -> None:
        self._extensions = tuple(e for e in self.configuration.integrators if e in fields)
        self.frames_per_event = max(event.references[f].rows for f in fields.values())
        self.file = LiveProcessedFile(
            self.folder.path / schema.PROCESSED_FILE,
            extensions=self._extensions,
            bins=len(self.configuration.beamline.qgrid),
            provenance=Provenance(
                frames=self.configuration.beamline.reduction_process(self.status.uid)
            ),
        )
        self.publish()

    def _reduce(
        self, extension: str, event: AcknowledgedEvent, name: str, index: int
    ) -> Accumulators:
        reference = event.references[name]
        if reference.rows != self.frames_per_event:
            raise ReductionError(
                f"expected {self.frames_per_event} frames of {name} in event {event.row} as in "
                f"the first, found {reference.rows}"
            )
        return self.configuration.integrators[extension].integrate(self._frame(event, name, index))

    def _frame(self, event: AcknowledgedEvent, name: str, index: int) -> NDArray[Any]:
        """Give a frame from memory, or, where memory was short, from its file."""
        if name in event.frames:
            frame: NDArray[Any] = event.frames[name][index]
            return frame
        reference = event.references[name]
        with open_frames(self.folder.path / reference.file) as file:
            return read_frame(file[schema.DATA], reference.row + index)

    def _monitor(self, event: AcknowledgedEvent, name: str) -> NDArray[np.float64]:
        """Give the readings of a monitor for the frames of an event, NaN where there are none.

        Those of monitors that run on their own are found when the run has ended.
        """
        monitors = self.configuration.beamline.monitors
        key = None if monitors is None else monitors.with_frames.get(name)
        missing = np.full(self.frames_per_event, np.nan)
        if key is None:
            return missing
        try:
            readings = np.asarray(event.values[key], dtype=float).ravel()
            return np.broadcast_to(readings, missing.shape)
        except (KeyError, ValueError, TypeError):
            self.status.warn(
                f"expected the {name} monitor {key!r} in every event of {event.stream!r}, one "
                f"number per event or frame; found fields {sorted(event.values)}: "
                "the frames are not normalised"
            )
            return missing


class Reducer:
    """One thread that keeps worker threads busy and commits what they finish, in order.

    Where memory for frames runs short it gives way to the writer: it falls behind, and catches up
    when there is less to write. What waits is on disk, and read back from there.

    Parameters
    ----------
    workers
        Threads that reduce frames.
    room
        Tells whether the writer needs the processors.
    """

    def __init__(self, *, workers: int, room: Room) -> None:
        self._room = room
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="h5xs-reduce")
        self._ahead = 2 * workers
        self._tasks: queue.SimpleQueue[Callable[[], list[Task]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._loop, name="h5xs-reducer", daemon=True)
        self._thread.start()

    def reduce(self, run: RunReducer, event: AcknowledgedEvent, done: Task) -> None:
        """Reduce an event's frames; `done` is called once they are in the file, or failed."""

        def start() -> list[Task]:
            try:
                positions = run.start(event, self._submit)
            except Exception as error:
                logger.log(
                    logging.ERROR if details_of(error) else logging.DEBUG,
                    "The reduction of event %d could not begin",
                    event.row,
                    exc_info=error,
                )
                run.broken = True
                run.status.incomplete |= isinstance(error, OSError)
                frames = sum(reference.rows for reference in event.references.values())
                run.status.count(failed=frames)
                run.status.fail(f"{type(error).__name__}: {error}")
                positions = []
            commits: list[Task] = [lambda p=position: run.commit(p) for position in positions]  # type: ignore[misc]
            return [*commits, done]

        self._tasks.put(start)

    def then(self, task: Task) -> None:
        """Call `task` in the reducer's thread after all that was asked for before."""
        self._tasks.put(lambda: [task])

    def close(self) -> None:
        """Finish what was asked for and end the threads."""
        self._tasks.put(None)
        self._thread.join()
        self._pool.shutdown()

    def _submit(self, function: Callable[..., T], *arguments: Any) -> "Future[T]":
        try:
            return self._pool.submit(function, *arguments)
        except RuntimeError:  # the interpreter is ending: do it here
            future: Future[T] = Future()
            try:
                future.set_result(function(*arguments))
            except Exception as error:  # noqa: BLE001 - handed to whoever asks for the result
                future.set_exception(error)
            return future

    def _loop(self) -> None:
        started: deque[Task] = deque()
        closing = False
        while started or not closing:
            if not closing and len(started) < self._ahead and not (started and self._tasks.empty()):
                start = self._tasks.get()
                self._room.wait_calm(_GIVE_WAY_S)
                if start is None:
                    closing = True
                else:
                    started.extend(start())
                continue
            try:
                started.popleft()()
            except Exception:
                logger.exception("A step of the reduction failed")
