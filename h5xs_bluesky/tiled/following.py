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
from h5xs_bluesky.tiled.sources import COMPLETE
from h5xs_bluesky.tiled.summaries import has_ended

if TYPE_CHECKING:
    from h5xs_bluesky.tiled.client import SampleClient

logger = logging.getLogger(__name__)

_QUIET_S = 3.0
_NO_ANSWER = (httpx.HTTPError, ClientError, RuntimeError)


class Following:
    """Curves of a sample on their way to a callback.

    Two subscriptions tell of them. One of the experiment says, about once a second, how many curves
    the sample's file has, and when the run has ended, or its writer died. Where runs are published,
    one of the run's array brings each curve itself, and earlier. What a message leaves out is read
    from the file; where no messages come any more, the server is asked.

    Parameters
    ----------
    sample
        What is followed.
    callback
        Called with each curve, in the order of the frames. What it raises is logged.
    trans
        Ask for what normalises each curve, too.
    """

    def __init__(
        self, sample: "SampleClient", callback: Callable[[Data1d], Any], *, trans: bool
    ) -> None:
        self._sample, self._trans = sample, trans
        self._callback = callback
        self._sent = 0
        self._unreduced = -1  # curves that an ended run was told to have, of fewer than its frames
        self._moved = False  # a message has come since the experiment told of the sample
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._complete = False  # the array is
        self._array: Any = None
        self._messages: Any = None
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="follow")
        self._heard = time.monotonic()
        self._experiment = sample.parent
        self._subscription: Any = None
        self._executor.submit(self._catch_up, sample.refresh().metadata)
        for work in (self._hear_of_sample, self._ask_where_quiet):
            threading.Thread(target=work, name="follow", daemon=True).start()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the run has ended and all curves were given; False if that takes longer.

        A run whose writer died has ended, too.
        """
        return self._ended.wait(timeout_s)

    def stop(self) -> None:
        """Call back no more."""
        self._ended.set()
        # The callback may call this, and its thread cannot wait for itself.
        threading.Thread(target=self._disconnect, daemon=True).start()

    def _hear_of_sample(self) -> None:
        """Receive the experiment's messages; anew where they end, as a server has stopped."""
        while not self._ended.is_set():
            self._subscription = self._experiment.subscribe()
            self._subscription.child_metadata_updated.add_callback(self._update)
            self._receive(self._subscription)
            self._ended.wait(_QUIET_S)

    def _receive(self, subscription: Any) -> None:
        """Receive messages until they end, and tell in one line why they do before their time."""
        try:
            subscription.start()
        except Exception as error:  # noqa: BLE001 - Tiled's and websockets' own
            if not self._ended.is_set():
                reason = f"{type(error).__name__}: {error}"
                logger.warning("No messages of %s at the moment: %s", self._sample.uri, reason)

    def _update(self, update: Any) -> None:
        if update.key == self._sample.item["id"]:
            self._heard = time.monotonic()
            self._submit(update.metadata)

    def _submit(self, metadata: Any) -> None:
        if not self._ended.is_set():
            self._executor.submit(self._catch_up, metadata)

    def _ask_where_quiet(self) -> None:
        """Ask where nothing was heard for a while: a message that came too early was not heard."""
        while not self._ended.wait(_QUIET_S):
            if time.monotonic() - self._heard < _QUIET_S:
                continue
            try:
                self._submit(self._sample.refresh().metadata)
            except _NO_ANSWER as error:  # it has stopped, or will
                logger.debug("%s cannot be asked: %s", self._sample.uri, error)

    def _catch_up(self, metadata: Any) -> None:
        """Give the curves that the file has more, and see whether the run has ended."""
        if self._ended.is_set():
            return
        reduced = int(metadata.get("reduced") or 0)
        ended = has_ended(metadata)
        try:
            if reduced and not (ended or self._complete) and self._messages is None:
                self._join_array(str(metadata.get("uid")))
            if self._complete:  # its array knows more than metadata that are on their way
                ended, reduced = True, max(reduced, self._array.shape[0])
            with self._lock:
                # Reading beside messages that are on their way would make a busy server busier.
                if ended or not self._moved:
                    self._give_up_to(reduced)
                self._moved = False
        except Exception:  # its subscription would end without a word
            logger.exception("A curve of %s did not reach its callback", self._sample.uri)
        final = self._complete or metadata.get("goes_on") is False
        if ended and self._sent >= reduced and (final or self._is_whole(metadata, reduced)):
            self.stop()

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
        if self._array.metadata.get(COMPLETE) is not True:
            self._messages = self._array.subscribe()
            self._messages.new_data.add_callback(self._take)
            threading.Thread(target=self._hear_of_array, name="follow", daemon=True).start()
        self._take_what_is_there()

    def _hear_of_array(self) -> None:
        """Receive the array's messages; these end when it is complete, or its server stops."""
        self._receive(self._messages)
        try:
            if not self._ended.is_set():
                self._take_what_is_there()
                self._submit(self._sample.refresh().metadata)
        except Exception as error:  # noqa: BLE001 - the sample is asked again
            logger.debug("%s cannot be asked: %s", self._sample.uri, error)
        self._messages = None

    def _take_what_is_there(self) -> None:
        array = self._array.refresh()
        with self._lock:
            self._give_up_to(array.shape[0])
        self._complete = array.metadata.get(COMPLETE) is True

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
        for curve in self._sample.curves_of(node, values, first, trans=self._trans):
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
        self._executor.shutdown(wait=False)
