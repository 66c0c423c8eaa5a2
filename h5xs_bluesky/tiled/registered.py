"""What a catalogue has of a sample, compared with what its files say."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from h5xs_bluesky.tiled.files import ServedFile, file_uri
from h5xs_bluesky.tiled.folders import Signature, sample_signature
from h5xs_bluesky.tiled.summaries import sample_summary


@dataclass(kw_only=True, slots=True)
class Changes:
    """What one look at a folder changed in the catalogue, and why some of it could not be done."""

    added: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.added or self.updated or self.removed or self.failed)


@dataclass(kw_only=True, slots=True)
class Registered:
    """A sample in the catalogue: its metadata and file there, and the files when last read."""

    metadata: dict[str, Any]
    uri: str
    signature: Signature | None = None

    @property
    def ended(self) -> bool:
        """Whether its run has ended."""
        return is_complete(self.metadata)


def is_complete(metadata: Mapping[str, Any]) -> bool:
    """Tell whether a run has its stop document, and nobody reduces it any more."""
    return bool(metadata.get("stop")) and not metadata.get("goes_on")


def read_sample(path: Path, sample: str) -> Registered:
    """Read a sample that is not registered yet.

    Raises
    ------
    HTTPException, RefusedError
        If it cannot be read, or not be registered.
    """
    before = sample_signature(path, sample, ended=False)
    metadata = read_summary(path, sample)
    if is_complete(metadata):
        before = sample_signature(path, sample, ended=True)
    return Registered(metadata=metadata, uri=file_uri(path), signature=before)


def uri_of(node: Any) -> str:
    """Give the file that a node was registered from; "" where it is not one."""
    assets = [asset for source in node.data_sources() or () for asset in source.assets]
    return str(assets[0].data_uri) if len(assets) == 1 else ""


def is_there(path: Path) -> bool:
    """Tell whether a file is there, or may not be looked at."""
    try:
        return path.is_file()
    except OSError:  # it may not be looked at
        return True


def read_summary(path: Path, sample: str) -> dict[str, Any]:
    """Read what is told of a sample of a file.

    Raises
    ------
    HTTPException
        As `ServedFile.reading`.
    """
    return sample_summary(ServedFile(path=path), sample)
