"""Searching, listing and opening samples of a catalogue, and how it grows with their number."""

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.growth import Row
from benchmarks.samples import FRAMES, PLANS, name_of, write_samples
from benchmarks.serving import serving
from benchmarks.setup import cores
from benchmarks.timing import Figure, taking_turns

_FILLED_WITHIN_S = 900.0
_LOOK_S = 0.2
_PAGE = 10
_EXPERIMENT = "experiment"


def measure(
    *, counts: Sequence[int] = (20, 200, 2000), runs: int, budget_s: float
) -> tuple[list[Figure], list[Row]]:
    """Measure catalogues of so many samples, one server for each; they take turns.

    Returns
    -------
    figures
        Of the largest.
    rows
        For each count the medians, ms, and the time until all samples were there, s.
    """
    work: dict[str, Callable[[], object]] = {}
    filled_s = {}
    with ExitStack() as stack:
        for count in counts:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            write_samples(folder / _EXPERIMENT, count)
            client = stack.enter_context(serving(folder)).client()
            filled_s[count] = _seconds_until_filled(client, count)
            for name, call in _work(client[_EXPERIMENT], count).items():
                work[f"{name} {count}"] = call
        taken = taking_turns(work, runs=runs, budget_s=budget_s)
    rows = [
        {
            "samples": count,
            "filled_s": filled_s[count],
            **{f"{name}_ms": 1e3 * float(np.median(taken[f"{name} {count}"])) for name in _TARGETS},
        }
        for count in counts
    ]
    return _figures(taken, max(counts), filled_s), rows


_TARGETS = {"list": 1000.0, "by_name": 200.0, "by_plan": 200.0, "by_time": 200.0, "open": 150.0}
_WHAT = {
    "list": "ms for the names of all samples",
    "by_name": "ms for a search by Key('sample_name'), to the sample found",
    "by_plan": f"ms for a search by plan, which half of the samples have: the first {_PAGE}",
    "by_time": f"ms for a search by time: the {_PAGE} latest",
    "open": "ms to open a sample by its name: headers, and names of what it holds",
}


def _figures(taken: dict[str, Any], count: int, filled_s: dict[int, float]) -> list[Figure]:
    conditions = {
        "samples": f"{count} of {FRAMES} frames, in one experiment; SQLite, h5xs serve, loopback",
        "filled_s": filled_s[count],
        "cores": cores(),
    }
    return [
        Figure(
            key=f"catalogue_{name}_ms",
            what=_WHAT[name],
            values=1e3 * taken[f"{name} {count}"],
            target=target,
            at_least=False,
            conditions=conditions,
        )
        for name, target in _TARGETS.items()
    ]


def _seconds_until_filled(client: Any, count: int) -> float:
    began = time.monotonic()
    while _EXPERIMENT not in client or len(client[_EXPERIMENT]) < count:
        if time.monotonic() - began > _FILLED_WITHIN_S:
            raise TimeoutError(f"expected {count} samples within {_FILLED_WITHIN_S} s")
        time.sleep(_LOOK_S)
    return time.monotonic() - began


def _work(samples: Any, count: int) -> dict[str, Callable[[], object]]:
    from tiled.queries import Key

    name = name_of(count * 2 // 3)
    times = [samples[name_of(number)].metadata["time_start"] for number in (0, count - 1)]
    limit = times[0] + 0.9 * (times[1] - times[0])

    def listed() -> None:
        _expect(len(list(samples)), count)

    def by_name() -> None:
        (found,) = samples.search(Key("sample_name") == name).values()
        _expect(found.metadata["sample"], name)

    def by_plan() -> None:
        found = samples.search(Key("plan_name") == PLANS[0]).values().head(_PAGE)
        _expect({node.metadata["plan_name"] for node in found}, {PLANS[0]})

    def by_time() -> None:
        found = samples.search(Key("time_start") >= limit).values().tail(_PAGE)
        _expect(all(node.metadata["time_start"] >= limit for node in found), True)
        _expect(found[-1].metadata["time_start"], times[1])

    def opened() -> None:
        sample = samples[name]
        _expect(sample.metadata["start"]["sample_name"], name)
        _expect(sorted(sample), ["curves", "monitors", "primary", "processed"])

    return {
        "list": listed,
        "by_name": by_name,
        "by_plan": by_plan,
        "by_time": by_time,
        "open": opened,
    }


def _expect(found: object, expected: object) -> None:
    if found != expected:
        raise ValueError(f"expected {expected!r}, found {found!r}")
