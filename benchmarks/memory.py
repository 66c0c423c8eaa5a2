"""How much memory the reduction of few and of many frames takes at its peak."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.experiment import write_experiment
from benchmarks.timing import Figure

_SHAPE = (512, 512)
_CODE = """
import sys
from pathlib import Path
from benchmarks.files import reducing
from benchmarks.memory import own_peak_mb
reducing(Path(sys.argv[1]))()
print(own_peak_mb())
"""


def measure(*, few: int = 10, many: int = 1000, runs: int = 3) -> Figure:
    """Measure how much more memory many small frames take than few."""
    peaks = peaks_mb((few, many), runs=runs)
    return Figure(
        key="peak_memory_mb",
        what=f"MB more at the peak for {many} frames than for {few}, in processes of their own",
        values=peaks[many] - peaks[few],
        target=100.0,
        at_least=False,
        conditions={
            "frame": f"{_SHAPE[0]} x {_SHAPE[1]} int32",
            "frames_themselves_mb": many * 4 * _SHAPE[0] * _SHAPE[1] / 1e6,
            "measured": "VmHWM of a new process that opens, reduces and saves",
            **{f"peak_mb_{count}": float(np.median(peak)) for count, peak in peaks.items()},
        },
    )


def peaks_mb(counts: tuple[int, ...], *, runs: int) -> dict[int, np.ndarray]:
    """Measure the peaks of processes that each reduce so many frames, in turns."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {
            count: write_experiment(Path(folder) / str(count), count, shape=_SHAPE)
            for count in counts
        }
        peaks: dict[int, list[float]] = {count: [] for count in counts}
        for _ in range(runs):
            for count, path in paths.items():
                done = subprocess.run(
                    [sys.executable, "-c", _CODE, str(path)],
                    capture_output=True,
                    text=True,
                    check=True,
                    cwd=Path(__file__).parent.parent,
                )
                peaks[count].append(float(done.stdout.split()[-1]))
    return {count: np.array(values) for count, values in peaks.items()}


def own_peak_mb() -> float:
    """Give the most memory that this process had resident since it was started.

    `resource.getrusage` would not do: it counts what the parent had before the process became
    this program.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    if found is None:
        raise RuntimeError("expected VmHWM in /proc/self/status, found none")
    return int(found[1]) / 1024
