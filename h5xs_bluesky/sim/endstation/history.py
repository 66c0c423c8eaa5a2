"""What a device was set to, and when."""

import bisect
from typing import Generic, TypeVar

Value = TypeVar("Value")


class History(Generic[Value]):
    """A quantity that changes in steps, and what it was at any time before.

    Parameters
    ----------
    value
        What it has always been.

    Examples
    --------
    >>> shutter = History("Close")
    >>> shutter.record(10.0, "Open")
    >>> shutter.at(9.0), shutter.at(11.0), shutter.since(11.0)
    ('Close', 'Open', 10.0)
    """

    def __init__(self, value: Value) -> None:
        self._times_s: list[float] = [float("-inf")]
        self._values: list[Value] = [value]

    def record(self, time_s: float, value: Value) -> None:
        """Note that it has had this value since then; a time before the last one is taken as it."""
        self._values.append(value)
        self._times_s.append(max(time_s, self._times_s[-1]))

    def at(self, time_s: float) -> Value:
        """Give the value that it had."""
        return self._values[self._place(time_s)]

    def since(self, time_s: float) -> float:
        """Give since when it had the value that it had; −∞ for always."""
        return self._times_s[self._place(time_s)]

    def lasted_s(self, value: Value, start_s: float, stop_s: float) -> float:
        """Give for how long of the time between two moments it had a value."""
        total, first = 0.0, self._place(start_s)
        for place in range(first, self._place(stop_s) + 1):
            last = place + 1 == len(self._times_s)
            ended = stop_s if last else min(stop_s, self._times_s[place + 1])
            if self._values[place] == value:
                total += max(ended - max(start_s, self._times_s[place]), 0.0)
        return total

    def _place(self, time_s: float) -> int:
        return max(bisect.bisect_right(self._times_s, time_s) - 1, 0)


class Path:
    """A coordinate that moves evenly between the moments for which it is told.

    Parameters
    ----------
    position
        Where it has always been.
    """

    def __init__(self, position: float) -> None:
        self._times_s = [0.0]
        self._positions = [position]

    def record(self, time_s: float, position: float) -> None:
        """Note where it is, or will be, at a time; what was noted for later is forgotten."""
        while len(self._times_s) > 1 and self._times_s[-1] > time_s:
            self._times_s.pop()
            self._positions.pop()
        self._positions.append(position)
        self._times_s.append(time_s)

    def at(self, time_s: float) -> float:
        """Give where it was: between the positions before and after, or at the last one."""
        after = bisect.bisect_right(self._times_s, time_s)
        if after == len(self._times_s) or after == 0:
            return self._positions[max(after - 1, 0)]
        before_s, after_s = self._times_s[after - 1], self._times_s[after]
        part = (time_s - before_s) / (after_s - before_s)
        begin = self._positions[after - 1]
        return begin + part * (self._positions[after] - begin)

    def since(self, time_s: float) -> float:
        """Give when it came to where it was then: `time_s` while it moves, −∞ for always."""
        last = bisect.bisect_right(self._times_s, time_s) - 1
        here = self._positions[max(last, 0)]
        if last + 1 < len(self._positions) and self._positions[last + 1] != here:
            return time_s
        while last > 0 and self._positions[last - 1] == here:
            last -= 1
        return self._times_s[last] if last else float("-inf")
