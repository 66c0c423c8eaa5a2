"""The results of a sample as `h5xs` reads them: those in the file's sidecar come first."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import h5py

from h5xs_bluesky import schema
from h5xs_bluesky.api.source import group_beside, has_results
from h5xs_bluesky.io.attributes import text_attribute
from h5xs_bluesky.io.sidecar import sidecar_buffer, sidecar_of
from h5xs_bluesky.tiled.files import ServedFile


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Results:
    """What was made of a sample's frames, and where it lies.

    Parameters
    ----------
    served
        The file that it lies in, the sample's own or its sidecar: what is read later is read there.
    group
        The open group with `processed` and `reduction`, where there are any.
    buffer
        Names of the sample's buffers; "" where it has none.
    """

    served: ServedFile
    group: h5py.Group
    buffer: str


@contextmanager
def results_of(served: ServedFile, sample: h5py.Group, name: str) -> Iterator[Results]:
    """Give the results of a sample, whose file is open.

    Parameters
    ----------
    name
        The sample's in its file, and in the sidecar.

    Raises
    ------
    RefusedError, OSError
        As `group_beside`; `ServedFile.reading` makes answers of them.
    """
    with group_beside(served.path, name, roots=served.roots) as beside:
        assigned = None if beside is None else sidecar_buffer(beside)
        own = text_attribute(sample.attrs, schema.BUFFER) or text_attribute(
            sample.attrs, schema.H5XS_BUFFER
        )
        instead = has_results(beside)
        yield Results(
            served=replace(served, path=sidecar_of(served.path)) if instead else served,
            group=beside if instead else sample,
            buffer=own if assigned is None else assigned,
        )
