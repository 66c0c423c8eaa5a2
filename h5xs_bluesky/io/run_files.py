"""The folder of a run, and the file that shows it in the layout that readers know."""

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from h5xs_bluesky import schema
from h5xs_bluesky.io.names import safe_name
from h5xs_bluesky.io.opening import open_whole
from h5xs_bluesky.io.replace import FileLock, replace_whole
from h5xs_bluesky.io.run_contents import RunContents, StreamContents
from h5xs_bluesky.io.writing import made_in_memory

logger = logging.getLogger(__name__)

_HEADERS = (schema.START, schema.STOP, schema.DESCRIPTORS)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFolder:
    """The folder of one sample's run, whose only writer holds `lock`.

    Parameters
    ----------
    path
        The folder.
    lock
        Held from the claim until `close`.
    """

    path: Path
    lock: FileLock = field(repr=False)

    @property
    def sample(self) -> str:
        """The sample's group in the experiment, which is also the folder's name."""
        return self.path.name

    @classmethod
    def claim(cls, experiment: Path, *, name: str, scan_id: Any, uid: str) -> "RunFolder":
        """Make a new folder for a run.

        The first of ``name``, ``name_<scan_id>``, ``name_<scan_id>_<start of uid>`` that is free.

        Raises
        ------
        OSError
            If no folder can be made.
        """
        for candidate in _candidates(name, scan_id, uid):
            path = experiment / candidate
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                continue
            lock = FileLock(path / schema.RUN_LOCK)
            lock.acquire()
            return cls(path=path, lock=lock)
        raise FileExistsError(f"every folder that run {uid} could have in {experiment} exists")

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Take over an existing folder.

        Raises
        ------
        FileInUseError
            If its writer is alive.
        """
        lock = FileLock(path / schema.RUN_LOCK)
        lock.acquire()
        return cls(path=path, lock=lock)

    def close(self) -> None:
        """Let another writer take the folder."""
        self.lock.release()

    def new_file(self, *parts: str, number: int = 1) -> Path:
        """Give the path of a new HDF5 file, named after a stream and perhaps a field.

        Parameters
        ----------
        *parts
            Stream and field.
        number
            Of the file among those of these parts; a later one, if it is taken.
        """
        stem = ".".join(safe_name(part) for part in parts)
        taken = (schema.RUN_FILE, schema.PROCESSED_FILE)
        while True:
            suffix = f"-{number}" if number > 1 else ""
            path = self.path / f"{stem}{suffix}{schema.H5_SUFFIX}"
            if path.name not in taken and not path.exists():
                return path
            number += 1


def _candidates(name: str, scan_id: Any, uid: str) -> Iterator[str]:
    base = safe_name(name)
    numbered = base if scan_id is None else safe_name(f"{base}_{scan_id}")
    if base != schema.EXPERIMENT_FILE:
        yield base
    yield numbered
    for length in (8, len(uid)):
        yield safe_name(f"{numbered}_{uid[:length]}")


def write_run_file(folder: Path, contents: RunContents, metadata: Mapping[str, str]) -> None:
    """Replace ``run.h5``: the headers, and links to all that the folder holds by now.

    Parameters
    ----------
    folder
        The run's folder; its name is the name of the sample's group.
    contents
        The documents so far. Once they hold a stop, the values that are neither scalars nor
        frames, and the superseded rows, are written, too.
    metadata
        Further attributes of the sample, such as the name of its buffer.
    """
    with (
        replace_whole(folder / schema.RUN_FILE) as temporary,
        made_in_memory(temporary) as file,
    ):
        sample = file.create_group(folder.name)
        sample.attrs[schema.START] = to_json(contents.start)
        sample.attrs[schema.DESCRIPTORS] = to_json(contents.descriptors)
        if contents.stop is not None:
            sample.attrs[schema.STOP] = to_json(contents.stop)
        for key, value in metadata.items():
            sample.attrs[key] = storable(value)
        for name, stream in contents.streams.items():
            group = sample.create_group(safe_name(name))
            _link_stream(group, stream)
            _link_frames(group, stream)
            if contents.complete:
                _write_values(group, stream)
        if (folder / schema.PROCESSED_FILE).exists():
            for name in (schema.PROCESSED, schema.REDUCTION):
                sample[name] = h5py.ExternalLink(schema.PROCESSED_FILE, "/" + name)


def sample_attributes(folder: Path) -> dict[str, str]:
    """Give what a run file says about its sample beyond the documents, to write it anew."""
    path = folder / schema.RUN_FILE
    if not path.exists():
        return {schema.SAMPLE_NAME: folder.name}
    with open_whole(path) as file:
        attributes = file[folder.name].attrs
        return {key: str(attributes[key]) for key in attributes if key not in _HEADERS}


def _link_stream(group: h5py.Group, stream: StreamContents) -> None:
    for name in (schema.DATA, schema.TIMESTAMPS):
        group.create_group(name)
    if not stream.file:
        return
    for name in (schema.TIME, schema.SEQ_NUM):
        group[name] = h5py.ExternalLink(stream.file, "/" + name)
    for field_name in stream.scalars:
        if field_name in stream.frames:  # a descriptor may call a number what are frames
            continue
        for name in (schema.DATA, schema.TIMESTAMPS):
            member = f"{name}/{safe_name(field_name)}"
            group[member] = h5py.ExternalLink(stream.file, "/" + member)


def _link_frames(group: h5py.Group, stream: StreamContents) -> None:
    """Link the frame files; the second and further ones of a field get its name with a number."""
    for field_name, files in stream.frames.items():
        number = 0
        for contents in files:
            number, member = _unused_name(group[schema.DATA], field_name, number + 1)
            for name in (schema.DATA, schema.TIMESTAMPS):
                group[name][member] = h5py.ExternalLink(contents.file, "/" + name)


def _unused_name(data: h5py.Group, field_name: str, number: int) -> tuple[int, str]:
    """Give the first free name of a field with this number, or a later one."""
    while True:
        member = safe_name(field_name if number == 1 else f"{field_name}_{number}")
        if member not in data:
            return number, member
        number += 1


def _write_values(group: h5py.Group, stream: StreamContents) -> None:
    if schema.SEQ_NUM not in group:
        group[schema.SEQ_NUM] = np.asarray(stream.rows.seq_nums, dtype=np.int64)
        group[schema.TIME] = np.asarray(stream.rows.times, dtype=float)
    group[schema.SUPERSEDED] = stream.rows.superseded
    for field_name, rows in stream.rows_of_values.items():
        name = safe_name(field_name)
        if name in group[schema.DATA]:
            continue
        column = column_of([value for _, value, _ in rows])
        group[schema.DATA].create_dataset(name, data=column)
        stamps = column_of([stamp for _, _, stamp in rows])
        group[schema.TIMESTAMPS].create_dataset(name, data=stamps)
        if len(rows) != len(stream.rows):  # the field came with only some of the events
            group[schema.DATA][name].attrs[schema.EVENT_ROWS] = [row for row, _, _ in rows]


def column_of(values: list[Any]) -> Any:
    """Make one array of a field's values, as JSON texts where they do not share a shape."""
    try:
        column = np.array(values)
    except ValueError:  # ragged
        column = np.array(None)
    if column.dtype.kind in "biuf":
        return column
    texts = [value if isinstance(value, str) else to_json(value) for value in values]
    return np.array([storable(text) for text in texts], dtype=h5py.string_dtype())


def storable(text: str) -> str:
    """Make a text that HDF5 can hold: no NUL, no lone surrogates."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def to_json(value: Any) -> str:
    """Write a document as JSON; arrays become lists, and what JSON cannot hold its `repr`."""
    return json.dumps(value, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return repr(value)
