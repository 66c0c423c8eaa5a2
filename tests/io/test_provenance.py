"""What a result was made with, written and read back."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from h5xs_bluesky.errors import RefusedError
from h5xs_bluesky.io import provenance as module
from h5xs_bluesky.io.provenance import (
    Process,
    Provenance,
    current_processor,
    current_versions,
    read_provenance,
    run_uid_of,
    write_provenance,
)


def written(path: Path, provenance: Provenance) -> Path:
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        write_provenance(file.create_group("water/reduction"), provenance)
        file.swmr_mode = True  # refuses what many readers cannot bear
    return path


@pytest.mark.parametrize("averaging", [None, Process(configuration={"selection": {"a": 1}})])
def test_steps_come_back_as_they_were(tmp_path: Path, averaging: Process | None) -> None:
    frames = Process(
        configuration={"x": [1.5, None], "name": "Å"}, detectors="[]" * 50_000, run_uid="abc"
    )
    provenance = Provenance(frames=frames, averaging=averaging)
    path = written(tmp_path / "f.h5", provenance)
    with h5py.File(path) as file:
        assert read_provenance(file["water"], roots=[tmp_path]) == provenance
        stored = file["water/reduction/provenance/detectors"].id.get_storage_size()
        assert stored < len(frames.detectors) / 50


def test_none_where_nothing_is_noted(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        group = file.create_group("old/reduction/provenance")
        group.attrs["version"] = "0.0"
        assert read_provenance(file["old"], roots=[tmp_path]) is None
        assert read_provenance(file, roots=[tmp_path]) is None


def test_link_out_of_the_roots_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "inside").mkdir()
    path = written(tmp_path / "outside" / "f.h5", Provenance(frames=Process(configuration={})))
    with h5py.File(tmp_path / "inside" / "g.h5", "w") as file:
        file["water/reduction"] = h5py.ExternalLink(str(path), "/water/reduction")
        with pytest.raises(RefusedError, match="outside"):
            read_provenance(file["water"], roots=[tmp_path / "inside"])


def test_versions_and_processor_of_now_are_noted() -> None:
    process = Process(configuration={})
    assert process.versions["numpy"] == np.__version__
    assert process.versions["compiled loop"] in ("yes", "no")
    assert process.processor == current_processor() != ""
    assert process.changes() == {}


def test_changes_tell_then_and_now(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process(configuration={})
    versions = {**current_versions(), "numpy": "99"}
    del versions["scipy"]
    monkeypatch.setattr(module, "current_versions", lambda: versions)
    monkeypatch.setattr(module, "current_processor", lambda: "abacus")
    changes = process.changes()
    assert set(changes) == {"numpy", "scipy", "processor"}
    assert changes["numpy"] == (np.__version__, "99")
    assert changes["scipy"][1] == "none"


@pytest.mark.parametrize("start", [None, "no JSON", "[]", "{}", '{"uid": "abc"}'])
def test_uid_of_a_run_is_empty_where_it_is_not_known(tmp_path: Path, start: str | None) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        if start is not None:
            file.attrs["start"] = start
        assert run_uid_of(file) == ("abc" if start and "abc" in start else "")
