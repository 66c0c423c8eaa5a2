"""Files without Bluesky: documents are made for them, and go the way of all documents."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import event_model
import numpy as np

from h5xs_bluesky.callbacks.live_reduction import LiveReduction
from h5xs_bluesky.config import Beamline
from h5xs_bluesky.errors import FileFormatError, H5xsError
from h5xs_bluesky.io.foreign_files import FRAMES, Column, ForeignRun, foreign_runs
from h5xs_bluesky.reduction.detector import Detector

logger = logging.getLogger(__name__)

Documents = Iterator[tuple[str, dict[str, Any]]]

_PATIENCE_S = 3600.0  # for a slow disk: nothing is lost by waiting


def import_files(
    files: Sequence[Path],
    folder: Path,
    beamline: Beamline,
    *,
    sample: str | None = None,
    dataset: str | None = None,
    detector: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Copy frames from files into an experiment and reduce them, as if they came from a scan.

    Parameters
    ----------
    files
        As `io.foreign_files.foreign_runs` takes them.
    folder
        The experiment's; made if it is not there.
    beamline
        The configuration. Where the experiment exists, its own detectors and q-grid win.
    sample
        The sample's name; of a file of py4xs, which of its samples (default: all).
    dataset
        Where the frames are in an HDF5 file.
    detector
        Extension of the detector that took them, as ``"_SAXS"``; needed where several are
        configured and their shapes do not tell.
    metadata
        More keys for the start document, such as ``buffer``.

    Returns
    -------
    list of dict
        What became of each run, as in `LiveReduction.status`.

    Raises
    ------
    FileFormatError
        If the files hold no frames, or none that one of the detectors can have taken: nothing is
        imported then. If a later frame is not what the first was: those before it are, and the run
        ends as failed.
    FrameAbsentError
        As that, if a frame is not on disk.
    FramesNotSavedError
        If frames cannot be written.
    """
    output = replace(beamline.output, max_block_s=_PATIENCE_S, when_full="fail")
    beamline = replace(beamline, output=output)
    live = LiveReduction(beamline, folder)
    done = []
    try:
        with foreign_runs(files, dataset) as runs:
            for run in _chosen(runs, sample, files):
                documents = _documents(
                    run, beamline, files=files, sample=sample, detector=detector, more=metadata
                )
                for name, doc in documents:
                    live(name, doc)
                live.wait()
                done.append(live.status()["runs"][-1])
    finally:
        live.close()
    return done


def _chosen(
    runs: Sequence[ForeignRun], sample: str | None, files: Sequence[Path]
) -> list[ForeignRun]:
    named = [run.sample for run in runs if run.sample is not None]
    if not named or sample is None:
        return list(runs)
    found = [run for run in runs if run.sample == sample]
    if not found:
        raise FileFormatError(f"{files[0]}: expected one of the samples {named}, found {sample!r}")
    return found


def _documents(
    run: ForeignRun,
    beamline: Beamline,
    *,
    files: Sequence[Path],
    sample: str | None,
    detector: str | None,
    more: Mapping[str, Any] | None,
) -> Documents:
    """Compose a run: its own start document if it has one, an event for each row."""
    start = {
        beamline.sample_name_key: run.sample or sample or files[0].stem,
        "plan_name": "import",
        "imported_from": [path.name for path in files],
        **run.start,
        **(more or {}),
    }
    streams = {
        stream: {
            _detector_of(name, column, beamline, detector, files).data_key
            if name == FRAMES
            else name: column
            for name, column in columns.items()
        }
        for stream, columns in run.streams.items()
    }
    keys = {
        stream: {field: _data_key(column) for field, column in columns.items()}
        for stream, columns in streams.items()
    }  # by now the first frames are read, and the files are known to fit
    composed = event_model.compose_run(
        uid=start.pop("uid", None), time=start.pop("time", None), metadata=start, validate=False
    )
    yield "start", dict(composed.start_doc)
    try:
        for stream, columns in streams.items():
            yield from _stream_documents(composed, stream, columns, keys[stream])
    except (H5xsError, OSError) as error:
        yield "stop", dict(composed.compose_stop(exit_status="fail", reason=str(error)))
        raise
    yield "stop", dict(composed.compose_stop())


def _stream_documents(
    composed: Any, stream: str, columns: Mapping[str, Column], keys: Mapping[str, Any]
) -> Documents:
    """Give an event for each row; columns of another length get a stream of their own."""
    frames_per_event = _frames_per_event(columns)
    groups: dict[int, dict[str, Column]] = {}
    for name, column in columns.items():
        groups.setdefault(column.events // frames_per_event.get(name, 1), {})[name] = column
    ordered = sorted(
        groups.items(), key=lambda item: not any(c.is_frames for c in item[1].values())
    )
    for number, (events, group) in enumerate(ordered):
        name = stream if number == 0 else f"{stream}_{next(iter(group))}"
        own = {field: keys[field] for field in group}
        descriptor = composed.compose_descriptor(name=name, data_keys=own, validate=False)
        yield "descriptor", dict(descriptor.descriptor_doc)
        for event in range(events):
            yield "event", _event(descriptor, group, event, frames_per_event)


def _event(
    descriptor: Any, columns: Mapping[str, Column], event: int, frames_per_event: Mapping[str, int]
) -> dict[str, Any]:
    data, stamps, now = {}, {}, time.time()
    for name, column in columns.items():
        frames = frames_per_event.get(name, 1)
        data[name] = _value(column, event, frames)
        stamps[name] = column.time(event * frames) or now
    composed = descriptor.compose_event(
        data=data, timestamps=stamps, time=max(stamps.values()), seq_num=event + 1, validate=False
    )
    return dict(composed)


def _frames_per_event(columns: Mapping[str, Column]) -> dict[str, int]:
    """Share frames out over the events that the other columns have, where it comes out even."""
    rows = [column.events for column in columns.values() if not column.is_frames]
    events = max(set(rows), key=rows.count) if rows else 0
    return {
        name: column.events // events
        for name, column in columns.items()
        if column.is_frames and events and column.events % events == 0
    }


def _value(column: Column, event: int, frames: int) -> Any:
    if not column.is_frames:
        return column.read(event)
    return np.concatenate([column.read(event * frames + number) for number in range(frames)])


def _data_key(column: Column) -> dict[str, Any]:
    value = np.asarray(column.read(0)) if column.events else np.zeros(0)
    if column.is_frames or value.ndim:
        return {
            "source": "import",
            "dtype": "array",
            "shape": list(value.shape),
            "dtype_numpy": value.dtype.str,
        }
    return {
        "source": "import",
        "dtype": "number" if value.dtype.kind in "biuf" else "string",
        "shape": [],
    }


def _detector_of(
    name: str,
    column: Column,
    beamline: Beamline,
    extension: str | None,
    files: Sequence[Path],
) -> Detector:
    """Tell which detector took frames that do not name it: the one named, or the one they fit."""
    known = {detector.extension: detector for detector in beamline.detectors}
    if extension is not None and extension in known:
        return known[extension]
    shape = column.read(0).shape[-2:]
    fitting = [detector for detector in known.values() if detector.geometry.shape == shape]
    if extension is not None or len(fitting) != 1:
        shapes = {each: detector.geometry.shape for each, detector in known.items()}
        raise FileFormatError(
            f"{files[0]}: expected frames of one of the detectors {shapes}, found {shape}"
            + (f" and the detector {extension!r}" if extension else "")
            + ": name the detector that took them with --detector"
        )
    return fitting[0]
