"""Masks from files, and in py4xs' form."""

import bz2
import io
import os
import pickle  # noqa: TID251 - to make files that must be refused
from pathlib import Path
from typing import Any

import fabio.edfimage
import fabio.tifimage
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from h5xs_bluesky.errors import FileFormatError, H5xsError, RefusedError
from h5xs_bluesky.io.mask_files import read_mask
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
