"""py4xs itself, in its own interpreter, taking its turns with what is measured here."""

import json
import os
import subprocess
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 - registers the filters
import numpy as np

from benchmarks.setup import frames, grid, saxs_detector
from h5xs_bluesky.io.bitshuffle import compress
from h5xs_bluesky.io.py4xs_files import detectors_to_json
from h5xs_bluesky.reduction.detector import Detector

_USUAL_PLACE = Path(".venv/py4xs/bin/python")  # where `make .venv/py4xs/.ready` puts it
_BITSHUFFLE_LZ4 = {"compression": 32008, "compression_opts": (0, 2)}

# Answers on the pipe that was its standard output: py4xs prints.
_SCRIPT = """
    import json, os, sys
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    import hdf5plugin
    import numpy as np
    from py4xs.detector_config import create_det_from_attrs
    from py4xs.hdf import h5xs
    from py4xs.slnxs import Data1d
    folder, processes = sys.argv[1], int(sys.argv[2])
    given = np.load(folder + "/given.npz")
    detector = create_det_from_attrs(json.load(open(folder + "/detectors.json"))[0])
    for number, line in enumerate(sys.stdin):
        if line.strip() == "load_from_2D":
            frame = given["frames"][number % len(given["frames"])]
            Data1d().load_from_2D(frame, detector.exp_para, given["q"])
        else:
            h5xs(folder + "/packed.h5", transField="em2").load_data(N=processes)
        answers.write("done\\n")
        answers.flush()
"""


def interpreter() -> Path | None:
    """Give the interpreter that has py4xs; None where there is none."""
    named = os.environ.get("H5XS_PY4XS_PYTHON")
    found = Path(named) if named else _USUAL_PLACE
    return found if found.exists() else None


class Ancestor:
    """A process that does on request what py4xs does."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def load_from_2d(self) -> None:
        """Reduce one frame that lies in memory."""
        self._ask("load_from_2D")

    def load_data(self) -> None:
        """Reduce the packed file, with one process for each processor, and save the curves."""
        self._ask("load_data")

    def _ask(self, what: str) -> None:
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("expected pipes to py4xs, found none")
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        if self._process.stdout.readline() != "done\n":
            raise RuntimeError(f"expected py4xs to do {what}, found that it ended")


@contextmanager
def running(
    folder: Path, shape: tuple[int, int], *, packed_frames: int = 0
) -> Iterator[Ancestor | None]:
    """Start py4xs on the benchmark's detector, grid and frames; None where it is not installed.

    Parameters
    ----------
    folder
        Where its files are put.
    shape
        Of the detector.
    packed_frames
        How many frames its packed file has; 0 for no file.
    """
    python = interpreter()
    if python is None:
        yield None
        return
    detector = saxs_detector(shape)
    (folder / "detectors.json").write_text(detectors_to_json([detector]))
    np.savez(folder / "given.npz", frames=frames(4, shape=shape), q=grid().centers)
    if packed_frames:
        _pack(folder / "packed.h5", detector, packed_frames)
    cores = len(os.sched_getaffinity(0))
    process = subprocess.Popen(
        [str(python), "-c", textwrap.dedent(_SCRIPT), str(folder), str(cores)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield Ancestor(process)
    finally:
        process.communicate()


def _pack(path: Path, detector: Detector, count: int) -> None:
    """Write a file as the ancestor packs them: one sample with a monitor."""
    stack = frames(min(count, 16), shape=detector.geometry.shape)
    start = {"uid": "benchmark", "num_points": count, "shape": [count]}
    with h5py.File(path, "w") as file:
        file.attrs["detectors"] = detectors_to_json([detector])
        file.attrs["qgrid"] = grid().centers
        file.attrs["trans"] = "0,em2"
        sample = file.create_group("sample")
        sample.attrs["start"] = json.dumps(start)
        data = sample.create_group("primary/data")
        data["em2"] = np.full(count, 800.0)
        stored = data.create_dataset(
            detector.data_key,
            shape=(count, *stack.shape[1:]),
            dtype=stack.dtype,
            chunks=(1, *stack.shape[1:]),
            **_BITSHUFFLE_LZ4,
        )
        for number in range(count):
            stored.id.write_direct_chunk((number, 0, 0), compress(stack[number % len(stack)]))
        sample.create_group("primary/timestamps")["em2"] = np.arange(float(count))
