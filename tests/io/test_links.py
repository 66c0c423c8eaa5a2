"""Links in files from anywhere lead into the allowed folders, or are refused."""

import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from foreign_links import KINDS, link_out, show, show_numbered

from h5xs_bluesky.errors import RefusedError
from h5xs_bluesky.io.links import follow


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret.bin").write_bytes(b"12345678")
    with h5py.File(folder / "other.h5", "w") as file:
        file["data"] = np.arange(3)
    return folder


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    folder = tmp_path / "inside"
    (folder / "sample").mkdir(parents=True)
    with h5py.File(folder / "sample" / "frames.h5", "w") as file:
        file["data"] = np.arange(4)
    return folder


def external(file: h5py.File, target: Path) -> None:
    file["x"] = h5py.ExternalLink(str(target / "other.h5"), "/data")


def climbing(file: h5py.File, target: Path) -> None:
    file["x"] = h5py.ExternalLink("../outside/other.h5", "/data")


def raw_storage(file: h5py.File, target: Path) -> None:
    file.create_dataset("x", (1,), "i8", external=[(str(target / "secret.bin"), 0, 8)])


def virtual(file: h5py.File, target: Path) -> None:
    layout = h5py.VirtualLayout((3,), "i8")
    layout[:] = h5py.VirtualSource(str(target / "other.h5"), "data", (3,))
    file.create_virtual_dataset("x", layout)


def soft_to_external(file: h5py.File, target: Path) -> None:
    file["hidden"] = h5py.ExternalLink(str(target / "other.h5"), "/data")
    file["x"] = h5py.SoftLink("/hidden")


def two_links(file: h5py.File, target: Path) -> None:
    with h5py.File(Path(file.filename).with_name("step.h5"), "w") as step:
        step["y"] = h5py.ExternalLink(str(target / "other.h5"), "/data")
    file["x"] = h5py.ExternalLink("step.h5", "/y")


def path_across_a_link(file: h5py.File, target: Path) -> None:
    with h5py.File(Path(file.filename).with_name("step.h5"), "w") as step:
        step["y"] = h5py.ExternalLink(str(target / "other.h5"), "/")
    file["x"] = h5py.ExternalLink("step.h5", "/y/data")


WAYS_OUT = [
    external,
    climbing,
    raw_storage,
    virtual,
    soft_to_external,
    two_links,
    path_across_a_link,
]


@pytest.mark.parametrize("make", WAYS_OUT)
def test_way_out_is_refused(
    inside: Path, outside: Path, make: Callable[[h5py.File, Path], None]
) -> None:
    with h5py.File(inside / "a.h5", "w") as file:
        make(file, outside)
    with h5py.File(inside / "a.h5", "r") as file:
        with pytest.raises(RefusedError, match="not followed"):
            follow(file, "x", roots=[inside])
        assert follow(file, "x", roots=[inside, outside]) is not None


def test_chain_of_links_inside_is_followed(inside: Path) -> None:
    with h5py.File(inside / "sample" / "run.h5", "w") as file:
        file["data"] = h5py.ExternalLink("frames.h5", "/data")
    with h5py.File(inside / "a.h5", "w") as file:
        file["sample"] = h5py.ExternalLink("sample/run.h5", "/")
        file["soft"] = h5py.SoftLink("sample/data")
    with h5py.File(inside / "a.h5", "r") as file:
        for name in ("sample/data", "soft"):
            found = follow(file, name, roots=[inside])
            assert isinstance(found, h5py.Dataset)
            assert found[()].tolist() == [0, 1, 2, 3]


def test_missing_names_and_dangling_links_are_none(inside: Path) -> None:
    with h5py.File(inside / "a.h5", "w") as file:
        file["gone"] = h5py.ExternalLink("gone.h5", "/data")
        file["number"] = 1
        for name in ("nothing", "gone", "gone/deeper", "number/deeper"):
            assert follow(file, name, roots=[inside]) is None


