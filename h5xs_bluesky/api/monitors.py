"""The monitors of a sample's frames, for those that run in streams of their own."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky import schema
from h5xs_bluesky.api.raw import RawSample, find_frames
from h5xs_bluesky.config import Asynchronous, Beamline, Monitors
from h5xs_bluesky.errors import ConfigurationError, ReductionError
from h5xs_bluesky.io.frames import refresh
from h5xs_bluesky.io.links import follow
from h5xs_bluesky.io.names import safe_name
from h5xs_bluesky.reduction.monitors import (
    Integrated,
    MonitorReadings,
    MonitorStream,
    exposure_starts_s,
    integrate_exposures,
)
from h5xs_bluesky.reduction.sample import ReducedSample
from h5xs_bluesky.reduction.water import WATER

_EXPOSURE = "exposure"
_TIME_OF_EVENTS = "time"


@dataclass(frozen=True, kw_only=True, slots=True)
class FramesOfSample:
    """A sample in a file, and the frame positions for which its monitors are wanted.

    Parameters
    ----------
    group
        The sample's.
    frames_per_event, size
        Frame positions of each event, and in all.
    roots
        Folders that links may lead into.
    """

    group: h5py.Group
    frames_per_event: int
    size: int
    roots: Sequence[Path]

    def dataset(self, stream: str, member: str) -> h5py.Dataset | None:
        """Give a dataset of a stream; None where there is none."""
        found = follow(self.group, f"{safe_name(stream)}/{member}", roots=self.roots)
        return found if isinstance(found, h5py.Dataset) else None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class StreamsOverExposures:
    """Monitors in streams of their own, and what they read during the exposures.

    Parameters
    ----------
    readings
        By ``"incident"`` and ``"transmitted"``.
    problems
        Why some are not known.
    streams
        By the same names: what they read all the time, clocks set.
    starts_s : ndarray, shape (n,)
        When each exposure begins.
    exposure_s
        How long it takes; NaN where that is not known.
    """

    readings: dict[str, Integrated]
    problems: tuple[str, ...]
    streams: dict[str, MonitorStream]
    starts_s: NDArray[np.float64]
    exposure_s: float


def complete_trans(
    reduced: ReducedSample, frames: FramesOfSample | None, beamline: Beamline
) -> tuple[ReducedSample, tuple[str, ...]]:
    """Fill in what tells the transmitted beam and cannot be known before the run has ended.

    That is what monitors in streams of their own read, and the water peak where it normalises. The
    live reduction calls this at the end of a run, the offline one after its frames.

    Parameters
    ----------
    frames
        Where the streams are; None will do where no monitor runs on its own.

    Returns
    -------
    ReducedSample, tuple of str
        And why some of it is not known: NaN.
    """
    problems: list[str] = []
    monitors = beamline.monitors
    if frames is not None and monitors is not None and monitors.asynchronous is not None:
        found = integrate_streams(frames, beamline, monitors, monitors.asynchronous)
        problems += found.problems
        reduced = with_readings(reduced, found)
    if beamline.reduction.trans == WATER:
        try:
            reduced = reduced.with_trans(
                WATER,
                q=beamline.qgrid.centers,
                peak=beamline.reduction.water_peak,
                relative_uncertainty=beamline.monitor_uncertainty,
            )
        except ReductionError as error:
            problems.append(str(error))
            reduced = replace(reduced, trans_mode=WATER)
    return reduced, tuple(problems)


def with_readings(reduced: ReducedSample, found: StreamsOverExposures) -> ReducedSample:
    """Give a sample whose monitors read what was found."""
    for name, one in found.readings.items():
        changes: dict[str, Any] = {name: one.mean, f"{name}_sigma": one.sigma}
        reduced = replace(reduced, **changes)
    return reduced


def integrate_streams(
    frames: FramesOfSample,
    beamline: Beamline,
    monitors: Monitors,
    own: Asynchronous,
    *,
    exposure_s: float | None = None,
    incident_lag_s: float | None = None,
) -> StreamsOverExposures:
    """Integrate the monitors that run in streams of their own over each frame's exposure.

    Parameters
    ----------
    monitors, own
        Which they are, and how they are read; instead of those in `beamline`.
    exposure_s
        Instead of what the metadata tell.
    incident_lag_s
        How long after the transmitted monitor's first reading the incident one's is, instead of
        what its clock tells.
    """
    nothing = np.full(frames.size, np.nan)
    readings = {name: Integrated(mean=nothing, sigma=nothing) for name in monitors.streams}
    problems: list[str] = []
    streams: dict[str, MonitorStream] = {}
    starts, length_s = nothing, float("nan")
    try:
        length_s = read_exposure_s(frames, beamline) if exposure_s is None else exposure_s
        starts = exposure_starts_s(
            _frame_stamps(frames, beamline, own),
            frames_per_event=frames.frames_per_event,
            exposure_s=length_s,
            dead_time_s=own.dead_time_s,
            stamped=own.stamped,
        )
        if np.isnan(starts).any():
            problems.append(
                f"{np.isnan(starts).sum()} of {starts.size} frames have no timestamp of their "
                "own: their monitors are not known"
            )
        streams = _read_streams(frames, monitors, problems)
        streams = synchronised(streams, starts, own, incident_lag_s=incident_lag_s)
    except (ReductionError, ConfigurationError) as error:
        problems.append(f"the monitors are not known: {error}")
        streams = {}
    for name, stream in streams.items():
        options = own.integration(monitors.relative_uncertainty)
        readings[name] = integrate_exposures(stream, starts, exposure_s=length_s, options=options)
        problems += [
            f"{getattr(monitors, name)} in stream {monitors.streams[name]!r}: {problem}: the "
            f"{name} beam is not known there"
            for problem in readings[name].problems
        ]
    return StreamsOverExposures(
        readings=readings,
        problems=tuple(problems),
        streams=streams,
        starts_s=starts,
        exposure_s=length_s,
    )


def _read_streams(
    frames: FramesOfSample, monitors: Monitors, problems: list[str]
) -> dict[str, MonitorStream]:
    """Read the streams that are there; what is wrong with the others is added to the problems."""
    streams = {}
    for name, stream in monitors.streams.items():
        try:
            streams[name] = read_stream(frames, stream, getattr(monitors, name))
        except ReductionError as error:
            problems.append(f"the {name} beam is not known: {error}")
    return streams


def synchronised(
    streams: dict[str, MonitorStream],
    starts_s: NDArray[np.float64],
    own: Asynchronous,
    *,
    incident_lag_s: float | None = None,
) -> dict[str, MonitorStream]:
    """Set the clocks of monitors' streams as the configuration says, or by `incident_lag_s`.

    Raises
    ------
    ReductionError
        If a stream does not see the shutter open.
    """
    shifted = {name: stream.shifted(own.offset_s) for name, stream in streams.items()}
    both = len(shifted) == 2 and all(len(stream) for stream in shifted.values())
    if incident_lag_s is not None and both:
        first = shifted[schema.TRANSMITTED].times_s[0] + incident_lag_s
        incident = shifted[schema.INCIDENT]
        shifted[schema.INCIDENT] = incident.shifted(float(first - incident.times_s[0]))
        return shifted
    if own.synchronise == "frames":
        begin = float(np.nanmin(starts_s))
        return {name: s.shifted(begin - s.shutter_edge_s()) for name, s in shifted.items()}
    if own.synchronise == "transmitted" and both:
        edge = shifted[schema.TRANSMITTED].shutter_edge_s()
        incident = shifted[schema.INCIDENT]
        shifted[schema.INCIDENT] = incident.shifted(edge - incident.shutter_edge_s())
    return shifted


def read_exposure_s(frames: FramesOfSample, beamline: Beamline) -> float:
    """Give the exposure time that a run's metadata tell.

    Raises
    ------
    ConfigurationError
        If the configuration does not say where it stands.
    ReductionError
        If it is not there, or not a positive number.
    """
    attrs = frames.group.attrs
    source = beamline.metadata.get(_EXPOSURE)
    baseline = {}
    if source is not None and source.source == "baseline":
        column = frames.dataset("baseline", f"{schema.DATA}/{safe_name(source.key)}")
        if column is not None and column.shape[0]:
            baseline[source.key] = column[-1]
    value = beamline.metadata_value(
        _EXPOSURE,
        start=json.loads(attrs.get(schema.START, "{}")),
        descriptors=json.loads(attrs.get(schema.DESCRIPTORS, "[]")),
        baseline=baseline,
    )
    try:
        exposure_s = float(value)
    except (TypeError, ValueError):
        exposure_s = float("nan")
    if not (np.isfinite(exposure_s) and exposure_s > 0):
        raise ReductionError(
            f"{frames.group.name}: expected the exposure time in s where [metadata] says, found "
            f"{value!r}"
        )
    return exposure_s


def _frame_stamps(
    frames: FramesOfSample, beamline: Beamline, own: Asynchronous
) -> NDArray[np.float64]:
    """Give the timestamp of each frame (n,): the trigger's, else a detector's own; NaN if none."""
    if own.trigger is not None:
        return _trigger_stamps(frames, beamline.stream, own.trigger, own.trigger_from)
    stamps = np.full(frames.size, np.nan)
    for detector in beamline.detectors:
        sources = find_frames(
            frames.group, detector.data_key, stream=beamline.stream, roots=frames.roots
        )
        for source in sources:
            if source.reconstructed or source.frames_per_event != frames.frames_per_event:
                continue
            here = source.positions < frames.size
            places = source.positions[here]
            known = np.isfinite(stamps[places])
            stamps[places[~known]] = source.stamps_s[here][~known]
    if not np.isfinite(stamps).any():
        raise ReductionError(
            f"{frames.group.name}: expected the detectors' own timestamps, found none: those of "
            "frames in other writers' files only tell when they were announced; name a field with "
            "the times of the exposures as monitors.asynchronous.trigger"
        )
    return stamps


def _trigger_stamps(
    frames: FramesOfSample, stream: str, trigger: str, trigger_from: str
) -> NDArray[np.float64]:
    events = trigger == _TIME_OF_EVENTS
    member = schema.DATA if trigger_from == "values" else schema.TIMESTAMPS
    name = schema.TIME if events else f"{member}/{safe_name(trigger)}"
    column = frames.dataset(stream, name)
    if column is None:
        raise ReductionError(
            f"{frames.group.name}: expected the {trigger_from} of {trigger!r} in stream "
            f"{stream!r}, found none: monitors.asynchronous.trigger names a field there, or is "
            "'time'"
        )
    times = np.concatenate([np.zeros(0), *(_numbers(each) for each in refresh(column)[()])])
    stamps, each = np.full(frames.size, np.nan), frames.frames_per_event
    data = frames.dataset(stream, f"{schema.DATA}/{safe_name(trigger)}")
    rows: Any = None if data is None else data.attrs.get(schema.EVENT_ROWS)
    if rows is not None and len(rows) == times.size:  # it came with some events only
        of_event = np.full(max(frames.size // each, int(max(rows)) + 1), np.nan)
        of_event[rows] = times
        times = of_event
    if times.size * each <= frames.size:  # one for each event
        times = np.repeat(times, each)
    count = min(times.size, frames.size)
    stamps[:count] = times[:count]
    return stamps


def read_stream(frames: FramesOfSample, stream: str, field: str) -> MonitorStream:
    """Read a monitor's readings and their times from a stream of its own.

    Single readings, or blocks of them: data (rep, points) of one event with a time for each of the
    rep, which is when its points had been read.

    Raises
    ------
    ReductionError
        If there are none.
    """
    data = frames.dataset(stream, f"{schema.DATA}/{safe_name(field)}")
    times = frames.dataset(stream, f"{schema.TIMESTAMPS}/{safe_name(field)}")
    if data is None or times is None:
        group = follow(frames.group, safe_name(stream), roots=frames.roots)
        known = sorted(group[schema.DATA]) if isinstance(group, h5py.Group) else "no such stream"
        raise ReductionError(
            f"{frames.group.name}: expected the field {field!r} in stream {stream!r}, found "
            f"{known}; while a run goes on, only streams of single numbers can be read"
        )
    values, stamps = refresh(data)[()], refresh(times)[()]
    count = min(len(values), len(stamps))
    if values.dtype.kind in "biuf" and values.ndim == 1 and stamps.ndim == 1:
        return MonitorStream(stamps[:count].astype(float), values[:count].astype(float))
    read_at: list[NDArray[np.float64]] = []
    blocks: list[NDArray[np.float64]] = []
    for value, stamp in zip(values[:count], stamps[:count], strict=True):
        points, moments = _numbers(value), _numbers(stamp)
        if not moments.size or points.size % moments.size:
            raise ReductionError(
                f"{frames.group.name}: expected in {field!r} of stream {stream!r} equally many "
                f"readings for each of its {moments.size} times, found {points.size} readings"
            )
        read_at.append(moments)
        blocks.append(points.reshape(moments.size, -1))
    widths = {block.shape[1] for block in blocks}
    if len(widths) != 1:
        raise ReductionError(
            f"{frames.group.name}: expected blocks of one length in {field!r} of stream "
            f"{stream!r}, found {sorted(widths) or 'none'}"
        )
    return MonitorStream.from_blocks(np.concatenate(read_at), np.concatenate(blocks))


def _numbers(value: Any) -> NDArray[np.float64]:
    """Give the numbers in a value as a flat array; lists may be stored as JSON."""
    if isinstance(value, bytes | str):
        value = json.loads(value)
    return np.asarray(value, dtype=float).ravel()


def readings_of(
    raw: RawSample, found: StreamsOverExposures | None, monitors: Monitors
) -> MonitorReadings:
    """Put together what monitors read, with the detectors or on their own.

    Parameters
    ----------
    raw
        Has what was read with the detectors.
    found
        What was read otherwise.
    """
    own = {} if found is None else found.readings
    values = {}
    for name, mean in ((schema.INCIDENT, raw.incident), (schema.TRANSMITTED, raw.transmitted)):
        sigma = monitors.relative_uncertainty * np.abs(mean)
        values[name] = own.get(name, Integrated(mean=mean, sigma=sigma))
    return MonitorReadings(
        incident=values[schema.INCIDENT].mean,
        incident_sigma=values[schema.INCIDENT].sigma,
        transmitted=values[schema.TRANSMITTED].mean,
        transmitted_sigma=values[schema.TRANSMITTED].sigma,
    )
