"""A table of what belongs to each frame: its time, its beam, whether it is averaged.

What a server's table of monitors has, too, has the same name there (docs/reference/served-tree.md).
"""

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky import schema
from h5xs_bluesky.io.frames import refresh
from h5xs_bluesky.io.links import follow
from h5xs_bluesky.io.replace import replace_whole
from h5xs_bluesky.reduction.monitors import MonitorReadings
from h5xs_bluesky.reduction.sample import ReducedSample

QUANTITIES = ("incident", "transmitted", "transmission")
COLUMNS = (
    "frame",
    schema.TIME,
    *(f"{name}{ending}" for name in QUANTITIES for ending in ("", "_sigma")),
    schema.KEPT,
    schema.REASON,
)


def write_monitors(
    path: Path,
    reduced: ReducedSample,
    *,
    times_s: NDArray[np.float64],
    relative_uncertainty: float,
) -> None:
    """Write the table as CSV, replacing the file whole; a cell is empty where nothing is known.

    Parameters
    ----------
    times_s : ndarray, shape (n,)
        When each frame was taken, in s since the epoch; NaN where that is not known.
    relative_uncertainty
        Of one reading, where it has none of its own.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    with (
        replace_whole(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(_rows(reduced, times_s, relative_uncertainty))


def frame_times(
    sample: h5py.Group, stream: str, *, frames: int, roots: Sequence[Path]
) -> NDArray[np.float64]:
    """Give the time (n,) of the event that brought each frame; NaN where it is not known."""
    times = follow(sample, f"{stream}/{schema.TIME}", roots=roots)
    known = refresh(times)[()] if isinstance(times, h5py.Dataset) else np.empty(0)
    if known.ndim != 1 or not len(known) or frames % len(known):
        return np.full(frames, np.nan)
    return np.repeat(known.astype(float), frames // len(known))


def _rows(
    reduced: ReducedSample, times_s: NDArray[np.float64], relative_uncertainty: float
) -> Iterator[list[str]]:
    selection = reduced.selection
    incident, transmitted = reduced.incident, reduced.transmitted
    own = (reduced.incident_sigma, reduced.transmitted_sigma)
    sigmas = [
        relative_uncertainty * np.abs(values) if sigma is None else sigma
        for values, sigma in zip((incident, transmitted), own, strict=True)
    ]
    readings = MonitorReadings(
        incident=incident,
        transmitted=transmitted,
        incident_sigma=sigmas[0],
        transmitted_sigma=sigmas[1],
    )
    for frame, time_s in enumerate(times_s):
        yield [
            str(frame),
            _cell(time_s, 6),
            *(
                _cell(getattr(readings, f"{name}{ending}")[frame], None)
                for name in QUANTITIES
                for ending in ("", "_sigma")
            ),
            "" if selection is None else str(int(selection.kept[frame])),
            "" if selection is None else selection.reason[frame],
        ]


def _cell(value: float, digits: int | None) -> str:
    if not math.isfinite(value):
        return ""
    return f"{value:.9g}" if digits is None else f"{value:.{digits}f}"
