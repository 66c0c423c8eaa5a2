"""From frames on disk to the processed file, against decompression alone."""

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import event_model
import numpy as np

from benchmarks.setup import frames, grid, saxs_detector
from benchmarks.timing import Figure, taking_turns
from h5xs_bluesky import h5xs
from h5xs_bluesky.callbacks import LiveReduction
from h5xs_bluesky.config import Beamline, ReductionOptions
from h5xs_bluesky.io.frames import open_frames, read_frame

_PY4XS_S = 1 / 4.5  # per image: 4 to 5 images/s with two cores, measured once


def measure(*, count: int, runs: int, budget_s: float) -> list[Figure]:
    """Measure the rate of `load_data` on a file of `count` frames."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        _experiment(path, count)
        taken = taking_turns(
            {"reduce": _reduce(path), "decompress": _decompress(path, count)},
            runs=runs,
            budget_s=budget_s,
        )
    rate = count / taken["reduce"]
    conditions = {
        "frames": count,
        "images_per_s": float(np.median(rate)),
        "cores": len(os.sched_getaffinity(0)),
        "work": "read, decompress, reduce, select, write processed.h5",
    }
    return [
        Figure(
            key="files_vs_py4xs",
            what="times the images/s of the ancestor's load_data (4.5, measured once)",
            values=rate * _PY4XS_S,
            target=80.0,
            conditions=conditions,
        ),
        Figure(
            key="files_vs_decompress",
            what="of the rate of reading and decompressing alone, with as many threads",
            values=taken["decompress"] / taken["reduce"],
            target=0.5,
            conditions=conditions,
        ),
    ]


def memory(*, few: int = 10, many: int = 1000) -> Figure:
    """Measure how much more memory many small frames take than few, each in a process."""
    peaks = {}
    for count in (few, many):
        code = f"from benchmarks.files import peak_of; print(peak_of({count}))"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        peaks[count] = float(done.stdout.split()[-1])
    return Figure(
        key="peak_memory_mb",
        what=f"MB more at the peak for {many} frames of 0.26 Mpixel than for {few}",
        values=np.array([peaks[many] - peaks[few]]),
        target=100.0,
        at_least=False,
        conditions={f"peak_mb_{count}": peak for count, peak in peaks.items()},
    )


def peak_of(count: int) -> float:
    """Reduce `count` small frames from disk, and give this process' peak memory in MB."""
    with tempfile.TemporaryDirectory() as folder:
        writer = os.fork()
        if writer == 0:
            _experiment(Path(folder), count, shape=(512, 512))
            os._exit(0)
        os.waitpid(writer, 0)
        _reduce(Path(folder))()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _experiment(folder: Path, count: int, *, shape: tuple[int, int] | None = None) -> None:
    """Write an experiment whose only sample has `count` frames."""
    detector = saxs_detector() if shape is None else saxs_detector(shape)
    beamline = Beamline(
        name="benchmark",
        detectors=(detector,),
        qgrid=grid(),
        reduction=ReductionOptions(polarization=0.99),
    )
    live = LiveReduction(beamline, folder)
    run = event_model.compose_run(metadata={"sample_name": "sample"})
    live("start", dict(run.start_doc))
    key = {"source": "benchmark", "dtype": "array", "shape": list(detector.geometry.shape)}
    stream = run.compose_descriptor(name="primary", data_keys={detector.data_key: key})
    live("descriptor", dict(stream.descriptor_doc))
    some = frames(min(count, 16), shape=detector.geometry.shape)
    for number in range(count):
        event = stream.compose_event(
            data={detector.data_key: some[number % len(some)]},
            timestamps={detector.data_key: float(number)},
            validate=False,
        )
        live("event", dict(event))
        if number % 50 == 0:
            live.wait()
    live("stop", dict(run.compose_stop()))
    live.close()


def _reduce(folder: Path) -> Callable[[], object]:
    def call() -> object:
        (folder / "sample" / "processed.h5").unlink(missing_ok=True)  # else it would only compare
        return h5xs(folder / "experiment.h5").load_data()

    return call


def _decompress(folder: Path, count: int) -> Callable[[], object]:
    (path,) = (folder / "sample").glob("primary.pil1M_image.h5")
    threads = len(os.sched_getaffinity(0))

    def part(first: int) -> None:
        with open_frames(path) as file:
            data = file["data"]
            for row in range(first, min(first + 16, count)):
                read_frame(data, row)

    def call() -> object:
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(part, range(0, count, 16)))

    return call
