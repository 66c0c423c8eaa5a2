"""Runs in a catalogue are what the files hold, however often they are published."""

import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bluesky_tiled_plugins import TiledWriter
from small_beamline import (
    SHAPES,
    Documents,
    run_documents,
    small_beamline,
    small_frames,
    write_experiment,
)
from small_catalogue import complete, tree
from small_server import Server, serving, wait_until
from small_streams import Ioc, StreamedRun, file_of
from tiled.queries import Key
from typer.testing import CliRunner

from h5xs_bluesky import h5xs
from h5xs_bluesky.callbacks import LiveReduction
from h5xs_bluesky.catalogs import from_catalog
from h5xs_bluesky.cli import app
from h5xs_bluesky.config import Roots
from h5xs_bluesky.io.journal import JournalWriter
from h5xs_bluesky.tiled import published_runs
from h5xs_bluesky.tiled.published_runs import PublishedRuns
from h5xs_bluesky.tiled.publishing import Publication, keep_published
from h5xs_bluesky.tiled.run_documents import (
    digest,
    processed_documents,
    raw_documents,
    read_contents,
)
from h5xs_bluesky.tiled.runs import RunPlace, RunsOfFolder
from h5xs_bluesky.tiled.sources import COMPLETE, DIGEST, SOURCE

pytestmark = pytest.mark.timeout(300)  # several servers, which may have little of the processor


@pytest.fixture(scope="module")
def runs(server: Server, experiment: Path) -> Any:
    """The runs of the experiment that the shared server has published by itself."""
    dt, found = h5xs(experiment), server.client()
    uids = [dt.header(name)["uid"] for name in ("buffer", "lysozyme")]
    wait_until(lambda: complete(found, uids), within_s=60)
    return found["runs"]


@pytest.fixture(scope="module")
def uid(experiment: Path) -> str:
    return str(h5xs(experiment).header("lysozyme")["uid"])


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        (Key("sample_name") == "lysozyme", "by name"),
        (Key("plan_name") == "count", "by plan"),
        (Key("scan_id") == 2, "by number"),
    ],
)
def test_raw_runs_are_searched_by_their_headers(
    runs: Any, uid: str, query: Any, reason: str
) -> None:
    assert list(runs["raw"].search(query)) == [uid], reason


def test_runs_are_searched_by_time(runs: Any) -> None:
    assert len(runs["raw"].search(Key("start.time") > 0)) == 3
    assert len(runs["raw"].search(Key("start.time") < 1000)) == 0


def test_raw_run_is_what_was_measured(runs: Any, uid: str, experiment: Path) -> None:
    run, dt = runs["raw"][uid], h5xs(experiment)
    assert dict(run.metadata["start"]) == dt.header("lysozyme")
    primary = run["primary"]
    for field, extension in (("saxs_image", "_SAXS"), ("waxs_image", "_WAXS")):
        frames = primary[field].read()
        for number in range(8):
            expected = dt.get_d2("lysozyme", extension, number).data
            np.testing.assert_array_equal(frames[number], expected)
    table = primary.base["internal"].read()
    assert table["position"].tolist() == [f"A{i}" for i in range(8)]
    assert table["em2"].tolist() == [800.0] * 8
    assert table["ts_em2"].tolist() == [101.0 + i for i in range(8)]
    assert primary.read().sizes["time"] == 8


def test_runs_give_their_documents(runs: Any, uid: str) -> None:
    raw = list(runs["raw"][uid].documents())
    assert [name for name, _ in raw[:1] + raw[-1:]] == ["start", "stop"]
    assert sum(name == "event" for name, _ in raw) == 8
    (run,) = runs["processed"].search(Key("original_run_uid") == uid).values()
    streams = [doc["name"] for name, doc in run.documents() if name == "descriptor"]
    assert sorted(streams) == ["averaged", "primary", "subtracted"]


