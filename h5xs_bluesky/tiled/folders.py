"""What of a folder is served: its experiments and packed files, and what has changed in them."""

import json
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import h5py

from h5xs_bluesky import schema
from h5xs_bluesky.errors import RefusedError
from h5xs_bluesky.io.experiment import open_for_reading
from h5xs_bluesky.io.opening import DAMAGE
from h5xs_bluesky.io.replace import is_locked
from h5xs_bluesky.io.sidecar import sidecar_of

logger = logging.getLogger(__name__)

_MOST_LEVELS = 4  # of folders below the served one

Key = tuple[str, ...]
Signature = tuple[object, ...]


class ServedFolder:
    """Finds the files to serve in a folder, again and again.

    A folder with an ``experiment.h5`` is an experiment, served under its own name; elsewhere each
    HDF5 file with a q-grid is a packed or an ancestor's file, served under its file name. Symbolic
    links, and subfolders that cannot be read, are passed over with a warning.

    Parameters
    ----------
    folder
        An experiment's, or one with experiments and files in it.
    tells
        Warn, once each; False where another one looks through the same folder.
    """

    def __init__(self, folder: Path, *, tells: bool = True) -> None:
        self.folder = folder.resolve()
        self._checked: dict[Path, tuple[Signature, bool]] = {}
        self._told: set[Path] | None = set() if tells else None

    def files(self) -> dict[Key, Path]:
        """Give the files to serve, by the names of the containers that lead to them."""
        if (self.folder / schema.EXPERIMENT_FILE).is_file():
            return {(self.folder.name,): self.folder / schema.EXPERIMENT_FILE}
        return dict(self._below(self.folder, ()))

    def _below(self, folder: Path, key: Key) -> Iterator[tuple[Key, Path]]:
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            path = Path(entry.path)
            if entry.name.startswith("."):
                continue
            if entry.is_symlink():
                self._pass_over_link(path)
            elif entry.is_dir():
                yield from self._in_subfolder(path, (*key, entry.name))
            elif path.suffix == schema.H5_SUFFIX and self._has_qgrid(path):
                yield (*key, entry.name), path

    def _in_subfolder(self, folder: Path, key: Key) -> Iterator[tuple[Key, Path]]:
        try:
            if (folder / schema.EXPERIMENT_FILE).is_file():
                yield key, folder / schema.EXPERIMENT_FILE
            elif len(key) <= _MOST_LEVELS:
                yield from self._below(folder, key)
        except OSError as error:  # somebody else's, or just removed
            self._tell(folder, error)

    def _pass_over_link(self, path: Path) -> None:
        try:
            looks_served = path.is_dir() or (path.suffix == schema.H5_SUFFIX and path.is_file())
        except OSError:
            looks_served = True
        if looks_served:
            reason = "symbolic links are not followed: move here what it leads to, or serve that"
            self._tell(path, reason)

    def _tell(self, path: Path, reason: object) -> None:
        if self._told is not None and path not in self._told:
            logger.warning("%s is not served: %s", path, reason)
            self._told.add(path)

    def _has_qgrid(self, path: Path) -> bool:
        """Tell whether a file is one of ours or of the ancestor's; looked at when it changes.

        One that was, and cannot be read any more, stays: who asks for it is told so.
        """
        now = file_signature(path)
        before, found = self._checked.get(path, ((), False))
        if now != before:
            try:
                with open_for_reading(path) as file:
                    found = schema.QGRID in file.attrs
            except DAMAGE as error:  # half copied, or no HDF5
                logger.debug("%s is not looked into: %s", path, error)
            self._checked[path] = (now, found)
        return found


def linked_samples(path: Path) -> list[str]:
    """List the groups of a file, without a look into the files that they lie in.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with open_for_reading(path) as file:
        return [name for name in file if not is_broken(file, name)]


def listing_signature(path: Path) -> Signature:
    """Give what changes with the groups that `linked_samples` lists."""
    if path.name != schema.EXPERIMENT_FILE:
        return file_signature(path)
    return (file_signature(path), file_signature(path.parent))


def is_broken(group: h5py.Group, name: str) -> bool:
    """Tell whether a member is a link into a file that is not there."""
    link = group.get(name, getlink=True)
    folder = Path(group.file.filename).parent
    if not isinstance(link, h5py.ExternalLink):
        return False
    try:
        return not (folder / link.filename).is_file()
    except OSError:  # a name that is too long, or a folder that may not be looked into
        return True


def file_signature(path: Path | str) -> Signature:
    """Give what changes with a file; nothing where it is not there."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a text is quicker
    except OSError:
        return ()
    return (status.st_mtime_ns, status.st_size, status.st_ino)


def goes_on(experiment: Path, sample: str) -> bool:
    """Tell whether more of a run will come: a process holds it, and has not finished it.

    Raises
    ------
    OSError
        If that cannot be seen.
    """
    if experiment.name != schema.EXPERIMENT_FILE or _is_finished(experiment, sample):
        return False
    return is_locked(experiment.parent / sample / schema.RUN_LOCK)


def _is_finished(experiment: Path, sample: str) -> bool:
    try:
        path = own_file(experiment, sample, schema.STATUS_FILE)
        status = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RefusedError):
        return False
    return isinstance(status, dict) and status.get("finished") is True


def own_file(experiment: Path, sample: str, name: str) -> Path:
    """Give a file of a sample's folder.

    Raises
    ------
    RefusedError
        If it leads out of the experiment.
    """
    path = experiment.parent / sample / name
    if not path.resolve().is_relative_to(experiment.parent.resolve()):
        raise RefusedError(f"{path}: expected a file within the experiment, found a link")
    return path


def sample_signature(path: Path, sample: str, *, ended: bool) -> Signature:
    """Give what changes with a sample of a file, and with whether its run goes on.

    Parameters
    ----------
    ended
        Whether its run has ended: its files are then only ever replaced, which its folder shows.
    """
    files = files_signature(path, sample, ended=ended)
    if ended or path.name != schema.EXPERIMENT_FILE:
        return files
    with suppress(OSError):
        files = (*files, goes_on(path, sample))
    return files


def files_signature(path: Path, sample: str, *, ended: bool = False) -> Signature:
    """Give what changes with the files of a sample; see `sample_signature`."""
    beside = file_signature(sidecar_of(path))
    if path.name != schema.EXPERIMENT_FILE:
        return (file_signature(path), beside)
    folder = f"{path.parent}{os.sep}{sample}"  # as a text: thousands are looked at each second
    try:
        status = os.stat(folder)  # noqa: PTH116
    except OSError:
        return (file_signature(path), beside)
    if not stat.S_ISDIR(status.st_mode):
        return (file_signature(path), beside)
    if ended:
        processed = file_signature(f"{folder}{os.sep}{schema.PROCESSED_FILE}")
        return (status.st_mtime_ns, processed, beside)
    files = (Path(entry.path) for entry in os.scandir(folder))
    own = ((file.name, *file_signature(file)) for file in files if file.suffix == schema.H5_SUFFIX)
    return (*own, beside)
