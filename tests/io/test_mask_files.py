"""Masks from files, and in py4xs' form."""

import bz2
import io
import os
import pickle  # noqa: TID251 - to make files that must be refused
from pathlib import Path
from typing import Any

import fabio.edfimage
import fabio.tifimage
import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from PIL import Image

from h5xs_bluesky.errors import FileFormatError, H5xsError, RefusedError
from h5xs_bluesky.io.mask_files import detector_mask, read_mask
from h5xs_bluesky.io.py4xs_masks import pack_mask, unpack_mask

SHAPE = (6, 9)
MASK = np.random.default_rng(0).random(SHAPE) < 0.3


def test_every_kind_of_file_gives_the_same_mask(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", MASK)
    np.savez(tmp_path / "b.npz", mask=MASK, other=1)
    np.savez(tmp_path / "c.npz", whatever=MASK.astype("u1") * 255)
    for name in ("d.tif", "e.edf"):
        image = fabio.tifimage.TifImage if name.endswith("tif") else fabio.edfimage.EdfImage
        image(data=MASK.astype("u1")).write(str(tmp_path / name))
    for path in sorted(tmp_path.iterdir()):
        assert np.array_equal(read_mask(path, shape=SHAPE), MASK), path.name


def saved(path: Path, array: NDArray[Any]) -> Path:
    np.save(path, array)
    return path


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "inside", "outside", "why"),
    [
        ("c 4 3 2", [(3, 4), (3, 6), (1, 4)], [(0, 4), (3, 7)], "a disc about column 4, row 3"),
        ("h 4 3 2", [(0, 0), (3, 7)], [(3, 4)], "a hole"),
        ("r 4 3 2 2 0", [(3, 4), (2, 3)], [(0, 0), (3, 7)], "a rectangle"),
        ("p 0 0 4 0 0 4", [(0, 0), (1, 1)], [(4, 4)], "a triangle"),
        ("f 4 3 0 90 1 3", [(5, 5), (3, 7)], [(3, 4), (0, 4)], "a fan: right and down"),
        ("# beam stop\n\nc 4 3 1\nshadow of the arm\np 0 0 1 0 0 1", [(3, 4), (0, 0)], [(5, 8)],
         "several, with remarks"),
    ],
)  # fmt: skip
def test_shapes_are_drawn(
    tmp_path: Path,
    text: str,
    inside: list[tuple[int, int]],
    outside: list[tuple[int, int]],
    why: str,
) -> None:
    mask = read_mask(written(tmp_path / "mask.SAXS", text), shape=SHAPE)
    assert all(mask[place] for place in inside), why
    assert not any(mask[place] for place in outside), why


@pytest.mark.parametrize("flip", [1, -1, 2, -3])
def test_mask_of_py4xs_picture_is_turned_back(tmp_path: Path, flip: int) -> None:
    from h5xs_bluesky.reduction.py4xs_geometry import Py4xsGeometry

    place = Py4xsGeometry(
        image_width=9, image_height=6, bm_ctr_x=0, bm_ctr_y=0, ratio_dw=1,
        wavelength_angstrom=1, flip=flip,
    )  # fmt: skip
    np.save(tmp_path / "a.npy", MASK)
    stored = place.stored(MASK)
    found = read_mask(tmp_path / "a.npy", shape=stored.shape, flip=flip)
    assert np.array_equal(found, stored)


def nexus_mask(path: Path, values: NDArray[Any], name: str = "pixel_mask") -> Path:
    with h5py.File(path, "w") as file:
        file[f"entry/instrument/detector/{name}"] = values
    return path


def test_bits_of_a_pixel_mask(tmp_path: Path) -> None:
    values = np.zeros(SHAPE, "u4")
    values[0, :5] = 1 << 0, 1 << 1, 1 << 4, 1 << 8, 1 << 31
    path = nexus_mask(tmp_path / "master.h5", values)
    assert np.argwhere(read_mask(path, shape=SHAPE))[:, 1].tolist() == [0, 1, 2, 3, 4]
    some = read_mask(path, shape=SHAPE, bits=[1, 31])
    assert np.argwhere(some)[:, 1].tolist() == [1, 4]
    other = nexus_mask(tmp_path / "other.h5", values, name="bad")
    named = read_mask(other, shape=SHAPE, dataset="/entry/instrument/detector/bad", bits=[0])
    assert named.sum() == 1