def test_processed_run_has_the_curves_of_the_file(runs: Any, uid: str, experiment: Path) -> None:
    dt = h5xs(experiment)
    found = runs["processed"].search(Key("original_run_uid") == uid)
    (run,) = found.values()
    assert run.metadata["start"]["sample_name"] == "lysozyme"
    data = run["primary"].read()
    for number in range(8):
        curve = dt.get_d1("lysozyme", "merged", number)
        np.testing.assert_array_equal(data["I"][number], curve.data)
        np.testing.assert_array_equal(data["sigma"][number], curve.err)
    for stream in ("averaged", "subtracted"):
        curve = dt.get_d1("lysozyme", stream)
        single = run[stream].read()
        np.testing.assert_array_equal(single["I"][0], curve.data)
        np.testing.assert_array_equal(single["sigma"][0], curve.err)
    assert run["averaged"].read()["kept"][0].values.tolist() == [True] * 7 + [False]


def test_array_of_curves_is_that_of_the_file(runs: Any, uid: str, experiment: Path) -> None:
    node, dt = runs["curves"][uid], h5xs(experiment)
    assert node.metadata["sample_name"] == "lysozyme"
    values = node.read()
    for number in range(8):
        curve = dt.get_d1("lysozyme", "merged", number)
        np.testing.assert_array_equal(values[number], [curve.data, curve.err])
        np.testing.assert_array_equal(node.metadata["q"], curve.qgrid)


def place_of(experiment: Path, sample: str) -> RunPlace:
    (found,) = [p for p in RunsOfFolder(experiment.parent).places() if p.sample == sample]
    return found


def played(folder: Path, *runs: Documents, **changes: Any) -> Documents:
    """Play runs; gives the processed documents that were sent meanwhile."""
    sent: Documents = []
    live = LiveReduction(small_beamline(**changes), folder)
    live.subscribe(lambda name, doc: sent.append((name, doc)))
    for documents in runs:
        for document in documents:
            live(*document)
        assert live.wait(30)
    live.close()
    return sent


def without_times(documents: Documents) -> list[Any]:
    """Give what of documents does not depend on when they were made."""
    passing = ("time", "timestamps", "uid")
    return [
        (name, {key: value for key, value in doc.items() if key not in passing} | extra(name, doc))
        for name, doc in documents
    ]


def extra(name: str, doc: dict[str, Any]) -> dict[str, Any]:
    return {} if name == "event" else {"uid": doc["uid"]}


def test_documents_made_from_the_files_are_those_that_were_sent_live(tmp_path: Path) -> None:
    documents = run_documents(small_frames(4, seed=2), sample_name="water")
    sent = played(tmp_path, documents)
    place = place_of(tmp_path / "experiment.h5", "water")
    made = processed_documents(place, read_contents(place))
    one, other = without_times(sent), without_times(made)
    assert [name for name, _ in one] == [name for name, _ in other]
    np.testing.assert_equal(other, one)


def test_documents_made_twice_are_the_same(experiment: Path) -> None:
    place = place_of(experiment, "lysozyme")
    contents = read_contents(place)
    for make in (raw_documents, processed_documents):
        assert digest(make(place, contents)) == digest(make(place, read_contents(place)))


def test_start_document_gives_no_orders_to_the_catalogue(tmp_path: Path) -> None:
    orders = {"tiled_access_tags": ["public"], "tiled_specs": ["Other"]}
    documents = run_documents(small_frames(1), sample_name="water", **orders)
    place = place_of(write_experiment(tmp_path, documents), "water")
    contents = read_contents(place)
    assert contents.start["tiled_specs"] == ["Other"]
    for make in (raw_documents, processed_documents):
        assert not orders.keys() & make(place, contents)[0][1].keys()


def test_runs_are_reduced_again_from_the_address_of_the_server(
    server: Server, experiment: Path, runs: Any, tmp_path: Path
) -> None:
    address = f"{server.address}/?api_key={server.key}"
    done = from_catalog(address, None, tmp_path, small_beamline())
    assert [(each.sample, each.outcome) for each in done][:2] == [
        ("buffer", "reduced"),
        ("lysozyme", "reduced"),
    ]
    one, other = h5xs(tmp_path / "experiment.h5"), h5xs(experiment)
    for name in ("averaged", "subtracted"):
        curves = [dt.get_d1("lysozyme", name).data for dt in (one, other)]
        np.testing.assert_array_equal(*curves)


def arguments(address: str, folder: Path, *options: str) -> list[str]:
    return ["publish", str(folder), f"--to={address}", "--api-key=secret1", *options]


def publish_once(server: Server, folder: Path, under: str) -> tuple[int, Any]:
    """Run `h5xs publish`; gives its exit status, and what it tells."""
    options = (f"--under={under}", "--json")
    result = CliRunner().invoke(app, arguments(server.address, folder, *options))
    return result.exit_code, json.loads(result.stdout)


