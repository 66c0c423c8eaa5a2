"""A thread that waits for what documents announce, and reads it as soon as it is there."""

import logging
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.callbacks.announcements import Announcement
from h5xs_bluesky.callbacks.room import Room
from h5xs_bluesky.errors import FileFormatError, FrameAbsentError, RefusedError
from h5xs_bluesky.io.bitshuffle import compress
from h5xs_bluesky.io.external import AllowedFolders, ExternalDataset

logger = logging.getLogger(__name__)

_SOON_S = 0.004  # between two looks at a file that has just brought, or been promised, something
_LATER_S = 0.1  # at one that has not for a while
_A_WHILE_S = 1.0
_KEPT_OPEN_S = 10.0
_MOST_OPEN = 32  # files; a run may have one for every event
_BATCH_BYTES = 32_000_000
_SHARE = 0.5  # of the room; the rest is for frames in events, which would hold the scan


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Arrival:
    """Some events of an announcement that were found, or were given up.

    Parameters
    ----------
    announcement
        What they are part of.
    first, events
        Which of its events.
    data
        Frames (events · per_event, H, W) or values (events · per_event, …); None where memory is
        short, or nothing was found.
    shape, dtype
        Of one frame, or of one row of values.
    chunks
        The compressed frames, where they have to be copied; None where they are linked.
    size
        Bytes that they hold of the room.
    problem
        Why they were given up; "" where they were found.
    """

    announcement: Announcement
    first: int
    events: int
    data: NDArray[Any] | None = None
    shape: tuple[int, ...] = ()
    dtype: str = ""
    chunks: list[bytes] | None = None
    size: int = 0
    problem: str = ""

    @property
    def frame_count(self) -> int:
        """How many frames they are."""
        return self.events * self.announcement.per_event if self.announcement.frames else 0


Deliver = Callable[[Arrival], None]


@dataclass(kw_only=True, slots=True)
class _Wanted:
    announcement: Announcement
    deliver: Deliver
    since: float
    done: int = 0  # events


@dataclass(kw_only=True, slots=True)
class _Source:
    """One dataset that is waited for."""

    path: Path
    dataset: str
    folders: AllowedFolders
    wanted: deque[_Wanted] = field(default_factory=deque)
    open: ExternalDataset | None = None
    news: float = 0.0  # when something was announced, or found
    found: float = 0.0
    next_look: float = 0.0
    problem: str = ""

    def close(self) -> None:
        if self.open is not None:
            self.open.close()
            self.open = None


