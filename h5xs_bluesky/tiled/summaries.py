"""What a sample's node says about it, for searching: plain values that any catalogue can hold."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import h5py
import numpy as np

from h5xs_bluesky import schema
from h5xs_bluesky.io.frames import committed_frames, refresh
from h5xs_bluesky.io.names import safe_name
from h5xs_bluesky.tiled.files import ServedFile
from h5xs_bluesky.tiled.folders import goes_on
from h5xs_bluesky.tiled.results import results_of

Q_UNIT = "1/angstrom"


def sample_summary(served: ServedFile, sample: str) -> dict[str, Any]:
    """Read the metadata of a sample's node.

    Its start and stop documents and descriptors, and beside them, to search by: the sample's name,
    the scan's plan, number and uid, its times, whether it goes on, how many frames were measured,
    reduced and kept, the q-range, and the names of the curves.

    It may be written meanwhile: what tells of an end is read first, so that all is there that it is
    the end of.

    Raises
    ------
    HTTPException
        As `ServedFile.reading`.
    """
    going_on = _goes_on(served, sample)
    with served.reading() as file:
        return _summary(served, file, served.group(file, sample), going_on=going_on)


def _summary(
    served: ServedFile, file: h5py.File, group: h5py.Group, *, going_on: bool | None
) -> dict[str, Any]:
    sample = group.name.strip("/")
    start = document(group.attrs.get(schema.START))
    stop = document(group.attrs.get(schema.STOP))
    with results_of(served, group, sample) as results:
        curves, buffer = _curves(served, results.group), results.buffer
    summary = {
        "sample": sample,
        "sample_name": text(group.attrs.get(schema.SAMPLE_NAME), start.get("sample_name", sample)),
        "plan_name": start.get("plan_name"),
        "scan_id": start.get("scan_id"),
        "uid": start.get("uid"),
        "time_start": start.get("time"),
        "time_stop": stop.get("time"),
        "exit_status": stop.get("exit_status"),
        "goes_on": going_on,
        "frames": _frames(served, group),
        **curves,
        "q_range": q_range(file),
        "q_unit": Q_UNIT,
        "start": start,
        "stop": stop or None,
        "descriptors": documents(group.attrs.get(schema.DESCRIPTORS)),
    }
    if buffer:
        summary["buffer"] = buffer
    plain: dict[str, Any] = to_plain(summary)
    return plain


def has_ended(summary: Mapping[str, Any]) -> bool:
    """Tell whether nothing more of a run will come: nobody writes or reduces it, or it has a stop.

    The second counts where the first cannot be seen.
    """
    going_on = summary.get("goes_on")
    return bool(summary.get("stop")) if going_on is None else not going_on


def _goes_on(served: ServedFile, sample: str) -> bool | None:
    """Tell whether somebody writes a run, or reduces it; None where that cannot be seen."""
    try:
        return goes_on(served.path, sample)
    except OSError:
        return None


def document(stored: Any) -> dict[str, Any]:
    """Read a document from an attribute; an empty one where it is not there, or is none."""
    found = _from_json(stored)
    return found if isinstance(found, dict) else {}


def documents(stored: Any) -> list[dict[str, Any]]:
    """Read a list of documents from an attribute; what is none is left out."""
    found = _from_json(stored)
    return [doc for doc in found if isinstance(doc, dict)] if isinstance(found, list) else []


def _from_json(stored: Any) -> Any:
    try:
        return json.loads(text(stored).strip(" \0"))
    except ValueError:
        return None


def text(stored: Any, otherwise: Any = "") -> str:
    """Read a text from an attribute, however the file holds it."""
    if stored is None or isinstance(stored, h5py.Empty):
        return str(otherwise)
    return stored.decode("utf-8", "replace") if isinstance(stored, bytes) else str(stored)


def to_plain(value: Any) -> Any:
    """Make of a value what JSON and databases can hold; NaN and infinities become None."""
    if isinstance(value, Mapping):
        return {str(key): to_plain(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(member) for member in value]
    if isinstance(value, np.ndarray | np.generic):
        return to_plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):  # no database holds a NUL, and no UTF-8 a lone surrogate
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
    if value is None or isinstance(value, bool | int | float):
        return value
    return text(value) if isinstance(value, bytes) else repr(value)


def from_client(value: Any) -> Any:
    """Make dicts and lists of what Tiled's client gives for metadata."""
    if isinstance(value, Mapping):
        return {key: from_client(member) for key, member in value.items()}
    if isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
        return value
    return [from_client(member) for member in value]


