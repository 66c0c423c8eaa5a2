"""Experiments on disk to reduce: the raw side, as the writer leaves it."""

from concurrent.futures import Future
from pathlib import Path
from typing import Any

import event_model
import numpy as np
from numpy.typing import NDArray

from benchmarks.setup import SHAPE, frames, grid, saxs_detector
from h5xs_bluesky import schema
from h5xs_bluesky.callbacks.configurations import Configuration
from h5xs_bluesky.callbacks.documents import FrameStack
from h5xs_bluesky.callbacks.raw_writer import RawWriter
from h5xs_bluesky.config import Beamline, ReductionOptions
from h5xs_bluesky.io.bitshuffle import compress
from h5xs_bluesky.io.experiment import add_sample, prepare_experiment
from h5xs_bluesky.io.run_files import RunFolder

SAMPLE = "sample"
_DIFFERENT = 16  # frames; they are compressed once, and come again and again
_EXTENSIONS = ("_SAXS", "_WAXS1", "_WAXS2", "_WAXS3")


def beamline(*, shape: tuple[int, int] = SHAPE, detectors: int = 1) -> Beamline:
    """Make a beamline of one detector, or of several that stand at the same place."""
    known = [saxs_detector(shape, extension=name) for name in _EXTENSIONS[:detectors]]
    return Beamline(
        name="benchmark",
        detectors=tuple(known),
        qgrid=grid(),
        reduction=ReductionOptions(polarization=0.99),
    )


def write_experiment(folder: Path, count: int, **options: Any) -> Path:
    """Write an experiment whose only sample has `count` frames of each detector, not reduced.

    Parameters
    ----------
    options
        As `beamline` takes them.

    Returns
    -------
    Path
        Of the experiment's file.
    """
    line = beamline(**options)
    folder.mkdir(parents=True, exist_ok=True)
    prepare_experiment(folder, Configuration(line).settings)
    run = event_model.compose_run(metadata={"sample_name": SAMPLE})
    uid = str(run.start_doc["uid"])
    claimed = RunFolder.claim(folder, name=SAMPLE, scan_id=None, uid=uid)
    writer = RawWriter(claimed, {}, tell=_fail)
    writer.record("start", dict(run.start_doc))
    shape = line.detectors[0].geometry.shape
    key = {"source": "benchmark", "dtype": "array", "shape": list(shape)}
    stream = run.compose_descriptor(
        name=schema.PRIMARY, data_keys={d.data_key: dict(key) for d in line.detectors}
    )
    writer.record("descriptor", dict(stream.descriptor_doc))
    stacks = [_compressed(frame) for frame in frames(min(count, _DIFFERENT), shape=shape)]
    for number in range(count):
        event = stream.compose_event(
            data={d.data_key: stacks[number % len(stacks)] for d in line.detectors},
            timestamps={d.data_key: float(number) for d in line.detectors},
            validate=False,
        )
        writer.write_event(dict(event))
    writer.record("stop", dict(run.compose_stop()))
    writer.close()
    writer.folder.close()
    add_sample(folder, SAMPLE)
    return folder / schema.EXPERIMENT_FILE


def _compressed(frame: NDArray[np.int32]) -> FrameStack:
    chunks: Future[list[bytes]] = Future()
    chunks.set_result([compress(frame)])
    return FrameStack(frames=frame[None], chunks=chunks)


def _fail(problem: str) -> None:
    raise RuntimeError(problem)
