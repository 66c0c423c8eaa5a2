"""Runs in databroker whose frames lie in files of areaDetector, as it was before ophyd-async."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from legacy_runs import FRAMES, hdf5, legacy_run, tiff
from small_beamline import small_beamline, write_experiment

from h5xs_bluesky.catalogs import from_catalog
from h5xs_bluesky.config import Roots

Documents = list[tuple[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def broker() -> Any:
    from databroker import Broker

    return Broker.named("temp")


def insert(broker: Any, documents: Documents) -> list[str]:
    for name, doc in documents:
        broker.insert(name, doc)
    return [str(documents[0][1]["uid"])]


@pytest.mark.parametrize("files", [hdf5, tiff])
def test_frames_in_files_are_read_where_that_is_allowed(
    broker: Any, tmp_path: Path, files: Any
) -> None:
    (tmp_path / "data").mkdir()
    documents = legacy_run(tmp_path / "data", files(tmp_path / "data", FRAMES))
    uids = insert(broker, documents)
    beamline = small_beamline(roots=Roots(allowed=(tmp_path / "data",)))
    (done,) = from_catalog(broker, uids, tmp_path / "new", beamline)
    assert (done.outcome, done.status["reduced"]) == ("reduced", 4)
    with h5py.File(tmp_path / "new" / "experiment.h5", "r", swmr=True) as file:
        stored = file["water/primary/data/saxs_image"][()]
        assert file["water/primary/timestamps/saxs_image"][()].tolist() == [100, 100, 101, 101]
        curves = file["water/processed/merged"][()]
    assert (stored.dtype, np.array_equal(stored, FRAMES)) == (np.dtype(np.uint16), True)
    if files is hdf5:  # which is read live, too
        live = write_experiment(
            tmp_path / "live", documents, roots=Roots(allowed=(tmp_path / "data",))
        )
        with h5py.File(live, "r", swmr=True) as file:
            assert np.array_equal(curves, file["water/processed/merged"][()], equal_nan=True)


@pytest.mark.parametrize(
    ("files", "change", "reason"),
    [
        (hdf5, {}, "expected a file inside no folder"),
        (tiff, {}, "expected a file inside no folder"),
        (hdf5, {"resource_path": "../../etc/frames.h5"}, "expected a file inside"),
        (tiff, {"resource_path": "../elsewhere"}, "expected a file inside"),
        (hdf5, {"spec": "XSP3"}, "found 'XSP3' with ['point_number']"),
        (hdf5, {"resource_path": "gone.h5"}, "gone.h5: expected a file, found none"),
    ],
)
def test_what_must_not_or_cannot_be_read_fails_before_anything_is_written(
    broker: Any, tmp_path: Path, files: Any, change: dict[str, Any], reason: str
) -> None:
    (tmp_path / "data").mkdir()
    resource = {**files(tmp_path / "data", FRAMES), **change}
    uids = insert(broker, legacy_run(tmp_path / "data", resource))
    allowed = (tmp_path / "data",) if change else ()
    beamline = small_beamline(roots=Roots(allowed=allowed))
    (done,) = from_catalog(broker, uids, tmp_path / "new", beamline)
    assert (done.outcome, done.sample) == ("failed", "")
    assert reason in done.reason
    assert not (tmp_path / "new").exists()


def test_frames_that_are_cut_short_fail_and_leave_a_run_without_an_end(
    broker: Any, tmp_path: Path
) -> None:
    documents = legacy_run(tmp_path, hdf5(tmp_path, FRAMES[:3]))
    beamline = small_beamline(roots=Roots(allowed=(tmp_path,)))
    uids = insert(broker, documents)
    (done,) = from_catalog(broker, uids, tmp_path / "new", beamline)
    assert (done.outcome, done.sample, done.status["reduced"]) == ("failed", "water", 2)
    (again,) = from_catalog(broker, uids, tmp_path / "new")
    assert "without its end" in again.reason
