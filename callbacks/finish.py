"""What remains to do when a run has ended: average its frames, subtract its buffer."""

import json
import logging
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky import schema
from h5xs_bluesky.api.buffers import subtract_average
from h5xs_bluesky.api.elutions import average_as_buffer, average_elution, drift_of
from h5xs_bluesky.api.frame_choice import is_elution, map_shape, why_no_average
from h5xs_bluesky.api.monitors import FramesOfSample, complete_trans
from h5xs_bluesky.api.processed_documents import ProcessedRun
from h5xs_bluesky.callbacks.raw_writer import RawWriter
from h5xs_bluesky.callbacks.reducer import RunReducer
from h5xs_bluesky.config import Beamline
from h5xs_bluesky.errors import FileInUseError, H5xsError, ReductionError, details_of
from h5xs_bluesky.io.experiment import measurement_in, open_for_reading
from h5xs_bluesky.io.known_samples import KnownSample, buffers_of, known_samples
from h5xs_bluesky.io.names import join_names, split_names
from h5xs_bluesky.io.processed import read_processed, read_reduced, write_processed
from h5xs_bluesky.io.provenance import Provenance, read_provenance
from h5xs_bluesky.io.run_contents import RunContents, StreamContents
from h5xs_bluesky.io.run_files import RunFolder
from h5xs_bluesky.reduction.average import Average, unite_averages
from h5xs_bluesky.reduction.sample import ReducedSample

logger = logging.getLogger(__name__)


def finish_run(experiment: Path, writer: RawWriter, reducer: RunReducer) -> None:
    """Finish a run whose raw files are complete, and let go of its folder; never raises.

    Each step that fails is counted and logged, and keeps what the steps before it made.
    """
    status = reducer.status
    beamline = reducer.configuration.beamline
    try:
        name = buffer_name(writer.contents, beamline)
        if name is not None:
            writer.metadata[schema.BUFFER] = name
        if reducer.file is None:
            status.warn(_no_frames(writer.contents, beamline))
        else:
            sample = _finish_processed(experiment, writer, reducer, buffer=name)
            reducer.tell(lambda processed: processed.result(sample))
    except H5xsError as error:
        status.fail(str(error))
    except Exception as error:
        if details_of(error):
            logger.exception("Run %s could not be finished", status.uid[:8])
        status.incomplete |= isinstance(error, OSError)
        status.fail(f"{type(error).__name__}: {error}")
    finally:
        raw = writer.contents.stop or {"exit_status": "abort", "reason": "no stop document came"}
        reducer.tell(
            lambda processed: processed.stop(
                exit_status=raw["exit_status"], reason=raw.get("reason", "")
            )
        )
        writer.publish()
        if status.incomplete or not writer.published:
            status.fail(
                f"not all of it could be written; {status.acknowledged} frames are safe in "
                f"{status.folder}. Free the disk, then: h5xs repair {experiment}; and repeat the "
                "sample"
            )
        status.finished = True
        with suppress(OSError):  # the next tick tries again
            status.write_if_changed()
        writer.folder.close()


def _no_frames(contents: RunContents, beamline: Beamline) -> str:
    """Say what was looked for, and what there was."""
    fields = sorted(
        {
            name
            for doc in contents.descriptors
            if doc.get("name") == beamline.stream
            for name in doc.get("data_keys", ())
        }
    )
    told = f"no frames of {sorted(beamline.data_keys)} in stream {beamline.stream!r}"
    if not fields or not beamline.data_keys.keys().isdisjoint(fields):
        return f"{told}: nothing to reduce"
    return (
        f"{told}, whose fields are {fields}: nothing to reduce; data_key under [[detectors]] has "
        "to name the field of a detector's frames"
    )


def _finish_processed(
    experiment: Path, writer: RawWriter, reducer: RunReducer, *, buffer: str | None
) -> ReducedSample:
    beamline, status = reducer.configuration.beamline, reducer.status
    path = writer.folder.path / schema.PROCESSED_FILE
    reducer.close()
    with open_for_reading(path) as file:
        live = read_processed(file)
    live = _with_trans(live, experiment, writer, reducer)
    sample = _averaged(live, writer, reducer)
    eluted = sample.chromatogram is not None
    provenance = Provenance(
        frames=beamline.reduction_process(status.uid),
        averaging=beamline.averaging_process(explicit=eluted, trans_mode=sample.trans_mode),
    )
    write_processed(path, sample, provenance=provenance)
    if buffer is not None and sample.average is not None and not eluted:
        sample = _less_buffer(sample, experiment, writer, reducer, buffer=buffer)
        if sample.subtraction is not None:
            write_processed(path, sample, provenance=provenance)
    if sample.average is not None:
        waited = subtract_from_waiting(experiment, group=writer.folder.sample, beamline=beamline)
        if reducer.processed is not None:
            for name, subtracted in waited.items():
                _tell_subtraction(experiment, name, subtracted, reducer)
    return sample


