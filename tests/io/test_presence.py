"""Frames that are not on disk are told, whatever the file looks like; those that are, are not."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
from numpy.typing import NDArray

from h5xs_bluesky.errors import FrameAbsentError
from h5xs_bluesky.io.frames import open_frames, read_frame
from h5xs_bluesky.io.presence import refuse_absent

COUNT = 6
SHAPE = (16, 12)
BYTES = 16 * 12 * 4


def frames(count: int = COUNT) -> NDArray[np.int32]:
    return np.random.default_rng(0).poisson(50, (count, *SHAPE)).astype(np.int32) + 1


def stored(path: Path, *, libver: str = "latest", **options: Any) -> Path:
    with h5py.File(path, "w", libver=libver) as file:
        file.create_dataset("d", data=frames(), **options)
    return path


def cut(path: Path, by: int) -> Path:
    os.truncate(path, path.stat().st_size - by)
    return path


def chunked(folder: Path) -> Path:
    return stored(folder / "f.h5", chunks=(1, *SHAPE))


def chunked_cut(folder: Path) -> Path:
    return cut(stored(folder / "f.h5", chunks=(1, *SHAPE), maxshape=(None, *SHAPE)), 2 * BYTES + 9)


def compressed_cut(folder: Path) -> Path:
    path = folder / "f.h5"
    filters = dict(hdf5plugin.Bitshuffle(cname="lz4"))
    return cut(stored(path, chunks=(1, *SHAPE), **filters), 100)


def in_tiles(folder: Path) -> Path:
    """Of the last frame but one a corner was not written."""
    path = folder / "f.h5"
    with h5py.File(path, "w", libver="latest") as file:
        data = file.create_dataset("d", (COUNT, *SHAPE), "i4", chunks=(1, 8, 6))
        data[:4] = frames()[:4]
        data[4, :8] = frames()[4, :8]
        data[5] = frames()[5]
    return path


def several_in_a_chunk(folder: Path) -> Path:
    path = folder / "f.h5"
    with h5py.File(path, "w", libver="latest") as file:
        data = file.create_dataset("d", (COUNT, *SHAPE), "i4", chunks=(4, *SHAPE))
        data[:4] = frames()[:4]
    return path


def early_format(folder: Path) -> Path:
    path = folder / "f.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        data = file.create_dataset("d", (COUNT, *SHAPE), "i4", chunks=(1, *SHAPE))
        data[:3] = frames()[:3]
    return path


def four_axes(folder: Path) -> Path:
    path = folder / "f.h5"
    with h5py.File(path, "w", libver="latest") as file:
        data = file.create_dataset("d", (2, 3, *SHAPE), "i4", chunks=(1, 1, *SHAPE))
        data[0] = frames()[:3]
        data[1, 2] = frames()[5]
    return path


def in_one_piece(folder: Path) -> Path:
    return stored(folder / "f.h5")


def in_one_piece_cut(folder: Path) -> Path:
    return cut(stored(folder / "f.h5"), BYTES + 1)


def nothing_written(folder: Path) -> Path:
    path = folder / "f.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("d", (COUNT, *SHAPE), "i4")
    return path


def in_the_header(folder: Path) -> Path:
    path = folder / "f.h5"
    with h5py.File(path, "w", libver="latest") as file:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((COUNT, *SHAPE))
        data = h5py.h5d.create(file.id, b"d", h5py.h5t.NATIVE_INT32, space, properties)
        data.write(h5py.h5s.ALL, h5py.h5s.ALL, frames())
    return path


def raw_file_cut(folder: Path) -> Path:
    """The bytes lie in two files; the second is too short."""
    whole = frames().tobytes()
    parts = [(str(folder / "1.raw"), 0, 3 * BYTES), (str(folder / "2.raw"), 5, 3 * BYTES)]
    (folder / "1.raw").write_bytes(whole[: 3 * BYTES])
    (folder / "2.raw").write_bytes(b"12345" + whole[3 * BYTES : 5 * BYTES + 1])
    with h5py.File(folder / "f.h5", "w") as file:
        file.create_dataset("d", (COUNT, *SHAPE), "i4", external=parts)
    return folder / "f.h5"


def linked_cut(folder: Path) -> Path:
    chunked_cut(folder).rename(folder / "data.h5")
    with h5py.File(folder / "master.h5", "w", libver="latest") as file:
        file["d"] = h5py.ExternalLink("data.h5", "/d")
    return folder / "master.h5"


def view_of(*parts: tuple[Any, str, Any]) -> Callable[[Path], Path]:
    """A view whose rows come from files, which exist if they are called 1 (whole) or 2 (cut)."""

    def write(folder: Path) -> Path:
        chunked(folder).rename(folder / "1.h5")
        chunked_cut(folder).rename(folder / "2.h5")
        layout = h5py.VirtualLayout((COUNT, *SHAPE), "i4")
        for here, name, there in parts:
            layout[here] = h5py.VirtualSource(f"{name}.h5", "d", (COUNT, *SHAPE))[there]
        with h5py.File(folder / "view.h5", "w", libver="latest") as file:
            file.create_virtual_dataset("d", layout)
        return folder / "view.h5"

    return write


def view_of_pictures(folder: Path) -> Path:
    """A file for each frame, of two axes; one is not there."""
    layout = h5py.VirtualLayout((COUNT, *SHAPE), "i4")
    for number, frame in enumerate(frames()):
        if number != 2:
            with h5py.File(folder / f"{number}.h5", "w") as file:
                file["d"] = frame
        layout[number] = h5py.VirtualSource(f"{number}.h5", "d", SHAPE)
    with h5py.File(folder / "view.h5", "w", libver="latest") as file:
        file.create_virtual_dataset("d", layout)
    return folder / "view.h5"


def view_that_is_too_long(folder: Path) -> Path:
    """Its source has fewer frames than it promises."""
    with h5py.File(folder / "1.h5", "w") as file:
        file["d"] = frames(4)
    layout = h5py.VirtualLayout((COUNT, *SHAPE), "i4")
    layout[:] = h5py.VirtualSource("1.h5", "d", (COUNT, *SHAPE))
    with h5py.File(folder / "view.h5", "w", libver="latest") as file:
        file.create_virtual_dataset("d", layout)
    return folder / "view.h5"


def view_of_numbered_files(folder: Path) -> Path:
    """Two frames in each file: the second file is cut short."""
    for number in range(3):
        with h5py.File(folder / f"part-{number}.h5", "w", libver="latest") as file:
            file["d"] = frames()[2 * number : 2 * number + 2]
    cut(folder / "part-1.h5", 9)
    space = h5py.h5s.create_simple((COUNT, *SHAPE), (h5py.h5s.UNLIMITED, *SHAPE))
    space.select_hyperslab((0, 0, 0), (h5py.h5s.UNLIMITED, 1, 1), (2, 1, 1), (2, *SHAPE))
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_virtual(space, b"part-%b.h5", b"d", h5py.h5s.create_simple((2, *SHAPE)))
    properties.set_fill_value(np.zeros((), "i4"))
    with h5py.File(folder / "view.h5", "w", libver="latest") as file:
        whole = h5py.h5s.create_simple((COUNT, *SHAPE), (h5py.h5s.UNLIMITED, *SHAPE))
        h5py.h5d.create(file.id, b"d", h5py.h5t.NATIVE_INT32, whole, properties)
    return folder / "view.h5"


def view_of_a_view(folder: Path) -> Path:
    path = view_of((np.s_[:], "2", np.s_[:]))(folder)
    path.rename(folder / "inner.h5")
    layout = h5py.VirtualLayout((COUNT, *SHAPE), "i4")
    layout[:] = h5py.VirtualSource("inner.h5", "d", (COUNT, *SHAPE))
    with h5py.File(folder / "view.h5", "w", libver="latest") as file:
        file.create_virtual_dataset("d", layout)
        file.create_virtual_dataset("not this one", layout)
    return folder / "view.h5"


def view_in_the_same_file(folder: Path) -> Path:
    path = early_format(folder)
    with h5py.File(path, "a") as file:
        file.move("d", "real")
        layout = h5py.VirtualLayout((COUNT, *SHAPE), "i4")
        layout[:] = h5py.VirtualSource(".", "real", (COUNT, *SHAPE))
        file.create_virtual_dataset("d", layout)
    return path


@pytest.mark.parametrize(
    ("write", "there", "word"),
    [
        (chunked, [0, 1, 2, 3, 4, 5], ""),
        (in_one_piece, [0, 1, 2, 3, 4, 5], ""),
        (in_the_header, [0, 1, 2, 3, 4, 5], ""),
        (chunked_cut, [0, 1, 2], "it was cut short"),
        (compressed_cut, [0, 1, 2, 3, 4], "it was cut short"),
        (in_tiles, [0, 1, 2, 3, 5], "not written yet"),
        (several_in_a_chunk, [0, 1, 2, 3], "not written yet"),
        (early_format, [0, 1, 2], "not written yet"),
        (four_axes, [0, 1, 2, 5], "not written yet"),
        (in_one_piece_cut, [0, 1, 2, 3], "it was cut short"),
        (nothing_written, [], "nothing is written yet"),
        (raw_file_cut, [0, 1, 2, 3, 4], "bytes of it in"),
        (linked_cut, [0, 1, 2], "data.h5.* it was cut short"),
        (view_of((np.s_[:], "1", np.s_[:])), [0, 1, 2, 3, 4, 5], ""),
        (view_of((np.s_[:], "2", np.s_[:])), [0, 1, 2], r"in its source .*2\.h5"),
        (
            view_of((np.s_[:3], "1", np.s_[3:]), (np.s_[3:], "gone", np.s_[:3])),
            [0, 1, 2],
            "found no",
        ),
        (
            view_of((np.s_[::2], "1", np.s_[:3]), (np.s_[1::2], "2", np.s_[1:4])),
            [0, 1, 2, 3, 4],
            r"2\.h5",
        ),
        (
            view_of((np.s_[::2], "2", np.s_[::2]), (np.s_[1::2], "1", np.s_[:3])),
            [0, 1, 2, 3, 5],
            r"2\.h5",
        ),
        (view_of_pictures, [0, 1, 3, 4, 5], r"found no .*2\.h5"),
        (view_that_is_too_long, [0, 1, 2, 3], r"found \(4,\) rows"),
        (view_of_numbered_files, [0, 1, 2, 4, 5], r"part-1\.h5 .*cut short"),
        (view_of_a_view, [0, 1, 2], r"inner\.h5 in its source .*2\.h5"),
        (view_in_the_same_file, [0, 1, 2], "not written yet"),
    ],
)
@pytest.mark.parametrize("order", ["forwards", "backwards"])
def test_only_what_is_on_disk_is_read(
    tmp_path: Path, write: Callable[[Path], Path], there: list[int], word: str, order: str
) -> None:
    """Twice, since what was found once is remembered."""
    path = write(tmp_path)
    told: list[str] = []
    for _ in range(2):
        found = []
        with open_frames(path) as file:
            for row in range(COUNT) if order == "forwards" else reversed(range(COUNT)):
                try:
                    frame = read_frame(file["d"], row)
                except FrameAbsentError as error:
                    told.append(str(error))
                else:
                    assert frame.all()
                    found.append(row)
        assert sorted(found) == there
    assert all(re.search(word, text) for text in told)
    assert bool(told) == bool(word)


def test_frames_in_memory_are_there() -> None:
    with h5py.File("memory.h5", "w", driver="core", backing_store=False) as file:
        file["d"] = frames()
        assert np.array_equal(read_frame(file["d"], 5), frames()[5])


def test_what_was_not_there_is_looked_for_again(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    with h5py.File(path, "w", libver="latest") as writer:
        data = writer.create_dataset("d", (40, *SHAPE), "i4", chunks=(1, *SHAPE))
        writer.swmr_mode = True
        with open_frames(path) as reader:
            for row in range(40):
                with pytest.raises(FrameAbsentError):
                    read_frame(reader["d"], row)
                data[row] = 7
                data.flush()
                reader["d"].refresh()
                assert read_frame(reader["d"], row).all()


def test_values_are_looked_for_as_frames_are(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w", libver="latest") as file:
        data = file.create_dataset("d", (8,), "f8", chunks=(2,))
        data[:4] = 1
        file.flush()
        refuse_absent(data, 3, trailing=0)
        with pytest.raises(FrameAbsentError, match="expected row 4"):
            refuse_absent(data, 4, trailing=0)


def test_looking_costs_little_of_each_frame(tmp_path: Path) -> None:
    """Chunks are listed once for a state of the file: HDF5 goes through all of them for each."""
    with h5py.File(tmp_path / "f.h5", "w", libver="latest") as file:
        file.create_dataset("d", data=np.ones((3000, 4, 4), "u1"), chunks=(1, 4, 4))
    calls = 0

    class Counting:
        def __init__(self, data: h5py.Dataset) -> None:
            self._data = data
            self.id = data.id

        def __getattr__(self, name: str) -> Any:
            nonlocal calls
            calls += name == "chunks"
            return getattr(self._data, name)

    with open_frames(tmp_path / "f.h5") as file:
        data: Any = Counting(file["d"])
        for row in range(3000):
            refuse_absent(data, row)
    assert calls < 20
