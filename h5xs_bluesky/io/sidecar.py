"""Results for samples in a file that is only read: they stand in a file beside it, the sidecar."""

from pathlib import Path

import h5py

from h5xs_bluesky import schema
from h5xs_bluesky.io.frames import LIBVER
from h5xs_bluesky.io.processed import write_reduced
from h5xs_bluesky.io.provenance import Provenance
from h5xs_bluesky.io.replace import FileLock, replace_whole
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
    sidecar = sidecar_of(path)
    lock = FileLock(path.with_name(_stem(path) + schema.SIDECAR_LOCK_SUFFIX))
    lock.acquire(timeout_s=_LOCK_TIMEOUT_S)
    try:
        with (
            replace_whole(sidecar) as temporary,
            h5py.File(temporary, "w", libver=LIBVER) as new,
        ):
            new.attrs[schema.SCHEMA] = schema.SCHEMA_VERSION
            if sidecar.exists():
                with h5py.File(sidecar, "r") as old:
                    for name in old:
                        ours = isinstance(old.get(name, getlink=True), h5py.HardLink)
                        if ours and name != sample:
                            old.copy(name, new)
            write_reduced(new.create_group(sample), reduced, provenance=provenance)
    finally:
        lock.release()
