"""Runs in Tiled that are not as they should be, or have no end yet."""

import json
from pathlib import Path
from typing import Any

import event_model
import h5py
import msgpack
import numpy as np
import pytest
from legacy_runs import FRAMES, hdf5, legacy_run, tiff
from small_beamline import run_documents, small_beamline, small_frames

from h5xs_bluesky.catalogs import from_catalog
from h5xs_bluesky.catalogs.tiled_runs import TiledRuns
from h5xs_bluesky.errors import CatalogError, RunNotFoundError
from h5xs_bluesky.io.external import AllowedFolders

NOWHERE = AllowedFolders(permanent=(), allowed=())


@pytest.fixture(scope="module")
def open_run(tiled: Any) -> str:
    """A run of two events that has no stop document."""
    from bluesky_tiled_plugins import TiledWriter

    writer = TiledWriter(tiled, batch_size=1)
    documents = run_documents(small_frames(2), sample_name="open")
    for name, doc in documents[:-1]:
        writer(name, doc)
    return str(documents[0][1]["uid"])


def test_server_needs_no_exporter_of_documents(tiled: Any, recording: Any) -> None:
    """The client's documents() does, and reads a whole run into memory."""
    uid = recording.uid("paused")
    with pytest.raises(Exception, match="406"):
        list(tiled[uid].documents())
    documents = list(TiledRuns(tiled, folders=NOWHERE).run(uid).documents())
    assert [name for name, _ in documents] == ["start", "descriptor", *["event"] * 4, "stop"]
    assert [doc["seq_num"] for name, doc in documents if name == "event"] == [1, 2, 2, 3]


def test_streams_texts_and_small_arrays_come_back_in_their_order(tiled: Any) -> None:
    from bluesky_tiled_plugins import TiledWriter

    run = event_model.compose_run(metadata={"sample_name": "mixed"}, time=4e9)
    kinds: dict[str, dict[str, Any]] = {
        "baseline": {"label": {"dtype": "string", "shape": []}},
        "primary": {
            "open": {"dtype": "boolean", "shape": []},
            "count": {"dtype": "integer", "shape": []},
            "vector": {"dtype": "array", "shape": [3], "dtype_numpy": "<f8"},
        },
    }
    streams = {
        name: run.compose_descriptor(
            name=name, data_keys={key: {"source": "test", **kind} for key, kind in keys.items()}
        )
        for name, keys in kinds.items()
    }
    values: list[tuple[str, dict[str, Any]]] = [
        ("baseline", {"label": "before"}),
        ("primary", {"open": True, "count": 3, "vector": [1.0, 2.0, 3.0]}),
        ("primary", {"open": False, "count": 4, "vector": [4.0, 5.0, 1 / 3]}),
        ("baseline", {"label": "after"}),
    ]
    writer = TiledWriter(tiled)
    writer("start", dict(run.start_doc))
    for stream in streams.values():
        writer("descriptor", dict(stream.descriptor_doc))
    for number, (name, data) in enumerate(values):
        time = 4e9 + number
        stamps = dict.fromkeys(data, time - 0.5)
        event = streams[name].compose_event(data=data, timestamps=stamps, time=time)
        writer("event", dict(event))
    writer("stop", dict(run.compose_stop()))
    stored = TiledRuns(tiled, folders=NOWHERE).run(run.start_doc["uid"])
    events = [doc for name, doc in stored.documents() if name == "event"]
    found = [{k: np.asarray(v).tolist() for k, v in doc["data"].items()} for doc in events]
    assert found == [data for _, data in values]
    assert [doc["timestamps"].get("count") for doc in events] == [None, 4e9 + 0.5, 4e9 + 1.5, None]
    assert "order of documents in different streams: by time" in stored.lost