def test_circle_of_soft_links_is_refused(inside: Path) -> None:
    with h5py.File(inside / "a.h5", "w") as file:
        file["x"] = h5py.SoftLink("/y")
        file["y"] = h5py.SoftLink("/x")
        with pytest.raises(RefusedError, match="circle"):
            follow(file, "x", roots=[inside])


@pytest.mark.parametrize("kind", KINDS)
def test_way_out_of_any_kind_is_refused(
    inside: Path, outside: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(outside)
    secret = outside / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["d"] = np.ones((1, 3, 4))
    with h5py.File(inside / "a.h5", "w") as file:
        link_out(kind, file, secret, "x")
    with h5py.File(inside / "a.h5", "r") as file:
        assert np.shape(file["x"][()]) == (1, 3, 4)
        with pytest.raises(RefusedError, match="not followed"):
            follow(file, "x", roots=[inside])


def test_numbered_member_that_leads_out_is_refused(inside: Path, outside: Path) -> None:
    with h5py.File(inside / "a.h5", "w") as file:
        file["sources/d0"] = np.ones((1, 3, 4))
        show_numbered(file, "x", "a.h5", "sources/d%b")
        assert follow(file, "x", roots=[inside]) is not None
        file["sources/d1"] = h5py.ExternalLink(str(outside / "other.h5"), "/data")
        with pytest.raises(RefusedError, match="not followed"):
            follow(file, "x", roots=[inside])


def test_view_through_a_path_that_only_hdf5_understands_is_refused(
    inside: Path, outside: Path
) -> None:
    with h5py.File(inside / "a.h5", "w") as file:
        file["hidden"] = h5py.ExternalLink(str(outside / "other.h5"), "/data")
        file["root"] = h5py.SoftLink("/")
        for number, path in enumerate(("root/hidden", ".//hidden", "./root/./hidden")):
            layout = h5py.VirtualLayout((3,), "i8")
            layout[:] = h5py.VirtualSource(".", path, (3,))
            file.create_virtual_dataset(f"x{number}", layout)
            with pytest.raises(RefusedError, match="not followed"):
                follow(file, f"x{number}", roots=[inside])


def test_views_inside_are_followed(inside: Path) -> None:
    for number in range(2):
        with h5py.File(inside / f"{number}.bin", "w") as file:
            file["d"] = np.full((1, 3, 4), number)
    with h5py.File(inside / "b.bin", "w") as file:
        show_numbered(file, "d", "%b.bin")
    with h5py.File(inside / "a.h5", "w") as file:
        show(file, "x", "b.bin")
    with h5py.File(inside / "a.h5", "r") as file:
        found = follow(file, "x", roots=[inside])
        assert isinstance(found, h5py.Dataset)
        assert found.shape == (1, 3, 4)


def test_circle_of_views_is_refused(inside: Path) -> None:
    with h5py.File(inside / "a.h5", "w") as file:
        show(file, "d", "b.h5")
    with h5py.File(inside / "b.h5", "w") as file:
        show(file, "d", "a.h5")
    with h5py.File(inside / "a.h5", "r") as file, pytest.raises(RefusedError, match="circle"):
        follow(file, "d", roots=[inside])


def test_source_that_changes_after_it_was_checked_is_checked_again(
    inside: Path, outside: Path
) -> None:
    with h5py.File(inside / "b.bin", "w") as file:
        file["d"] = np.ones((1, 3, 4))
    with h5py.File(inside / "a.h5", "w") as file:
        show(file, "x", "b.bin")
    time.sleep(1.1)
    with h5py.File(inside / "a.h5", "r") as file:
        for _ in range(2):
            assert follow(file, "x", roots=[inside]) is not None
    with h5py.File(inside / "b.bin", "r+") as file:
        del file["d"]
        file["d"] = h5py.ExternalLink(str(outside / "other.h5"), "/data")
    with h5py.File(inside / "a.h5", "r") as file, pytest.raises(RefusedError, match="not followed"):
        follow(file, "x", roots=[inside])
