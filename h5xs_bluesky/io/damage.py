"""Finding out what of a file is damaged, or lost."""

from pathlib import Path
from typing import Any

import h5py

from h5xs_bluesky import schema
from h5xs_bluesky.errors import FrameAbsentError
from h5xs_bluesky.io.opening import DAMAGE, open_frames, open_whole
from h5xs_bluesky.io.presence import refuse_absent


def damage_of(path: Path) -> str:
    """Tell what of a file cannot be read; "" if all can.

    Looked at are names, attributes, texts, and where the chunks of datasets are. Numbers have no
    checksum: zeros in their place are not noticed.
    """
    try:
        with open_whole(path) as file:
            _look_at("", file)
            file.visititems(_look_at)
    except DAMAGE as error:
        text = str(error).strip("'\"")
        return text if str(path) in text else f"{path}: found damage: {text}"
    return ""


def linked_files(path: Path) -> set[str]:
    """Name the files that links in a file lead to, as the links do."""
    found: set[str] = set()

    def note(_name: str, link: Any) -> None:
        if isinstance(link, h5py.ExternalLink):
            found.add(link.filename)

    with open_whole(path) as file:
        file.visititems_links(note)
    return found


def missing_rows(path: Path, rows: int) -> int:
    """Count the acknowledged frames that a file of ours has lost; none where it links them."""
    with open_frames(path) as file:
        link = file.get(schema.DATA, getlink=True)
        data = file[schema.DATA] if isinstance(link, h5py.HardLink) else None
        if data is None or data.is_virtual:
            return 0
        return sum(not _is_there(data, row) for row in range(rows))


def _is_there(data: h5py.Dataset, row: int) -> bool:
    if row >= len(data):
        return False
    try:
        refuse_absent(data, row)
    except FrameAbsentError:
        return False
    return True


def _look_at(_name: str, member: Any) -> None:
    dict(member.attrs)
    if not isinstance(member, h5py.Dataset):
        return
    if member.chunks is not None:
        member.id.get_num_chunks()
    if h5py.check_string_dtype(member.dtype) is not None:
        member[()]
