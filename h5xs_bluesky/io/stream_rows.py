"""Which row of a stream an event, or a frame that another writer stored, belongs to."""

import math
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ANNOUNCED = "STREAM:"  # by stream_datum documents, not in events


@dataclass(slots=True)
class Place:
    """The row of something that was announced; None until its event has come."""

    row: int | None = None


class StreamRows:
    """The rows of one stream, in order of arrival.

    Where a stream's descriptors list values that only events bring, each event makes a row, and
    what stream_datum documents announce belongs to the event of the same number: the one that is
    there and lacks it, or else the next one. Where everything lies in other writers' files there
    may be no events, as in a fly scan: then the announcement makes the row, and an event of its
    number, if one comes, belongs to that.

    After a pause and resume numbers repeat; both rows stay.

    Attributes
    ----------
    seq_nums, times
        Of each row; a time is NaN until it is known.
    announced : bool
        Whether some fields lie in other writers' files.
    events_make_rows : bool
        Whether some do not.
    """

    def __init__(self) -> None:
        self.seq_nums = array("q")
        self.times = array("d")
        self.announced = False
        self.events_make_rows = False
        self._latest: dict[int, int] = {}  # sequence number → its last row
        self._with_event: set[int] = set()
        self._filled: dict[str, set[int]] = {}  # field → rows that have it
        self._waiting: dict[int, list[tuple[str, Place]]] = {}  # by sequence number

    def __len__(self) -> int:
        return len(self.seq_nums)

    @property
    def superseded(self) -> NDArray[np.bool_]:
        """Tell for each row whether a later row repeats its sequence number."""
        return superseded_rows(self.seq_nums)

    def describe(self, data_keys: Mapping[str, Mapping[str, Any]]) -> None:
        """Take in the fields of a descriptor."""
        for key in data_keys.values():
            if key.get("external") == ANNOUNCED:
                self.announced = True
            else:
                self.events_make_rows = True

    def event(self, seq_num: int, time: float) -> int:
        """Give the row of an event that has come."""
        row = self._latest.get(seq_num)
        if row is None or self.events_make_rows or row in self._with_event:
            row = self._new(seq_num)
            self._fill_waiting(seq_num, row)
        if not self.events_make_rows:
            self._with_event.add(row)
        self.times[row] = time
        return row

    def announce(self, name: str, seq_num: int) -> Place:
        """Give the place of a field's frames, or other data, of this sequence number."""
        place = Place()
        row = self._latest.get(seq_num)
        if row is not None and row not in self._filled.get(name, ()):
            self._fill(name, row, place)
        elif self.events_make_rows:
            self._waiting.setdefault(seq_num, []).append((name, place))
        else:
            self._fill(name, self._new(seq_num), place)
        return place

    def lacking(self, name: str) -> int:
        """Count the rows for which nothing was announced of a field."""
        return len(self) - len(self._filled.get(name, ()))

    def settle(self) -> None:
        """Make rows for what was announced with events that never came: the run is over."""
        for seq_num in sorted(self._waiting):
            while seq_num in self._waiting:
                self._fill_waiting(seq_num, self._new(seq_num))

    def _new(self, seq_num: int) -> int:
        row = len(self.seq_nums)
        self.seq_nums.append(seq_num)
        self.times.append(math.nan)
        if self.announced:
            self._latest[seq_num] = row
        return row

    def _fill_waiting(self, seq_num: int, row: int) -> None:
        left = []
        for name, place in self._waiting.pop(seq_num, ()):
            if row in self._filled.get(name, ()):
                left.append((name, place))
            else:
                self._fill(name, row, place)
        if left:
            self._waiting[seq_num] = left

    def _fill(self, name: str, row: int, place: Place) -> None:
        place.row = row
        self._filled.setdefault(name, set()).add(row)


def superseded_rows(seq_nums: Iterable[int]) -> NDArray[np.bool_]:
    """Tell for each row whether a later one has the same number, as after a pause and resume.

    Parameters
    ----------
    seq_nums : (events,)
        Sequence numbers in order of arrival.

    Returns
    -------
    ndarray of bool, shape (events,)

    Examples
    --------
    >>> superseded_rows([1, 2, 2, 3]).tolist()
    [False, True, False, False]
    """
    numbers = np.asarray(list(seq_nums), dtype=np.int64)
    last = {int(number): row for row, number in enumerate(numbers)}
    return np.array([last[int(n)] != row for row, n in enumerate(numbers)], dtype=bool)
