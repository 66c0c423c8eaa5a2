"""Results beside a file that is only read."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from h5xs_bluesky.errors import FileInUseError
from h5xs_bluesky.io import sidecar
from h5xs_bluesky.io.replace import FileLock
from h5xs_bluesky.io.sidecar import sidecar_of, write_sidecar, write_sidecar_buffer
from h5xs_bluesky.reduction.accumulators import Accumulators
from h5xs_bluesky.reduction.sample import ReducedSample


def reduced(value: float) -> ReducedSample:
    sums = {name: np.full((2, 3), value) for name in Accumulators.FIELDS}
    return ReducedSample(
        detectors={"_SAXS": Accumulators(**sums)},
        transmitted=np.full(2, value),
        incident=np.full(2, value),
        superseded=np.zeros(2, bool),
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("run5.h5", "run5.processed.h5"),
        ("run5.nxs", "run5.nxs.processed.h5"),
        ("run5", "run5.processed.h5"),
        ("a.b.h5", "a.b.processed.h5"),
    ],
)
def test_sidecar_stands_beside_its_file(name: str, expected: str) -> None:
    assert sidecar_of(Path("data", name)) == Path("data", expected)


def test_sample_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    for sample, value in (("a", 1.0), ("b", 2.0), ("a", 3.0)):
        write_sidecar(path, sample, reduced(value), provenance=None)
    with h5py.File(sidecar_of(path)) as file:
        found = {name: file[name]["reduction/transmitted"][0] for name in file}
        assert found == {"a": 3.0, "b": 2.0}
        assert file.attrs["h5xs_schema"] == 1
    assert not path.exists()


def test_buffers_and_results_of_a_sample_leave_each_other_alone(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    write_sidecar(path, "b", reduced(2.0), provenance=None)
    write_sidecar_buffer(path, "a", ["b", "c"])
    write_sidecar(path, "a", reduced(1.0), provenance=None)
    with h5py.File(sidecar_of(path)) as file:
        assert file["a"].attrs["h5xs_buffer"] == "b  c"
    write_sidecar_buffer(path, "a", [])
    with h5py.File(sidecar_of(path)) as file:
        assert file["a"].attrs["h5xs_buffer"] == ""
        assert file["a/reduction/transmitted"][0] == 1.0
        assert file["b/reduction/transmitted"][0] == 2.0


def test_sidecar_that_another_process_replaces_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sidecar, "_LOCK_TIMEOUT_S", 0.05)
    lock = FileLock(tmp_path / "f.processed.lock")
    lock.acquire()
    with pytest.raises(FileInUseError, match=r"f\.processed\.lock"):
        write_sidecar(tmp_path / "f.h5", "a", reduced(1.0), provenance=None)
    lock.release()
    write_sidecar(tmp_path / "f.h5", "a", reduced(1.0), provenance=None)
    assert sidecar_of(tmp_path / "f.h5").exists()


def test_link_in_a_sidecar_is_not_followed_when_it_is_replaced(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["secret"] = [1.0]
    path = tmp_path / "f.h5"
    with h5py.File(sidecar_of(path), "w") as file:
        file["link"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/")
        file["b/link"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/")
    write_sidecar(path, "a", reduced(1.0), provenance=None)
    write_sidecar_buffer(path, "b", ["a"])
    with h5py.File(sidecar_of(path)) as file:
        assert set(file) == {"a", "b"}
        assert not set(file["b"])
