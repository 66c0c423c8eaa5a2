"""Following links in files that may come from anywhere: never out of the allowed folders."""

from collections.abc import Sequence
from pathlib import Path

import h5py

from h5xs_bluesky.errors import RefusedError

_MOST_SOFT_LINKS = 16


def follow(
    group: h5py.Group, path: str, *, roots: Sequence[Path]
) -> h5py.Group | h5py.Dataset | None:
    """Give a member of a group, step by step, with every link on the way checked.

    Parameters
    ----------
    group
        Where `path` begins.
    path
        Names separated by "/".
    roots
        The folders that links, virtual sources and external raw storage may lead into.

    Returns
    -------
    Group, Dataset or None
        None where a name is missing or its link leads nowhere.

    Raises
    ------
    RefusedError
        If the way leads out of the roots.
    """
    return _follow(group, path, roots, 0)


def _follow(
    group: h5py.Group, path: str, roots: Sequence[Path], depth: int
) -> h5py.Group | h5py.Dataset | None:
    if depth > _MOST_SOFT_LINKS:
        raise RefusedError(
            f"{group.file.filename}: expected at most {_MOST_SOFT_LINKS} soft links in a row, "
            f"found more on the way to {path!r}: they probably lead in a circle"
        )
    member: h5py.Group | h5py.Dataset = group
    for name in path.split("/"):
        if not isinstance(member, h5py.Group):
            return None
        link = member.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            _check(member.file, link.filename, roots)
        elif isinstance(link, h5py.SoftLink):
            base = member.file if link.path.startswith("/") else member
            found = _follow(base, link.path.strip("/"), roots, depth + 1)
            if found is None:
                return None
            member = found
            continue
        found = member.get(name)
        if found is None:
            return None
        _check(member.file, found.file.filename, roots)  # a link may lead to further links
        member = found
    if isinstance(member, h5py.Dataset):
        _check_storage(member, roots)
    return member


def refuse_outside(group: h5py.Group, path: str, *, roots: Sequence[Path]) -> None:
    """Check a member and all that is below it.

    Raises
    ------
    RefusedError
        If a way leads out of the roots.
    """
    member = follow(group, path, roots=roots)
    if isinstance(member, h5py.Group):
        for below in member:
            refuse_outside(member, below, roots=roots)


def _check_storage(dataset: h5py.Dataset, roots: Sequence[Path]) -> None:
    for filename, _, _ in dataset.external or ():
        _check(dataset.file, filename, roots)
    if dataset.is_virtual:
        for source in dataset.virtual_sources():
            if source.file_name != ".":
                _check(dataset.file, source.file_name, roots)


def _check(file: h5py.File, target: str | bytes, roots: Sequence[Path]) -> None:
    name = target.decode(errors="replace") if isinstance(target, bytes) else target
    resolved = (Path(file.filename).resolve().parent / name).resolve()
    if not any(resolved.is_relative_to(root.resolve()) for root in roots):
        folders = ", ".join(str(root) for root in roots)
        raise RefusedError(
            f"{file.filename}: expected data inside {folders}, found a link to {name!r}: "
            "it was not followed; move the data into the folder, or add theirs to the roots"
        )