def test_painted_region_is_the_mask(tmp_path: Path) -> None:
    """On a screenshot, say, of a frame: what is red is excluded."""
    pixels = np.random.default_rng(1).integers(0, 200, (*SHAPE, 3)).astype("u1")
    pixels[MASK] = 255, 0, 0
    Image.fromarray(pixels).save(tmp_path / "painted.png")
    for color in ("red", "#ff0000"):
        found = read_mask(tmp_path / "painted.png", shape=SHAPE, color=color)
        assert np.array_equal(found, MASK)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_remarks_may_be_in_any_language(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_bytes("# Schatten der Stütze, Å\nc 4 3 2\n".encode(encoding))
    assert read_mask(tmp_path / "a.txt", shape=SHAPE)[3, 4]


def test_highest_bit_of_a_pixel_mask(tmp_path: Path) -> None:
    values = MASK.astype(np.uint64) << np.uint64(63)
    path = nexus_mask(tmp_path / "a.h5", values)
    assert np.array_equal(read_mask(path, shape=SHAPE, bits=[63]), MASK)
    assert not read_mask(path, shape=SHAPE, bits=[0]).any()


def test_masks_that_pyfai_knows() -> None:
    mask = detector_mask("Pilatus1M", shape=(1043, 981))
    assert mask[200].all(), "a gap between modules"
    assert not mask[100, 100]


@pytest.mark.parametrize(
    ("make", "how", "word"),
    [
        (lambda p: written(p / "a.txt", "c 1 2"), {}, "line 1: expected 3 numbers"),
        (lambda p: written(p / "a.txt", "p 1 2 3 4"), {}, "three or more pairs"),
        (lambda p: written(p / "a.txt", "nothing drawn"), {}, "expected a mask"),
        (lambda p: written(p / "a.txt", "c 1 2 3O\nc 4 3 2"), {}, "line 1: .*found 'c 1 2 3O'"),
        (lambda p: written(p / "a.txt", "c 4 3 2\nC 1 2 3"), {}, "line 2: .*found 'C 1 2 3'"),
        (lambda p: written(p / "a.txt", "c 1, 2, 3"), {}, "separated by spaces"),
        (lambda p: saved(p / "a.npy", MASK), {"bits": [0]}, "expected an HDF5 file"),
        (lambda p: saved(p / "a.npy", MASK), {"dataset": "x"}, "expected an HDF5 file"),
        (lambda p: written(p / "a.txt", "c 4 3 2"), {"bits": [0]}, "expected an HDF5 file"),
        (lambda p: nexus_mask(p / "a.h5", MASK * 1), {"bits": [-1]}, r"found \[-1\]"),
        (lambda p: nexus_mask(p / "a.h5", MASK * 1), {"bits": [64]}, "bits from 0 to 63"),
        (lambda p: nexus_mask(p / "a.h5", MASK * 1), {"bits": []}, "bits from 0 to 63"),
        (lambda p: saved(p / "a.npy", np.where(MASK, np.nan, 0)), {}, r"\(NaN\)"),
        (lambda p: nexus_mask(p / "a.h5", MASK, name="other"), {}, "found none: name"),
        (lambda p: nexus_mask(p / "a.h5", MASK * 1.0), {}, "whole numbers"),
        (lambda p: nexus_mask(p / "a.h5", MASK[:2]), {}, r"found \(2, 9\)"),
        (lambda p: written(p / "a.png", "no picture"), {"color": "red"}, "painted picture"),
        (lambda p: written(p / "a.png", ""), {"color": "reddish"}, "a colour like"),
    ],
)
def test_file_that_holds_no_mask_is_refused(
    tmp_path: Path, make: Any, how: dict[str, Any], word: str
) -> None:
    with pytest.raises(FileFormatError, match=word):
        read_mask(make(tmp_path), shape=SHAPE, **how)


def test_picture_without_paint_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((*SHAPE, 3), "u1")).save(tmp_path / "a.png")
    with pytest.raises(FileFormatError, match="save without loss"):
        read_mask(tmp_path / "a.png", shape=SHAPE, color="red")


def test_mask_behind_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    nexus_mask(tmp_path / "secret.h5", MASK.astype("u1"))
    with h5py.File(tmp_path / "in" / "x.h5", "w") as file:
        file["entry"] = h5py.ExternalLink("../secret.h5", "/entry")
    with pytest.raises(RefusedError):
        read_mask(tmp_path / "in" / "x.h5", shape=SHAPE)


def test_unknown_detector_prints_nothing(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(FileFormatError, match="pyFAI knows"):
        detector_mask("home made", shape=SHAPE)
    assert "".join(capfd.readouterr()) + caplog.text == ""


def test_detector_without_a_mask_in_pyfai_is_told() -> None:
    with pytest.raises(FileFormatError, match="expected a detector that pyFAI knows"):
        detector_mask("home made", shape=SHAPE)
    with pytest.raises(FileFormatError, match="give it as a file"):
        detector_mask("Pilatus1M", shape=SHAPE)


def test_mask_of_the_real_frames_is_read(h5xs_data: Path) -> None:
    assert read_mask(h5xs_data / "saxs" / "mask.npz", shape=(1043, 981)).any()


def test_pickled_array_is_not_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(FileFormatError):
        read_mask(tmp_path / "a.npy", shape=(1, 1))


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=30)), st.booleans())
def test_packed_mask_comes_back(mask: NDArray[np.bool_], fortran: bool) -> None:
    ordered = np.asfortranarray(mask) if fortran else mask
    assert np.array_equal(unpack_mask(pack_mask(ordered), shape=mask.shape), mask)


class Payload:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def test_mask_that_would_run_a_command_is_refused(tmp_path: Path) -> None:
    packed = bz2.compress(pickle.dumps(Payload(tmp_path / "ran")))
    with pytest.raises(RefusedError, match="refused"):
        unpack_mask(packed, shape=SHAPE)
    assert not (tmp_path / "ran").exists()


def many_zeros() -> bytes:
    stream = io.BytesIO()
    compressor = bz2.BZ2Compressor()
    for _ in range(20):
        stream.write(compressor.compress(bytes(1_000_000)))
    stream.write(compressor.flush())
    return stream.getvalue()


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"no bz2",
        bz2.compress(b"no pickle"),
        bz2.compress(pickle.dumps([1, 2, 3])),
        bz2.compress(pickle.dumps(MASK)),
        bz2.compress(pickle.dumps(Path("/etc/passwd"))),
        pack_mask(MASK)[:-5],
        pack_mask(MASK.T),
        many_zeros(),
    ],
)
def test_what_is_no_mask_is_refused(packed: bytes) -> None:
    with pytest.raises(H5xsError):
        unpack_mask(packed, shape=SHAPE)
