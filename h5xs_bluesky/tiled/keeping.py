"""Work that goes on until it is told to stop, whatever happens, and tells of each trouble once."""

import logging
import threading
from collections.abc import Callable
from typing import Any

from h5xs_bluesky.tiled.files import EXPECTED

logger = logging.getLogger(__name__)


def keep_trying(
    work: Callable[[], float],
    *,
    what: str,
    forget: Callable[[], None],
    again_s: float,
    stop: threading.Event,
) -> None:
    """Do something again and again until told to stop.

    Trouble is logged when it begins, and when it becomes another.

    Parameters
    ----------
    work
        What is done; it gives how long to wait afterwards, in seconds.
    what
        What is behind as long as the work fails.
    forget
        Called when it has failed.
    again_s
        How long to wait then.
    """
    told: object = None
    while not stop.is_set():
        pause = again_s
        try:
            pause = work()
        except Exception as error:
            kind = _kind(error)
            if kind != told:
                unexpected = None if isinstance(error, (*EXPECTED, KeyError)) else error
                logger.warning("%s: %s", what, error, exc_info=unexpected)
            told = kind
            forget()
        else:
            told = None
        stop.wait(pause)


def _kind(error: Exception) -> tuple[Any, ...]:
    """Give what makes two troubles one: their words may name another address each time."""
    return type(error), getattr(getattr(error, "response", None), "status_code", None)
