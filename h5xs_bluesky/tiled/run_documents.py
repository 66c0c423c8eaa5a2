"""The documents of a run that lies in a folder, made from its files alone.

The raw run's come from the journal. What lies in files of frames is told by stream documents that
lead to the experiment's file, where the adapter reads it with its checks; the rest is in the
events.
The processed run's are those that `ProcessedRun` emits, made from the processed file.
"""

import hashlib
import math
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import h5py
import msgpack
import numpy as np

from h5xs_bluesky import schema
from h5xs_bluesky.api.processed_documents import ProcessedRun
from h5xs_bluesky.api.settings import read_beamline
from h5xs_bluesky.errors import FileFormatError
from h5xs_bluesky.io.journal import read_journal
from h5xs_bluesky.io.names import safe_name
from h5xs_bluesky.io.processed import read_reduced
from h5xs_bluesky.io.run_contents import RunContents, StreamContents
from h5xs_bluesky.tiled.adapter import MIMETYPE
from h5xs_bluesky.tiled.files import file_uri
from h5xs_bluesky.tiled.runs import RunPlace, checked_uid
from h5xs_bluesky.tiled.summaries import frame_count, is_frames, to_plain

Document = dict[str, Any]
Documents = list[tuple[str, Document]]

NO_STOP = {"exit_status": "abort", "reason": "no stop document came"}

# What TiledWriter takes from a start document as orders: not from one that lies in a file.
_ORDERS = ("tiled_access_tags", "tiled_specs")


def read_contents(place: RunPlace) -> RunContents:
    """Read what the journal of a run holds.

    Raises
    ------
    FileFormatError
        If it is damaged before its end, or has no start document with a uid.
    RefusedError
        If it asks for objects, or is a link out of the experiment.
    OSError
        If it cannot be read.
    """
    records = read_journal(place.own_file(schema.JOURNAL_FILE))
    contents = RunContents.from_records(records, keep_scalars=True)
    checked_uid(contents.start.get("uid"), place.label)
    return contents


def raw_documents(place: RunPlace, contents: RunContents) -> Documents:
    """Make the documents of the raw run: one event for each row, frames as stream documents.

    A run without a stop document gets one that says so.

    Raises
    ------
    HTTPException
        As `ServedFile.reading`.
    """
    start = {key: value for key, value in contents.start.items() if key not in _ORDERS}
    documents: Documents = [("start", to_plain(start))]
    with place.served.reading() as file:
        group = place.served.group(file, place.sample)
        for name, stream in contents.streams.items():
            data = place.served.member(group, f"{safe_name(name)}/{schema.DATA}")
            frames = dict(_frames(place, name, data)) if isinstance(data, h5py.Group) else {}
            documents += _stream_documents(place, contents, name, stream, frames)
    counts = {name: len(stream.rows) for name, stream in contents.streams.items()}
    stop = contents.stop or {
        "uid": _uid(contents, "stop"),
        "time": _last_time(contents),
        "run_start": start["uid"],
        "num_events": counts,
        **NO_STOP,
    }
    documents.append(("stop", to_plain(stop)))
    return documents


def _frames(
    place: RunPlace, stream: str, data: h5py.Group
) -> Iterator[tuple[str, tuple[int, int, h5py.Dataset]]]:
    """Give the datasets of frames in a stream: their events, frames of each, and the dataset."""
    for name in data:
        dataset = place.served.member(data, name)
        if not isinstance(dataset, h5py.Dataset) or not is_frames(dataset) or dataset.ndim != 3:
            continue
        times = place.served.member(data.parent, f"{schema.TIMESTAMPS}/{name}")
        per_event = 1
        if isinstance(times, h5py.Dataset):
            per_event = max(1, int(times.attrs.get(schema.FRAMES_PER_EVENT, 1)))
        events = frame_count(place.served, data.parent, name, dataset) // per_event
        if events:
            yield name, (events, per_event, dataset)


