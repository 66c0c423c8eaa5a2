"""A table of what belongs to each frame: its time, its beam, whether it is averaged."""

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
from h5xs_bluesky.reduction.sample import ReducedSample

COLUMNS = ("frame", "time_s", "incident", "transmitted", "transmission", "averaged", "reason")


def write_monitors(path: Path, reduced: ReducedSample, *, times_s: NDArray[np.float64]) -> None:
    """Write the table as CSV, replacing the file whole; a cell is empty where nothing is known.

    Parameters
    ----------
    times_s : ndarray, shape (n,)
        When each frame was taken, in s since the epoch; NaN where that is not known.

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
        writer.writerows(_rows(reduced, times_s))


def frame_times(
    sample: h5py.Group, stream: str, *, frames: int, roots: Sequence[Path]
) -> NDArray[np.float64]:
    """Give the time (n,) of the event that brought each frame; NaN where it is not known."""
    times = follow(sample, f"{stream}/{schema.TIME}", roots=roots)
    known = refresh(times)[()] if isinstance(times, h5py.Dataset) else np.empty(0)
    if known.ndim != 1 or not len(known) or frames % len(known):
        return np.full(frames, np.nan)
    return np.repeat(known.astype(float), frames // len(known))


def _rows(reduced: ReducedSample, times_s: NDArray[np.float64]) -> Iterator[list[str]]:
    selection = reduced.selection
    for frame, time_s in enumerate(times_s):
        incident, transmitted = reduced.incident[frame], reduced.transmitted[frame]
        ratio = transmitted / incident if incident > 0 else math.nan
        yield [
            str(frame),
            _cell(time_s, 6),
            *(_cell(value, None) for value in (incident, transmitted, ratio)),
            "" if selection is None else str(int(selection.kept[frame])),
            "" if selection is None else selection.reason[frame],
        ]


def _cell(value: float, digits: int | None) -> str:
    if not math.isfinite(value):
        return ""
    return f"{value:.9g}" if digits is None else f"{value:.{digits}f}"
