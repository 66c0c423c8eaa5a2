"""How often something costly may be done."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SHARE = 4.0  # rests this many times as long as it took

_SHORT_TURN_S = 0.0005
_lock = threading.Lock()
_turns: list[float] = []  # the usual length of a turn, once for each block that gives way


@contextmanager
def giving_way() -> Iterator[None]:
    """Let other threads have their turn after 0.5 ms instead of 5 ms, while the block runs.

    A step of a plan passes through several threads; each of them would wait for as long as a turn
    of the thread that draws.
    """
    with _lock:
        _turns.append(_turns[0] if _turns else sys.getswitchinterval())
        sys.setswitchinterval(min(_SHORT_TURN_S, _turns[0]))
    try:
        yield
    finally:
        with _lock:
            usual = _turns.pop()
            if not _turns:
                sys.setswitchinterval(usual)


class Pace:
    """Lets something begin again after a while: the longer it took, the later.

    Parameters
    ----------
    period_s
        From one beginning to the next at least.
    clock
        Gives the time in s.
    """

    def __init__(self, *, period_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._period_s, self._clock = period_s, clock
        self._next = -float("inf")

    @property
    def ready(self) -> bool:
        """Whether it may begin."""
        return self._clock() >= self._next

    @contextmanager
    def going(self, *, share: float = SHARE) -> Iterator[None]:
        """Give way to other threads in the block; afterwards rest `share` times as long."""
        began = self._clock()
        try:
            with giving_way():
                yield
        finally:
            took = self._clock() - began
            self._next = max(began + self._period_s, began + took * (1 + share))