def _stream_documents(
    place: RunPlace,
    contents: RunContents,
    name: str,
    stream: StreamContents,
    frames: Mapping[str, tuple[int, int, h5py.Dataset]],
) -> Documents:
    descriptors = [doc for doc in contents.descriptors if str(doc.get("name", "primary")) == name]
    keys: dict[str, Document] = {}
    for descriptor in descriptors:
        keys |= {key: dict(value) for key, value in descriptor["data_keys"].items()}
    external = {safe_name(key): key for key in keys}
    external = {member: external.get(member, member) for member in frames}
    columns = {
        key: rows
        for key, rows in stream.rows_of_values.items()
        if key not in external.values() and not _are_references(keys.get(key, {}), rows)
    }
    for member, key in external.items():
        keys[key] = _frames_key(keys.get(key, {}), *frames[member])
    for key, rows in columns.items():
        keys[key] = _values_key(keys.get(key, {}), [value for _, value, _ in rows])
    documents: Documents = []
    for descriptor in descriptors:
        own = {key: to_plain(keys[key]) for key in keys}
        doc = {**to_plain(descriptor), "name": name, "data_keys": own}
        doc["object_keys"] = {
            device: [key for key in listed if key in own]
            for device, listed in dict(doc.get("object_keys") or {}).items()
        }
        documents.append(("descriptor", doc))
    if not descriptors:
        return []
    uid = str(descriptors[0]["uid"])
    documents += _events(contents, uid, stream, columns)
    for member, key in external.items():
        documents += _resource(place, contents, uid, name, member, key, frames[member])
    return documents


def _are_references(key: Mapping[str, Any], rows: list[tuple[int, Any, Any]]) -> bool:
    """Tell whether a field's values are the names of documents that tell where the data are."""
    return bool(key.get("external")) and all(isinstance(value, str) for _, value, _ in rows)


def _frames_key(key: Document, events: int, per_event: int, dataset: h5py.Dataset) -> Document:
    picture = dataset.shape[-2:]
    declared = tuple(key.get("shape") or ())
    fits = declared[-2:] == picture and math.prod(declared[:-2]) == per_event
    plain = picture if per_event == 1 else (per_event, *picture)
    return {
        "source": "unknown",
        **key,
        "dtype": "array",
        "dtype_numpy": dataset.dtype.str,
        "shape": list(declared if fits else plain),
        "external": "STREAM:",
    }


def _values_key(key: Document, values: list[Any]) -> Document:
    """Describe a field whose values are in the events."""
    found = {"source": "unknown", "dtype": "string", "shape": [], **key}
    found.pop("external", None)
    first = next((value for value in values if value is not None), None)
    if isinstance(first, np.ndarray) and "dtype_numpy" not in found and first.dtype.kind in "biufc":
        found["dtype_numpy"] = first.dtype.str
    if not key and not isinstance(first, str):
        array = np.asarray(first)
        found["shape"] = list(array.shape)
        found["dtype"] = "array" if array.ndim else "number"
    return found


def _events(
    contents: RunContents,
    descriptor: str,
    stream: StreamContents,
    columns: Mapping[str, list[tuple[int, Any, Any]]],
) -> Iterator[tuple[str, Document]]:
    """Give an event for each row; a field that a row lacks is None, or NaN in an array."""
    by_row = {
        key: {row: (value, stamp) for row, value, stamp in rows} for key, rows in columns.items()
    }
    absent = {key: _absent([value for _, value, _ in rows]) for key, rows in columns.items()}
    for row in range(len(stream.rows)):
        time = float(stream.rows.times[row])
        data, stamps = {}, {}
        for key, found in by_row.items():
            value, stamp = found.get(row, (absent[key], time))
            data[key] = _plain_value(value)
            stamps[key] = float(np.ravel(stamp)[0]) if np.size(stamp) else time
        yield (
            "event",
            {
                "uid": _uid(contents, descriptor, str(row)),
                "descriptor": descriptor,
                "seq_num": int(stream.rows.seq_nums[row]),
                "time": time,
                "data": data,
                "timestamps": stamps,
            },
        )


