"""A thread that does something again and again; what fails is told once per kind."""

import logging
import threading
from collections.abc import Callable

from h5xs_bluesky.errors import H5xsError, details_of

logger = logging.getLogger(__name__)

_LONGEST_CLOSE_S = 60.0


class Complaints:
    """Logs errors: the first of each kind in full, expected ones in a line, others as details."""

    def __init__(self) -> None:
        self._known: set[tuple[str, str]] = set()

    def tell(self, what: str, error: Exception) -> None:
        """Log an error of something, as ``"the window 'curves'"``."""
        kind = (what, type(error).__name__)
        expected = isinstance(error, H5xsError)
        level = logging.WARNING if expected else logging.ERROR
        level = logging.DEBUG if kind in self._known else level
        self._known.add(kind)
        logger.log(level, "%s failed, and is left out: %s", what, error, exc_info=details_of(error))


class Repeater:
    """Calls a function every `period_s` in a thread of its own, until closed.

    Parameters
    ----------
    function
        What to do; what it raises is logged.
    what
        Names it in the log.
    """

    def __init__(self, function: Callable[[], object], what: str, *, period_s: float) -> None:
        self._function, self._what, self._period_s = function, what, period_s
        self._complaints = Complaints()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="h5xs-view", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def closing(self) -> bool:
        """Whether the function should come to its end."""
        return self._closing.is_set()

    def close(self) -> None:
        """End the thread, once it has done what it is at; one that is stuck is left alone."""
        self._closing.set()
        self._thread.join(_LONGEST_CLOSE_S)

    def _loop(self) -> None:
        while not self._closing.wait(self._period_s):
            try:
                self._function()
            except Exception as error:  # noqa: BLE001 - told, and nobody else's business
                self._complaints.tell(self._what, error)
