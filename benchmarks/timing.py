"""Comparing things that take turns, so that a noisy machine troubles all of them alike."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One figure of a benchmark.

    Parameters
    ----------
    key, what
        Its name, and what it tells.
    values
        Of each run.
    target
        What it should reach, and whether that is a lower bound.
    conditions
        What a reader needs to judge it.
    """

    key: str
    what: str
    values: NDArray[np.float64]
    target: float
    at_least: bool = True
    conditions: Mapping[str, Any] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """Over the runs."""
        return float(np.median(self.values))

    @property
    def reached(self) -> bool:
        """Whether the median reaches the target."""
        return self.median >= self.target if self.at_least else self.median <= self.target

    def to_mapping(self) -> dict[str, Any]:
        """Give plain values for JSON."""
        quartiles = np.percentile(self.values, [25, 75])
        return {
            "what": self.what,
            "median": self.median,
            "spread": [float(value) for value in quartiles],
            "runs": len(self.values),
            "target": self.target,
            "bound": "at least" if self.at_least else "at most",
            "reached": self.reached,
            "conditions": dict(self.conditions),
        }


def taking_turns(
    work: Mapping[str, Callable[[], object]], *, runs: int, budget_s: float
) -> dict[str, NDArray[np.float64]]:
    """Time several pieces of work, one after the other in each run.

    Parameters
    ----------
    work
        By name; each is called once before the first run.
    runs
        How many, if the time is enough.
    budget_s
        After which no further run begins; there are three at least.

    Returns
    -------
    dict of ndarray, shape (runs,)
        Seconds.
    """
    for call in work.values():
        call()
    taken: dict[str, list[float]] = {name: [] for name in work}
    end = time.perf_counter() + budget_s
    for run in range(runs):
        if run >= 3 and time.perf_counter() > end:
            break
        for name, call in work.items():
            began = time.perf_counter()
            call()
            taken[name].append(time.perf_counter() - began)
    return {name: np.array(values) for name, values in taken.items()}
