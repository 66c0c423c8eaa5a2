"""Masks in py4xs' form, a compressed pickle: assembled here, and read without executing any of it.

py4xs keeps a mask as the bz2 of a pickled `py4xs.mask.Mask`. Reading looks at the pickle's
opcodes only as far as four known names; every other name is refused.
"""

import bz2
import io
import pickle  # noqa: TID251 - nothing that a file names is ever called: see _Names
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import FileFormatError, RefusedError

_DTYPES = ("b1", "i1", "u1", "i4", "i8")
_LARGEST_ITEM = 8  # bytes
_SLACK = 65536  # bytes that a pickle may have beside the array


class _Mask:
    """Stands for py4xs.mask.Mask; its attributes are plain values."""

    map: Any = None


class _Dtype:
    """Stands for numpy.dtype."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Array:
    """Stands for an array under construction."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _ArrayType:
    """Stands for numpy.ndarray."""


def _reconstruct(*_: Any) -> _Array:
    return _Array()


_KNOWN = {
    ("py4xs.mask", "Mask"): _Mask,
    ("numpy", "ndarray"): _ArrayType,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
}


class _Names(pickle.Unpickler):
    """Resolves the known names to inert stand-ins, and no other."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise RefusedError(f"expected a mask, found one that asks for {module}.{name}: refused")
        return _KNOWN[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise RefusedError("expected a mask, found one that asks for an outside object: refused")


def unpack_mask(packed: bytes, *, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Read a mask that py4xs or `pack_mask` packed.

    Raises
    ------
    RefusedError
        If it asks for anything but a mask.
    FileFormatError
        If it is larger than such a mask can be, damaged, or of another shape.
    """
    most = shape[0] * shape[1] * _LARGEST_ITEM + _SLACK
    decompressor = bz2.BZ2Decompressor()
    try:
        pickled = decompressor.decompress(packed, most)
    except (OSError, EOFError, ValueError) as error:
        raise FileFormatError(f"expected a compressed mask, found an error: {error}") from error
    if not decompressor.eof:
        raise FileFormatError(
            f"expected a mask of {shape} in at most {most} bytes, found more, or one cut short"
        )
    try:
        mask = _Names(io.BytesIO(pickled)).load()
        _, found, dtype, fortran, values = mask.map.state
        kind = str(dtype.arguments[0])
        big_endian = dtype.state is not None and dtype.state[1] == ">"
    except RefusedError:
        raise
    except Exception as error:
        raise FileFormatError(f"expected a mask of py4xs, found an error: {error!r}") from error
    if type(mask) is not _Mask or type(values) is not bytes or kind not in _DTYPES:
        raise FileFormatError(f"expected a mask of py4xs, found values of dtype {kind!r}")
    if tuple(found) != shape:
        raise FileFormatError(f"expected a mask of shape {shape}, found {tuple(found)}")
    number = np.dtype(kind).newbyteorder(">" if big_endian else "<")
    if len(values) != shape[0] * shape[1] * number.itemsize:
        raise FileFormatError(f"expected {shape[0] * shape[1]} pixels, found {len(values)} bytes")
    array = np.frombuffer(values, number).reshape(shape, order="F" if fortran else "C")
    return np.asarray(array != 0)


def pack_mask(mask: NDArray[np.bool_]) -> bytes:
    """Pack a mask (H, W) so that py4xs reads it, without needing py4xs.

    The pickle (protocol 3) is put together opcode by opcode, as `pickletools` documents them.
    """
    array = np.ascontiguousarray(mask, dtype=bool)
    rows, columns = array.shape
    dtype = (
        _name("numpy", "dtype") + b"(" + _text("b1") + _FALSE + _TRUE + b"tR"
        + b"(" + _integer(3) + _text("|") + _NONE * 3 + _integer(-1) * 2 + _integer(0) + b"tb"
    )  # fmt: skip
    data = (
        _name("numpy.core.multiarray", "_reconstruct")
        + b"(" + _name("numpy", "ndarray") + b"(" + _integer(0) + b"t" + _bytes(b"b") + b"tR"
        + b"(" + _integer(1) + b"(" + _integer(rows) + _integer(columns) + b"t" + dtype + _FALSE
        + _bytes(array.tobytes()) + b"tb"
    )  # fmt: skip
    state = (
        b"}(" + _text("width") + _integer(columns) + _text("height") + _integer(rows)
        + _text("maskfile") + _text("") + _text("map") + data + b"u"
    )  # fmt: skip
    new_object = _name("py4xs.mask", "Mask") + b")\x81"
    return bz2.compress(b"\x80\x03" + new_object + state + b"b.")


_TRUE, _FALSE, _NONE = b"\x88", b"\x89", b"N"


def _name(module: str, name: str) -> bytes:
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()


def _integer(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def _bytes(data: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(data)) + data
