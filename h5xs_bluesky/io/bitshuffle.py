"""Bitshuffle and LZ4: the chunks of frame files, made and read without holding the interpreter."""

import ctypes
import struct
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import FileFormatError

# A chunk as the HDF5 filter 32008 stores it: bytes of the frame, bytes of a block, blocks.
_HEADER = struct.Struct(">QI")
_LENGTH = struct.Struct(">I")  # of a compressed block, before it
_TOGETHER = 8  # elements; those that are left over stand at the end as they are


@cache
def _library() -> ctypes.CDLL:
    """Load the codec that hdf5plugin ships as an HDF5 filter; calls release the interpreter."""
    import hdf5plugin

    library = ctypes.CDLL(str(Path(hdf5plugin.PLUGIN_PATH) / "libh5bshuf.so"))
    size, pointer = ctypes.c_size_t, ctypes.c_void_p
    for name in ("bshuf_compress_lz4", "bshuf_decompress_lz4"):
        function = getattr(library, name)
        function.restype = ctypes.c_int64
        function.argtypes = [pointer, pointer, size, size, size]
    library.bshuf_compress_lz4_bound.restype = size
    library.bshuf_compress_lz4_bound.argtypes = [size, size, size]
    library.bshuf_default_block_size.restype = size
    library.bshuf_default_block_size.argtypes = [size]
    return library


def compress(frame: NDArray[Any]) -> bytes:
    """Compress a frame into an HDF5 chunk.

    Parameters
    ----------
    frame : ndarray
        Of numbers, any shape with at least one element.

    Raises
    ------
    ValueError
        If there is nothing to compress, or it does not hold numbers.
    """
    frame = np.ascontiguousarray(frame)
    if frame.size == 0 or frame.dtype.kind not in "biuf":
        raise ValueError(
            f"expected a frame of numbers, found shape {frame.shape} and dtype {frame.dtype}"
        )
    library, width = _library(), frame.itemsize
    block = library.bshuf_default_block_size(width)
    room = library.bshuf_compress_lz4_bound(frame.size, width, block)
    chunk = np.empty(_HEADER.size + room, dtype=np.uint8)
    written = library.bshuf_compress_lz4(
        frame.ctypes.data, chunk.ctypes.data + _HEADER.size, frame.size, width, block
    )
    if written < 0:
        raise ValueError(f"expected the frame to compress, found error {written} of the codec")
    _HEADER.pack_into(chunk.data, 0, frame.nbytes, block * width)
    return chunk[: _HEADER.size + written].tobytes()


def decompress(chunk: bytes, *, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Give the frame that a chunk holds.

    Raises
    ------
    FileFormatError
        If the chunk is not that of such a frame.
    """
    frame = np.empty(shape, dtype=dtype)
    if len(chunk) < _HEADER.size:
        raise FileFormatError(f"expected a compressed chunk, found {len(chunk)} bytes")
    size, block_bytes = _HEADER.unpack_from(chunk)
    if size != frame.nbytes or block_bytes % frame.itemsize:
        raise FileFormatError(
            f"expected a chunk of {frame.nbytes} bytes ({shape}, {dtype}), found one of {size}"
        )
    block = block_bytes // frame.itemsize or _library().bshuf_default_block_size(frame.itemsize)
    _check_blocks(chunk, elements=frame.size, width=frame.itemsize, block=block)
    source = np.frombuffer(chunk, dtype=np.uint8, offset=_HEADER.size)
    read = _library().bshuf_decompress_lz4(
        source.ctypes.data,
        frame.ctypes.data,
        frame.size,
        frame.itemsize,
        block,
    )
    if read != len(source):
        raise FileFormatError(
            f"expected a chunk of {len(source)} compressed bytes, found one that ends after {read}"
        )
    return frame


def _check_blocks(chunk: bytes, *, elements: int, width: int, block: int) -> None:
    """Check that a chunk's blocks end where it ends: the codec reads on wherever they lead it."""
    place = _HEADER.size
    if block % _TOGETHER == 0:
        for _ in range(elements // block + (elements % block >= _TOGETHER)):
            if place + _LENGTH.size > len(chunk):
                break
            place += _LENGTH.size + _LENGTH.unpack_from(chunk, place)[0]
        place += elements % _TOGETHER * width
    if place != len(chunk):
        raise FileFormatError(
            f"expected a chunk whose blocks of {block} elements end after {len(chunk)} bytes, "
            f"found that they end after {place}: it is damaged"
        )