def publish(server: Server, folder: Path, under: str) -> Any:
    """Publish a folder once; gives what became of it, and the container."""
    client = server.client()
    if under not in client:
        client.create_container(under)
    return Publication(client[under], folder).update(), server.client()[under]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """A server that publishes nothing by itself, and an empty folder that it may read."""
    folder = tmp_path_factory.mktemp("target")
    with serving(folder, "--no-runs") as server:
        yield server, folder


def test_publishing_again_changes_nothing_and_a_new_catalogue_has_the_same(
    target: tuple[Server, Path], experiment: Path, runs: Any
) -> None:
    server, folder = target
    shutil.copytree(experiment.parent, folder / "served")
    names = ["served/buffer", "served/lysozyme", "served/nothing"]
    status, outcome = publish_once(server, folder / "served", "one")
    assert status == 0
    assert outcome["failed"] == {}
    assert sorted(outcome["added"]) == sorted(outcome["written"]) == names
    first = tree(server.client()["one"])
    again, client = publish(server, folder / "served", "one")
    assert (again.added, again.written, again.failed) == ([], [], {})
    assert sorted(again.unchanged) == names
    assert tree(client) == first
    assert tree(client["runs"]) == tree(runs)  # which another server has published by itself


def test_folder_that_the_server_may_not_read_is_told(
    target: tuple[Server, Path], experiment: Path, tmp_path: Path
) -> None:
    server, _ = target
    shutil.copytree(experiment.parent, tmp_path / "elsewhere")
    for _ in range(2):  # it is there the second time, and still cannot be read
        status, outcome = publish_once(server, tmp_path / "elsewhere", "unreadable")
        path = tmp_path / "elsewhere" / "experiment.h5"
        reason = f"the server cannot read {path}: it has to lie below its readable_storage"
        assert (status, outcome["failed"]) == (1, {"elsewhere/buffer": reason})


def test_reduction_that_changed_is_published_and_damaged_files_are_named(
    target: tuple[Server, Path], experiment: Path
) -> None:
    server, folder = target
    shutil.copytree(
        experiment.parent, folder / "changing", ignore=shutil.ignore_patterns("nothing")
    )
    publish(server, folder / "changing", "two")
    dt = h5xs(folder / "changing" / "experiment.h5")
    dt.average_d1s("lysozyme", selection=[True] * 3 + [False] * 5)
    journal = folder / "changing" / "buffer" / "documents.msgpack"
    journal.write_bytes(b"\xc1" + journal.read_bytes())
    status, outcome = publish_once(server, folder / "changing", "two")
    assert status == 1
    assert list(outcome["failed"]) == ["changing/buffer"]
    assert "expected a record" in outcome["failed"]["changing/buffer"]
    assert outcome["written"] == ["changing/lysozyme"]
    runs = server.client()["two/runs"]
    (run,) = runs["processed"].search(Key("sample_name") == "lysozyme").values()
    averaged = run["averaged"].read()
    assert averaged["kept"][0].values.tolist() == [True] * 3 + [False] * 5
    np.testing.assert_array_equal(averaged["I"][0], dt.get_d1("lysozyme", "averaged").data)


def test_several_frames_in_an_event_keep_their_shape(target: tuple[Server, Path]) -> None:
    server, folder = target
    pairs = [
        {field: np.stack([frame[field], frame[field] + 1]) for field in frame}
        for frame in small_frames(3, seed=5)
    ]
    documents = run_documents(pairs, sample_name="pairs")
    write_experiment(folder / "pairs", documents)
    outcome, client = publish(server, folder / "pairs", "three")
    assert outcome.failed == {}
    node = client["runs/raw"][documents[0][1]["uid"]]["primary"]["saxs_image"]
    assert node.shape == (3, 2, 64, 48)
    np.testing.assert_array_equal(node[1], pairs[1]["saxs_image"])
    (processed,) = client["runs/processed"].values()
    assert processed["primary"].read().sizes["time"] == 6


