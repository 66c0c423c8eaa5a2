"""Every form of document becomes one internal form: plain values, with frames set apart."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import event_model
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from concurrent.futures import Future

Document = dict[str, Any]

# An array of a field that no detector of the configuration claims is still taken for frames, and so
# written to a file of its own instead of into the journal, from this many pixels on.
_LEAST_PIXELS = 4096
_LEAST_SIDE = 5  # narrower last axes are colours or coordinates


@dataclass(frozen=True, slots=True, eq=False)
class FrameStack:
    """The frames that one event carries for one field.

    Parameters
    ----------
    frames : ndarray, shape (k, H, W)
        A copy that nobody else writes to.
    chunks : Future of list of bytes
        The compressed frames, in the same order.
    """

    frames: NDArray[Any]
    chunks: "Future[list[bytes]]"


Compress = Callable[[NDArray[Any]], "Future[list[bytes]]"]


class RunIndex:
    """Tells which run a document belongs to; runs may interleave freely.

    Old resources that do not name their run, and documents whose run began before we listened,
    belong to no known run. A stream_datum tells its run by its descriptor or by its resource.
    """

    def __init__(self) -> None:
        self._run_of: dict[str, str] = {}  # uid of a descriptor or resource → uid of its run

    def run_of(self, name: str, doc: Mapping[str, Any]) -> str | None:
        """Give the uid of the run that `doc` belongs to, None where it is not known."""
        if name == "start":
            return str(doc["uid"])
        if name == "stop":
            run = str(doc["run_start"])
            self._run_of = {uid: r for uid, r in self._run_of.items() if r != run}
            return run
        if name in ("descriptor", "resource", "stream_resource"):
            found = doc.get("run_start")
            if found is not None:
                self._run_of[str(doc["uid"])] = str(found)
            return found
        keys = ("resource",) if name == "datum" else ("descriptor", "stream_resource")
        uids = (self._run_of.get(str(doc.get(key))) for key in keys)
        return next((uid for uid in uids if uid is not None), None)


def documents_of(name: str, doc: Document) -> Iterator[tuple[str, Document]]:
    """Give the documents one by one: pages are taken apart."""
    if name == "event_page":
        for event in event_model.unpack_event_page(cast("event_model.EventPage", doc)):
            yield "event", dict(event)
    elif name == "datum_page":
        for datum in event_model.unpack_datum_page(cast("event_model.DatumPage", doc)):
            yield "datum", dict(datum)
    else:
        yield name, doc


def snapshot(value: Any) -> Any:
    """Copy containers and arrays, so that whoever sent them may go on using them."""
    if isinstance(value, Mapping):
        return {key: snapshot(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [snapshot(item) for item in value]
    if isinstance(value, np.ndarray):
        return value.copy()
    return value


def take(
    name: str,
    doc: Document,
    data_keys: Collection[str],
    compress: Compress,
    *,
    never: Collection[str] = (),
) -> Document:
    """Copy a document; in an event every field that holds frames becomes a `FrameStack`.

    Parameters
    ----------
    name, doc
        As Bluesky sends them.
    data_keys
        The fields that the configured detectors write.
    compress
        Starts the compression of (k, H, W) frames and returns without waiting for it.
    never
        Fields that hold no frames, however large their arrays.

    Returns
    -------
    dict
        A document that shares no memory with `doc`.
    """
    if name != "event":
        copied: Document = snapshot(doc)
        return copied
    rest = {key: value for key, value in doc.items() if key != "data"}
    data: Document = {}
    for field, value in doc["data"].items():
        frames = None if field in never else frames_in(value, claimed=field in data_keys)
        if frames is None:
            data[field] = snapshot(value)
        else:
            data[field] = FrameStack(frames, compress(frames))
    return {**snapshot(rest), "data": data}


def carries_frames(
    name: str, doc: Document, data_keys: Collection[str], *, never: Collection[str] = ()
) -> bool:
    """Whether a document brings pixels, of which ours may be the only copy; see `take`."""
    if name not in ("event", "event_page"):
        return False
    data = doc.get("data", {})
    if name == "event":
        data = {field: [value] for field, value in data.items()}
    return any(
        _are_frames(value, claimed=field in data_keys)
        for field, values in data.items()
        for value in values
        if field not in never
    )


def frames_in(value: Any, *, claimed: bool) -> NDArray[Any] | None:
    """Copy the frames in an event's value as (k, H, W); None where it holds no frames.

    Parameters
    ----------
    value
        An array (…, H, W), or for a claimed field also nested lists, as stored runs give them.
    claimed
        Whether a detector of the configuration writes this field: then a picture of any size is
        a frame, otherwise only one that is too large for the journal.
    """
    if isinstance(value, list) and claimed:
        value = np.asarray(value)
    if not _are_frames(value, claimed=claimed):
        return None
    return np.array(value, order="C", copy=True).reshape(-1, *value.shape[-2:])


def _are_frames(value: Any, *, claimed: bool) -> bool:
    if isinstance(value, list):
        return claimed
    if not isinstance(value, np.ndarray) or value.ndim < 2 or value.dtype.kind not in "iuf":
        return False
    return value.size > 0 and is_frame_shape(value.shape, claimed=claimed)


def is_frame_shape(shape: Sequence[int], *, claimed: bool) -> bool:
    """Whether (…, H, W) is the shape of frames; see `frames_in`."""
    height, width = shape[-2:]
    large = height * width >= _LEAST_PIXELS and min(height, width) >= _LEAST_SIDE
    return claimed or large
