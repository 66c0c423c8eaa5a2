"""Frame files: bit for bit, for any reader, while they grow."""

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401 - registers the filters
import numpy as np
import pytest
from numpy.typing import NDArray

from h5xs_bluesky.errors import FileFormatError
from h5xs_bluesky.io.bitshuffle import compress, decompress
from h5xs_bluesky.io.frames import (
    FrameFile,
    LinkedFrames,
    committed_frames,
    open_frames,
    read_frame,
)

DTYPES = ["u1", "u2", "u4", "u8", "i2", "i4", "f4", "f8", ">i4", "?"]
SHAPES = [(1, 1), (1, 7), (3, 5), (64, 64), (195, 487)]


def frame_of(shape: tuple[int, ...], dtype: str, seed: int = 0) -> NDArray[Any]:
    return np.random.default_rng(seed).poisson(5, shape).astype(dtype)


def new_file(path: Path, shape: tuple[int, int] = (64, 48), dtype: str = "i4") -> FrameFile:
    return FrameFile(
        path, field="image", frame_shape=shape, dtype=np.dtype(dtype), frames_per_event=1
    )


def append(file: FrameFile, frames: list[NDArray[Any]]) -> int:
    rows = np.arange(file.rows, file.rows + len(frames))
    return file.append([compress(f) for f in frames], timestamps=rows + 0.5, positions=rows)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_any_frame_is_read_bit_for_bit_by_hdf5_and_by_us(
    tmp_path: Path, shape: tuple[int, int], dtype: str
) -> None:
    frame = frame_of(shape, dtype)
    assert np.array_equal(decompress(compress(frame), shape=shape, dtype=np.dtype(dtype)), frame)
    file = new_file(tmp_path / "f.h5", shape, dtype)
    append(file, [frame])
    file.commit()
    file.close()
    with h5py.File(tmp_path / "f.h5", "r") as reader:
        assert reader["data"].dtype == np.dtype(dtype)
        assert np.array_equal(reader["data"][0], frame)
        assert np.array_equal(read_frame(reader["data"], 0), frame)


def test_frames_that_are_not_contiguous_are_compressed_as_they_look() -> None:
    frame = frame_of((20, 30), "i4")[::2, ::3]
    assert np.array_equal(decompress(compress(frame), shape=(10, 10), dtype=frame.dtype), frame)


@pytest.mark.parametrize(
    "frame", [np.zeros((0, 5)), np.zeros((2, 2), "c8"), np.zeros((2, 2), "O"), np.array("a")]
)
def test_what_is_no_frame_is_refused(frame: NDArray[Any]) -> None:
    with pytest.raises(ValueError, match="expected a frame of numbers"):
        compress(frame)


@pytest.mark.parametrize("cut", [0, 5, 40, -1])
def test_damaged_chunk_is_refused(cut: int) -> None:
    chunk = compress(frame_of((64, 48), "i4"))
    with pytest.raises(FileFormatError, match="chunk"):
        decompress(chunk[:cut], shape=(64, 48), dtype=np.dtype("i4"))


def test_no_damage_leads_the_codec_out_of_the_chunk() -> None:
    """Cut anywhere, or overwritten: refused, or decoded to something; never a crash."""
    shape, rng = (300, 401), np.random.default_rng(0)
    good = compress(rng.poisson(500, shape).astype("i4"))
    refused = 0
    for _ in range(300):
        chunk = bytearray(good)
        for place in rng.integers(8, len(chunk), rng.integers(1, 60)):
            chunk[place] = rng.integers(256)
        damaged = bytes(chunk[: rng.integers(12, len(chunk))] if rng.random() < 0.3 else chunk)
        try:
            assert decompress(damaged, shape=shape, dtype=np.dtype("i4")).shape == shape
        except FileFormatError:
            refused += 1
    assert refused > 100


def test_chunk_of_another_frame_is_refused() -> None:
    with pytest.raises(FileFormatError, match="expected a chunk of"):
        decompress(compress(frame_of((3, 5), "i4")), shape=(64, 48), dtype=np.dtype("i4"))


