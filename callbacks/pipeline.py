"""The writer thread: acknowledges documents in order and hands their frames to the reducer."""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from h5xs_bluesky import schema
from h5xs_bluesky.callbacks.announcements import Announcements
from h5xs_bluesky.callbacks.claims import Claims
from h5xs_bluesky.callbacks.configurations import Configurations
from h5xs_bluesky.callbacks.documents import Document, FrameStack
from h5xs_bluesky.callbacks.external_reader import Arrival, ExternalReader
from h5xs_bluesky.callbacks.finish import buffer_name, finish_run
from h5xs_bluesky.callbacks.open_run import OpenRun
from h5xs_bluesky.callbacks.raw_writer import RawWriter
from h5xs_bluesky.callbacks.reducer import Reducer, RunReducer
from h5xs_bluesky.callbacks.room import Room
from h5xs_bluesky.callbacks.rows import EVENT, AcknowledgedEvent, Part, joined
from h5xs_bluesky.callbacks.status import RunStatus
from h5xs_bluesky.callbacks.subscribers import Subscribers
from h5xs_bluesky.config import Beamline
from h5xs_bluesky.errors import H5xsError
from h5xs_bluesky.io.external import AllowedFolders

logger = logging.getLogger(__name__)

_IDLE_S = 0.5

