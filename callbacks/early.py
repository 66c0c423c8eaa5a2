"""Documents that came before those that they refer to."""

from collections.abc import Callable

from h5xs_bluesky.callbacks.documents import Document

_MOST = 10_000


class EarlyDocuments:
    """Keeps documents until they can be understood, in their order, up to a bound."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._held: list[tuple[str, Document]] = []

    def __len__(self) -> int:
        return len(self._held)

    def add(self, name: str, doc: Document) -> bool:
        """Keep a document; False if there are too many already."""
        if len(self._held) >= self._most:
            return False
        self._held.append((name, doc))
        return True

    def take(self, ready: Callable[[str, Document], bool]) -> list[tuple[str, Document]]:
        """Give those that are ready by now, and keep the others."""
        sorted_out: tuple[list[tuple[str, Document]], list[tuple[str, Document]]] = [], []
        for item in self._held:
            sorted_out[bool(ready(*item))].append(item)
        self._held, taken = sorted_out
        return taken