def _averaged(live: ReducedSample, writer: RawWriter, reducer: RunReducer) -> ReducedSample:
    """Average a run's frames as its start document says; where that cannot be, it is told why."""
    beamline, status = reducer.configuration.beamline, reducer.status
    start, stream = writer.contents.start, writer.contents.streams[beamline.stream]
    each = reducer.frames_per_event
    shape = map_shape(start)
    if shape:
        status.warn(why_no_average(shape), level=logging.INFO)
    else:
        try:
            if is_elution(start):
                sample = replace(live, superseded=superseded_frames(live, stream, each))
                sample = average_elution(sample, name=writer.folder.sample, beamline=beamline)
                for told in filter(None, (sample.no_average, drift_of(sample))):
                    status.warn(told)
                return sample
            return average_run(live, stream, beamline=beamline, frames_per_event=each)
        except ReductionError as error:  # all frames lie beside the sample
            status.warn(f"it has no average: {error}")
    return replace(live, superseded=superseded_frames(live, stream, each))


def _less_buffer(
    sample: ReducedSample, experiment: Path, writer: RawWriter, reducer: RunReducer, *, buffer: str
) -> ReducedSample:
    """Subtract the buffers that a run names, if they are there; else it is told why not."""
    beamline, status = reducer.configuration.beamline, reducer.status
    measured = KnownSample(
        group=writer.folder.sample,
        name=writer.metadata[schema.SAMPLE_NAME],
        measurement=measurement_in(writer.contents.start),
        buffers=tuple(split_names(buffer)),
    )
    try:
        found = find_buffers(experiment, measured)
        if found is not None:
            return subtract_average(sample, found[1], name=found[0], beamline=beamline)
    except ReductionError as error:
        status.fail(f"its buffer {buffer!r} is not subtracted: {error}")
    else:
        late = f"its buffer {buffer!r} is not averaged yet: it is subtracted once it is"
        status.warn(late, level=logging.INFO)
    return sample


def _tell_subtraction(
    experiment: Path, name: str, sample: ReducedSample, reducer: RunReducer
) -> None:
    """Emit the subtraction of a run that had ended before as a processed run of its own."""
    try:
        with open_for_reading(experiment / schema.EXPERIMENT_FILE) as file:
            start = json.loads(file[name].attrs[schema.START])
        processed = ProcessedRun(
            start,
            sample=name,
            beamline=reducer.configuration.beamline,
            emit=reducer.subscribers.emit,
            stage="subtracted",
        )
        processed.subtracted(sample)
        processed.stop()
    except Exception:
        logger.exception("The subtracted curve of %s could not be emitted", name)


def _with_trans(
    live: ReducedSample, experiment: Path, writer: RawWriter, reducer: RunReducer
) -> ReducedSample:
    """Fill in what tells the transmitted beam and was not known during the run.

    Where that fails, the frames are averaged without.
    """
    beamline, status, folder = reducer.configuration.beamline, reducer.status, writer.folder
    monitors = beamline.monitors
    try:
        if monitors is None or monitors.asynchronous is None:
            completed, problems = complete_trans(live, None, beamline)
        elif not writer.published:  # they are read from there
            return live
        else:
            with open_for_reading(folder.path / schema.RUN_FILE) as file:
                frames = FramesOfSample(
                    group=file[folder.sample],
                    frames_per_event=reducer.frames_per_event,
                    size=len(live.superseded),
                    roots=(experiment, *beamline.roots.permanent, *beamline.roots.allowed),
                )
                completed, problems = complete_trans(live, frames, beamline)
    except (H5xsError, OSError) as error:
        logger.debug("The monitors could not be read", exc_info=error)
        status.fail(f"monitors: {type(error).__name__}: {error}")
        return live
    for problem in problems:
        status.warn(problem)
    return completed


