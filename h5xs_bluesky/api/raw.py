"""Where a sample's raw frames lie, by frame position, and what was read with them."""

import json
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky import schema
from h5xs_bluesky.config import Beamline
from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.io.frames import committed_frames, refresh
from h5xs_bluesky.io.links import follow
from h5xs_bluesky.io.names import safe_name
from h5xs_bluesky.io.py4xs_files import added_for_py4xs
from h5xs_bluesky.io.stream_rows import superseded_rows

_BEYOND = np.iinfo(np.int64).max


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FrameSource:
    """Frames of one detector in one dataset.

    Parameters
    ----------
    path, dataset
        The file and the dataset in it.
    frames_per_event
        Of the field in that file.
    rows, positions : ndarray of int, shape (m,)
        Frames there, counted flat, and the places of each among the sample's frames.
    stamps_s : ndarray, shape (m,)
        Their timestamps, in s since the epoch; NaN where there are none.
    reconstructed
        Whether these tell when the frames were announced, not when they were taken.
    """

    path: Path
    dataset: str
    frames_per_event: int
    rows: NDArray[np.int64]
    positions: NDArray[np.int64]
    stamps_s: NDArray[np.float64]
    reconstructed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RawSample:
    """The raw side of one sample, as far as it concerns the reduction.

    Parameters
    ----------
    frames
        For each detector, by extension, where its frames lie. A position without a frame has
        none in it.
    frames_per_event
        How many frame positions each event has.
    transmitted, incident : ndarray, shape (n,)
        Readings, at each frame position, of monitors that are read with the detectors; NaN where
        there are none.
    superseded : ndarray of bool, shape (n,)
        Frames whose event was measured again after a pause.
    """

    frames: dict[str, tuple[FrameSource, ...]]
    frames_per_event: int
    transmitted: NDArray[np.float64]
    incident: NDArray[np.float64]
    superseded: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.superseded)

    @property
    def frame_count(self) -> int:
        """Frames to be reduced, of all detectors together."""
        return sum(source.rows.size for sources in self.frames.values() for source in sources)


def find_frames(
    sample: h5py.Group, data_key: str, *, stream: str, roots: Sequence[Path]
) -> tuple[FrameSource, ...]:
    """Find the frames that a detector wrote: one source for each shape that it sent.

    Frames stand at the positions that their file tells; in files that are not ours, in their
    order. Frames that no event of an ended run refers to are left out.

    Parameters
    ----------
    sample
        The sample's group.
    data_key
        The detector's field.
    stream
        Where to look.
    roots
        Folders that links may lead into.

    Raises
    ------
    RefusedError
        If a link leads elsewhere.
    """
    group = follow(sample, f"{safe_name(stream)}/{schema.DATA}", roots=roots)
    if not isinstance(group, h5py.Group):
        return ()
    events = _events_of_ended_run(group.parent, roots)
    sources = []
    for name in sorted(set(group) - added_for_py4xs(group)):
        if name != safe_name(data_key) and not name.startswith(safe_name(data_key) + "_"):
            continue
        index = _index(group.parent, name, data_key, roots)
        data = follow(group, name, roots=roots)
        if index is None or not isinstance(data, h5py.Dataset) or data.ndim < 3:
            continue
        sources.append(_source(data, index, events))
    return tuple(source for source in sources if source.rows.size)


def frame_number(frn: int, frames: int, *, sample: str) -> int:
    """Give a frame's number, counted from the end if it is negative.

    Raises
    ------
    IndexError
        If there is no such frame.
    """
    number = operator.index(frn)
    if not -frames <= number < frames:
        raise IndexError(f"{sample}: expected a frame below {frames}, found {number}")
    return number % frames


@dataclass(frozen=True, kw_only=True, slots=True)
class _FrameIndex:
    """What a frame file says about its frames; nothing, where the file is not ours."""

    frames_per_event: int = 1
    positions: NDArray[np.int64] | None = None
    stamps_s: NDArray[np.float64] | None = None
    reconstructed: bool = False


def _index(
    stream: h5py.Group, name: str, data_key: str, roots: Sequence[Path]
) -> _FrameIndex | None:
    """Find what is known about a dataset's frames; None where they are of another field."""
    times = follow(stream, f"{schema.TIMESTAMPS}/{name}", roots=roots)
    if not isinstance(times, h5py.Dataset) or schema.FIELD not in times.attrs:
        known = isinstance(times, h5py.Dataset) and times.dtype.kind in "iuf"
        stamps = refresh(times)[()].astype(float).ravel() if known else None
        return _FrameIndex(stamps_s=stamps) if name == safe_name(data_key) else None
    field = times.attrs[schema.FIELD]
    if (field.decode() if isinstance(field, bytes) else str(field)) != data_key:
        return None
    file = times.parent
    if schema.COMMITTED in file:
        follow(file, schema.COMMITTED, roots=roots)
        positions = follow(file, schema.POSITION, roots=roots)
        count = committed_frames(file)
    else:  # a packed file
        positions = follow(stream, f"{schema.POSITIONS}/{name}", roots=roots)
        count = int(times.shape[0])
    return _FrameIndex(
        frames_per_event=int(times.attrs[schema.FRAMES_PER_EVENT]),
        positions=np.arange(count) if positions is None else refresh(positions)[:count],
        stamps_s=refresh(times)[:count],
        reconstructed=bool(times.attrs.get(schema.RECONSTRUCTED, False)),
    )


