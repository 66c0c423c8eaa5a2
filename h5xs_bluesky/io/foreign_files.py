"""Frames in files that this package did not write: what runs there are, and their columns."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky import schema
from h5xs_bluesky.errors import FileFormatError
from h5xs_bluesky.io.frames import open_frames, read_frame
from h5xs_bluesky.io.image_files import strict_fabio
from h5xs_bluesky.io.links import follow
from h5xs_bluesky.io.presence import refuse_absent
from h5xs_bluesky.io.py4xs_files import added_for_py4xs

FRAMES = ""  # the field of frames whose detector the file does not name

_EIGER_DATA = re.compile(r"data_\d+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One field of a stream: a value, or some frames, for each event.

    Parameters
    ----------
    events
        How many.
    read
        Gives the value of an event, or its frames (k, H, W).
    is_frames
        Which of them it gives.
    time
        When an event was, in s since the epoch; None where that is not known.
    """

    events: int
    read: Callable[[int], Any]
    is_frames: bool
    time: Callable[[int], float | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class ForeignRun:
    """One run in a file.

    Parameters
    ----------
    sample
        Its name; None where the file has none.
    start
        Its start document, as far as the file has one.
    streams
        Columns by stream and field.
    """

    sample: str | None
    start: Mapping[str, Any] = field(default_factory=dict)
    streams: Mapping[str, Mapping[str, Column]]


@contextmanager
def foreign_runs(files: Sequence[Path], dataset: str | None = None) -> Iterator[list[ForeignRun]]:
    """Open files for import, until the end of the block.

    Parameters
    ----------
    files
        HDF5 files (NeXus, an Eiger's master file, a file of py4xs), or pictures of any format that
        fabio reads, one or several frames each. All in one go make one series, except for files
        of py4xs, which hold runs of their own.
    dataset
        Where the frames are in an HDF5 file; by default they are looked for.

    Raises
    ------
    FileFormatError
        If a file is not there, or holds no frames.
    RefusedError
        If a file links out of its folder.
    """
    for path in files:
        if not path.is_file():
            raise FileFormatError(f"{path}: expected a file of frames, found none")
    with ExitStack() as stack:
        if not files or not all(h5py.is_hdf5(path) for path in files):
            yield [_series([_picture(path) for path in files])]
            return
        opened = [stack.enter_context(open_frames(path)) for path in files]
        if dataset is None and all(_is_py4xs(file) for file in opened):
            yield [run for file in opened for run in _py4xs_runs(file)]
            return
        parts = [part for file in opened for part in _datasets(file, dataset)]
        yield [_series([_frames(part) for part in parts])]


def _series(parts: Sequence[Column]) -> ForeignRun:
    """Make one run of frames that follow each other."""
    if not parts:
        raise FileFormatError("expected files of frames to import, found none")
    ends = np.cumsum([part.events for part in parts])

    def find(event: int) -> tuple[Column, int]:
        number = int(np.searchsorted(ends, event, side="right"))
        return parts[number], event - int(ends[number]) + parts[number].events

    def read(event: int) -> Any:
        part, own = find(event)
        return part.read(own)

    def time(event: int) -> float | None:
        part, own = find(event)
        return part.time(own)

    column = Column(events=int(ends[-1]), read=read, is_frames=True, time=time)
    return ForeignRun(sample=None, streams={schema.PRIMARY: {FRAMES: column}})


def _picture(path: Path) -> Column:
    import fabio

    try:
        with fabio.open(str(path)) as file:
            frames = int(file.nframes)
    except Exception as error:
        raise FileFormatError(
            f"{path}: expected a picture, found an error: {str(error) or type(error).__name__}"
        ) from error

    def read(event: int) -> NDArray[Any]:
        try:
            with strict_fabio(path), fabio.open(str(path)) as file:
                data = file.data if frames == 1 else file.get_frame(event).data
        except FileFormatError:
            raise
        except Exception as error:
            raise FileFormatError(f"{path}: frame {event} cannot be read: {error}") from error
        frame = np.asarray(data)
        if frame.ndim != 2 or frame.dtype.kind not in "biuf":
            found = "none" if data is None else f"shape {frame.shape} of {frame.dtype}"
            raise FileFormatError(
                f"{path}: expected frame {event} to be numbers in rows and columns, found {found}: "
                "the file may be cut short"
            )
        return frame[np.newaxis]

    written = path.stat().st_mtime
    return Column(events=frames, read=read, is_frames=True, time=lambda _: written)


def _datasets(file: h5py.File, dataset: str | None) -> list[h5py.Dataset]:
    """Find the datasets of frames in a file; those of an Eiger in the order of their numbers."""
    roots = [Path(file.filename).resolve().parent]
    names = [dataset.strip("/")] if dataset else _likely(file, roots)
    found = [follow(file, name, roots=roots) for name in names]
    frames = [d for d in found if isinstance(d, h5py.Dataset) and _holds_frames(d)]
    if not frames or len(frames) < len(names):
        raise FileFormatError(
            f"{file.filename}: expected frames (n, H, W) in {dataset or 'an NXdata group'}, found "
            f"{names or 'none'}: name their dataset with --dataset; there are {_all_frames(file)}"
        )
    return frames


def _holds_frames(dataset: h5py.Dataset) -> bool:
    return dataset.ndim >= 2 and min(dataset.shape[-2:]) > 1 and dataset.dtype.kind in "iuf"


def _likely(file: h5py.File, roots: Sequence[Path]) -> list[str]:
    """Name the datasets that hold the frames, by the rules of NeXus, or as an Eiger has them."""
    for group in ("entry/data", "entry/instrument/detector", *_default(file)):
        place = follow(file, group, roots=roots)
        if not isinstance(place, h5py.Group):
            continue
        eiger = sorted(name for name in place if _EIGER_DATA.fullmatch(name))
        signal = _text(place.attrs.get("signal", "data"))
        names = eiger or [name for name in (signal, "data") if name in place][:1]
        if names:
            return [f"{group}/{name}" for name in names]
    return ["data"] if "data" in file else []


def _default(file: h5py.File) -> list[str]:
    """Follow the attributes `default` down to the group that is to be plotted."""
    path, group = "", file
    while isinstance(group, h5py.Group) and "default" in group.attrs:
        name = _text(group.attrs["default"]).strip("/")
        path = f"{path}/{name}".strip("/")
        group = group.get(name) if not isinstance(group.get(name, getlink=True), _LINKS) else None
    return [path] if path else []


_LINKS = (h5py.ExternalLink, h5py.SoftLink)


def _all_frames(file: h5py.File) -> list[str]:
    found: list[str] = []

    def note(name: str, member: Any) -> None:
        if isinstance(member, h5py.Dataset) and member.ndim >= 3:
            found.append(name)

    file.visititems(note)
    return found


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _frames(data: h5py.Dataset, *, per_event: int = 1, times: Any = None) -> Column:
    count = int(np.prod(data.shape[:-2], dtype=int))
    written = Path(data.file.filename).stat().st_mtime

    def read(event: int) -> NDArray[Any]:
        rows = range(event * per_event, (event + 1) * per_event)
        return np.stack([read_frame(data, row) for row in rows])

    return Column(
        events=count // per_event,
        read=read,
        is_frames=True,
        time=_times(times) if times is not None else lambda _: written,
    )


def _times(times: h5py.Dataset) -> Callable[[int], float | None]:
    flat = np.ravel(times[()])

    def time(event: int) -> float | None:
        return float(flat[min(event, flat.size - 1)]) if flat.size else None

    return time


def _is_py4xs(file: h5py.File) -> bool:
    if schema.DETECTORS in file.attrs:
        return True
    return any(schema.START in group.attrs for group in _groups(file))


def _groups(file: h5py.File) -> list[h5py.Group]:
    """List the groups at the top; those that are links lie in other files, and are left out."""
    names = [name for name in file if isinstance(file.get(name, getlink=True), h5py.HardLink)]
    return [file[name] for name in names if isinstance(file[name], h5py.Group)]


def _py4xs_runs(file: h5py.File) -> list[ForeignRun]:
    runs = []
    for group in _groups(file):
        streams = {name: _stream(group[name]) for name in group if _is_stream(group[name])}
        if any(column.is_frames for columns in streams.values() for column in columns.values()):
            runs.append(
                ForeignRun(
                    sample=str(group.name).strip("/"),
                    start=_start(group),
                    streams={name: columns for name, columns in streams.items() if columns},
                )
            )
    if not runs:
        raise FileFormatError(
            f"{file.filename}: expected samples with frames in {schema.PRIMARY}/{schema.DATA}, "
            f"found {sorted(file)}"
        )
    return runs


def _is_stream(member: Any) -> bool:
    return isinstance(member, h5py.Group) and isinstance(member.get(schema.DATA), h5py.Group)


def _start(group: h5py.Group) -> dict[str, Any]:
    text = group.attrs.get(schema.START, "{}")
    try:
        return dict(json.loads(text))
    except (TypeError, ValueError) as error:
        raise FileFormatError(
            f"{group.file.filename}: {group.name}: expected a start document as JSON, found "
            f"{text!s:.60}"
        ) from error


def _stream(group: h5py.Group) -> dict[str, Column]:
    roots = [Path(group.file.filename).resolve().parent]
    added = added_for_py4xs(group[schema.DATA])
    names = [name for name in group[schema.DATA] if name not in added]
    data = {name: follow(group, f"{schema.DATA}/{name}", roots=roots) for name in names}
    times = {name: follow(group, f"{schema.TIMESTAMPS}/{name}", roots=roots) for name in names}
    columns = {}
    for name, values in data.items():
        if not isinstance(values, h5py.Dataset) or values.ndim == 0 or values.dtype.kind == "O":
            continue
        stamps = times[name] if isinstance(times[name], h5py.Dataset) else None
        if values.ndim >= 3 and _holds_frames(values):
            columns[name] = _frames(values, times=stamps)
        else:
            columns[name] = _values(values, stamps)
    return columns


def _values(data: h5py.Dataset, stamps: h5py.Dataset | None) -> Column:
    for row in range(len(data)):
        refuse_absent(data, row, trailing=data.ndim - 1)
    values = data[()]
    return Column(
        events=len(values),
        read=lambda event: values[event],
        is_frames=False,
        time=_times(stamps) if stamps is not None else lambda _: None,
    )