@pytest.mark.parametrize(
    ("files", "dtype", "stored", "lost"),
    [
        (hdf5, "<u2", "<u2", False),
        (tiff, "<u2", "<u2", False),
        (tiff, None, "<f8", True),
    ],
)
def test_frames_of_area_detectors_come_through_the_server(
    tiled: Any, tmp_path: Path, files: Any, dtype: str | None, stored: str, lost: bool
) -> None:
    """No folder is allowed here: the server reads them."""
    from bluesky_tiled_plugins import TiledWriter

    documents = legacy_run(tmp_path, files(tmp_path, FRAMES), dtype=dtype)
    writer = TiledWriter(tiled)
    for name, doc in documents:
        writer(name, doc)
    (done,) = from_catalog(tiled, documents[0][1]["uid"], tmp_path / "new", small_beamline())
    assert (done.outcome, done.status["reduced"]) == ("reduced", 4)
    assert any(text.startswith("dtype of arrays") for text in done.lost) == lost
    with h5py.File(tmp_path / "new" / "experiment.h5", "r", swmr=True) as file:
        frames = file["water/primary/data/saxs_image"][()]
        stamps = file["water/primary/timestamps/saxs_image"]
        assert stamps[()].tolist() == [100.5, 100.5, 101.5, 101.5]
        assert stamps.attrs["reconstructed"]
    assert (frames.dtype, np.array_equal(frames, FRAMES)) == (np.dtype(stored), True)


def test_file_that_the_server_cannot_read_fails_and_says_so(tiled: Any, tmp_path: Path) -> None:
    """TiledWriter took its frames for float64, and Tiled's reader of HDF5 insists on it."""
    from bluesky_tiled_plugins import TiledWriter

    documents = legacy_run(tmp_path, hdf5(tmp_path, FRAMES))
    writer = TiledWriter(tiled)
    for name, doc in documents:
        writer(name, doc)
    (done,) = from_catalog(tiled, documents[0][1]["uid"], tmp_path / "new", small_beamline())
    assert done.outcome == "failed"
    assert "500 Internal Server Error" in done.reason
    assert not (tmp_path / "new").exists()


def test_catalogue_of_a_facility_and_the_address_of_a_server_are_sources(
    tiled: Any, recording: Any, tmp_path: Path
) -> None:
    from bluesky_tiled_plugins import TiledWriter
    from tiled.structures.core import Spec

    raw = tiled.create_container("raw", specs=[Spec("CatalogOfBlueskyRuns", "3.0")])
    writer = TiledWriter(raw)
    documents = run_documents(small_frames(1), sample_name="inside")
    for name, doc in documents:
        writer(name, doc)
    uid = str(documents[0][1]["uid"])
    address = f"{raw.uri!s}?api_key={tiled.context.api_key}"
    for number, (source, chosen) in enumerate(
        ((tiled["raw"], {"uids": [uid[:6]]}), (address, {"uids": None, "sample": "inside"}))
    ):
        (done,) = from_catalog(
            source, folder=tmp_path / str(number), beamline=small_beamline(), **chosen
        )
        assert (done.uid, done.outcome) == (uid, "reduced")
        with h5py.File(tmp_path / str(number) / "experiment.h5", "r", swmr=True) as file:
            origin = json.loads(file["inside"].attrs["origin"])
        assert origin["source"].endswith("/raw")
        assert "api_key" not in origin["source"]
    with pytest.raises(RunNotFoundError, match=rf"the newest are {uid[:8]} \(inside\)$"):
        from_catalog(tiled["raw"], [recording.uid("arrays")], tmp_path, small_beamline())