def _events_of_ended_run(stream: h5py.Group, roots: Sequence[Path]) -> int:
    """Count the events, once there is nothing more to come."""
    superseded = follow(stream, schema.SUPERSEDED, roots=roots)
    return _BEYOND if superseded is None else int(superseded.shape[0])


def _source(data: h5py.Dataset, index: _FrameIndex, events: int) -> FrameSource:
    count = int(np.prod(refresh(data).shape[:-2]))
    positions = np.arange(count) if index.positions is None else index.positions[:count]
    rows = np.flatnonzero((positions >= 0) & (positions // index.frames_per_event < events))
    return FrameSource(
        path=Path(data.file.filename).absolute(),
        dataset=str(data.name),
        frames_per_event=index.frames_per_event,
        rows=rows,
        positions=positions[rows],
        stamps_s=_stamps_of(positions.size, index.stamps_s)[rows],
        reconstructed=index.reconstructed,
    )


def _stamps_of(count: int, stamps_s: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Give one timestamp for each frame, where there are as many, or one for so many frames."""
    if stamps_s is not None and stamps_s.size > count:
        return stamps_s[:count]
    if stamps_s is None or not stamps_s.size or count % stamps_s.size:
        return np.full(count, np.nan)
    return np.repeat(stamps_s, count // stamps_s.size)


def read_raw(sample: h5py.Group, beamline: Beamline, *, roots: Sequence[Path]) -> RawSample:
    """Find what a sample's reduction starts from.

    The detectors are those in the first event that has frames, as in the live reduction. A
    detector's frames that come in another number per event than those of the first stand at no
    position, and are missing.

    Raises
    ------
    ReductionError
        If none of the beamline's detectors wrote frames.
    RefusedError
        If a link leads out of the roots.
    """
    found = {
        detector.extension: find_frames(
            sample, detector.data_key, stream=beamline.stream, roots=roots
        )
        for detector in beamline.detectors
    }
    used, frames_per_event = _used(found)
    if not used:
        raise ReductionError(
            f"{sample.name}: expected frames of {sorted(beamline.data_keys)} in stream "
            f"{beamline.stream!r}, found none: nothing to reduce"
        )
    fitting = {
        extension: tuple(s for s in sources if s.frames_per_event == frames_per_event)
        for extension, sources in used.items()
    }
    last = max(
        int(s.positions.max()) // s.frames_per_event for sources in used.values() for s in sources
    )
    size = (last + 1) * frames_per_event
    stream = follow(sample, safe_name(beamline.stream), roots=roots)
    keys = {} if beamline.monitors is None else beamline.monitors.with_frames
    transmitted, incident = (
        _monitor(stream, keys.get(name), frames_per_event, size, roots)
        for name in (schema.TRANSMITTED, schema.INCIDENT)
    )
    return RawSample(
        frames=fitting,
        frames_per_event=frames_per_event,
        transmitted=transmitted,
        incident=incident,
        superseded=_superseded(stream, frames_per_event, size, roots),
    )


def _used(
    found: dict[str, tuple[FrameSource, ...]],
) -> tuple[dict[str, tuple[FrameSource, ...]], int]:
    """Give the detectors in the first event with frames, and how many frames that brought."""
    firsts = {
        extension: min(int(s.positions[0]) // s.frames_per_event for s in sources)
        for extension, sources in found.items()
        if sources
    }
    first = min(firsts.values(), default=-1)
    # In this order the detectors are merged, too, as when they are read from a file.
    used = {name: found[name] for name in sorted(firsts) if firsts[name] == first}
    counts = [
        source.frames_per_event
        for sources in used.values()
        for source in sources
        if source.positions[0] // source.frames_per_event == first
    ]
    return used, max(counts, default=1)


def _superseded(
    stream: h5py.Group, frames_per_event: int, size: int, roots: Sequence[Path]
) -> NDArray[np.bool_]:
    result = np.zeros(size, bool)
    numbers = follow(stream, schema.SEQ_NUM, roots=roots)
    if isinstance(numbers, h5py.Dataset):
        known = np.repeat(superseded_rows(numbers[()]), frames_per_event)[:size]
        result[: known.size] = known
    return result


def _monitor(
    stream: h5py.Group, key: str | None, frames_per_event: int, size: int, roots: Sequence[Path]
) -> NDArray[np.float64]:
    """Give a monitor's readings (size,), one for each frame; NaN where there are none."""
    result = np.full(size, np.nan)
    if not key:
        return result
    data = follow(stream, f"{schema.DATA}/{safe_name(key)}", roots=roots)
    if not isinstance(data, h5py.Dataset) or data.ndim == 0:
        return result
    values = data[()]
    events = data.attrs.get(schema.EVENT_ROWS, np.arange(len(values)))
    for event, value in zip(events, values, strict=True):
        here = result[event * frames_per_event : (event + 1) * frames_per_event]
        here[:] = _readings(value, here.size)
    return result


def _readings(value: Any, frames: int) -> NDArray[np.float64]:
    """Take one event's reading for all its frames, or one for each; NaN where it is neither."""
    try:
        if isinstance(value, str | bytes):
            value = json.loads(value)
        return np.broadcast_to(np.asarray(value, dtype=float).ravel(), (frames,))
    except (TypeError, ValueError):
        return np.full(frames, np.nan)
