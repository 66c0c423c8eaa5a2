"""What is read of a growing file is what its writer wrote, whoever else reads it here."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from h5xs_bluesky.io.external import AllowedFolders, ExternalDataset
from h5xs_bluesky.io.opening import open_frames, refresh

ROWS = np.arange(20)
WRITER = """
import h5py, numpy, sys
with h5py.File(sys.argv[1], "w", libver="latest") as file:
    rows = file.create_dataset("rows", (0,), dtype=int, chunks=(1,), maxshape=(None,))
    file.swmr_mode = True
    print("ready", flush=True)
    for line in sys.stdin:
        rows.resize((int(line),))
        rows[:] = numpy.arange(int(line))
        file.flush()
        print("written", flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with a chunk for each row."""
    path = tmp_path / "frames.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("rows", data=ROWS, chunks=(1,), maxshape=(None,))
    return path


def by_the_same_file(file: h5py.File, path: Path) -> h5py.Dataset:
    return file["rows"]


def by_another(file: h5py.File, path: Path) -> h5py.Dataset:
    return open_frames(path)["rows"]


def by_a_virtual_dataset(file: h5py.File, path: Path) -> h5py.Dataset:
    layout = h5py.VirtualLayout(ROWS.shape, dtype=ROWS.dtype)
    layout[:] = h5py.VirtualSource(path, "rows", ROWS.shape)
    with h5py.File(path.with_name("virtual.h5"), "w", libver="latest") as virtual:
        virtual.create_virtual_dataset("rows", layout)
    return open_frames(path.with_name("virtual.h5"))["rows"]


@pytest.mark.parametrize("opened", [by_the_same_file, by_another, by_a_virtual_dataset])
def test_a_dataset_that_is_open_twice_is_read_right_after_a_refresh(
    path: Path, opened: Callable[[h5py.File, Path], h5py.Dataset]
) -> None:
    with open_frames(path) as file:
        dataset = file["rows"]
        other = opened(file, path)
        assert np.array_equal(other[:], ROWS), "a virtual dataset opens its sources when it is read"
        for refreshed in (dataset, other):
            refresh(refreshed)
            for each in (dataset, other):
                assert [each[row] for row in ROWS] == list(ROWS)
                assert np.array_equal(each[:], ROWS)
        other.file.close()


def test_two_that_follow_a_growing_file_see_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "growing.h5"
    folders = AllowedFolders(permanent=(tmp_path,), allowed=())
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        both = [ExternalDataset(path, "rows", folders=folders) for _ in range(2)]
        for count in (3, 4, 20):
            writer.stdin.write(f"{count}\n")
            writer.stdin.flush()
            assert writer.stdout.readline() == "written\n"
            for each in both:
                assert each.rows(0) == count
                assert np.array_equal(each.values(0, count, 1), ROWS[:count])
                assert each.values(count - 1, 1, 1) == ROWS[count - 1]
        for each in both:
            each.close()
        writer.stdin.close()
