"""Superblocks of files that were left open."""

import subprocess
import sys
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pytest

from h5xs_bluesky.errors import FileFormatError
from h5xs_bluesky.io.superblock import checksum, read_superblock, repair_superblock

_DYING_WRITER = """
    import os, sys
    from pathlib import Path
    import numpy as np
    from h5xs_bluesky.io.bitshuffle import compress
    from h5xs_bluesky.io.frames import FrameFile
    file = FrameFile(Path(sys.argv[1]), field="x", frame_shape=(64, 48), dtype=np.dtype("i4"),
                     frames_per_event=1)
    for number in range(20):
        row = np.array([number])
        file.append([compress(np.full((64, 48), number, "i4"))], timestamps=row, positions=row)
        file.commit()
    os.kill(os.getpid(), 9)
"""


@pytest.fixture
def abandoned(tmp_path: Path) -> Path:
    path = tmp_path / "f.h5"
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_DYING_WRITER), str(path)], check=False, timeout=60
    )
    return path


def test_checksum_is_the_published_one() -> None:
    assert checksum(b"") == 0xDEADBEEF
    assert checksum(b"Four score and seven years ago") == 0x17770551


def test_file_of_a_dead_writer_opens_after_repair(abandoned: Path) -> None:
    assert read_superblock(abandoned).needs_repair
    with pytest.raises(OSError, match="already open for write"):
        h5py.File(abandoned, "r")
    repair_superblock(abandoned)
    assert not read_superblock(abandoned).needs_repair
    with h5py.File(abandoned, "r") as file:
        assert file["committed"][0] == 20
        assert np.array_equal(file["data"][:, 0, 0], range(20))


def test_healthy_file_is_not_touched(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w", libver=("v110", "v110")) as file:
        file["a"] = 1
    before = (tmp_path / "f.h5").read_bytes()
    assert not repair_superblock(tmp_path / "f.h5").needs_repair
    assert (tmp_path / "f.h5").read_bytes() == before


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.write_bytes(b""), "expected an HDF5 file"),
        (lambda path: path.write_bytes(b"x" * 100), "expected an HDF5 file"),
        (lambda path: h5py.File(path, "w", libver="earliest").close(), "version 2 or 3"),
    ],
)
def test_what_cannot_be_repaired_is_refused(tmp_path: Path, make: object, said: str) -> None:
    assert callable(make)
    make(tmp_path / "f.h5")
    with pytest.raises(FileFormatError, match=said):
        repair_superblock(tmp_path / "f.h5")


def test_damaged_superblock_is_refused(abandoned: Path) -> None:
    data = bytearray(abandoned.read_bytes())
    data[30] ^= 1
    abandoned.write_bytes(data)
    with pytest.raises(FileFormatError, match="checksum"):
        repair_superblock(abandoned)
    assert abandoned.read_bytes() == data
