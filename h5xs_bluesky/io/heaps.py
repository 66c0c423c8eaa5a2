"""Finding damage on which HDF5 never stops: heaps of strings (global heaps) that hold zeros.

A global heap (HDF5 File Format Specification, version 3.0, III.E) has no checksum. HDF5 (2.0.0 and
before) goes from object to object by their sizes, and stays for ever at free space of size 0, which
is what a block of zeros looks like.
"""

import struct

_BEGINNING = b"GCOL\x01\0\0\0"
_OBJECT = struct.Struct("<HH4xQ")  # number, references, size


def endless_heap(data: bytes) -> int | None:
    """Give where in a file's bytes a heap begins that has no end; None if all are sound."""
    begin = data.find(_BEGINNING)
    while begin >= 0:
        if not _has_end(data, begin):
            return begin
        begin = data.find(_BEGINNING, begin + 1)
    return None


def _has_end(data: bytes, begin: int) -> bool:
    header = len(_BEGINNING) + 8
    if begin + header > len(data):
        return True
    (size,) = struct.unpack_from("<Q", data, begin + len(_BEGINNING))
    at, end = begin + header, begin + size
    while at + _OBJECT.size <= min(end, len(data)):
        number, _, length = _OBJECT.unpack_from(data, at)
        if number == 0 and length == 0:
            return False
        at += length if number == 0 else _OBJECT.size + -(-length // 8) * 8
    return True