class ExternalReader:
    """Reads the files of other writers while these write them, in a thread of its own.

    What is announced and cannot be read yet is looked for again, until `patience_s` have passed
    since its announcement and since the last news from its file. Then it is given up.

    Parameters
    ----------
    patience_s
        How long to wait.
    room
        Memory for frames on their way. Where it is short, frames that are linked are handed on
        without their pixels, and frames that are copied wait.
    """

    def __init__(self, *, patience_s: float, room: Room) -> None:
        self._patience_s = patience_s
        self._room = room
        self._new: queue.SimpleQueue[tuple[_Wanted, AllowedFolders] | None] = queue.SimpleQueue()
        self._sources: dict[tuple[Path, str], _Source] = {}
        self._closing = False
        self._thread = threading.Thread(target=self._loop, name="h5xs-external", daemon=True)
        self._thread.start()

    def watch(self, announcement: Announcement, folders: AllowedFolders, deliver: Deliver) -> None:
        """Wait for something; `deliver` is called in this thread, for all its events in order."""
        wanted = _Wanted(announcement=announcement, deliver=deliver, since=time.monotonic())
        self._new.put((wanted, folders))

    def close(self) -> None:
        """Look a last time, give up what is not there, and end the thread."""
        self._closing = True
        self._new.put(None)
        self._thread.join()

    def _loop(self) -> None:
        while not self._closing:
            self._take_new()
            now = time.monotonic()
            for source in list(self._sources.values()):
                if source.next_look <= now:
                    self._look(source)
            self._close_some()
        while not self._new.empty():
            self._take_new()
        for source in list(self._sources.values()):
            self._look(source)
            self._give_up(source, f"{source.problem or 'nothing was found'}; we were closed")
            source.close()

    def _take_new(self) -> None:
        """Wait for news, or until it is time to look at some file again."""
        looks = [source.next_look for source in self._sources.values()]
        timeout = max(0.0, min(looks) - time.monotonic()) if looks else None
        try:
            item = self._new.get(timeout=timeout)
            while item is not None:
                self._add(*item)
                item = self._new.get_nowait()
        except queue.Empty:
            return

    def _add(self, wanted: _Wanted, folders: AllowedFolders) -> None:
        key = wanted.announcement.path, wanted.announcement.dataset
        if key not in self._sources:
            self._sources[key] = _Source(path=key[0], dataset=key[1], folders=folders)
        source = self._sources[key]
        source.wanted.append(wanted)
        source.news, source.next_look = wanted.since, 0.0

    def _look(self, source: _Source) -> None:
        """Deliver what a file has by now, and give up what it will not have."""
        try:
            self._read(source)
        except (RefusedError, FileFormatError) as error:
            self._give_up(source, str(error))
        except FrameAbsentError as error:
            source.problem = _one_line(source, error)
        except Exception as error:  # noqa: BLE001 - it is told when the patience is at its end
            source.problem = _one_line(source, error)
            source.close()
        if source.open is not None and not source.open.grows:
            source.close()  # opened in the plain mode, it would lock its writer out
        now = time.monotonic()
        if not source.wanted:
            self._rest(source, now)
            return
        if now - source.found > self._patience_s:
            self._give_up(source, source.problem, before=now - self._patience_s)
        source.next_look = now + (_SOON_S if now - source.news < _A_WHILE_S else _LATER_S)

    def _close_some(self) -> None:
        """Close the files that have had no news for longest, if too many are open."""
        opened = [source for source in self._sources.values() if source.open is not None]
        for source in sorted(opened, key=lambda each: each.news)[:-_MOST_OPEN]:
            source.close()

    def _rest(self, source: _Source, now: float) -> None:
        """Keep a file open for a while after its last frame, in which more may be announced."""
        source.next_look = source.news + _KEPT_OPEN_S
        if source.next_look < now or source.open is None:
            source.close()
            del self._sources[source.path, source.dataset]

    def _read(self, source: _Source) -> None:
        if source.open is None:
            if not source.wanted:
                return
            source.open = ExternalDataset(source.path, source.dataset, folders=source.folders)
        dataset = source.open
        while source.wanted:
            wanted = source.wanted[0]
            announcement = wanted.announcement
            rows = dataset.rows(2 if announcement.frames else max(0, len(dataset.shape) - 1))
            first = announcement.first + wanted.done * announcement.per_event
            there = (rows - first) // announcement.per_event
            batch = _batch(announcement, dataset, most=min(_BATCH_BYTES, self._room.most // 8))
            events = min(there, len(announcement.places) - wanted.done, batch)
            if events < 1:
                source.problem = (
                    f"{source.path}: expected {first + announcement.per_event} rows in "
                    f"{source.dataset}, found {rows}"
                )
                return
            wanted.done += self._deliver(wanted, dataset, first, events)
            source.news = source.found = time.monotonic()
            if wanted.done == len(announcement.places):
                source.wanted.popleft()

    def _deliver(self, wanted: _Wanted, dataset: ExternalDataset, first: int, events: int) -> int:
        """Hand on what is there of so many events; gives how many it was."""
        announcement = wanted.announcement
        read = dataset.frames if announcement.frames else dataset.values
        data = read(first, events, announcement.per_event)
        events = len(data) // announcement.per_event
        copied = announcement.frames and not dataset.permanent
        chunks = [compress(frame) for frame in data] if copied else None
        room = announcement.frames and self._enter(data.nbytes, wait=copied)
        if not room:
            self._room.enter(0, timeout_s=0)
        wanted.deliver(
            Arrival(
                announcement=announcement,
                first=wanted.done,
                events=events,
                data=data if room or not announcement.frames else None,
                shape=data.shape[1:],
                dtype=data.dtype.str,
                chunks=chunks,
                size=data.nbytes if room else 0,
            )
        )
        return events

    def _enter(self, size: int, *, wait: bool) -> bool:
        """Take room for frames, waiting for it if they are copied, but not for ever."""
        began = time.monotonic()
        while not self._room.enter(size, timeout_s=_LATER_S if wait else 0, share=_SHARE):
            if not wait or self._closing:
                return False
            if time.monotonic() - began > self._patience_s:
                self._room.enter_anyway(size)
                return True
        return True

    def _give_up(self, source: _Source, problem: str, *, before: float = math.inf) -> None:
        while source.wanted and source.wanted[0].since < before:
            wanted = source.wanted.popleft()
            self._room.enter(0, timeout_s=0)
            wanted.deliver(
                Arrival(
                    announcement=wanted.announcement,
                    first=wanted.done,
                    events=len(wanted.announcement.places) - wanted.done,
                    problem=problem,
                )
            )


def _batch(announcement: Announcement, dataset: ExternalDataset, *, most: int) -> int:
    """Give the number of events to be read at once, of so many bytes."""
    tail = dataset.shape[-2:] if announcement.frames else dataset.shape[1:]
    of_an_event = announcement.per_event * int(np.prod(tail, dtype=int)) * dataset.dtype.itemsize
    return max(1, most // max(1, of_an_event))


def _one_line(source: _Source, error: Exception) -> str:
    text = str(error).strip("'\"").splitlines()[0] if str(error) else type(error).__name__
    return text if str(source.path) in text else f"{source.path}: {text}"
