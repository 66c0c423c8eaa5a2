"""How cost grows: with frames, pixels, bins, detectors and threads."""

import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.experiment import write_experiment
from benchmarks.files import reducing
from benchmarks.memory import peaks_mb
from benchmarks.setup import SHAPE, cores, frames, grid, pixels_of, saxs_detector
from benchmarks.timing import taking_turns
from h5xs_bluesky.reduction.integration.integrate import make_integrator

Row = dict[str, float]
Work = dict[Any, Callable[[], object]]

_SMALL = (256, 256)


def measure(*, tiny: bool = False) -> dict[str, list[Row]]:
    """Measure all series; each row has its variable, and medians and quartiles of times in ms."""
    budget_s, shape = (0.1, _SMALL) if tiny else (10.0, SHAPE)
    return {
        "frames": _frames((2,) if tiny else (10, 100, 1000, 10_000), budget_s),
        "pixels": _pixels((0.1,) if tiny else (0.1, 0.3, 1, 4, 16), budget_s),
        "bins": _bins((100,) if tiny else (100, 300, 1000, 5000), shape, budget_s),
        "detectors": _detectors(
            (1, 2) if tiny else (1, 2, 3, 4), 2 if tiny else 300, shape, budget_s
        ),
        "threads": _threads((1, 2) if tiny else (1, 2, 4), 2 if tiny else 500, shape, budget_s),
        "memory": _memory((2,) if tiny else (10, 100, 1000, 3000)),
    }


def _rows(name: str, work: Work, budget_s: float, *, per: Callable[[Any], float]) -> list[Row]:
    taken = taking_turns({str(key): call for key, call in work.items()}, runs=60, budget_s=budget_s)
    rows = []
    for key in work:
        low, median, high = np.percentile(1e3 * taken[str(key)] / per(key), [25, 50, 75])
        rows.append({name: float(key), "ms": median, "ms_25": low, "ms_75": high})
    return rows


def _frames(counts: tuple[int, ...], budget_s: float) -> list[Row]:
    """Measure files of small frames, from opening to the processed file: ms for each frame."""
    with tempfile.TemporaryDirectory() as folder:
        work: Work = {
            count: reducing(write_experiment(Path(folder) / str(count), count, shape=_SMALL))
            for count in counts
        }
        return _rows("frames", work, budget_s, per=float)


def _pixels(megapixels: tuple[float, ...], budget_s: float) -> list[Row]:
    """Measure frames in memory, of different sizes: ms for each, and for reading it once."""
    rows = []
    for size in megapixels:
        scale = np.sqrt(size * 1e6 / (SHAPE[0] * SHAPE[1]))
        shape = (round(SHAPE[0] * scale), round(SHAPE[1] * scale))
        stack = frames(max(2, min(40, round(48 / (4 * size)))), shape=shape)
        integrator = make_integrator(pixels_of(saxs_detector(shape)), grid())
        turn = iter(range(10**9))

        def ours(integrator: Any = integrator, stack: Any = stack, turn: Any = turn) -> object:
            found = integrator.integrate(stack[next(turn) % len(stack)])
            return found.intensity(), found.sigma()

        def read(stack: Any = stack, turn: Any = turn) -> object:
            return stack[next(turn) % len(stack)].sum(dtype="i4")

        taken = taking_turns({"ours": ours, "read": read}, runs=200, budget_s=budget_s / 5)
        low, median, high = np.percentile(1e3 * taken["ours"], [25, 50, 75])
        once = 1e3 * float(np.median(taken["read"]))
        rows.append(
            {"megapixels": size, "ms": median, "ms_25": low, "ms_75": high, "read_ms": once}
        )
    return rows


def _bins(counts: tuple[int, ...], shape: tuple[int, int], budget_s: float) -> list[Row]:
    """Measure a frame in memory on finer and finer grids: ms for each frame."""
    pixels, stack = pixels_of(saxs_detector(shape)), frames(12, shape=shape)
    turn = iter(range(10**9))

    def call(integrator: Any) -> Callable[[], object]:
        return lambda: integrator.integrate(stack[next(turn) % len(stack)])

    work: Work = {count: call(make_integrator(pixels, grid(count))) for count in counts}
    return _rows("bins", work, budget_s, per=lambda _: 1.0)


def _detectors(
    counts: tuple[int, ...], frames_of_each: int, shape: tuple[int, int], budget_s: float
) -> list[Row]:
    """Measure files of one and of several detectors: ms for each frame of each detector."""
    with tempfile.TemporaryDirectory() as folder:
        work: Work = {
            count: reducing(
                write_experiment(
                    Path(folder) / str(count), frames_of_each, detectors=count, shape=shape
                )
            )
            for count in counts
        }
        return _rows("detectors", work, budget_s, per=lambda count: count * frames_of_each)


def _threads(
    counts: tuple[int, ...], frames_of_each: int, shape: tuple[int, int], budget_s: float
) -> list[Row]:
    """Measure a file reduced by more and more threads: ms for each frame."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_experiment(Path(folder) / "experiment", frames_of_each, shape=shape)
        pools = {count: ThreadPoolExecutor(count) for count in counts}
        try:
            work: Work = {n: reducing(path, executor=pool) for n, pool in pools.items()}
            rows = _rows("threads", work, budget_s, per=lambda _: frames_of_each)
        finally:
            for pool in pools.values():
                pool.shutdown()
    return [{**row, "cores": float(cores())} for row in rows]


def _memory(counts: tuple[int, ...]) -> list[Row]:
    """Measure the peak of processes that reduce so many frames of 0.26 Mpixel: MB."""
    peaks = peaks_mb(counts, runs=1)
    return [{"frames": float(count), "mb": float(np.median(peaks[count]))} for count in counts]
