"""What a published run was made from: its mark in the catalogue, without which nothing is replaced.

The mark is in the metadata from the moment when a node is made: what a killed writer leaves has it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tiled.utils import path_from_uri

from h5xs_bluesky import schema
from h5xs_bluesky.errors import RefusedError
from h5xs_bluesky.tiled.arrays import CURVES_SPEC
from h5xs_bluesky.tiled.files import file_uri
from h5xs_bluesky.tiled.runs import RunPlace

SOURCE = "h5xs_source"  # in the metadata of runs, and of their curves
DIGEST = "h5xs_digest"  # in those of a run that is written completely
COMPLETE = "complete"  # in those of an array of curves: its run has ended


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """The sample that a run was published from.

    Parameters
    ----------
    file
        The experiment's, as a URI.
    sample
        The sample's group in it.
    """

    file: str
    sample: str

    @classmethod
    def of_place(cls, place: RunPlace) -> "Source":
        """Give that of a run in a folder."""
        return cls(file=file_uri(place.experiment), sample=place.sample)

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> "Source | None":
        """Read the mark of a node; None where it bears none."""
        found = metadata.get(SOURCE)
        if not isinstance(found, Mapping):
            return None
        file, sample = found.get("file"), found.get("sample")
        if not isinstance(file, str) or not isinstance(sample, str):
            return None
        try:
            path_from_uri(file)
        except ValueError:
            return None
        return cls(file=file, sample=sample)

    @property
    def mark(self) -> dict[str, Any]:
        """What a node's metadata say of it."""
        return {SOURCE: asdict(self)}

    @property
    def experiment(self) -> Path:
        """The experiment's file."""
        path: Path = path_from_uri(self.file)
        return path

    def is_there(self) -> bool:
        """Tell whether the run is still on disk, as far as one may look."""
        try:
            files = (self.experiment, self.experiment.parent / self.sample / schema.JOURNAL_FILE)
            return all(file.is_file() for file in files)
        except (OSError, ValueError):
            return True


class Marked:
    """A container of a catalogue as TiledWriter sees it: what is made in it bears a mark.

    Parameters
    ----------
    parent
        The container.
    mark
        What the metadata of a new node say beside what the writer puts there.
    """

    def __init__(self, parent: Any, mark: Mapping[str, Any]) -> None:
        self._parent = parent
        self._mark = mark

    def include_data_sources(self) -> "Marked":
        """Give the container, with data sources told of what is in it."""
        return Marked(self._parent.include_data_sources(), self._mark)

    def create_container(self, key: str, *, metadata: Mapping[str, Any], **more: Any) -> Any:
        """Make a container in it."""
        return self._parent.create_container(key, metadata={**metadata, **self._mark}, **more)


def _is_of_an_older_version(node: Any) -> bool:
    """Tell whether a node without a mark is ours nevertheless."""
    curves = CURVES_SPEC.name in {spec.name for spec in node.specs}
    return DIGEST in node.metadata or (curves and COMPLETE in node.metadata)


def refuse_others(node: Any, source: Source, *, folder: Path, alone: bool) -> None:
    """Refuse to replace a node of the catalogue that is not ours.

    Parameters
    ----------
    node
        A run, or an array of curves, that has the name of ours.
    source
        What ours is made from.
    folder
        What we publish; a copy in it may take the place of another one, and anything that of a run
        whose files are gone.
    alone
        What bears a mark is ours.

    Raises
    ------
    RefusedError
        If somebody else has made it, or it was published from another folder, which is there.
    """
    found = Source.from_metadata(node.metadata)
    if found is None:
        if _is_of_an_older_version(node):
            return
        raise RefusedError(
            f"another program has made {'/'.join(node.path_parts)} in the catalogue: use --under "
            "to publish into another container"
        )
    elsewhere = not found.experiment.is_relative_to(folder)
    if elsewhere and not alone and found.is_there():
        raise RefusedError(
            f"the run is published from another folder: use --under (it is from {found.file}, "
            f"sample {found.sample})"
        )
