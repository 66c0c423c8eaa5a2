"""The catalogue becomes what the folder is, whatever happened in between."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import reduce
from operator import getitem
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
from small_server import Server, serving, wait_until
from tiled.queries import Key

from h5xs_bluesky import h5xs
from h5xs_bluesky.tiled import curve_stream, published_runs
from h5xs_bluesky.tiled.curve_stream import CurveStream, stream_curves
from h5xs_bluesky.tiled.folders import ServedFolder, linked_samples
from h5xs_bluesky.tiled.published_runs import PublishedRuns, publish_runs
from h5xs_bluesky.tiled.registration import FolderRegistration, watch_folder
from h5xs_bluesky.tiled.runs import RunsOfFolder


@pytest.fixture
def folder(tmp_path: Path, experiment: Path) -> Path:
    """Two experiments, one of them deeper, a packed file, and what is none of these."""
    folder = tmp_path / "data"
    shutil.copytree(experiment.parent, folder / "first")
    shutil.copytree(experiment.parent, folder / "2026-1" / "second")
    with h5py.File(experiment) as source, h5py.File(folder / "packed.h5", "w") as file:
        file.attrs.update(source.attrs)
        source.copy("buffer", file, expand_external=True)
    with h5py.File(folder / "other.h5", "w") as file:
        file["data"] = [1.0]
    (folder / "broken.h5").write_bytes(b"no HDF5")
    (folder / "notes.txt").write_text("nothing to serve")
    (folder / "link").symlink_to(folder / "first")
    (folder / ".hidden").mkdir()
    shutil.copy(folder / "packed.h5", folder / ".hidden" / "packed.h5")
    return folder


ALL = ["buffer", "lysozyme", "nothing"]


def test_folder_is_looked_through_for_experiments_and_packed_files(folder: Path) -> None:
    assert ServedFolder(folder).files() == {
        ("first",): folder / "first" / "experiment.h5",
        ("2026-1", "second"): folder / "2026-1" / "second" / "experiment.h5",
        ("packed.h5",): folder / "packed.h5",
    }
    assert list(ServedFolder(folder / "first").files()) == [("first",)]


def test_a_subfolder_that_cannot_be_read_is_named_once_and_does_not_hide_the_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scandir = os.scandir

    def refused(
        path: Path,
    ) -> Iterator[os.DirEntry[str]]:  # a user with all rights is never refused
        if path.name == "2026-1":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    served = ServedFolder(folder)

    assert list(served.files()) == list(served.files()) == [("first",), ("packed.h5",)]
    (told, of_link) = sorted(not_served(caplog))
    assert str(folder / "2026-1") in told
    assert str(folder / "link") in of_link


def not_served(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if "is not served" in record.message]


def test_symbolic_links_to_what_could_be_served_are_named_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "file.h5").symlink_to(folder / "packed.h5")
    (folder / "broken").symlink_to(folder / "nowhere")
    (folder / "text").symlink_to(folder / "notes.txt")
    (folder / ".hidden" / "link").symlink_to(folder / "first")
    samples, runs = ServedFolder(folder), RunsOfFolder(folder)
    for _ in range(2):
        assert len(samples.files()) == 3
        runs.places()
    told = sorted(not_served(caplog))
    assert [line.partition(" ")[0] for line in told] == [
        str(folder / name) for name in ("file.h5", "link")
    ]
    assert all("symbolic links are not followed" in line for line in told)


def test_catalogue_becomes_what_the_folder_is(folder: Path) -> None:
    with serving(folder, "--no-runs") as server:

        def listed(path: str) -> list[str]:
            answer = server.get(f"search/{path}", fields="")
            return sorted(item["id"] for item in answer.json().get("data") or ())

        wait_until(lambda: listed("packed.h5") == ["buffer"])
        assert listed("first") == ALL
        assert listed("2026-1/second") == ALL
        assert listed("") == ["2026-1", "first", "packed.h5"]

        dt = h5xs(folder / "first" / "experiment.h5")
        dt.average_d1s("lysozyme", selection=[True] * 3 + [False] * 5)
        sample = "metadata/first/lysozyme"
        metadata = ("data", "attributes", "metadata", "kept")
        wait_until(lambda: reduce(getitem, metadata, server.get(sample).json()) == 3)

        shutil.rmtree(folder / "first" / "nothing")
        (folder / "first" / "experiment.h5").touch()
        wait_until(lambda: listed("first") == ["buffer", "lysozyme"])
        (folder / "packed.h5").unlink()
        wait_until(lambda: listed("") == ["2026-1", "first"])


def test_results_in_a_sidecar_are_found_everywhere(folder: Path) -> None:
    with serving(folder, "--no-runs") as server:
        client = server.client()
        wait_until(lambda: "packed.h5" in client and "buffer" in client["packed.h5"])
        node = client["packed.h5/buffer"]
        assert node.metadata["kept"] == 5
        dt = h5xs(folder / "packed.h5")
        dt.average_d1s("buffer", selection=[True] * 2 + [False] * 3)
        found = wait_until(lambda: list(client["packed.h5"].search(Key("kept") == 2)))
        assert found == ["buffer"]
        curve = dt.get_d1("buffer", "averaged")
        served = client["packed.h5/buffer/processed/averaged"].read()
        np.testing.assert_array_equal(served, [curve.data, curve.err])
        assert node["monitors"].read()["kept"].sum() == 2


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """A server that registers nothing of these folders by itself, and a folder it may read."""
    folder = tmp_path_factory.mktemp("target")
    (folder / ".published").mkdir()
    with serving(folder, "--no-runs") as server:
        yield server, folder / ".published"


def write_odd(path: Path) -> None:
    """Write what looks like a file of ours, and is none."""
    with h5py.File(path, "w") as file:
        file.attrs["qgrid"] = "not numbers"
        file.create_group("group")


def test_odd_file_stops_nothing_in_a_served_folder(folder: Path) -> None:
    write_odd(folder / "0-odd.h5")
    with serving(folder, "--no-runs") as server:
        wait_until(lambda: "packed.h5" in server.client())
        assert list(server.client()["packed.h5"]) == ["buffer"]


def test_odd_file_is_named_with_the_reason(target: tuple[Server, Path], experiment: Path) -> None:
    server, folder = target
    shutil.copytree(experiment.parent, folder / "odd" / "first")
    write_odd(folder / "odd" / "0-odd.h5")
    client = server.client().create_container("odd")
    changes = FolderRegistration(client, folder / "odd").update()
    assert changes.added == [f"first/{name}" for name in ALL]
    assert list(changes.failed) == ["0-odd.h5/group"]
    assert "ValueError: could not convert" in changes.failed["0-odd.h5/group"]


def test_link_with_a_name_too_long_for_a_file_is_left_out(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "experiment.h5", "w") as file:
        file["far"] = h5py.ExternalLink("x" * 300, "/")
        file.create_group("near")
    assert linked_samples(tmp_path / "experiment.h5") == ["near"]


def _fails(*_: object, **__: object) -> Any:
    raise AttributeError("something nobody thought of")


@pytest.mark.parametrize(
    ("loop", "method"),
    [
        (lambda part, stop: watch_folder(part, period_s=0.0, stop=stop), "update"),
        (lambda part, stop: publish_runs(part, stop=stop), "update"),
        (lambda part, stop: stream_curves(part, stop=stop), "tick"),
    ],
    ids=["samples", "runs", "curves"],
)
def test_loops_go_on_whatever_happens(
    loop: Callable[[Any, threading.Event], None], method: str, caplog: pytest.LogCaptureFixture
) -> None:
    stop, calls = threading.Event(), []

    def work(*_: object, **__: object) -> Any:
        calls.append(1)
        if len(calls) == 2:
            stop.set()
        _fails()

    part = SimpleNamespace(**{"look": lambda: None, "forget": lambda: None, method: work})
    loop(part, stop)
    assert len(calls) == 2
    assert "something nobody thought of" in caplog.text


def test_trouble_with_a_run_is_told_and_the_next_is_tried(
    experiment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published_runs, "read_contents", _fails)
    monkeypatch.setattr(curve_stream, "_read_curves", _fails)
    monkeypatch.setattr(published_runs, "container", lambda *_, **__: {})
    reason = "AttributeError: something nobody thought of"
    expected = dict.fromkeys((f"served/{name}" for name in ALL), reason)
    assert PublishedRuns(None, experiment.parent).update().failed == expected
    assert CurveStream(None, experiment.parent).update() == expected


@pytest.mark.parametrize("shared", ["lysozyme", ""], ids=["a name twice", "no name twice"])
def test_second_folder_of_a_name_leaves_the_first_alone(
    target: tuple[Server, Path], experiment: Path, shared: str
) -> None:
    server, place = target
    folder = place / f"twice{shared}"
    left_out = ["nothing"] if shared else ["nothing", "lysozyme"]
    shutil.copytree(
        experiment.parent, folder / "one" / "first", ignore=shutil.ignore_patterns(*left_out)
    )
    shutil.copytree(
        experiment.parent, folder / "two" / "first", ignore=shutil.ignore_patterns("buffer")
    )
    client = server.client().create_container(folder.name)
    FolderRegistration(client, folder / "one").update()
    before = {name: uris(node) for name, node in client["first"].items()}

    second = FolderRegistration(client, folder / "two")
    changes = second.update()
    assert changes.removed == changes.updated == []
    assert list(changes.failed) == (["first/lysozyme"] if shared else [])
    assert all("another folder has this name: use --under" in r for r in changes.failed.values())
    found = {name: uris(node) for name, node in client["first"].items()}
    assert before.items() <= found.items()
    assert sorted(found) == ALL

    shutil.rmtree(folder / "two" / "first")
    assert sorted(second.update().removed) == [f"first/{n}" for n in ALL if n not in before]
    assert {name: uris(node) for name, node in client["first"].items()} == before


def test_folder_that_was_moved_is_read_where_it_is(
    target: tuple[Server, Path], experiment: Path
) -> None:
    server, folder = target
    shutil.copytree(experiment.parent, folder / "before" / "first")
    client = server.client().create_container("moved")
    FolderRegistration(client, folder / "before").update()
    (folder / "before").rename(folder / "after")
    changes = FolderRegistration(client, folder / "after").update()
    assert changes.updated == [f"first/{name}" for name in ALL]
    assert (changes.added, changes.removed, changes.failed) == ([], [], {})
    sample = client["first"]["lysozyme"]
    assert uris(sample) == [f"file://localhost{folder}/after/first/experiment.h5"]
    assert sample["processed"]["merged"].read().shape[0] == 8
    assert not FolderRegistration(client, folder / "after").update()


def uris(node: Any) -> list[str]:
    return [asset.data_uri for source in node.data_sources() for asset in source.assets]


def test_experiment_called_as_the_container_of_runs_is_refused(
    target: tuple[Server, Path], experiment: Path
) -> None:
    server, folder = target
    shutil.copytree(experiment.parent, folder / "named" / "runs")
    shutil.copytree(experiment.parent, folder / "named" / "second")
    client = server.client().create_container("named")
    runs = client.create_container("runs")
    runs.create_container("raw")
    for _ in range(2):
        changes = FolderRegistration(client, folder / "named").update()
        assert changes.removed == []
        assert list(changes.failed) == ["runs"]
        assert "rename it" in changes.failed["runs"]
    assert list(client["runs"]) == ["raw"]
    assert sorted(client["second"]) == ALL


def test_what_is_no_sample_is_left_alone_in_an_experiment(
    target: tuple[Server, Path], experiment: Path
) -> None:
    server, folder = target
    shutil.copytree(experiment.parent, folder / "beside" / "first")
    client = server.client().create_container("beside")
    client.create_container("first").create_container("notes")
    assert FolderRegistration(client, folder / "beside").update().removed == []
    assert sorted(client["first"]) == sorted([*ALL, "notes"])
