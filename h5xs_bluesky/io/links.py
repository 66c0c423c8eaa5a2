"""Following links in files that may come from anywhere: never out of the allowed folders."""

import os
import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import h5py

from h5xs_bluesky.errors import FileCutError, FileDamagedError, RefusedError
from h5xs_bluesky.io.opening import open_frames, open_whole, refuse_damaged
from h5xs_bluesky.io.presence import refuse_absent

_MOST_IN_A_ROW = 16
_MOST_KNOWN = 10_000
_FRAMES_NDIM = 3

# Sources of virtual datasets (file, dataset, how it is opened, state) that lead into no other file.
_plain: set[tuple[Path, str, int, tuple[int, ...]]] = set()


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
        The folders that links, virtual sources and external raw storage may lead into. What a
        virtual source holds is checked in turn; raw storage that has no absolute path is refused,
        since HDF5 looks for it from the working directory.

    Returns
    -------
    Group, Dataset or None
        None where a name is missing or its link leads nowhere.

    Raises
    ------
    RefusedError
        If the way leads out of the roots.
    OSError
        If a file on the way cannot be read: the source of a virtual dataset that cannot be opened
        at the moment, or a linked file that is damaged. Of one that was cut short a dataset is
        given whose rows are all there, and one of frames, which `io.presence` tells of.
    """
    return _Guard(roots).follow(group, path)


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


class _Guard:
    """Follows one way, with all that it branches into.

    Parameters
    ----------
    roots
        The folders that it may lead into.
    """

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = roots
        self._resolved = [root.resolve() for root in roots]
        self._seen: set[tuple[str, str]] = set()  # sources, file and dataset, that are inside
        self._branches = 0  # links, views and raw files on the way that lead into other files

    def follow(
        self, group: h5py.Group, path: str, depth: int = 0
    ) -> h5py.Group | h5py.Dataset | None:
        """Give a member; `depth` counts the soft links and views that led here."""
        if depth > _MOST_IN_A_ROW:
            raise RefusedError(
                f"{group.file.filename}: expected at most {_MOST_IN_A_ROW} soft links and views in "
                f"a row, found more on the way to {path!r}: they probably lead in a circle"
            )
        member: h5py.Group | h5py.Dataset = group
        for name in path.split("/"):
            if not isinstance(member, h5py.Group) or name in ("", "."):
                return None
            link = member.get(name, getlink=True)
            if isinstance(link, h5py.SoftLink):
                base = member.file if link.path.startswith("/") else member
                found = self.follow(base, link.path.strip("/"), depth + 1)
            else:
                if isinstance(link, h5py.ExternalLink):
                    self._branches += 1
                    self._check(member.file, link.filename)
                    found = _linked(member, name, link)
                else:
                    found = _member(member, name, link)
                if found is not None and isinstance(link, h5py.ExternalLink):
                    # Further links may have led on, and HDF5 looks in the working directory, too.
                    self._check(member.file, str(Path.cwd() / found.file.filename))
            if found is None:
                return None
            member = found
        if isinstance(member, h5py.Dataset):
            self._check_storage(member, depth)
        return member

    def _check_storage(self, dataset: h5py.Dataset, depth: int) -> None:
        for filename, _, _ in dataset.external or ():
            self._branches += 1
            if not Path(filename).is_absolute():  # HDF5 begins in the working directory
                raise self._refusal(dataset.file, filename)
            self._check(dataset.file, filename)
        if dataset.is_virtual:
            self._branches += 1
            sources = {(each.file_name, each.dset_name) for each in dataset.virtual_sources()}
            for filename, name in sorted(sources):
                if filename == ".":
                    self._check_source(dataset.file, name, depth)
                else:
                    self._check(dataset.file, filename)
                    for each in self._numbered_files(dataset.file, filename):
                        self._check_file(dataset.file, each, name, depth)

    def _numbered_files(self, file: h5py.File, name: str) -> list[str]:
        """List the files that stand for a source: there are several if it has "%b" in its name."""
        folder, last = Path(name).parent, Path(name).name
        if "%" not in name:
            return [name]
        if "%" in str(folder):
            raise self._refusal(file, name)
        folders = {place.parent for place in _places(file, name)}
        listed = {each.name for place in folders if place.is_dir() for each in place.iterdir()}
        return [str(folder / each) for each in _numbered(listed, last)]

    def _check_file(self, file: h5py.File, filename: str, name: str, depth: int) -> None:
        """Check a source in another file, which HDF5 takes from the first place that it can."""
        there = [place for place in _places(file, filename) if place.exists()]
        for place in there:
            self._check(file, str(place))
            if (str(place), name) in self._seen:
                return
            # While there is one place only, what was found in it holds until the file changes.
            state = (place, name, file.id.get_intent(), _state(place))
            alone = all(each == place or each.samefile(place) for each in there)
            if alone and state in _plain:
                return
            try:
                opened = h5py.h5f.open(
                    os.fsencode(place), file.id.get_intent(), file.id.get_access_plist()
                )
            except OSError:  # HDF5 goes on to the next place
                with open_frames(place) as source:
                    self._check_source(source, name, depth)
                continue
            branches = self._branches
            with h5py.File(opened) as source:
                self._check_source(source, name, depth)
            if branches == self._branches and "%" not in name and _is_old(place):
                if len(_plain) >= _MOST_KNOWN:
                    _plain.clear()
                _plain.add(state)
            self._seen.add((str(place), name))
            return

    def _check_source(self, source: h5py.File, name: str, depth: int) -> None:
        parent, _, last = name.strip("/").rpartition("/")
        names = [last]
        if "%" in parent:
            raise self._refusal(source, name)
        if "%" in last:
            group = self.follow(source, parent, depth + 1) if parent else source
            names = _numbered(group, last) if isinstance(group, h5py.Group) else []
        for each in names:
            path = f"{parent}/{each}".strip("/")
            found = self.follow(source, path, depth + 1)
            if found is None and source.get(path) is not None:  # HDF5 knows a way that we do not
                raise self._refusal(source, path)

    def _check(self, file: h5py.File, target: str | bytes) -> None:
        name = target.decode(errors="replace") if isinstance(target, bytes) else target
        path = Path(name)
        if not path.is_absolute():
            path = Path(file.filename).resolve().parent / path
        resolved = path.resolve()
        if not any(resolved.is_relative_to(root) for root in self._resolved):
            raise self._refusal(file, name)

    def _refusal(self, file: h5py.File, name: str) -> RefusedError:
        folders = ", ".join(str(root) for root in self._roots) or "the file itself"
        return RefusedError(
            f"{file.filename}: expected data inside {folders}, found a link to {name!r}: "
            "it was not followed; move the data into the folder, or add theirs to the roots"
        )


def _member(group: h5py.Group, name: str, link: Any) -> h5py.Group | h5py.Dataset | None:
    """Give what is in the file itself; None if there is no such name."""
    try:
        found: h5py.Group | h5py.Dataset | None = group.get(name)
        problem = "an object that cannot be opened"
    except RuntimeError as error:
        found, problem = None, str(error)
    if found is None and link is not None:
        raise FileDamagedError(f"{group.file.filename}: {group.name}: {name}: found {problem}")
    return found


def _linked(
    group: h5py.Group, name: str, link: h5py.ExternalLink
) -> h5py.Group | h5py.Dataset | None:
    """Follow a link to another file; None if the file, or the member in it, is not there."""
    try:
        found: h5py.Group | h5py.Dataset = group[name]
    except (KeyError, RuntimeError) as error:  # h5py makes either of damage
        place = Path(group.file.filename).resolve().parent / link.filename
        if isinstance(error, RuntimeError) or (place.is_file() and _is_damaged(place, link.path)):
            raise FileDamagedError(
                f"{place}: expected {link.path}, found damage: {error}"
            ) from error
        return None
    try:
        refuse_damaged(Path(os.fsdecode(h5py.h5f.get_name(found.id))))
    except FileCutError:
        if isinstance(found, h5py.Group):
            raise
        if found.ndim < _FRAMES_NDIM:
            for row in range(len(found) if found.ndim else 1):
                refuse_absent(found, row, trailing=max(0, found.ndim - 1))
    return found


def _is_damaged(place: Path, path: str) -> bool:
    """Tell whether a member that cannot be opened is one that the file itself has."""
    with open_whole(place) as file:
        try:
            return path in file and isinstance(file.get(path, getlink=True), h5py.HardLink)
        except (KeyError, OSError, RuntimeError):  # the way to it is damaged
            return True


def _state(path: Path) -> tuple[int, ...]:
    """Give what is another after every change: the time of the last cannot be set."""
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_ctime_ns


def _is_old(path: Path) -> bool:
    """Tell whether the next change will be seen, which is so beyond the resolution of its time."""
    return time.time() - path.stat().st_ctime > 1


def _places(file: h5py.File, name: str) -> list[Path]:
    """List where HDF5 looks for the source of a virtual dataset, in its order."""
    opened = Path.cwd() / file.filename
    folders = [opened.parent, Path.cwd(), opened.resolve().parent]
    given = os.environ.get("HDF5_VDS_PREFIX", "").replace("${ORIGIN}", str(opened.parent))
    folders = [*(Path(each) for each in given.split(os.pathsep) if each), *folders]
    path = Path(name)
    if path.is_absolute():
        return [path, *(folder / path.name for folder in folders)]
    return [folder / path for folder in folders]


def _numbered(names: Iterable[str], pattern: str) -> list[str]:
    """Choose the names that HDF5 may make of one: "%b" is any number, "%%" a percent sign."""
    pieces = {"%b": "[0-9]+", "%%": "%%?"}
    parts = re.split("(%b|%%)", pattern)
    known = re.compile("".join(pieces.get(part, re.escape(part)) for part in parts))
    return sorted(name for name in names if name == pattern or known.fullmatch(name))