def test_run_without_end_is_published_once_its_writer_is_dead(target: tuple[Server, Path]) -> None:
    server, folder = target
    documents = run_documents(small_frames(3, seed=6), sample_name="cut")
    write_experiment(folder / "cut", documents)
    _cut_the_stop(folder / "cut" / "cut" / "documents.msgpack")
    (folder / "cut" / "cut" / "status.json").unlink()
    outcome, client = publish(server, folder / "cut", "four")
    assert outcome.failed == {}
    run = client["runs/raw"][documents[0][1]["uid"]]
    assert run.metadata["stop"]["exit_status"] == "abort"
    assert run["primary"].read().sizes["time"] == 3


def _cut_the_stop(journal: Path) -> None:
    from h5xs_bluesky.io.journal import read_journal

    records = [record for record in read_journal(journal) if record[0] != "stop"]
    journal.unlink()
    writer = JournalWriter(journal)
    for name, doc in records:
        writer.append(name, doc)
    writer.close()


def test_run_that_goes_on_has_curves_and_is_written_at_its_end(target: tuple[Server, Path]) -> None:
    server, folder = target
    live = LiveReduction(small_beamline(), folder / "going")
    documents = run_documents(small_frames(3, seed=7), sample_name="going")
    uid = documents[0][1]["uid"]
    for document in documents[:4]:
        live(*document)
    assert live.wait(30)
    outcome, client = publish(server, folder / "going", "five")
    assert (outcome.going_on, outcome.written) == (["going/going"], [])
    node = client["runs/curves"][uid]
    assert (node.shape[0], node.metadata[COMPLETE]) == (2, False)
    for document in documents[4:]:
        live(*document)
    assert live.wait(30)
    live.close()
    outcome, client = publish(server, folder / "going", "five")
    assert outcome.written == ["going/going"]
    node = client["runs/curves"][uid]
    assert (node.shape[0], node.metadata[COMPLETE]) == (3, True)


@pytest.mark.parametrize("kind", ["raw", "curves"])
def test_what_another_program_has_made_is_left_alone(
    target: tuple[Server, Path], kind: str
) -> None:
    server, folder = target
    documents = run_documents(small_frames(2, seed=11), sample_name="water")
    write_experiment(folder / f"foreign_{kind}", documents)
    start = documents[0][1]
    client = server.client().create_container(f"for_{kind}")
    place = client.create_container("runs").create_container(kind)
    if kind == "raw":
        writer = TiledWriter(place, max_array_size=0)
        writer("start", {**start, "of": "somebody else"})
        place[start["uid"]].write_array(np.arange(3), key="precious")
    else:
        place.write_array(np.arange(3), key=start["uid"], metadata={"of": "somebody else"})
    before = tree(place)
    for _ in range(2):
        status, outcome = publish_once(server, folder / f"foreign_{kind}", f"for_{kind}")
        assert status == 1
        (reason,) = outcome["failed"].values()
        assert f"another program has made for_{kind}/runs/{kind}/{start['uid']}" in reason
        assert "--under" in reason
        assert tree(server.client()[f"for_{kind}/runs/{kind}"]) == before


class DyingWriter(TiledWriter):  # type: ignore[misc]
    """Writes a start document, as a process that is killed then."""

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        if name != "start":
            raise SystemError("killed")
        super().__call__(name, doc)