def q_centers(file: h5py.File) -> list[float] | None:
    """Give the experiment's q, in 1/Å; None where the file does not say."""
    stored = file.attrs.get(schema.QGRID)
    return None if stored is None else [float(q) for q in np.ravel(stored)]


def q_range(file: h5py.File) -> list[float] | None:
    """Give the first and the last q."""
    centers = q_centers(file)
    return [centers[0], centers[-1]] if centers else None


def is_frames(dataset: h5py.Dataset) -> bool:
    """Tell whether a field is pictures, (n, H, W), or (m, n, H, W) as some older files have it."""
    return dataset.ndim in (3, 4) and dataset.dtype.kind in "iuf"


def _frames(served: ServedFile, sample: h5py.Group) -> int:
    """Count the frames of the field that has most of them."""
    data = served.member(sample, f"{schema.PRIMARY}/{schema.DATA}")
    if not isinstance(data, h5py.Group):
        return 0
    counts = [0]
    for name in data:
        dataset = served.member(data, name)
        if isinstance(dataset, h5py.Dataset) and is_frames(dataset):
            counts.append(frame_count(served, data.parent, name, dataset))
    return max(counts)


def frame_count(served: ServedFile, stream: h5py.Group, name: str, dataset: h5py.Dataset) -> int:
    """Count the frames of a field that are there for certain, in a file of ours or another's."""
    rows = int(np.prod(refresh(dataset).shape[:-2]))
    times = served.member(stream, f"{schema.TIMESTAMPS}/{name}")
    if not isinstance(times, h5py.Dataset) or schema.COMMITTED not in times.parent:
        return rows
    return min(rows, committed_frames(times.parent))


def curve_datasets(served: ServedFile, results: h5py.Group) -> Iterator[tuple[str, h5py.Dataset]]:
    """Give what has the shape of curves, (2, nq) or (n, 2, nq); files of others may hold more."""
    group = served.member(results, schema.PROCESSED)
    if isinstance(group, h5py.Group):
        yield from _curves_in(served, group)


def _curves_in(served: ServedFile, processed: h5py.Group) -> Iterator[tuple[str, h5py.Dataset]]:
    for name in processed:
        dataset = served.member(processed, name)
        if isinstance(dataset, h5py.Dataset) and dataset.ndim in (2, 3) and dataset.shape[-2] == 2:
            yield name, refresh(dataset)


def _curves(served: ServedFile, results: h5py.Group) -> dict[str, Any]:
    """Tell which curves there are, over how many frames, and how many of these are kept.

    All of one file: it is replaced by another when the run ends.
    """
    processed = served.member(results, schema.PROCESSED)
    selected, shapes = None, {}
    if isinstance(processed, h5py.Group):
        selected = processed.attrs.get(schema.SELECTED)
        shapes = {name: dataset.shape for name, dataset in _curves_in(served, processed)}
    frames = shapes.get(schema.MERGED, ())[:-2]
    return {
        "curves": sorted(shapes),
        "reduced": frames[0] if frames else 0,
        "kept": None if selected is None else int(np.count_nonzero(selected)),
    }


def data_keys(descriptors: list[dict[str, Any]], stream: str) -> dict[str, dict[str, Any]]:
    """Give what the descriptors say of a stream's fields, by their names in the file."""
    keys: dict[str, dict[str, Any]] = {}
    for descriptor in descriptors:
        if safe_name(descriptor.get("name", "")) == stream:
            for name, key in descriptor.get("data_keys", {}).items():
                keys[safe_name(name)] = dict(key)
    return keys
