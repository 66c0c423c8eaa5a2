"""Callbacks of others that follow the processed runs; none of them can disturb the reduction."""

import itertools
import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from h5xs_bluesky.callbacks.documents import Document

logger = logging.getLogger(__name__)

Callback = Callable[[str, Document], object]

_MOST_WAITING = 10_000  # documents
_LONGEST_CLOSE_S = 10.0


@dataclass(kw_only=True, slots=True, eq=False)
class _Subscriber:
    """One callback with a thread and a queue of its own.

    `runs` holds the runs that it follows, by the uids of start and descriptors: those that began
    after it came, and whose documents it took in time.
    """

    callback: Callback
    waiting: queue.Queue[tuple[str, Document] | None] = field(
        default_factory=lambda: queue.Queue(_MOST_WAITING)
    )
    runs: dict[str, str] = field(default_factory=dict)
    thread: threading.Thread | None = None

    def put(self, name: str, doc: Document) -> None:
        """Queue a document; a callback that is too slow misses the rest of the run."""
        if name == "start":
            self.runs[doc["uid"]] = doc["uid"]
        run = self.runs.get(doc.get("run_start") or doc.get("descriptor") or doc["uid"])
        if run is None:
            return
        if name == "descriptor":
            self.runs[doc["uid"]] = run
        elif name == "stop":
            self._forget(run)
        try:
            self.waiting.put_nowait((name, doc))
        except queue.Full:
            self._forget(run)
            logger.error(
                "%r is too slow: %d processed documents wait for it; it misses the rest of run %s",
                *(self.callback, _MOST_WAITING, run[:8]),
            )

    def follow(self) -> None:
        """Call back for each document until None comes; what it raises is logged."""
        while (found := self.waiting.get()) is not None:
            try:
                self.callback(*found)
            except Exception:
                logger.exception("%r failed on a processed %s document", self.callback, found[0])

    def _forget(self, run: str) -> None:
        self.runs = {uid: other for uid, other in self.runs.items() if other != run}


class Subscribers:
    """Hands the documents of processed runs to callbacks, each in a thread of its own."""

    def __init__(self) -> None:
        self._tokens = itertools.count()
        self._lock = threading.Lock()
        self._subscribers: dict[int, _Subscriber] = {}

    def __bool__(self) -> bool:
        return bool(self._subscribers)

    def add(self, callback: Callback) -> int:
        """Add a callback; it gets the runs that begin from now on. Gives a token for `remove`."""
        subscriber = _Subscriber(callback=callback)
        thread = threading.Thread(target=subscriber.follow, name="h5xs-subscriber", daemon=True)
        subscriber.thread = thread
        thread.start()
        with self._lock:
            token = next(self._tokens)
            self._subscribers[token] = subscriber
        return token

    def remove(self, token: int) -> None:
        """Call a callback no more, once it has what waits for it; an unknown token is no error."""
        with self._lock:
            subscriber = self._subscribers.pop(token, None)
        if subscriber is not None:
            _end(subscriber)

    def emit(self, name: str, doc: Document) -> None:
        """Hand a document on; returns at once."""
        with self._lock:
            for subscriber in self._subscribers.values():
                subscriber.put(name, doc)

    def close(self) -> None:
        """Let all callbacks finish what waits for them, for at most 10 s each."""
        for token in list(self._subscribers):
            self.remove(token)


def _end(subscriber: _Subscriber) -> None:
    try:
        subscriber.waiting.put(None, timeout=_LONGEST_CLOSE_S)
    except queue.Full:
        logger.error("%r is stuck and is left alone", subscriber.callback)
        return
    if subscriber.thread is not None and subscriber.thread is not threading.current_thread():
        subscriber.thread.join(_LONGEST_CLOSE_S)
