"""Curves of a remote sample as they come: those that are there, then each new one, none twice."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
from tiled.client.utils import ClientError

from h5xs_bluesky import schema
from h5xs_bluesky.api.data1d import Data1d
from h5xs_bluesky.tiled.runs import CURVES, RUNS

if TYPE_CHECKING:
    from h5xs_bluesky.tiled.client import SampleClient

logger = logging.getLogger(__name__)

_QUIET_S = 3.0


class Following:
    """Curves of a sample on their way to a callback.

    Two subscriptions tell of them. One of the experiment says, about once a second, how many curves
    the sample's file has, and when the run has ended. Where runs are published, one of the run's
    array brings each curve itself, and earlier. What a message leaves out is read from the file.

    Parameters
    ----------
    sample
        What is followed.
    callback
        Called with each curve, in the order of the frames. What it raises is logged.
    """

    def __init__(self, sample: "SampleClient", callback: Callable[[Data1d], Any]) -> None:
        self._sample = sample
        self._callback = callback
        self._sent = 0
        self._unreduced = -1  # curves that an ended run was told to have, of fewer than its frames
        self._moved = False  # a message has come since the experiment told of the sample
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._array: Any = None
        self._messages: Any = None
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="follow")
        self._heard = time.monotonic()
        self._experiment = sample.parent
        self._subscription = self._experiment.subscribe(self._executor)
        self._subscription.child_metadata_updated.add_callback(self._update)
        self._subscription.start_in_thread()
        self._executor.submit(self._catch_up, sample.refresh().metadata)
        threading.Thread(target=self._ask_where_quiet, name="follow", daemon=True).start()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the run has ended and all curves were given; False if that takes longer."""
        return self._ended.wait(timeout_s)

    def stop(self) -> None:
        """Call back no more."""
        self._ended.set()
        self._disconnect()

    def _update(self, update: Any) -> None:
        if update.key == self._sample.item["id"]:
            self._heard = time.monotonic()
            self._catch_up(update.metadata)

    def _ask_where_quiet(self) -> None:
        """Ask where nothing was heard for a while: a message that came too early was not heard."""
        while not self._ended.wait(_QUIET_S):
            if time.monotonic() - self._heard < _QUIET_S:
                continue
            try:
                self._executor.submit(self._catch_up, self._sample.refresh().metadata)
            except (httpx.HTTPError, ClientError, RuntimeError) as error:  # it has stopped, or will
                logger.debug("%s cannot be asked: %s", self._sample.uri, error)

    def _catch_up(self, metadata: Any) -> None:
        """Give the curves that the file has more, and see whether the run has ended."""
        if self._ended.is_set():
            return
        reduced = int(metadata.get("reduced") or 0)
        ended = bool(metadata.get("stop"))
        try:
            if reduced and not ended and self._messages is None:
                self._join_array(str(metadata.get("uid")))
            with self._lock:
                # Reading beside messages that are on their way would make a busy server busier.
                if ended or not self._moved:
                    self._give_up_to(reduced)
                self._moved = False
        except Exception:  # its subscription would end without a word
            logger.exception("A curve of %s did not reach its callback", self._sample.uri)
        if ended and self._sent >= reduced and self._is_whole(metadata, reduced):
            self._ended.set()
            # Its own thread cannot wait for itself.
            threading.Thread(target=self._disconnect, daemon=True).start()

    def _is_whole(self, metadata: Any, reduced: int) -> bool:
        """Whether no more curves of an ended run will come; without an average, if told twice."""
        if metadata.get("kept") is not None or metadata.get("frames") == reduced:
            return True
        before, self._unreduced = self._unreduced, reduced
        return before == reduced

    def _join_array(self, uid: str) -> None:
        """Subscribe to the array of the run's curves, if there is one."""
        self._array = self._find_array(uid)
        if self._array is None:
            return
        self._messages = self._array.subscribe()
        self._messages.new_data.add_callback(self._take)
        self._messages.start_in_thread()
        with self._lock:
            self._give_up_to(self._array.refresh().shape[0])

    def _find_array(self, uid: str) -> Any:
        """Look for the array beside the experiment, or beside a container above it."""
        node = self._experiment
        for _ in self._sample.item["attributes"]["ancestors"]:
            node = node.parent
            found = node.get(f"{RUNS}/{CURVES}/{uid}")
            if found is not None:
                return found
        return None

    def _take(self, update: Any) -> None:
        """Give the curves that a message brings, after those that it leaves out."""
        try:
            first = (update.offset or (0,))[0]
            values = update.data()
            with self._lock:
                self._moved = True
                if first > self._sent:
                    self._give_up_to(first)
                self._give(self._array, values[self._sent - first :], self._sent)
        except Exception:
            logger.exception("A curve of %s did not reach its callback", self._sample.uri)

    def _give_up_to(self, last: int) -> None:
        if last > self._sent:
            node = self._sample[schema.PROCESSED, schema.MERGED]
            self._give(node, node[self._sent : last], self._sent)

    def _give(self, node: Any, values: Any, first: int) -> None:
        for curve in self._sample.curves_of(node, values, first):
            if self._ended.is_set():
                return
            self._sent += 1
            try:
                self._callback(curve)
            except Exception:  # the next ones are none the worse
                logger.exception("%s: the callback failed", curve.label)

    def _disconnect(self) -> None:
        for subscription in (self._messages, self._subscription):
            if subscription is not None:
                subscription.disconnect()