def test_run_that_was_half_written_is_ours_and_written_again(
    target: tuple[Server, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, folder = target
    documents = run_documents(small_frames(2, seed=12), sample_name="water")
    write_experiment(folder / "half", documents)
    with monkeypatch.context() as patched:
        patched.setattr(published_runs, "TiledWriter", DyingWriter)
        outcome, client = publish(server, folder / "half", "for_half")
        assert outcome.failed == {"half/water": "SystemError: killed"}
    uid = documents[0][1]["uid"]
    assert DIGEST not in client["runs/raw"][uid].metadata
    outcome, client = publish(server, folder / "half", "for_half")
    assert (outcome.written, outcome.failed) == (["half/water"], {})
    assert client["runs/raw"][uid]["primary"].read().sizes["time"] == 2


def test_run_of_another_folder_is_left_alone_while_its_files_are_there(
    target: tuple[Server, Path], tmp_path: Path
) -> None:
    server, folder = target
    documents = run_documents(small_frames(2, seed=13), sample_name="water")
    write_experiment(folder / "here" / "experiment", documents)
    shutil.copytree(folder / "here" / "experiment", folder / "there" / "copy")
    publish(server, folder / "here", "both")
    outcome, client = publish(server, folder / "there", "both")
    assert (outcome.written, list(outcome.failed)) == ([], ["copy/water"])
    assert "from another folder: use --under" in outcome.failed["copy/water"]
    node = client["runs/raw"][documents[0][1]["uid"]]
    file = f"file://localhost{folder}/here/experiment/experiment.h5"
    assert dict(node.metadata[SOURCE]) == {"file": file, "sample": "water"}
    (folder / "here").rename(tmp_path / "moved")
    outcome, client = publish(server, folder / "there", "both")
    assert (outcome.written, outcome.failed) == (["copy/water"], {})


def test_run_that_several_samples_hold_is_published_once_as_it_was_measured(
    target: tuple[Server, Path],
) -> None:
    server, folder = target
    documents = run_documents(small_frames(2, seed=15), sample_name="water")
    write_experiment(folder / "same" / "orig", documents)
    (done,) = from_catalog(
        folder / "same" / "orig", None, folder / "same" / "holder", small_beamline()
    )
    assert done.outcome == "reduced"
    shutil.copytree(folder / "same" / "orig", folder / "same" / "z-copy")
    status, outcome = publish_once(server, folder / "same", "for_same")
    assert (status, outcome["written"]) == (0, ["orig/water"])
    copies = {"holder/water": "orig/water", "z-copy/water": "orig/water"}
    assert outcome["copies"] == copies
    found = server.client()["for_same"]
    before = tree(found)
    assert list(found["runs/raw"]) == list(found["runs/curves"]) == [documents[0][1]["uid"]]
    assert sorted(found) == ["holder", "orig", "runs", "z-copy"]
    status, outcome = publish_once(server, folder / "same", "for_same")
    assert (status, outcome["written"], outcome["copies"]) == (0, [], copies)
    assert outcome["unchanged"] == ["orig/water"]
    assert tree(server.client()["for_same"]) == before
    told = CliRunner().invoke(app, arguments(server.address, folder / "same", "--under=for_same"))
    assert "published from orig/water" in told.stdout
    shutil.rmtree(folder / "same" / "orig")
    status, outcome = publish_once(server, folder / "same", "for_same")
    assert (status, outcome["written"]) == (0, ["z-copy/water"])


def test_runs_whose_files_are_gone_are_removed(target: tuple[Server, Path], tmp_path: Path) -> None:
    server, folder = target
    runs = [run_documents(small_frames(2), sample_name=name) for name in ("kept", "gone")]
    write_experiment(folder / "removed", *runs)
    kept, gone = (documents[0][1]["uid"] for documents in runs)
    container = server.client().create_container("for_removed")
    publication = Publication(container, folder / "removed")
    assert publication.update().removed == []
    client = server.client()["for_removed"]
    before = tree(client)
    client["runs/raw"].create_container("of_others", metadata={"start": {"uid": "of_others"}})
    sample = folder / "removed" / "gone"
    frames = f"array/full/for_removed/runs/raw/{gone}/primary/saxs_image"
    for path in (sample / "primary.saxs_image.h5", sample):
        assert server.get(frames, slice="0", format="json").status_code == 200
        path.rename(tmp_path / "gone")
        answer = server.get(frames, slice="0", format="json")
        assert (answer.status_code, str(folder) in answer.text) == (410, False)
        if path != sample:
            (tmp_path / "gone").rename(path)
    removed = publication.update().removed
    (processed,) = (name for name in removed if name.startswith("runs/processed/"))
    assert sorted(removed) == sorted(
        ["removed/gone", f"runs/raw/{gone}", f"runs/curves/{gone}", processed]
    )
    assert list(client["removed"]) == ["kept"]
    assert sorted(client["runs/raw"]) == sorted([kept, "of_others"])
    assert list(client["runs/curves"]) == [kept]
    assert len(client["runs/processed"]) == 1
    client["runs/raw"].delete_contents("of_others")
    (tmp_path / "gone").rename(sample)
    assert publication.update().written == ["removed/gone"]
    assert tree(server.client()["for_removed"]) == before
    again = run_documents(small_frames(2), sample_name="gone")
    write_experiment(tmp_path / "again", again)
    shutil.rmtree(sample)
    shutil.move(tmp_path / "again" / "gone", sample)
    assert f"runs/raw/{gone}" in Publication(container, folder / "removed").update().removed
    assert sorted(client["runs/raw"]) == sorted([kept, again[0][1]["uid"]])
    assert len(client["runs/processed"]) == 2


def test_no_run_waits_for_as_long_as_new_ones_come(target: tuple[Server, Path]) -> None:
    """One at a time, as the server does it: the latest, the earliest, the latest, ..."""
    server, folder = target
    names = ["a", "b", "c", "d"]
    runs = [run_documents(small_frames(1), sample_name=name) for name in names]
    write_experiment(folder / "turns", *runs)
    client = server.client().create_container("for_turns")
    Publication(client, folder / "turns", runs=False).update()
    published = PublishedRuns(client, folder / "turns")
    written = [published.update(most=1).written for _ in names]
    assert written == [["turns/d"], ["turns/a"], ["turns/c"], ["turns/b"]]
    latest = client["runs/raw"].sort(("start.time", -1)).values().first()
    assert latest.metadata["start"]["sample_name"] == "d", "whenever it was published"


def test_server_that_comes_late_gets_what_it_missed(
    running: Callable[[int], Path], tmp_path: Path
) -> None:
    running(2)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = arguments(f"http://127.0.0.1:{port}", tmp_path, "--watch", "--under=late")
    publisher = subprocess.Popen([sys.executable, "-m", "h5xs_bluesky.cli", *options])
    try:
        path = running(7)
        with serving(tmp_path, "--no-runs", port=port) as server:
            found = server.client()
            uid = h5xs(path).header("water")["uid"]
            wait_until(lambda: "late" in found and complete(found["late"], [uid]), within_s=60)
            assert found["late/runs/curves"][uid].shape[0] == 6
    finally:
        publisher.terminate()
        publisher.wait(20)


def test_publisher_stops_while_its_server_is_away(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        options = arguments(f"http://127.0.0.1:{door.getsockname()[1]}", tmp_path, "--watch")
        publisher = subprocess.Popen([sys.executable, "-m", "h5xs_bluesky.cli", *options])
        door.settimeout(60)
        door.accept()[0].close()  # it asks, and goes on asking
    try:
        publisher.terminate()
        assert publisher.wait(20) == 0
    finally:
        publisher.kill()
        publisher.wait()


def test_container_that_was_lost_is_filled_again(
    running: Callable[[int], Path], tmp_path: Path
) -> None:
    path = running(7)
    uid = h5xs(path).header("water")["uid"]
    with serving(tmp_path, "--no-runs") as server, (tmp_path / "told").open("w+") as told:
        options = arguments(server.address, tmp_path, "--watch", "--under=lost/again")
        command = [sys.executable, "-m", "h5xs_bluesky.cli", *options]
        publisher = subprocess.Popen(command, stderr=told)
        try:
            for _ in range(2):
                found = server.client()
                wait_until(
                    lambda found=found: (
                        "lost/again" in found and complete(found["lost/again"], [uid])
                    ),
                    within_s=60,
                )
                assert list(found["lost/again"][tmp_path.name]) == ["water"]
                found.delete_contents("lost", recursive=True, external_only=False)
        finally:
            publisher.terminate()
            publisher.wait(20)
        told.seek(0)
        lines = told.readlines()
        assert sum("has lost" in line for line in lines) == 1
        assert (
            sum(line.startswith("WARNING") for line in lines) <= 10
        )  # each of three once or twice


def test_catalogue_in_place_of_another_is_filled_though_it_has_runs_already(
    target: tuple[Server, Path],
) -> None:
    server, folder = target
    documents = run_documents(small_frames(2, seed=14), sample_name="water")
    write_experiment(folder / "replaced", documents)
    uids = [documents[0][1]["uid"]]
    client = server.client().create_container("for_replaced")
    stop = threading.Event()
    publication = Publication(client, folder / "replaced")
    thread = threading.Thread(
        target=keep_published, args=(publication,), kwargs={"period_s": 0.1, "stop": stop}
    )
    thread.start()
    try:
        wait_until(lambda: complete(client, uids), within_s=60)
        for name in ("replaced", "runs"):
            client.delete_contents(name, recursive=True, external_only=False)
        client.create_container("runs").create_container("curves")  # as another publisher would
        wait_until(lambda: complete(client, uids), within_s=60)
        wait_until(lambda: "replaced" in client and "water" in client["replaced"])
    finally:
        stop.set()
        thread.join(20)


@pytest.mark.parametrize(
    ("folder", "address", "message"),
    [
        ("missing", "http://127.0.0.1:9", "expected a folder"),
        (".", "http://127.0.0.1:9", "127.0.0.1:9"),
        (".", "nowhere", "nowhere"),
    ],
)
def test_what_cannot_be_published_is_told(
    tmp_path: Path, folder: str, address: str, message: str
) -> None:
    result = CliRunner().invoke(app, arguments(address, tmp_path / folder))
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    ("address", "key", "message"),
    [
        ("nowhere", "secret1", "nowhere"),
        ("http://127.0.0.1:port", "secret1", "port"),
        (None, "another", "401"),
    ],
    ids=["no address", "no port", "another key"],
)
def test_watching_ends_where_waiting_does_not_help(
    target: tuple[Server, Path], address: str | None, key: str, message: str
) -> None:
    server, folder = target
    options = [str(folder), f"--to={address or server.address}", f"--api-key={key}", "--watch"]
    command = [sys.executable, "-m", "h5xs_bluesky.cli", "publish", *options]
    result = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_writer_of_others_stores_the_processed_run(
    target: tuple[Server, Path], tmp_path: Path
) -> None:
    server, _ = target
    client = server.client()
    catalog = client.create_container("by_writer")
    live = LiveReduction(small_beamline(), tmp_path)
    live.subscribe(TiledWriter(catalog, max_array_size=0))
    for document in run_documents(small_frames(3, seed=8), sample_name="water"):
        live(*document)
    assert live.wait(30)
    live.close()
    (run,) = client["by_writer"].values()
    assert run.metadata["stop"]["exit_status"] == "success"
    dt, data = h5xs(tmp_path / "experiment.h5"), run["primary"].read()
    for number in range(3):
        curve = dt.get_d1("water", "merged", number)
        np.testing.assert_array_equal(data["I"][number], curve.data)
        np.testing.assert_array_equal(data["sigma"][number], curve.err)


def streamed(folder: Path, *, step: bool) -> tuple[Documents, dict[str, Any]]:
    """Give a scan whose detectors write files themselves: two events of two frames, and numbers."""
    frames = {
        field: np.stack([frame[field] for frame in small_frames(4, seed=9)]) for field in SHAPES
    }
    keys: dict[str, tuple[int, ...]] = {field: (2, *SHAPES[field]) for field in SHAPES}
    run = StreamedRun({**keys, "saxs_sum": ()}, values=["em1", "em2"] if step else [])
    documents = run.begin()
    for field, values in frames.items():
        documents += run.resource(field, file_of(folder / "ioc" / f"{field}.h5", values))
    ioc = Ioc(folder / "ioc" / "sum.h5", {"/sum": ((), "<f8")})
    ioc.write([5.0, 6.0], "/sum")
    ioc.close()
    documents += run.resource("saxs_sum", ioc.path, "/sum")
    for number in range(2):
        for field in (*frames, "saxs_sum"):
            documents += run.datum(field, number, number + 1)
        if step:
            documents += run.event(number + 1, em1=1000.0, em2=800.0 + number)
    return documents + run.end(), frames


@pytest.mark.parametrize("step", [True, False], ids=["step scan", "fly scan"])
def test_frames_in_files_of_detectors_are_read_from_the_published_run(
    target: tuple[Server, Path], step: bool
) -> None:
    server, folder = target
    name = "step" if step else "fly"
    documents, frames = streamed(folder / name, step=step)
    write_experiment(folder / name, documents, roots=Roots(permanent=(folder,)))
    outcome, client = publish(server, folder / name, f"of_{name}")
    assert outcome.failed == {}
    primary = client["runs/raw"][documents[0][1]["uid"]]["primary"]
    for field, values in frames.items():
        node = primary[field]
        assert node.shape == (2, 2, *SHAPES[field])
        np.testing.assert_array_equal(node.read().reshape(values.shape), values)
    table = primary.base["internal"].read()
    assert table["saxs_sum"].tolist() == [5.0, 6.0]
    assert table["seq_num"].tolist() == [1, 2]
    if step:
        assert table["em2"].tolist() == [800.0, 801.0]
