"""A whole sample as it is downloaded: the same numbers whatever it was measured or packed with."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from small_beamline import run_documents, small_frames, write_experiment
from small_monitors import METADATA, add_readings, own_streams

from h5xs_bluesky import h5xs
from h5xs_bluesky.api.pack import pack
from h5xs_bluesky.errors import RefusedError
from h5xs_bluesky.tiled.adapter import sample_container
from h5xs_bluesky.tiled.files import ServedFile
from h5xs_bluesky.tiled.remote import ServerStorage
from h5xs_bluesky.tiled.sample_files import sample_to_h5xs

TIMES = np.arange(99, 108, 0.05)


def body_of(path: Path, sample: str) -> bytes:
    container = sample_container(ServedFile(path=path), sample)
    return b"".join(sample_to_h5xs("", container, {}, None))


class Node:
    """What stands for Tiled's client of a sample."""

    uri = "http://localhost/api/v1/metadata/experiment/sample"


def opened(body: bytes, monkeypatch: pytest.MonkeyPatch) -> h5xs:
    """Open what a server answered."""
    monkeypatch.setattr(ServerStorage, "_body", lambda _self, _node: body)
    return h5xs(ServerStorage([Node()]))


def with_own_streams(folder: Path, _experiment: Path) -> Path:
    documents = run_documents(small_frames(5, seed=4), monitors={}, exposure_time=0.5)
    for field, beam in (("em1", np.full(TIMES.size, 1000.0)), ("em2", 800 + TIMES)):
        documents = add_readings(documents, f"{field}_monitor", field, times=TIMES, values=beam)
    return write_experiment(folder, documents, monitors=own_streams(), metadata=METADATA)


def packed_with_results_beside(folder: Path, experiment: Path) -> Path:
    path = folder / "packed.h5"
    pack(experiment, path)
    dt = h5xs(path)
    dt.load_data()
    dt.average_d1s("lysozyme", selection=[True] * 4 + [False] * 4)
    dt.average_d1s("buffer")
    dt.subtract_buffer("lysozyme", buffer_list={"lysozyme": "buffer"}, sc_factor=0.9)
    return path


def of_the_ancestor(folder: Path, experiment: Path) -> Path:
    """Make a file that has curves of another program: no sums, no provenance."""
    path = folder / "ancestor.h5"
    pack(experiment, path)
    with h5py.File(path, "r+") as file:
        for name in file:
            file[name].pop("reduction", None)
        for name in ("h5xs_schema", "beamline", "qgrid_edges"):
            file.attrs.pop(name, None)
    return path


@pytest.mark.parametrize(
    ("make", "sample", "monitors"),
    [
        (with_own_streams, "water", True),
        (packed_with_results_beside, "lysozyme", True),
        (of_the_ancestor, "lysozyme", False),
    ],
)
def test_download_has_the_numbers_of_the_file(
    make: Callable[[Path, Path], Path],
    sample: str,
    monitors: bool,
    experiment: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = make(tmp_path, experiment)
    remote, local = opened(body_of(path, sample), monkeypatch), h5xs(path, read_only=True)
    for dt in (remote, local):
        dt.load_d1s(sample)
    assert {"merged", "averaged"} <= remote.d1s[sample].keys() == local.d1s[sample].keys()
    for group in local.d1s[sample]:
        one, other = remote.get_d1(sample, group), local.get_d1(sample, group)
        for name in ("data", "err", "trans", "trans_sigma", "comments", "label"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert remote.attrs[sample].keys() == local.attrs[sample].keys()
    assert remote.md_dict(sample) == local.md_dict(sample)
    for detector, its in zip(remote.detectors, local.detectors, strict=True):
        assert (detector.extension, detector.geometry) == (its.extension, its.geometry)
        np.testing.assert_array_equal(detector.mask, its.mask)
    if monitors:
        reading: Any = remote.get_mon(sample)
        np.testing.assert_array_equal(
            reading.transmitted,
            local.get_mon(sample).transmitted,  # type: ignore[union-attr]
        )
        assert np.isfinite(reading.transmission).all()


@pytest.mark.parametrize("path", ["{secret}", "secret.h5", "../secret.h5"])
def test_a_server_cannot_make_a_client_open_its_own_files(
    experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    secret = tmp_path / "secret.h5"
    pack(experiment, secret)
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below" if path.startswith("..") else tmp_path)
    answer = tmp_path / "answer.h5"
    answer.write_bytes(body_of(experiment, "lysozyme"))
    with h5py.File(answer, "r+") as file:
        target = path.format(secret=secret)
        for name in ("processed", "reduction"):
            del file["lysozyme"][name]
            file["lysozyme"][name] = h5py.ExternalLink(target, f"lysozyme/{name}")
    with pytest.raises(RefusedError, match=r"found a link to .*secret\.h5"):
        opened(answer.read_bytes(), monkeypatch).get_d1("lysozyme")
