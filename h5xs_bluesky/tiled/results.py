"""The results of a sample as `h5xs` reads them: those in the file's sidecar come first."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import h5py
import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky import schema
from h5xs_bluesky.api.source import group_beside, has_results
from h5xs_bluesky.io.attributes import text_attribute
from h5xs_bluesky.io.frames import refresh
from h5xs_bluesky.io.sidecar import sidecar_buffer, sidecar_of
from h5xs_bluesky.reduction.sample import ReducedSample
from h5xs_bluesky.reduction.water import EXTERNAL
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


def frame_trans(results: Results, curve: str = schema.MERGED) -> NDArray[np.float64] | None:
    """Give what normalises each frame (n,), as `h5xs` reads it; None where there are no frames.

    A file of the ancestor has it with the curves.
    """
    served, group = results.served, results.group
    curves = served.member(group, f"{schema.PROCESSED}/{curve}")
    if not isinstance(curves, h5py.Dataset) or curves.ndim < 3:
        return None
    reduction = served.member(group, schema.REDUCTION)
    if isinstance(reduction, h5py.Group):
        return _reduced_trans(served, reduction)
    frames = int(np.prod(refresh(curves).shape[:-2]))
    stored = np.ravel(curves.attrs.get(schema.TRANS, np.nan)).astype(float)
    fits = stored.size in (1, frames)
    return np.array(np.broadcast_to(stored, frames)) if fits else np.full(frames, np.nan)


def _reduced_trans(served: ServedFile, reduction: h5py.Group) -> NDArray[np.float64]:
    columns = {
        name: refresh(member)[()]
        for name in (schema.TRANSMITTED, schema.INCIDENT, schema.WATER)
        if isinstance(member := served.member(reduction, name), h5py.Dataset)
    }
    rows = min((len(column) for column in columns.values()), default=0)
    unknown = np.full(rows, np.nan)
    return ReducedSample(
        detectors={},
        transmitted=columns.get(schema.TRANSMITTED, unknown)[:rows],
        incident=columns.get(schema.INCIDENT, unknown)[:rows],
        superseded=np.zeros(rows, bool),
        water=columns.get(schema.WATER),
        trans_mode=text_attribute(reduction.attrs, schema.TRANS_MODE, EXTERNAL),
    ).trans


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
