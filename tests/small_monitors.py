"""Monitors of the small beamline that run on their own: their configuration and documents."""

import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from small_beamline import Documents

from h5xs_bluesky.config import Asynchronous, MetadataSource, Monitors

METADATA = {
    "buffer": MetadataSource(source="start", key="buffer"),
    "exposure": MetadataSource(source="start", key="exposure_time"),
}


def own_streams(**changes: Any) -> Monitors:
    """Monitors em1 and em2 in streams of Bluesky's `monitor`; frames stamped at their start."""
    values: dict[str, Any] = {
        "incident_stream": "em1_monitor",
        "transmitted_stream": "em2_monitor",
        "stamped": "start",
    }
    return Monitors(
        incident="em1",
        transmitted="em2",
        relative_uncertainty=0.001,
        asynchronous=Asynchronous(**{**values, **changes}),
    )


def add_readings(
    documents: Documents, stream: str, field: str, *, times: ArrayLike, values: ArrayLike
) -> Documents:
    """Add a stream of single readings, an event each, as `bluesky.preprocessors.monitor` does."""
    pairs = zip(np.asarray(times).tolist(), np.asarray(values).tolist(), strict=True)
    return _add(documents, stream, field, list(pairs), {"dtype": "number", "shape": []})


def add_blocks(
    documents: Documents, stream: str, field: str, *, times: Sequence[float], blocks: Any
) -> Documents:
    """Add one event of blocks of readings, (rep, points), with a list of times."""
    shape = list(np.shape(blocks))
    return _add(
        documents, stream, field, [(list(times), blocks)], {"dtype": "array", "shape": shape}
    )


def _add(
    documents: Documents, stream: str, field: str, pairs: list[tuple[Any, Any]], key: dict[str, Any]
) -> Documents:
    start = next(doc for name, doc in documents if name == "start")
    uid = str(uuid.uuid4())
    descriptor = {
        "uid": uid,
        "run_start": start["uid"],
        "name": stream,
        "time": start["time"],
        "data_keys": {field: {"source": "test", **key}},
        "configuration": {},
        "object_keys": {},
        "hints": {},
    }
    events = [
        {
            "uid": str(uuid.uuid4()),
            "descriptor": uid,
            "seq_num": number,
            "time": float(np.max(stamp)),
            "data": {field: value},
            "timestamps": {field: stamp},
            "filled": {},
        }
        for number, (stamp, value) in enumerate(pairs, start=1)
    ]
    added = [("descriptor", descriptor), *(("event", event) for event in events)]
    return [*documents[:-1], *added, documents[-1]]