def test_events_are_read_when_they_are_asked_for(
    tiled: Any, recording: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the run is: the frames of one event are in memory at a time."""
    from tiled.client.array import ArrayClient

    read = []
    real = ArrayClient.__getitem__

    def noted(self: Any, key: Any) -> Any:
        read.append(key)
        return real(self, key)

    monkeypatch.setattr(ArrayClient, "__getitem__", noted)
    documents = TiledRuns(tiled, folders=NOWHERE).run(recording.uid("step")).documents()
    for name, _ in documents:
        if name == "event":
            break
    assert read == [0, 0]  # a frame of each of two detectors


def test_run_that_goes_on_is_left_alone(tiled: Any, open_run: str, tmp_path: Path) -> None:
    (done,) = from_catalog(tiled, [open_run], tmp_path, small_beamline())
    assert done.outcome == "goes on"
    assert "no stop document" in done.reason
    assert list(tmp_path.iterdir()) == []


def test_run_whose_writer_died_is_taken_if_asked_for(
    tiled: Any, open_run: str, tmp_path: Path
) -> None:
    (done,) = from_catalog(tiled, [open_run], tmp_path, small_beamline(), unfinished=True)
    assert (done.outcome, done.status["reduced"]) == ("reduced", 4)
    with h5py.File(tmp_path / "experiment.h5", "r", swmr=True) as file:
        assert "stop" not in file["open"].attrs
        assert file["open/processed/averaged"].shape == (2, 25)
    (again,) = from_catalog(tiled, [open_run], tmp_path, unfinished=True)
    assert again.outcome == "incomplete"
    assert f"without its end: remove {tmp_path / 'open'}" in again.reason


def test_processed_runs_are_not_reduced_again(tiled: Any, recording: Any, tmp_path: Path) -> None:
    from bluesky_tiled_plugins import TiledWriter

    raw = recording.uid("arrays")
    documents = run_documents([], sample_name="processed", original_run_uid=raw)
    writer = TiledWriter(tiled)
    for name, doc in documents:
        writer(name, doc)
    assert from_catalog(tiled, None, tmp_path, small_beamline(), sample="processed") == []
    with pytest.raises(CatalogError, match=f"the processed run of {raw}"):
        from_catalog(tiled, [documents[0][1]["uid"]], tmp_path, small_beamline())


def test_server_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"http://127\.0\.0\.1:1: it cannot be opened"):
        from_catalog("http://127.0.0.1:1", None, tmp_path, small_beamline())


@pytest.fixture(scope="module")
def many(tiled: Any) -> Any:
    """A container of 40 runs, the newest first, and of what is none but has a uid."""
    from bluesky_tiled_plugins import TiledWriter

    container = tiled.create_container("many")
    writer = TiledWriter(container)
    for number in range(40):
        run = event_model.compose_run(
            uid=f"ab{number:02}-run",
            metadata={"sample_name": f"s{number}"},
            time=5e9 - number,
        )
        writer("start", dict(run.start_doc))
        writer("stop", dict(run.compose_stop()))
    container.create_container("other", metadata={"start": {"uid": "zz", "time": 4e9}})
    return tiled["many"]


def test_uid_that_is_not_there_asks_for_the_newest_runs_alone(
    many: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    respond = many.context.http_client.get

    def counted(url: str, **more: Any) -> Any:
        answer = respond(url, **more)
        if "/search/" in str(url):
            seen.append(len(msgpack.unpackb(answer.content, timestamp=3)["data"]))
        return answer

    monkeypatch.setattr(many.context.http_client, "get", counted)
    with pytest.raises(RunNotFoundError) as error:
        from_catalog(many, ["cd"], tmp_path, small_beamline())
    newest = ", ".join(f"ab{number:02}-run (s{number})" for number in range(8))
    assert f"found none; the newest are {newest} and 32 older ones" in str(error.value)
    assert 24 <= sum(seen) < 28  # a few to count them


def test_uids_that_begin_alike_are_counted(many: Any, tmp_path: Path) -> None:
    with pytest.raises(RunNotFoundError, match=r"found 40: .* and 32 others: give more of"):
        from_catalog(many, ["ab"], tmp_path, small_beamline())
    with pytest.raises(RunNotFoundError, match=r"found 10: ab1.* and 2 others: give more"):
        from_catalog(many, ["ab1"], tmp_path, small_beamline())


def test_what_is_no_run_is_none_though_it_has_a_uid(many: Any, tmp_path: Path) -> None:
    filters = {"since": 3.9e9, "until": 4.1e9}
    assert from_catalog(many, None, tmp_path, small_beamline(), **filters) == []
    with pytest.raises(RunNotFoundError, match="found none"):
        from_catalog(many, ["zz"], tmp_path, small_beamline())
