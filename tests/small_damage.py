"""Damage to files, as disks, copies and networks do it."""

import os
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

from h5xs_bluesky.io.superblock import checksum

Damage = Callable[[Path], None]

_SUPERBLOCK = 48
_BEING_WRITTEN = 0b101


def cut(path: Path, share: float) -> None:
    os.truncate(path, int(path.stat().st_size * share))


def cut_by_a_byte(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def copied_in_part_while_it_grew(path: Path) -> None:
    """Cut it, with flags that say that a writer has it open for many readers."""
    block = bytearray(path.read_bytes()[:_SUPERBLOCK])
    block[11] = _BEING_WRITTEN
    struct.pack_into("<I", block, _SUPERBLOCK - 4, checksum(bytes(block[:-4])))
    with path.open("r+b") as file:
        file.write(block)
    cut(path, 0.5)


def zero(path: Path, first: float, last: float) -> None:
    """Fill a part with zeros; the superblock and the size stay."""
    size = path.stat().st_size
    begin, end = max(_SUPERBLOCK, int(size * first)), int(size * last)
    with path.open("r+b") as file:
        file.seek(begin)
        file.write(bytes(end - begin))


CUTS: dict[str, Damage] = {
    **{f"cut at {share:.0%}": partial(cut, share=share) for share in (0.1, 0.5, 0.9)},
    "a byte less": cut_by_a_byte,
    "copied in part while it grew": copied_in_part_while_it_grew,
}
ZEROS: dict[str, Damage] = {
    "zeros but for the superblock": partial(zero, first=0, last=1),
    "zeros in the middle": partial(zero, first=0.25, last=0.75),
    **{
        f"zeros from {n / 16:.0%}": partial(zero, first=n / 16, last=(n + 1) / 16)
        for n in range(16)
    },
}
