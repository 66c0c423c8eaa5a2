"""What the main thread does while a plan runs: it keeps the windows alive."""

import logging
import threading

import matplotlib as mpl
from bluesky.utils import DefaultDuringTask

from h5xs_bluesky.view.window_screen import WindowScreen, open_screens

logger = logging.getLogger(__name__)

_LOOK_S = 0.03


class WhileScanning(DefaultDuringTask):
    """Lets windows follow a plan with any backend of matplotlib's.

    The RunEngine holds up the main thread while a plan runs; by itself it only keeps windows of
    Qt alive.

    Examples
    --------
    >>> from bluesky import RunEngine
    >>> RE = RunEngine(during_task=WhileScanning())
    """

    def block(self, blocking_event: threading.Event) -> None:
        """Wait until the plan has ended, and draw meanwhile.

        Parameters
        ----------
        blocking_event
            Is set when it has.
        """
        if "qt" in mpl.get_backend().lower():
            super().block(blocking_event)  # type: ignore[no-untyped-call]
            return
        failed: set[WindowScreen] = set()
        while not blocking_event.wait(_LOOK_S):
            for screen in set(open_screens) - failed:
                try:
                    screen.tick()
                    screen.flush()
                except Exception:
                    failed.add(screen)
                    logger.exception("The windows' event loop failed: they rest until the prompt")
