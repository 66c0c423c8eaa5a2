"""Devices for a RunEngine in tests: they hand out given values, in events."""

import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np


class Source:
    """A readable device with one field; a reading takes the next value.

    Like many real detectors it hands out its own buffer, and uses that again for the next reading.
    """

    parent = None

    def __init__(self, name: str, values: Iterable[Any]) -> None:
        self.name = name
        first, *rest = values
        self._values: Iterator[Any] = iter([first, *rest])
        self._buffer: Any = np.array(first) if isinstance(first, np.ndarray) else first

    def trigger(self) -> Any:
        from ophyd.sim import NullStatus

        value = next(self._values)
        if isinstance(value, np.ndarray) and isinstance(self._buffer, np.ndarray):
            self._buffer[...] = value
        else:
            self._buffer = np.array(value) if isinstance(value, np.ndarray) else value
        return NullStatus()

    def read(self) -> dict[str, Any]:
        return {self.name: {"value": self._buffer, "timestamp": time.time()}}

    def describe(self) -> dict[str, Any]:
        kind = "string" if isinstance(self._buffer, str) else "number"
        key: dict[str, Any] = {"source": "test", "dtype": kind, "shape": []}
        if isinstance(self._buffer, np.ndarray):
            key |= {"dtype": "array", "shape": list(self._buffer.shape)}
        return {self.name: key}

    def read_configuration(self) -> dict[str, Any]:
        return {}

    def describe_configuration(self) -> dict[str, Any]:
        return {}
