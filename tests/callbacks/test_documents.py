"""Every form of document becomes one internal form."""

from concurrent.futures import Future
from pathlib import Path
from typing import Any

import event_model
import numpy as np
import pytest
from numpy.typing import NDArray
from small_beamline import SAXS, run_documents, small_beamline

from h5xs_bluesky.callbacks import LiveReduction
from h5xs_bluesky.callbacks.documents import (
    FrameStack,
    RunIndex,
    carries_frames,
    documents_of,
    frames_in,
    snapshot,
    take,
)
from h5xs_bluesky.io.journal import read_journal

IMAGE = np.arange(64 * 48, dtype="i4").reshape(64, 48)
LARGE = np.zeros((100, 100), "u2")

VALUES = [
    # value, frames of a detector of ours, frames of any other, why
    (IMAGE, (1, 64, 48), None, "a small picture is a frame where a detector is known"),
    (LARGE, (1, 100, 100), (1, 100, 100), "a large picture is one anyway"),
    (np.zeros((3, 100, 100), "f4"), (3, 100, 100), (3, 100, 100), "several frames per event"),
    (np.zeros((2, 3, 100, 100), "u1"), (6, 100, 100), (6, 100, 100), "on two axes"),
    (IMAGE.tolist(), (1, 64, 48), None, "nested lists, as stored runs give them"),
    (np.zeros(10000), None, None, "a trace is no frame"),
    (np.zeros((2000, 3)), (1, 2000, 3), None, "coordinates are none"),
    (np.zeros((64, 48), "c8"), None, None, "complex numbers are none"),
    (np.zeros((64, 48), "O"), None, None, "objects are none"),
    (np.zeros((0, 48)), None, None, "nothing is none"),
    ("some-uid", None, None, "a reference is none"),
    (1.5, None, None, "a number is none"),
    ([1, 2, 3], None, None, "a list of numbers is none"),
]


@pytest.mark.parametrize(("value", "ours", "other", "why"), VALUES, ids=[v[3] for v in VALUES])
def test_frames_are_recognised(
    value: Any, ours: tuple[int, ...] | None, other: tuple[int, ...] | None, why: str
) -> None:
    for claimed, shape in ((True, ours), (False, other)):
        found = frames_in(value, claimed=claimed)
        assert (None if found is None else found.shape) == shape, why
        if found is not None:
            assert np.array_equal(found.ravel(), np.ravel(value))
            assert not np.shares_memory(found, value)


def test_event_is_copied_with_its_frames_set_apart() -> None:
    def compress(frames: NDArray[Any]) -> "Future[list[bytes]]":
        future: Future[list[bytes]] = Future()
        future.set_result([frame.tobytes() for frame in frames])
        return future

    trace = np.arange(5)
    event = {"uid": "x", "data": {SAXS: IMAGE, "trace": trace, "x": 1}, "timestamps": {"x": [1]}}
    taken = take("event", event, {SAXS}, compress)
    stack = taken["data"][SAXS]
    assert isinstance(stack, FrameStack)
    assert stack.chunks.result() == [IMAGE.tobytes()]
    assert not np.shares_memory(taken["data"]["trace"], trace)
    assert {**taken, "data": None} == {**event, "data": None}
    assert taken["timestamps"]["x"] is not event["timestamps"]["x"]


def test_snapshot_shares_nothing_that_can_change() -> None:
    inner = {"list": [1, {"array": np.zeros(2)}], "tuple": (1, 2)}
    copied = snapshot(inner)
    inner["list"][1]["array"][:] = 1
    inner["list"].append(2)
    assert copied["list"][1]["array"].tolist() == [0, 0]
    assert len(copied["list"]) == 2
    assert copied["tuple"] == [1, 2]


