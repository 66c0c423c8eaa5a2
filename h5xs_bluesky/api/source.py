"""The experiment's file as `h5xs` reads it: opened when needed, samples found by name."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from h5xs_bluesky import schema
from h5xs_bluesky.api.frame_choice import is_elution, map_shape
from h5xs_bluesky.api.storage import FileStorage, Storage
from h5xs_bluesky.errors import FileFormatError, RefusedError, SampleNotFoundError
from h5xs_bluesky.io.attributes import text_attribute
from h5xs_bluesky.io.experiment import find_sample, open_for_reading, sample_names, start_of
from h5xs_bluesky.io.links import follow
from h5xs_bluesky.io.sidecar import sidecar_buffer, sidecar_of

GROUP_MARK = "/"  # before a sample's group, where the name alone may mean another


def experiment_file(path: Path) -> Path:
    """Give an experiment's file, if its folder is named."""
    return path / schema.EXPERIMENT_FILE if path.is_dir() else path


@contextmanager
def group_beside(path: Path, name: str, *, roots: Sequence[Path]) -> Iterator[h5py.Group | None]:
    """Give a sample's group in the sidecar of a file; None where there is none.

    Raises
    ------
    RefusedError
        If the sidecar is a link out of the roots, or a link in it leads there.
    OSError
        If it cannot be read.
    """
    sidecar = sidecar_of(path)
    if not sidecar.exists():
        yield None
        return
    if not any(sidecar.resolve().is_relative_to(root.resolve()) for root in roots):
        raise RefusedError(
            f"{sidecar}: expected a file inside {', '.join(map(str, roots))}, found a link out of "
            "it: it was not followed; move the file there, or add its folder to the roots"
        )
    with open_for_reading(sidecar) as file:
        group = follow(file, name, roots=roots)
        yield group if isinstance(group, h5py.Group) else None


def has_results(group: h5py.Group | None) -> bool:
    """Tell whether a sample's group in a sidecar stands for the results in the file itself."""
    return group is not None and bool({schema.PROCESSED, schema.REDUCTION} & set(group))


class ExperimentSource:
    """Opens an experiment's file for each use, or keeps it open on request.

    Parameters
    ----------
    storage
        The file, or where else it is; links are followed inside its folder.
    roots
        Further folders that links may lead into; those of a server's data lead nowhere.
    """

    def __init__(self, storage: Path | Storage, *, roots: Sequence[Path] = ()) -> None:
        self.storage = FileStorage(storage) if isinstance(storage, Path) else storage
        self.path = self.storage.path
        self.name = self.storage.name
        self.roots = [] if self.storage.elsewhere else [self.path.parent, *roots]
        self.file: h5py.File | None = None

    def open(self) -> None:
        """Open the file until `close`; nothing happens if it is open."""
        if not self.file:
            self.file = self.storage.open()

    def close(self) -> None:
        """Close the file; nothing happens if it is closed."""
        if self.file:
            self.file.close()
        self.file = None

    @contextmanager
    def results(self, name: str) -> Iterator[h5py.Group]:
        """Give the group that holds a sample's results: its own, or that in the file's sidecar."""
        with self._beside(name) as group:
            if has_results(group):
                yield group
                return
        yield self.sample(name)

    def assigned_buffer(self, name: str) -> str | None:
        """Give the names of a sample's buffers in the file's sidecar; None where none are noted."""
        with self._beside(name) as group:
            return None if group is None else sidecar_buffer(group)

    @contextmanager
    def _beside(self, name: str) -> Iterator[h5py.Group | None]:
        """Give a sample's group in the file's sidecar."""
        if self.storage.elsewhere:
            yield None
            return
        with group_beside(self.path, self.resolve(name), roots=self.roots) as group:
            yield group

    @contextmanager
    def reading(self) -> Iterator[h5py.File]:
        """Give the open file, which is closed after the block if it was closed before."""
        kept_open = bool(self.file)
        self.open()
        try:
            yield self.file
        finally:
            if not kept_open:
                self.close()

    def names(self) -> list[str]:
        """List the groups of the samples, oldest first."""
        with self.reading() as file:
            return sample_names(file)

    def chosen(self, samples: str | Sequence[str] | None) -> list[str]:
        """Give the groups of one, several or, with None, all samples; see `resolve`."""
        if samples is None:
            return self.names()
        return [self.resolve(sn) for sn in ([samples] if isinstance(samples, str) else samples)]

    def resolve(self, name: str | None) -> str:
        """Give the group of a sample: of this name, or the newest whose scan gave this name.

        A slash before it says that the group is meant. None stands for the oldest sample.

        Raises
        ------
        SampleNotFoundError
            If there is none.
        RefusedError
            If a link leads out of the folder.
        """
        with self.reading() as file:
            group = (name or "").removeprefix(GROUP_MARK)
            if group and "/" not in group:
                member = follow(file, group, roots=self.roots)
                if isinstance(member, h5py.Group):
                    return group
            known = sample_names(file)
            found = known[0] if known and name is None else find_sample(file, name or "")
        if found is None:
            raise SampleNotFoundError(
                f"{self.name}: expected one of the samples {known}, found {name!r}"
            )
        return found

    def sample(self, name: str) -> h5py.Group:
        """Give the group of a sample in the open file; see `resolve`."""
        return follow(self.opened, self.resolve(name), roots=self.roots)

    def need_files(self, purpose: str) -> None:
        """Check that the data are in files on this machine.

        Raises
        ------
        RefusedError
            If they are on a server.
        """
        if self.storage.elsewhere:
            raise RefusedError(
                f"{self.name}: expected a file for {purpose}, found a server, from which one only "
                "reads: do it where the files are"
            )

    @property
    def opened(self) -> h5py.File:
        """The file, which has to be open."""
        if self.file is None:
            raise RuntimeError("expected the file to be open, found it closed")
        return self.file

    def map_shape(self, name: str) -> tuple[int, ...]:
        """Give the shape of the map that a sample is; () where it is none; see `map_shape`."""
        with self.reading():
            return map_shape(start_of(self.sample(name)))

    def is_elution(self, name: str) -> bool:
        """Tell whether a sample is what left a column; see `is_elution`."""
        with self.reading():
            return is_elution(start_of(self.sample(name)))

    def header(self, name: str) -> dict[str, Any]:
        """Give the start document of a sample's run.

        Raises
        ------
        FileFormatError
            If it is not there, or is no JSON.
        """
        with self.reading():
            text = text_attribute(self.sample(name).attrs, schema.START)
        try:
            return dict(json.loads(text))
        except (TypeError, ValueError) as error:
            raise FileFormatError(
                f"{self.name}: {name}: expected a start document as JSON in the attribute "
                f"{schema.START!r}, found {text:.60}"
            ) from error