SampleAttributes = Callable[[Document], Mapping[str, str]]


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
    subscribers
        Follow the processed runs.
    attributes
        Gives further attributes of a run's sample, from its start document.
    """

    def __init__(
        self,
        beamline: Beamline,
        folder: Path | None,
        *,
        room: Room,
        workers: int,
        subscribers: Subscribers,
        attributes: SampleAttributes | None = None,
    ) -> None:
        self._configurations = Configurations(beamline, folder)
        self._claims = Claims(self._configurations)
        self._room = room
        self._subscribers = subscribers
        self._attributes = attributes
        self._runs: dict[str, OpenRun] = {}
        self._reducer = Reducer(workers=workers, room=room)
        self._patience_s = beamline.output.max_wait_s
        self._external = ExternalReader(patience_s=beamline.output.max_wait_s, room=room)
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._loop, name="h5xs-writer", daemon=True)
        self._thread.start()

    @property
    def data_keys(self) -> frozenset[str]:
        """The fields that configured detectors write."""
        return self._configurations.data_keys

    @property
    def monitor_fields(self) -> frozenset[str]:
        """The fields that monitors write."""
        return self._configurations.monitor_fields

    def put(self, status: RunStatus, name: str, doc: Document, size: int) -> None:
        """Queue a document that holds `size` bytes of the room."""
        if name == "start":
            self._claims.begin(status, doc)
        self._queue.put(partial(self._handle, status, name, doc, size))

    def close(self) -> None:
        """Write what is queued, close the runs that have not ended, end the threads."""
        emptied = threading.Event()
        self._queue.put(emptied.set)
        emptied.wait()  # by now all that was announced is known
        self._external.close()
        self._queue.put(None)
        self._thread.join()
        self._claims.close()
        self._reducer.close()

    def _loop(self) -> None:
        looked = time.monotonic()
        while True:
            try:
                if time.monotonic() - looked > _IDLE_S:
                    looked = time.monotonic()
                    self._lose_patience()
                task = self._queue.get(timeout=_IDLE_S)
            except queue.Empty:
                for run in self._runs.values():
                    run.writer.idle()
                continue
            except Exception:
                logger.exception("A step of writing failed")
                continue
            if task is None:
                break
            try:
                task()
            except Exception:
                logger.exception("A step of writing failed")
        for run in list(self._runs.values()):  # runs that have not ended by close()
            self._finish(run)

    def _handle(self, status: RunStatus, name: str, doc: Document, size: int) -> None:
        frames = _frames_in(name, doc)
        run = self._runs.get(status.uid)
        try:
            if name == "start":
                self._runs[status.uid] = self._start(status, doc)
            elif run is None:  # a run without a folder
                status.count(lost=frames)
            elif name == "event":
                self._event(run, doc, frames, size)
                return
            elif name == "stop":
                self._stop(run, doc, size)
                return
            else:
                self._record(run, name, doc)
        except Exception as error:
            logger.debug("A %s document could not be written", name, exc_info=error)
            _lose(status, name, frames, error)
        self._leave(status, [(frames, size)])

    def _leave(self, status: RunStatus, counts: Iterable[tuple[int, int]]) -> None:
        """Count frames, and the bytes that they held, as arrived."""
        for frames, size in counts:
            status.count(queue=-frames)
            self._room.leave(size)

    def _event(self, run: OpenRun, doc: Document, frames: int, size: int) -> None:
        received = time.time()
        event = run.writer.write_event(doc)
        run.status.count(acknowledged=frames)
        self._announce(run, "event", doc, received=received, row=event.row)
        self._add(run, Part(event=event, settles=EVENT, frames=frames, size=size))
        self._place_early(run)

    def _record(self, run: OpenRun, name: str, doc: Document) -> None:
        received = time.time()
        lacks = run.writer.contents.lacks
        if lacks(name, doc) and run.held.add(name, doc):
            return
        run.writer.record(name, doc, received)
        self._announce(run, name, doc, received=received)
        if name == "descriptor":
            run.expect(doc)
            run.link()
        if name in ("descriptor", "stream_resource"):
            for early in run.held.take(lambda *each: not lacks(*each)):
                self._record(run, *early)

    def _announce(
        self, run: OpenRun, name: str, doc: Document, *, received: float, row: int | None = None
    ) -> None:
        """Wait for what a document announces; what cannot be waited for is told."""
        try:
            for found in run.announcements.of(name, doc, received=received, row=row):
                run.status.count(received=found.frame_count, queue=found.frame_count)
                run.awaited[found.field] += len(found.places)
                run.rows.heard_of(found.field)
                self._room.enter(0, timeout_s=0)  # on its way until the last event is placed
                if not found.problem:
                    self._external.watch(found, run.folders, partial(self._deliver, run))
                    continue
                self._room.enter(0, timeout_s=0)
                self._arrive(
                    run,
                    Arrival(
                        announcement=found,
                        first=0,
                        events=len(found.places),
                        problem=found.problem,
                    ),
                )
        except H5xsError as error:
            run.status.fail(f"{name}: {error}")
        except Exception as error:
            logger.exception("A %s document could not be understood", name)
            run.status.fail(f"{name}: {type(error).__name__}: {error}")

    def _deliver(self, run: OpenRun, arrival: Arrival) -> None:
        self._queue.put(partial(self._arrive, run, arrival))

    def _arrive(self, run: OpenRun, arrival: Arrival) -> None:
        if arrival.problem:
            run.status.fail(f"{arrival.announcement.field}: {arrival.problem}")
        run.early.append(arrival)
        self._place_early(run)
        self._finish_if_done(run)

    def _place_early(self, run: OpenRun) -> None:
        """Write what was found and whose rows are known by now."""
        waiting, run.early = run.early, deque()
        for arrival in waiting:
            places = arrival.announcement.places[arrival.first : arrival.first + arrival.events]
            rows = [place.row for place in places if place.row is not None]
            if len(rows) < len(places):
                run.early.append(arrival)
                continue
            run.awaited[arrival.announcement.field] -= arrival.events
            for part in self._write(run, arrival, rows):
                self._add(run, part)
            if arrival.first + arrival.events == len(arrival.announcement.places):
                self._room.leave(0)

    def _write(self, run: OpenRun, arrival: Arrival, rows: list[int]) -> list[Part]:
        """Acknowledge what was found; gives what each row gains, or that it gains nothing."""
        wanted, frames = arrival.announcement, arrival.frame_count
        events = [AcknowledgedEvent(stream=wanted.stream, row=row) for row in rows]
        if arrival.problem:
            run.status.count(missing=frames)
        else:
            try:
                events = run.writer.write_arrival(arrival, rows)
                run.status.count(acknowledged=frames)
            except Exception as error:  # noqa: BLE001 - the pixels are still where they were
                run.status.incomplete |= isinstance(error, OSError)
                run.status.count(missing=frames)
                run.status.fail(f"{wanted.field}: {type(error).__name__}: {error}")
        for _ in events[1:]:
            self._room.enter(0, timeout_s=0)
        return [
            Part(
                event=event,
                settles=wanted.field,
                frames=frames // len(rows),
                size=0 if number else arrival.size,
            )
            for number, event in enumerate(events)
        ]

    def _add(self, run: OpenRun, part: Part) -> None:
        """Add a part to its row, and reduce the rows that are ready by it."""
        if part.event.stream != run.reducer.configuration.beamline.stream or run.rows.is_past(
            part.event.row
        ):
            self._leave(run.status, [(part.frames, part.size)])
        else:
            for parts in run.rows.add(self._lighter(part)):
                self._reduce(run, parts)

    def _lighter(self, part: Part) -> Part:
        """Let go of frames where memory is short: the reducer reads them from disk."""
        if not part.size or not self._room.filling:
            return part
        self._room.give_back(part.size)
        return replace(part, event=replace(part.event, frames={}), size=0)

    def _reduce(self, run: OpenRun, parts: list[Part]) -> None:
        counts = [(part.frames, part.size) for part in parts]
        frames = sum(part.frames for part in parts)

        def done() -> None:
            run.status.count(behind=-frames)
            self._leave(run.status, counts)

        run.status.count(behind=frames)
        self._reducer.reduce(run.reducer, joined(parts), done)

    def _stop(self, run: OpenRun, doc: Document, size: int) -> None:
        run.stop_size = size
        try:
            for name, early in run.held.take(lambda *_: True):
                run.status.fail(run.writer.contents.lacks(name, early))
                run.writer.keep(name, early)
            run.writer.record("stop", doc, time.time())
        except OSError as error:
            run.status.incomplete = True
            run.status.fail(f"stop: {type(error).__name__}: {error}")
        self._place_early(run)
        self._finish_if_done(run)

    def _finish_if_done(self, run: OpenRun) -> None:
        if run.stop_size is None or run.awaited.total() or run.status.uid not in self._runs:
            return
        size = run.stop_size
        self._finish(self._runs.pop(run.status.uid))
        self._reducer.then(partial(self._leave, run.status, [(0, size)]))

    def _lose_patience(self) -> None:
        """Let rows go on without what has stayed silent, and is not waited for elsewhere."""
        since = time.monotonic() - self._patience_s
        for run in list(self._runs.values()):
            silent = run.rows.silent(since)
            if not silent or any(run.awaited[name] for name in silent):
                continue
            run.status.warn(
                f"expected {', '.join(sorted(silent))} with every event, heard nothing of it for "
                f"{self._patience_s:g} s: the curves go on without"
            )
            for parts in run.rows.give_up(silent):
                self._reduce(run, parts)

    def _tell_what_never_came(self, run: OpenRun) -> None:
        try:
            for name, events, frames in run.announcements.never_came():
                run.status.count(received=frames, missing=frames)
                run.status.fail(
                    f"{name}: expected to be told where that of every event is, heard nothing of "
                    f"{events} events"
                )
        except Exception:
            logger.exception("What was not announced could not be counted")

    def _finish(self, run: OpenRun) -> None:
        self._tell_what_never_came(run)
        for parts in run.rows.rest():
            self._reduce(run, parts)
        try:
            run.writer.close()
        except OSError as error:
            run.status.incomplete = True
            run.status.fail(f"{type(error).__name__}: {error}")
        run.link()
        self._reducer.then(partial(finish_run, run.experiment, run.writer, run.reducer))

    def _start(self, status: RunStatus, doc: Document) -> OpenRun:
        claim = self._claims.result(status, doc)
        experiment, beamline = claim.experiment, claim.configuration.beamline
        attributes = {schema.SAMPLE_NAME: claim.name}
        if self._attributes is not None:
            attributes.update(self._attributes(doc))
        writer = RawWriter(claim.folder, attributes, tell=status.fail)
        writer.record("start", doc)
        buffer = buffer_name(writer.contents, beamline)  # seen while the run goes on
        if buffer is not None:
            writer.metadata[schema.BUFFER] = buffer
        reducer = RunReducer(
            folder=claim.folder,
            configuration=claim.configuration,
            status=status,
            publish=writer.publish,
            subscribers=self._subscribers,
        )
        reducer.begin(doc)
        return OpenRun(
            experiment=experiment,
            status=status,
            writer=writer,
            reducer=reducer,
            announcements=Announcements(writer.contents, frozenset(beamline.data_keys)),
            folders=AllowedFolders(
                permanent=(experiment, *beamline.roots.permanent), allowed=beamline.roots.allowed
            ),
        )


def _frames_in(name: str, doc: Document) -> int:
    data = doc["data"].values() if name == "event" else ()
    return sum(len(value.frames) for value in data if isinstance(value, FrameStack))


def _lose(status: RunStatus, name: str, frames: int, error: Exception) -> None:
    """Count what could not be written; the next document tells the scan."""
    status.incomplete |= isinstance(error, OSError)
    status.count(lost=frames)
    status.fail(f"{name}: {type(error).__name__}: {error}")
    if frames or name == "start":
        status.lost_reason = (
            f"frames of run {status.uid[:8]} ({status.sample or 'no folder yet'}) could not be "
            f"written: {type(error).__name__}: {error}. Those acknowledged before are safe in "
            f"{status.folder or 'no folder'}. Free the disk or choose another folder, then repeat"
        )
