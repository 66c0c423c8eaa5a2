"""The beam's monitors as a table: a row for each frame."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray
from tiled.adapters.array import ArrayAdapter
from tiled.adapters.table import TableAdapter
from tiled.structures.core import Spec
from tiled.structures.table import TableStructure

from h5xs_bluesky import schema
from h5xs_bluesky.api.raw import read_raw
from h5xs_bluesky.api.settings import read_beamline
from h5xs_bluesky.errors import ConfigurationError, FileFormatError, ReductionError
from h5xs_bluesky.io.frames import refresh
from h5xs_bluesky.tiled.files import ServedFile

if TYPE_CHECKING:
    from pandas import DataFrame

logger = logging.getLogger(__name__)

MONITORS_SPEC = Spec("H5XSMonitors", "1")
TRANSMISSION = "transmission"
FRAME = "frame"


class ServedTable(TableAdapter):  # type: ignore[misc]
    """A table that was read when the node was made, which is at each request anew."""

    def __init__(self, served: ServedFile, frame: "DataFrame", metadata: Mapping[str, Any]) -> None:
        self.served = served
        super().__init__(
            [frame],
            TableStructure.from_pandas(frame),
            metadata=dict(metadata),
            specs=[MONITORS_SPEC],
        )

    @property
    def access_tags(self) -> frozenset[str]:
        """Those of the file."""
        return self.served.access_tags

    def __getitem__(self, key: str) -> ArrayAdapter:
        """Give a column as numbers or texts: exports ask for it, and pandas' own types are none.

        Where it is not known for each row whether something holds, it is 1, 0 or NaN.
        """
        column = self.read([key])[key]
        if column.dtype == "boolean":
            known = not column.isna().any()
            return ArrayAdapter.from_array(
                column.to_numpy(dtype=bool) if known else column.to_numpy(float, na_value=np.nan)
            )
        texts = column.dtype.kind not in "biuf"
        return ArrayAdapter.from_array(column.to_numpy(dtype=str) if texts else column.to_numpy())

    def get(self, key: str) -> None:
        """Give a member: the columns are read with the table, so that they bear its tags."""


def monitors_table(
    served: ServedFile, file: h5py.File, sample: h5py.Group, results: h5py.Group
) -> "DataFrame":
    """Read the monitors of a sample's frames, in the order of the frames.

    Columns: ``frame``; ``time``, s since the epoch; ``incident`` and ``transmitted``, the readings;
    ``transmission``, their ratio; further numbers that the reduction holds for each frame, as their
    uncertainties; ``superseded``, measured again after a pause; ``kept``, whether averaged, and
    ``reason``, why not; ``p_value`` of its comparison with the reference frame. What is not known
    is NaN or missing.
    """
    import pandas as pd

    reduction = served.member(results, schema.REDUCTION)
    columns = (
        _numbers(served, reduction)
        if isinstance(reduction, h5py.Group)
        else _raw_numbers(served, file, sample)
    )
    rows = min((len(column) for column in columns.values()), default=0)
    columns = {name: column[:rows] for name, column in columns.items()}
    incident = columns.pop(schema.INCIDENT, np.full(rows, np.nan))
    transmitted = columns.pop(schema.TRANSMITTED, np.full(rows, np.nan))
    superseded = columns.pop(schema.SUPERSEDED, np.zeros(rows))
    with np.errstate(divide="ignore", invalid="ignore"):
        transmission = np.where(incident > 0, transmitted / incident, np.nan)
    kept, reason, p_value = _selection(served, reduction, rows)
    return pd.DataFrame(
        {
            FRAME: np.arange(rows),
            schema.TIME: _times(served, sample, rows),
            schema.INCIDENT: incident,
            schema.TRANSMITTED: transmitted,
            TRANSMISSION: transmission,
            **columns,
            schema.SUPERSEDED: superseded.astype(bool),
            schema.KEPT: pd.array(kept, dtype="boolean"),
            schema.REASON: pd.array(reason, dtype="str"),
            schema.P_VALUE: p_value,
        }
    )


def _numbers(served: ServedFile, reduction: h5py.Group) -> dict[str, NDArray[np.float64]]:
    """Read all that the reduction holds as one number for each frame."""
    found = {}
    for name in reduction:
        dataset = served.member(reduction, name)
        if isinstance(dataset, h5py.Dataset) and dataset.ndim == 1 and dataset.dtype.kind in "biuf":
            found[name] = np.asarray(refresh(dataset)[()], dtype=float)
    return found


def _raw_numbers(
    served: ServedFile, file: h5py.File, sample: h5py.Group
) -> dict[str, NDArray[Any]]:
    """Read the monitors of a sample that is not reduced, or whose file is the ancestor's."""
    try:
        raw = read_raw(sample, read_beamline(file, None, ""), roots=served.roots)
    except (FileFormatError, ConfigurationError, ReductionError) as error:
        logger.info("%s in %s has no monitors: %s", sample.name, served.path, error)
        return {}
    return {
        schema.INCIDENT: raw.incident,
        schema.TRANSMITTED: raw.transmitted,
        schema.SUPERSEDED: raw.superseded,
    }


def _selection(
    served: ServedFile, reduction: h5py.Group | None, rows: int
) -> tuple[list[bool | None], list[str], NDArray[np.float64]]:
    """Give for each frame whether it is averaged (None: nothing was selected), why not, and p."""
    group = None if reduction is None else served.member(reduction, schema.SELECTION)
    unknown: tuple[list[bool | None], list[str], NDArray[np.float64]]
    unknown = [None] * rows, [""] * rows, np.full(rows, np.nan)
    if not isinstance(group, h5py.Group):
        return unknown
    names = (schema.KEPT, schema.REASON, schema.P_VALUE)
    columns = [served.member(group, name) for name in names]
    datasets = [each for each in columns if isinstance(each, h5py.Dataset)]
    if len(datasets) < len(names) or any(each.shape != (rows,) for each in datasets):
        return unknown
    kept, reason, p_value = datasets
    reasons = [str(each) for each in reason.asstr()[()]]
    return [bool(value) for value in kept[()]], reasons, p_value[()]


def _times(served: ServedFile, sample: h5py.Group, rows: int) -> NDArray[np.float64]:
    """Give the time of each frame's event; NaN where it is not in the file yet."""
    times = np.full(rows, np.nan)
    stream = served.member(sample, schema.PRIMARY)
    events = None if stream is None else served.member(stream, schema.TIME)
    if isinstance(events, h5py.Dataset):
        each = np.repeat(refresh(events)[()], _frames_per_event(served, stream))[:rows]
        times[: len(each)] = each
    return times


def _frames_per_event(served: ServedFile, stream: h5py.Group) -> int:
    stamps = served.member(stream, schema.TIMESTAMPS)
    counts = [1]
    for name in stamps if isinstance(stamps, h5py.Group) else ():
        member = served.member(stamps, name)
        if isinstance(member, h5py.Dataset):
            counts.append(int(member.attrs.get(schema.FRAMES_PER_EVENT, 1)))
    return max(counts)
