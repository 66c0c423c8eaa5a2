"""What is in an experiment: its samples, their frames, how far they are reduced."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from h5xs_bluesky import schema
from h5xs_bluesky.api.frame_choice import map_shape, why_no_average
from h5xs_bluesky.api.raw import find_frames
from h5xs_bluesky.api.settings import read_beamline
from h5xs_bluesky.api.source import ExperimentSource, experiment_file
from h5xs_bluesky.config import Beamline
from h5xs_bluesky.errors import H5xsError
from h5xs_bluesky.io.experiment import damaged_groups
from h5xs_bluesky.io.opening import DAMAGE
from h5xs_bluesky.io.processed import read_reduced

NO_END = "no end"


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleInfo:
    """One sample.

    Parameters
    ----------
    sample, name
        Its group, and the name that its scan gave.
    started
        When (ISO 8601, local time); "" where that is not known.
    state
        How its run ended, as the stop document says; "no end" while it goes on or was cut short.
    frames
        By detector.
    reduced, averaged
        Frames that are reduced, and that are in the average.
    buffer
        What is subtracted; "" for nothing.
    curves
        Names of its curves.
    map_shape
        How many places it has along each axis, if it is a map.
    no_average
        Why its frames are not averaged, as those of a map, where that is known.
    problem
        Why something could not be read.
    """

    sample: str
    name: str = ""
    started: str = ""
    state: str = ""
    frames: dict[str, int]
    reduced: int = 0
    averaged: int = 0
    buffer: str = ""
    curves: tuple[str, ...] = ()
    map_shape: tuple[int, ...] = ()
    no_average: str = ""
    problem: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExperimentInfo:
    """An experiment.

    Parameters
    ----------
    file
        Its file.
    beamline
        Name of the beamline.
    detectors
        Their extensions.
    bins, q_min, q_max
        The q-grid, in Å⁻¹.
    samples
        Oldest first.
    """

    file: str
    beamline: str
    detectors: tuple[str, ...]
    bins: int
    q_min: float
    q_max: float
    samples: tuple[SampleInfo, ...]


def describe(
    path: Path, samples: str | Sequence[str] | None = None, *, roots: Sequence[Path] = ()
) -> ExperimentInfo:
    """Tell what is in an experiment.

    Parameters
    ----------
    path
        Its folder or file.
    samples
        One or several; all by default.
    roots
        Folders outside that links may lead into.

    Raises
    ------
    FileNotFoundError, FileFormatError
        If there is no such file, or it holds no experiment.
    SampleNotFoundError
        If a sample named is not there.
    """
    source = ExperimentSource(experiment_file(path), roots=roots)
    with source.reading() as file:
        beamline = read_beamline(file, None, "")
        edges = beamline.qgrid.edges
        return ExperimentInfo(
            file=str(source.path),
            beamline=beamline.name,
            detectors=tuple(detector.extension for detector in beamline.detectors),
            bins=len(beamline.qgrid),
            q_min=float(edges[0]),
            q_max=float(edges[-1]),
            samples=(
                *(_sample(source, beamline, name) for name in source.chosen(samples)),
                *_damaged(file, samples),
            ),
        )


def _damaged(file: h5py.File, samples: str | Sequence[str] | None) -> Iterator[SampleInfo]:
    """Name what cannot be read at all, where nothing else was asked for."""
    for name, problem in () if samples is not None else damaged_groups(file):
        yield SampleInfo(sample=name, frames={}, problem=problem)


def _sample(source: ExperimentSource, beamline: Beamline, name: str) -> SampleInfo:
    group = source.sample(name)
    start, stop = (_json(group.attrs.get(key)) for key in (schema.START, schema.STOP))
    values: dict[str, Any] = {
        "sample": name,
        "name": str(group.attrs.get(schema.SAMPLE_NAME, name)),
        "started": _moment(start.get("time")),
        "state": str(stop.get("exit_status", "success")) if stop else NO_END,
        "frames": {},
        "map_shape": map_shape(start),
    }
    try:
        for detector in beamline.detectors:
            sources = find_frames(
                group, detector.data_key, stream=beamline.stream, roots=source.roots
            )
            values["frames"][detector.extension] = sum(int(s.rows.size) for s in sources)
        with source.results(name) as results:
            values |= _results(results, source)
        if values["map_shape"] and values.get("reduced") and not values.get("averaged"):
            values["no_average"] = why_no_average(values["map_shape"])
    except (H5xsError, *DAMAGE) as error:
        values["problem"] = str(error)
    return SampleInfo(**values)


def _results(results: Any, source: ExperimentSource) -> dict[str, Any]:
    reduced = read_reduced(results, roots=source.roots)
    processed = results.get(schema.PROCESSED)
    found: dict[str, Any] = {"curves": () if processed is None else tuple(processed)}
    if reduced is None:
        return found
    found["reduced"] = len(reduced.superseded)
    found["no_average"] = reduced.no_average
    if reduced.average is not None:
        found["averaged"] = int(np.sum(reduced.average.kept))
    if reduced.subtraction is not None:
        found["buffer"] = reduced.subtraction.buffer
    return found


def _json(text: Any) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (TypeError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _moment(time_s: Any) -> str:
    try:
        moment = datetime.fromtimestamp(float(time_s)).astimezone()
    except (TypeError, ValueError, OverflowError):
        return ""
    return moment.isoformat(sep=" ", timespec="seconds")
