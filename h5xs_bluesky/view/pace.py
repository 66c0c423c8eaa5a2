"""How often something costly may be done."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SHARE = 4.0  # rests this many times as long as it took


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
        """Measure how long the block takes; afterwards it rests `share` times as long."""
        began = self._clock()
        try:
            yield
        finally:
            took = self._clock() - began
            self._next = max(began + self._period_s, began + took * (1 + share))
