"""The catalogue becomes what the folder is, whatever happened in between."""

import shutil
from functools import reduce
from operator import getitem
from pathlib import Path

import h5py
import pytest
from small_server import serving, wait_until

from h5xs_bluesky import h5xs
from h5xs_bluesky.tiled.folders import ServedFolder


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