def legacy_documents() -> list[tuple[str, dict[str, Any]]]:
    """A run whose detector writes files, told by resource and datum."""
    run = event_model.compose_run(metadata={"sample_name": "water", "scan_id": 7})
    key = {"source": "x", "dtype": "array", "shape": [64, 48], "external": "FILESTORE:"}
    stream = run.compose_descriptor(name="primary", data_keys={SAXS: key})
    resource = run.compose_resource(
        spec="AD_HDF5", root="/", resource_path="etc/passwd", resource_kwargs={}
    )
    datum = resource.compose_datum(datum_kwargs={"point_number": 0})
    event = stream.compose_event(
        data={SAXS: datum["datum_id"]}, timestamps={SAXS: 1.0}, filled={SAXS: False}
    )
    return [
        ("start", dict(run.start_doc)), ("descriptor", dict(stream.descriptor_doc)),
        ("resource", dict(resource.resource_doc)), ("datum", dict(datum)),
        ("event", dict(event)), ("stop", dict(run.compose_stop())),
    ]  # fmt: skip


def test_every_document_finds_its_run() -> None:
    index = RunIndex()
    runs = [legacy_documents(), run_documents([{"x": 1.0}]), legacy_documents()]
    for documents in zip(*runs, strict=False):  # interleaved
        for documents_of_run, (name, doc) in zip(runs, documents, strict=True):
            assert index.run_of(name, doc) == documents_of_run[0][1]["uid"], name


def test_stream_documents_find_their_run() -> None:
    run = event_model.compose_run()
    key = {"source": "x", "dtype": "array", "shape": [1, 64, 48], "external": "STREAM:"}
    stream = run.compose_descriptor(name="primary", data_keys={"image": key})
    resource = run.compose_stream_resource(
        mimetype="application/x-hdf5", uri="file://localhost/x.h5", data_key="image", parameters={}
    )
    datum = resource.compose_stream_datum(
        indices={"start": 0, "stop": 1}, descriptor=stream.descriptor_doc
    )
    index = RunIndex()
    for name, doc in (
        ("start", run.start_doc),
        ("descriptor", stream.descriptor_doc),
        ("stream_resource", resource.stream_resource_doc),
        ("stream_datum", datum),
    ):
        assert index.run_of(name, dict(doc)) == run.start_doc["uid"], name


def test_what_belongs_to_no_known_run_is_told() -> None:
    index = RunIndex()
    assert index.run_of("event", {"descriptor": "x"}) is None
    assert index.run_of("datum", {"resource": "x"}) is None
    assert index.run_of("resource", {"uid": "x"}) is None, "an old resource names no run"


def test_index_forgets_a_run_that_ended() -> None:
    index = RunIndex()
    documents = run_documents([{"x": 1.0}])
    for name, doc in documents:
        index.run_of(name, doc)
    event = next(doc for name, doc in documents if name == "event")
    assert index.run_of("event", event) is None


def test_page_becomes_its_events() -> None:
    events = [doc for name, doc in run_documents([{"x": 1.0}, {"x": 2.0}]) if name == "event"]
    page = event_model.pack_event_page(*events)
    found = list(documents_of("event_page", dict(page)))
    assert [name for name, _ in found] == ["event", "event"]
    assert [doc["data"]["x"] for _, doc in found] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("name", "data", "carries"),
    [
        ("event", {SAXS: IMAGE}, True),
        ("event", {"other": IMAGE}, False),
        ("event", {"other": LARGE}, True),
        ("event", {"x": 1.0}, False),
        ("event_page", {SAXS: [IMAGE, IMAGE]}, True),
        ("event_page", {"other": [LARGE]}, True),
        ("event_page", {"x": [1.0, 2.0]}, False),
        ("start", {SAXS: IMAGE}, False),
    ],
)
def test_documents_that_carry_pixels_are_known(
    name: str, data: dict[str, Any], carries: bool
) -> None:
    assert carries_frames(name, {"data": data}, {SAXS}) == carries


def test_run_whose_frames_lie_in_files_of_others_is_recorded_and_told(tmp_path: Path) -> None:
    """Nothing that its documents name is opened."""
    live = LiveReduction(small_beamline(), tmp_path)
    documents = legacy_documents()
    for name, doc in documents:
        live(name, doc)
    assert live.wait(30)
    (run,) = live.status()["runs"]
    live.close()
    (error,) = run["errors"]
    assert error.startswith(f"{SAXS}: /etc/passwd: expected a file inside {tmp_path}")
    assert (run["received"], run["missing"], run["acknowledged"]) == (1, 1, 0)
    records = list(read_journal(tmp_path / "water" / "documents.msgpack"))
    found = [pair for pair in records if not pair[0].startswith("h5xs")]
    assert found == documents
