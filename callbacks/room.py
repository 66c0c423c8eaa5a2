"""Memory for frames on their way: how much is taken, and waiting for it."""

import threading


class Room:
    """Counts the documents on their way, and the bytes of their frames, up to a bound.

    Parameters
    ----------
    most
        Bytes. A single document may be larger, when it is alone.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._documents = 0
        self._changed = threading.Condition()
        self.size = 0

    def enter(self, size: int, *, timeout_s: float, share: float = 1.0) -> bool:
        """Take room for a document, waiting for it; False if the time ran out first.

        Parameters
        ----------
        share
            How much of the room may be taken in all with this document: the rest is for others.
        """
        most = share * self._most
        with self._changed:
            fits = self._changed.wait_for(
                lambda: size == 0 or self.size == 0 or self.size + size <= most, timeout_s
            )
            if fits:
                self._add(size)
            return fits

    def enter_anyway(self, size: int) -> None:
        """Take room beyond the bound."""
        with self._changed:
            self._add(size)

    def give_back(self, size: int) -> None:
        """Free bytes whose document is still on its way."""
        with self._changed:
            self.size -= size
            self._changed.notify_all()

    def leave(self, size: int) -> None:
        """Free the bytes of a document that has arrived."""
        with self._changed:
            self.size -= size
            self._documents -= 1
            self._changed.notify_all()

    def wait_empty(self, timeout_s: float | None) -> bool:
        """Wait until no document is on its way; False if the time ran out first."""
        with self._changed:
            return self._changed.wait_for(lambda: self._documents == 0, timeout_s)

    def wait_calm(self, timeout_s: float) -> None:
        """Wait until a quarter is free, so that whoever frees room is not held up by the caller."""
        with self._changed:
            self._changed.wait_for(lambda: self.size <= 0.75 * self._most, timeout_s)

    @property
    def most(self) -> int:
        """Give the bound."""
        return self._most

    @property
    def filling(self) -> bool:
        """Whether frames that are safe on disk should leave memory.

        From a quarter on: those that wait for another detector's leave room for that.
        """
        return self.size > self._most / 4

    def _add(self, size: int) -> None:
        self.size += size
        self._documents += 1
