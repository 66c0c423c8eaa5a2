"""From frames on disk to the processed file, against decompression alone and the ancestor."""

import tempfile
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import repeat
from pathlib import Path

import numpy as np

from benchmarks import ancestor
from benchmarks.experiment import SAMPLE, write_experiment
from benchmarks.kernel import ancestors_way
from benchmarks.setup import SHAPE, cores, frames, grid, saxs_detector
from benchmarks.timing import Figure, taking_turns
from h5xs_bluesky import h5xs, schema
from h5xs_bluesky.io.frames import open_frames, read_frame

_ANCESTORS_FRAMES = 8


def measure(
    *, count: int, runs: int, budget_s: float, shape: tuple[int, int] = SHAPE
) -> list[Figure]:
    """Measure the rate of `load_data` on an experiment of `count` frames."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        path = write_experiment(folder / "experiment", count, shape=shape)
        theirs = stack.enter_context(
            ancestor.running(folder, shape, packed_frames=min(count, _ANCESTORS_FRAMES))
        )
        work = {"reduce": reducing(path), "decompress": _decompressing(path, count)}
        work["ancestor"] = theirs.load_data if theirs else _histograms(shape)
        taken = taking_turns(work, runs=runs, budget_s=budget_s)
    their_frames = min(count, _ANCESTORS_FRAMES) if theirs else cores()
    rate, their_rate = count / taken["reduce"], their_frames / taken["ancestor"]
    conditions = {
        "frames": count,
        "frame": f"{shape[0]} x {shape[1]} int32, bitshuffle-LZ4, in the disk's cache",
        "work": "open, read, decompress, reduce, write and sync processed.h5; all of load_data",
        "cores": cores(),
        "images_per_s": float(np.median(rate)),
        "decompressed_per_s": float(np.median(count / taken["decompress"])),
    }
    return [
        Figure(
            key="files_vs_py4xs",
            what="times the images/s of the ancestor's load_data",
            values=rate / their_rate,
            target=80.0,
            conditions={
                **conditions,
                "ancestors_images_per_s": float(np.median(their_rate)),
                "ancestor": f"py4xs, load_data(N={cores()}), {their_frames} frames in a packed file"
                if theirs
                else "not installed: np.histogram in its manner on frames in memory, a thread per "
                "core; neither reading nor decompression are in it",
            },
        ),
        Figure(
            key="files_vs_decompress",
            what="of the rate of reading and decompressing alone, with as many threads",
            values=taken["decompress"] / taken["reduce"],
            target=0.5,
            conditions=conditions,
        ),
    ]


def reducing(path: Path, *, executor: Executor | None = None) -> Callable[[], None]:
    """Give what reduces an experiment anew, from opening it to its processed file."""

    def call() -> None:
        (path.parent / SAMPLE / schema.PROCESSED_FILE).unlink(missing_ok=True)
        h5xs(path).load_data(executor=executor)

    return call


def _decompressing(path: Path, count: int) -> Callable[[], object]:
    (frames_path,) = (path.parent / SAMPLE).glob("primary.*image.h5")

    def part(first: int) -> None:
        with open_frames(frames_path) as file:
            data = file[schema.DATA]
            for row in range(first, min(first + 16, count)):
                read_frame(data, row)

    def call() -> object:
        with ThreadPoolExecutor(cores()) as pool:
            return list(pool.map(part, range(0, count, 16)))

    return call


def _histograms(shape: tuple[int, int]) -> Callable[[], object]:
    """Reduce one frame on each core in the ancestor's manner."""
    one = ancestors_way(saxs_detector(shape), grid(), repeat(frames(1, shape=shape)[0]))

    def call() -> object:
        with ThreadPoolExecutor(cores()) as pool:
            return list(pool.map(lambda _: one(), range(cores())))

    return call