def average_run(
    live: ReducedSample, stream: StreamContents, *, beamline: Beamline, frames_per_event: int
) -> ReducedSample:
    """Mark what a resumed plan measured again, select the frames that agree, average them.

    Raises
    ------
    ReductionError
        If no frame is kept.
    """
    superseded = superseded_frames(live, stream, frames_per_event)
    return replace(live, superseded=superseded).averaged(
        beamline.selection,
        q=beamline.qgrid.centers,
        relative_uncertainty=beamline.monitor_uncertainty,
    )


def superseded_frames(
    live: ReducedSample, stream: StreamContents, frames_per_event: int
) -> NDArray[np.bool_]:
    """Tell for each frame, (n,), whether a resumed plan measured it again."""
    again: NDArray[np.bool_] = np.repeat(stream.rows.superseded, frames_per_event)
    return again[: len(live.superseded)]


def buffer_name(contents: RunContents, beamline: Beamline) -> str | None:
    """Give the names of a run's buffers, as far as its documents tell; None where there are none.

    Several are joined as the attribute ``buffer`` has them.
    """
    if schema.BUFFER not in beamline.metadata:
        return None
    value = beamline.metadata_value(
        schema.BUFFER,
        start=contents.start,
        descriptors=contents.descriptors,
        baseline=contents.baseline,
    )
    if isinstance(value, list | tuple):
        return join_names(str(name) for name in value) or None
    return None if value is None else str(value)


def find_buffers(
    experiment: Path, sample: KnownSample, *, but: str = ""
) -> tuple[str, Average] | None:
    """Find a sample's buffers, other than `but`: their groups, and their average.

    Returns
    -------
    tuple or None
        None where one of them is not there, or not averaged.

    Raises
    ------
    ReductionError
        If the averages do not go together, or one is of what left a column.
    """
    averages = []
    with open_for_reading(experiment / schema.EXPERIMENT_FILE) as file:
        known = [each for each in known_samples(file) if each.group != but]
        groups = buffers_of(sample, known) or []
        for group in groups:
            average = average_as_buffer(read_reduced(file[group], roots=[experiment]), group)
            if average is None:
                return None
            averages.append(average)
    return (join_names(groups), unite_averages(averages)) if averages else None


def subtract_from_waiting(
    experiment: Path, *, group: str, beamline: Beamline
) -> dict[str, ReducedSample]:
    """Subtract a buffer that has just been measured from the finished samples that name it.

    Parameters
    ----------
    group
        The buffer's group in the experiment.

    Returns
    -------
    dict of ReducedSample
        The samples that now have a subtraction. Those that another process holds are left alone,
        and those of which another buffer is not averaged yet. Where the subtraction cannot be made,
        that is logged, once for each sample.
    """
    with open_for_reading(experiment / schema.EXPERIMENT_FILE) as file:
        known = known_samples(file)
    naming = [
        sample
        for sample in known
        for other in known
        if other.group == group and any(sample.calls(other, each) for each in sample.buffers)
    ]
    done = {}
    for waiting in naming:
        name = waiting.group
        try:
            folder = RunFolder.open(experiment / name)
        except FileInUseError:
            continue
        try:
            with open_for_reading(experiment / schema.EXPERIMENT_FILE) as file:
                sample = read_reduced(file[name], roots=[experiment])
                provenance = read_provenance(file[name], roots=[experiment])
            if sample is None or sample.average is None or sample.subtraction is not None:
                continue
            found = find_buffers(experiment, waiting)
            if found is None:
                continue
            subtracted = subtract_average(sample, found[1], name=found[0], beamline=beamline)
            path = folder.path / schema.PROCESSED_FILE
            write_processed(path, subtracted, provenance=provenance)
            done[name] = subtracted
        except (H5xsError, OSError) as error:
            tried = _had_buffers(experiment, waiting, but=group)
            level = logging.DEBUG if tried else logging.WARNING
            logger.log(level, "Buffer %s is not subtracted from %s: %s", group, name, error)
        finally:
            folder.close()
    return done


def _had_buffers(experiment: Path, sample: KnownSample, *, but: str) -> bool:
    """Whether a sample had buffers before the one that was measured last, and they were tried."""
    try:
        return find_buffers(experiment, sample, but=but) is not None
    except (H5xsError, OSError):
        return True