def test_only_committed_frames_count(tmp_path: Path) -> None:
    file = new_file(tmp_path / "f.h5")
    append(file, [frame_of((64, 48), "i4", seed) for seed in range(3)])
    with open_frames(tmp_path / "f.h5") as reader:
        assert committed_frames(reader) == 0
        file.commit()
        assert committed_frames(reader) == 3
    file.close()


def test_discarded_frames_are_overwritten(tmp_path: Path) -> None:
    file = new_file(tmp_path / "f.h5")
    frames = [frame_of((64, 48), "i4", seed) for seed in range(4)]
    append(file, frames[:1])
    file.commit()
    append(file, frames[1:3])
    file.discard()
    assert append(file, frames[3:]) == 1
    file.commit()
    append(file, frames[:1])
    file.close()
    with h5py.File(tmp_path / "f.h5", "r") as reader:
        assert np.array_equal(reader["data"][()], [frames[0], frames[3]])
        assert reader["timestamps"].shape == reader["position"].shape == (2,)


@pytest.mark.parametrize(
    ("told", "positions", "why"),
    [
        ([(2, [0, 1]), (0, [2, 3])], [2, 3, 0, 1], "backwards"),
        ([(0, [0]), (4, [1]), (2, [2])], [0, -1, 2, -1, 1], "with gaps, of which one is filled"),
        ([(0, [0, 1, 2]), (1, [1])], [0, 1, 2], "the same once more"),
    ],
)
@pytest.mark.parametrize("closing", [False, True])
def test_linked_frames_may_be_told_of_in_any_order(
    tmp_path: Path, told: list[tuple[int, list[int]]], positions: list[int], why: str, closing: bool
) -> None:
    file = LinkedFrames(
        tmp_path / "f.h5", field="image", target="ioc.h5", dataset="/d", frames_per_event=1
    )
    for first, rows in told:
        assert file.takes(first, positions=np.array(rows))
        file.append(first, timestamps=np.array(rows) + 0.5, positions=np.array(rows))
        file.commit()
        if closing:
            file.close()
    assert not file.takes(0, positions=np.array([9])), why
    file.close()
    with open_frames(tmp_path / "f.h5") as reader:
        assert committed_frames(reader) == len(positions)
        assert reader["position"][()].tolist() == positions
        stamps = np.where(np.array(positions) < 0, np.nan, np.array(positions) + 0.5)
        assert np.array_equal(reader["timestamps"][()], stamps, equal_nan=True)


def test_another_process_reads_each_frame_once_it_is_committed(tmp_path: Path) -> None:
    reader = """
        import sys
        import numpy as np
        from pathlib import Path
        from h5xs_bluesky.io.frames import committed_frames, open_frames, read_frame
        for line in sys.stdin:
            with open_frames(Path(sys.argv[1])) as file:
                count = committed_frames(file)
                print(count, int(read_frame(file["data"], count - 1).sum()), flush=True)
    """
    file = new_file(tmp_path / "f.h5")
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(reader), str(tmp_path / "f.h5")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(1, 6):
            frame = frame_of((64, 48), "i4", number)
            append(file, [frame])
            file.commit()
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline().split() == [str(number), str(frame.sum())]
        process.stdin.close()
    file.close()


def test_frames_of_four_dimensions_and_other_filters_are_read_flat(tmp_path: Path) -> None:
    """As some files from LiX have them."""
    frames = frame_of((2, 3, 10, 12), "i4")
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("data", data=frames, chunks=(1, 1, 10, 12), compression="gzip")
        assert np.array_equal(read_frame(file["data"], 4), frames[1, 1])
        with pytest.raises(IndexError, match="below 6"):
            read_frame(file["data"], 6)


def test_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "f.h5").write_text("precious")
    with pytest.raises(FileExistsError):
        new_file(tmp_path / "f.h5")
    assert (tmp_path / "f.h5").read_text() == "precious"
