"""Making an HDF5 file readable again that a killed writer left behind.

Only the superblock is touched (HDF5 File Format Specification, version 3.0, II.A): the flags
that say "open for writing" are cleared, the end of the file is set to its real size, and the
checksum follows. The library's own tools keep a stale end of file, which hides frames that were
already acknowledged.
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path

from h5xs_bluesky.errors import FileFormatError

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SIZE = 48  # of a superblock with 8-byte offsets, checksum included
_VERSION, _OFFSET_SIZE, _FLAGS = 8, 9, 11
_WITH_MANY_READERS = 3  # the version that has the mode for many readers
_OFFSET_BYTES = 8
_END_OF_FILE = 28
_WRITTEN_FOR_MANY = 0b101  # flags: open for writing, and for many readers (SWMR)
_CHECKSUM = 44
_MASK = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Superblock:
    """What matters of a superblock: flags, stored end of file, real size of the file."""

    flags: int
    end_of_file: int
    size: int

    @property
    def needs_repair(self) -> bool:
        """Whether a writer left the file open, or said that it is longer than it is."""
        return self.flags != 0 or self.is_cut

    @property
    def is_cut(self) -> bool:
        """Whether the file is shorter than it says."""
        return self.end_of_file > self.size


def read_superblock(path: Path) -> Superblock:
    """Read a file's superblock.

    Raises
    ------
    FileFormatError
        If the file is not HDF5 with a superblock of version 2 or 3, or its checksum is wrong.
    """
    with path.open("rb") as file:
        block = file.read(_SIZE)
    if len(block) < _SIZE or block[:8] != _SIGNATURE:
        raise FileFormatError(f"{path}: expected an HDF5 file, found none")
    if block[_VERSION] not in (2, 3) or block[_OFFSET_SIZE] != _OFFSET_BYTES:
        raise FileFormatError(
            f"{path}: expected a superblock of version 2 or 3 with 8-byte offsets, found version "
            f"{block[_VERSION]} with {block[_OFFSET_SIZE]}"
        )
    if checksum(block[:_CHECKSUM]) != struct.unpack_from("<I", block, _CHECKSUM)[0]:
        raise FileFormatError(f"{path}: expected the superblock's checksum, found another")
    (end_of_file,) = struct.unpack_from("<Q", block, _END_OF_FILE)
    return Superblock(block[_FLAGS], end_of_file, path.stat().st_size)


def is_written_for_many(path: Path) -> bool:
    """Tell whether a file's writer has it open in the mode for many readers (SWMR), or died so."""
    try:
        return read_superblock(path).flags & _WRITTEN_FOR_MANY == _WRITTEN_FOR_MANY
    except FileFormatError:  # an older format, which has no such mode
        return False


def expected_and_found_size(path: Path) -> tuple[int, int]:
    """Give the least size that a file should have, and that which it has.

    The first holds while the file is written, too: the end is noted when what is before it is
    written. It is 0 for formats without the mode for many readers, of which HDF5 itself says that
    they are truncated.
    """
    with path.open("rb") as file:
        block = file.read(_SIZE)
        size = os.fstat(file.fileno()).st_size  # after the block: a file that grows is longer now
    if len(block) < _SIZE or block[:8] != _SIGNATURE or block[_VERSION] != _WITH_MANY_READERS:
        return 0, size
    (end_of_file,) = struct.unpack_from("<Q", block, _END_OF_FILE)
    return (int(end_of_file) if block[_OFFSET_SIZE] == _OFFSET_BYTES else 0), size


def repair_superblock(path: Path) -> Superblock:
    """Make a file that a dead writer left readable; the caller knows that the writer is dead.

    Returns
    -------
    Superblock
        As it was before.

    Raises
    ------
    FileFormatError
        As `read_superblock`; the file is not touched then.
    """
    found = read_superblock(path)
    if not found.needs_repair:
        return found
    with path.open("r+b") as file:
        block = bytearray(file.read(_SIZE))
        block[_FLAGS] = 0
        struct.pack_into("<Q", block, _END_OF_FILE, found.size)
        struct.pack_into("<I", block, _CHECKSUM, checksum(bytes(block[:_CHECKSUM])))
        file.seek(0)
        file.write(block)
        file.flush()
        os.fsync(file.fileno())
    return found


def checksum(data: bytes) -> int:
    """Give the checksum that HDF5 uses for its metadata: lookup3 (Bob Jenkins, public domain).

    Examples
    --------
    >>> hex(checksum(b"Four score and seven years ago"))
    '0x17770551'
    """
    a = b = c = (0xDEADBEEF + len(data)) & _MASK
    while len(data) > 12:
        x, y, z = struct.unpack_from("<III", data)
        a, b, c = _mix((a + x) & _MASK, (b + y) & _MASK, (c + z) & _MASK)
        data = data[12:]
    if data:
        x, y, z = struct.unpack("<III", data.ljust(12, b"\0"))
        a, b, c = _finish((a + x) & _MASK, (b + y) & _MASK, (c + z) & _MASK)
    return c


def _rotated(value: int, by: int) -> int:
    return ((value << by) | (value >> (32 - by))) & _MASK


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    for by in (4, 6, 8, 16, 19, 4):
        a = ((a - c) & _MASK) ^ _rotated(c, by)
        c = (c + b) & _MASK
        a, b, c = b, c, a
    return a, b, c


def _finish(a: int, b: int, c: int) -> tuple[int, int, int]:
    for by in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - _rotated(b, by)) & _MASK
        a, b, c = b, c, a
    return c, a, b  # seven turns of three leave the roles one turn on
