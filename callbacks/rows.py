"""Joins what arrives of each row of a stream, and gives the rows in their order."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from numpy.typing import NDArray

from h5xs_bluesky.io.journal import FrameReference

EVENT = ""  # stands for an event document among the fields that a row waits for


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AcknowledgedEvent:
    """A row of a stream, or a part of one, whose frames are safe on disk.

    Parameters
    ----------
    stream
        The stream.
    row
        The row in it.
    frames
        The stacks (k, H, W) by field, as far as they are in memory.
    references
        Where they lie, by field.
    values
        Other data by field.
    """

    stream: str
    row: int
    frames: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    references: Mapping[str, FrameReference] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Part:
    """What one document brought of a row.

    Parameters
    ----------
    event
        Its frames and values.
    settles
        What the row need not wait for any longer: `EVENT`, or a field, found or given up.
    frames
        How many frames it counts for in the status.
    size
        Bytes that it holds of the room.
    """

    event: AcknowledgedEvent
    settles: str
    frames: int = 0
    size: int = 0


@dataclass(kw_only=True, slots=True)
class _Row:
    wanted: frozenset[str]
    since: float
    parts: list[Part] = field(default_factory=list)

    @property
    def lacks(self) -> frozenset[str]:
        return self.wanted - {part.settles for part in self.parts}


class RowJoiner:
    """Collects the parts of each row of one stream until all that it waits for is there."""

    def __init__(self) -> None:
        self._wanted: frozenset[str] = frozenset()
        self._given_up: frozenset[str] = frozenset()
        self._rows: dict[int, _Row] = {}
        self._next = 0

    def expect(self, names: Iterable[str]) -> None:
        """Say what the rows from now on wait for: `EVENT`, and fields in other writers' files."""
        self._wanted = frozenset(names)
        self._given_up = frozenset()

    def silent(self, since: float) -> frozenset[str]:
        """Tell what the next row still waits for, if it has done so since before a time."""
        row = self._rows.get(self._next)
        if row is None or row.since > since:
            return frozenset()
        return row.lacks

    def give_up(self, names: frozenset[str]) -> list[list[Part]]:
        """Wait for these no longer, in no row; gives the rows that are ready by it."""
        self._wanted -= names
        self._given_up |= names
        for row in self._rows.values():
            row.wanted -= names
        return self._ready()

    def heard_of(self, name: str) -> None:
        """Wait again for what was given up, in rows from now on."""
        if name in self._given_up:
            self._given_up -= {name}
            self._wanted |= {name}

    def is_past(self, row: int) -> bool:
        """Whether a row went on already: what comes now, it did not wait for."""
        return row < self._next

    def add(self, part: Part) -> list[list[Part]]:
        """Take a part; gives the rows that are ready by it, in order, each as its parts."""
        row = part.event.row
        if row not in self._rows:
            self._rows[row] = _Row(wanted=self._wanted, since=time.monotonic())
        self._rows[row].parts.append(part)
        return self._ready()

    def _ready(self) -> list[list[Part]]:
        ready = []
        while self._next in self._rows and not self._rows[self._next].lacks:
            ready.append(self._rows.pop(self._next).parts)
            self._next += 1
        return ready

    def rest(self) -> list[list[Part]]:
        """Give all rows that still wait: nothing more will come."""
        left = [self._rows[row].parts for row in sorted(self._rows)]
        self._next = max(self._rows, default=self._next - 1) + 1
        self._rows.clear()
        return left


def joined(parts: Iterable[Part]) -> AcknowledgedEvent:
    """Make one row of its parts."""
    first, *others = [part.event for part in parts]
    for other in others:
        first = replace(
            first,
            frames={**first.frames, **other.frames},
            references={**first.references, **other.references},
            values={**first.values, **other.values},
        )
    return first