def _absent(values: list[Any]) -> Any:
    array = np.asarray(values[0]) if values else np.array(None)
    return np.full(array.shape, np.nan) if array.ndim and array.dtype.kind in "iufc" else None


def _plain_value(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return (
        value if value is None or isinstance(value, bool | int | float | list) else to_plain(value)
    )


def _resource(
    place: RunPlace,
    contents: RunContents,
    descriptor: str,
    stream: str,
    member: str,
    key: str,
    frames: tuple[int, int, h5py.Dataset],
) -> Documents:
    events, _, _ = frames
    uid = _uid(contents, stream, member)
    resource = {
        "uid": uid,
        "data_key": key,
        "mimetype": MIMETYPE,
        "uri": file_uri(place.experiment),
        "parameters": {
            "sample": place.sample,
            "dataset": f"{safe_name(stream)}/{schema.DATA}/{member}",
            "chunk_shape": [1],
        },
        "run_start": contents.start["uid"],
    }
    datum = {
        "uid": f"{uid}/0",
        "stream_resource": uid,
        "descriptor": descriptor,
        "indices": {"start": 0, "stop": events},
        "seq_nums": {"start": 1, "stop": events + 1},
    }
    return [("stream_resource", resource), ("stream_datum", datum)]


def _uid(contents: RunContents, *names: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join((str(contents.start["uid"]), *names))))


def _last_time(contents: RunContents) -> float:
    """Give the time of the latest event, or of the start."""
    times = [time for stream in contents.streams.values() for time in stream.rows.times]
    return max((t for t in times if math.isfinite(t)), default=float(contents.start["time"]))


def processed_documents(place: RunPlace, contents: RunContents) -> Documents:
    """Make the documents of the processed run; none where nothing is reduced.

    Their times are those of the raw run's documents.

    Raises
    ------
    FileFormatError
        If the curves have another q than the experiment.
    H5xsError, HTTPException
        If the files cannot be read.
    """
    with place.served.reading() as file:
        beamline = read_beamline(file, None, "")
        group = place.served.group(file, place.sample)
        reduced = read_reduced(group, roots=place.served.roots)
    if reduced is None or not reduced.detectors or not len(reduced.superseded):
        return []
    merged = reduced.merged
    if merged.count.shape[-1] != len(beamline.qgrid):
        raise FileFormatError(
            f"{place.label}: expected curves of {len(beamline.qgrid)} bins as the experiment has, "
            f"found {merged.count.shape[-1]}: reduce the sample again (load_data)"
        )
    now = float(contents.start["time"])
    documents: Documents = []
    run = ProcessedRun(
        contents.start,
        sample=place.sample,
        beamline=beamline,
        emit=lambda name, doc: documents.append((name, doc)),
        clock=lambda: now,
    )
    frames = len(reduced.superseded)
    times = (
        list(contents.streams[beamline.stream].rows.times)
        if beamline.stream in contents.streams
        else []
    )
    per_event = max(1, frames // max(1, len(times)))
    for number in range(frames):
        if number // per_event < len(times) and math.isfinite(times[number // per_event]):
            now = times[number // per_event]
        run.frame(
            number,
            merged[number],
            transmitted=float(reduced.transmitted[number]),
            incident=float(reduced.incident[number]),
        )
    stop = contents.stop or {**NO_STOP, "time": _last_time(contents)}
    now = float(stop["time"])
    run.result(reduced)
    run.stop(exit_status=stop["exit_status"], reason=stop.get("reason", ""))
    return [(name, to_plain(doc) if name == "start" else doc) for name, doc in documents]


def digest(documents: Documents) -> str:
    """Give what tells whether documents are those that were published."""
    found = hashlib.sha256()
    for document in documents:
        found.update(msgpack.packb(document, default=_bytes))
    return found.hexdigest()[:32]


def _bytes(value: Any) -> Any:
    array = np.asarray(value)
    return [array.dtype.str, list(array.shape), array.tobytes()]
