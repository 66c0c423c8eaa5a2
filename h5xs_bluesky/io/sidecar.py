"""Results for samples in a file that is only read: they stand in a file beside it, the sidecar."""

from collections.abc import Callable, Sequence
from pathlib import Path

import h5py

from h5xs_bluesky import schema
from h5xs_bluesky.io.attributes import text_attribute
from h5xs_bluesky.io.names import join_names
from h5xs_bluesky.io.opening import open_whole
from h5xs_bluesky.io.processed import write_reduced
from h5xs_bluesky.io.provenance import Provenance
from h5xs_bluesky.io.replace import FileLock, replace_whole
from h5xs_bluesky.io.writing import made_in_memory
from h5xs_bluesky.reduction.sample import ReducedSample

_LOCK_TIMEOUT_S = 30.0


def sidecar_of(path: Path) -> Path:
    """Give the path of a file's sidecar, whether it is there or not.

    Examples
    --------
    >>> sidecar_of(Path("run5.h5")).name, sidecar_of(Path("run5.nxs")).name
    ('run5.processed.h5', 'run5.nxs.processed.h5')
    """
    return path.with_name(_stem(path) + schema.SIDECAR_SUFFIX)


def _stem(path: Path) -> str:
    return path.stem if path.suffix == schema.H5_SUFFIX else path.name


def write_sidecar(
    path: Path, sample: str, reduced: ReducedSample, *, provenance: Provenance | None
) -> None:
    """Replace the sidecar of a file by one that has this reduction of a sample, too.

    Raises
    ------
    FileInUseError
        If another process is replacing it.
    OSError
        If its folder cannot be written to.
    """

    def write(new: h5py.Group, old: h5py.Group | None) -> None:
        if old is not None and schema.H5XS_BUFFER in old.attrs:
            new.attrs[schema.H5XS_BUFFER] = old.attrs[schema.H5XS_BUFFER]
        write_reduced(new, reduced, provenance=provenance)

    _replace(path, sample, write)


def write_sidecar_buffer(path: Path, sample: str, names: Sequence[str]) -> None:
    """Note in the sidecar of a file which buffers a sample has; none is noted, too.

    Raises
    ------
    FileInUseError, OSError
        As for `write_sidecar`.
    """

    def write(new: h5py.Group, old: h5py.Group | None) -> None:
        if old is not None:
            for member in _own_members(old):
                old.copy(member, new)
        new.attrs[schema.H5XS_BUFFER] = join_names(names)

    _replace(path, sample, write)


def sidecar_buffer(group: h5py.Group) -> str | None:
    """Give the buffers of a sample in a sidecar: assigned, else last subtracted; None if neither.

    Those of an earlier version note only what was subtracted.
    """
    if schema.H5XS_BUFFER in group.attrs:
        return text_attribute(group.attrs, schema.H5XS_BUFFER)
    subtracted = group.get(f"{schema.REDUCTION}/{schema.SUBTRACTED}")
    return None if subtracted is None else text_attribute(subtracted.attrs, schema.BUFFER) or None


def _replace(
    path: Path, sample: str, write: Callable[[h5py.Group, h5py.Group | None], None]
) -> None:
    """Replace a sidecar; `write` fills the new group of a sample, and is given the old one."""
    sidecar = sidecar_of(path)
    lock = FileLock(path.with_name(_stem(path) + schema.SIDECAR_LOCK_SUFFIX))
    lock.acquire(timeout_s=_LOCK_TIMEOUT_S)
    try:
        with (
            replace_whole(sidecar) as temporary,
            made_in_memory(temporary) as new,
        ):
            new.attrs[schema.SCHEMA] = schema.SCHEMA_VERSION
            if not sidecar.exists():
                write(new.create_group(sample), None)
                return
            with open_whole(sidecar) as old:
                ours = _own_members(old)
                for name in ours:
                    if name != sample:
                        old.copy(name, new)
                write(new.create_group(sample), old[sample] if sample in ours else None)
    finally:
        lock.release()


def _own_members(group: h5py.Group) -> list[str]:
    """List the members that are no links elsewhere."""
    return [name for name in group if isinstance(group.get(name, getlink=True), h5py.HardLink)]
