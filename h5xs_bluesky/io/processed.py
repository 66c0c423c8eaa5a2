"""The processed file of a sample: appended to while the scan runs, replaced whole afterwards."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky import schema
from h5xs_bluesky.errors import FileFormatError
from h5xs_bluesky.io.attributes import text_attribute
from h5xs_bluesky.io.chromatograms import read_chromatogram, write_chromatogram
from h5xs_bluesky.io.frames import refresh
from h5xs_bluesky.io.links import follow, refuse_outside
from h5xs_bluesky.io.provenance import Provenance, write_provenance
from h5xs_bluesky.io.replace import replace_whole
from h5xs_bluesky.io.writing import (
    close_growing,
    made_in_memory,
    make_growing,
    or_abandoned,
    telling,
)
from h5xs_bluesky.reduction.accumulators import Accumulators
from h5xs_bluesky.reduction.average import Average
from h5xs_bluesky.reduction.merge import merge_detectors
from h5xs_bluesky.reduction.sample import ReducedSample, Subtraction
from h5xs_bluesky.reduction.similarity import Selection
from h5xs_bluesky.reduction.water import EXTERNAL, WaterPeak

_ROWS = 64  # of a chunk of curves
_OPTIONAL = (schema.TRANSMITTED_SIGMA, schema.INCIDENT_SIGMA, schema.WATER)


class LiveProcessedFile:
    """Per-frame curves of a run that is going on, visible to other processes row by row.

    The layout is complete before the file gets its name; afterwards rows are only appended.

    Parameters
    ----------
    path
        A file that does not exist yet.
    extensions
        The detectors to come.
    bins
        Length of the q-grid.
    provenance
        What the frames are reduced with.
    """

    def __init__(
        self,
        path: Path,
        *,
        extensions: Sequence[str],
        bins: int,
        provenance: Provenance,
    ) -> None:
        self.extensions = tuple(extensions)
        self.rows = 0
        self._path = path

        def lay_out(file: h5py.File) -> None:
            processed = file.create_group(schema.PROCESSED)
            reduction = file.create_group(schema.REDUCTION)
            for name in (*extensions, schema.MERGED):
                _growing(processed, name, (2, bins))
            for name in extensions:
                _growing(reduction.create_group(name), schema.ACCUMULATORS, (5, bins))
            for name in (schema.TRANSMITTED, schema.INCIDENT):
                _growing(reduction, name, ())
            write_provenance(reduction, provenance)

        self._file = make_growing(path, lay_out)
        processed, reduction = self._file[schema.PROCESSED], self._file[schema.REDUCTION]
        self._curves = {name: processed[name] for name in (*extensions, schema.MERGED)}
        self._accumulators = {name: reduction[name][schema.ACCUMULATORS] for name in extensions}
        self._monitors = {name: reduction[name] for name in (schema.TRANSMITTED, schema.INCIDENT)}

    def append(
        self, frame: Mapping[str, Accumulators], *, transmitted: float, incident: float
    ) -> None:
        """Append one frame position: its accumulators, one set (nq,) for every detector.

        Raises
        ------
        OSError
            If the disk does not take it.
        """
        with telling(self._path), or_abandoned(self._file):
            for name in self.extensions:
                _append(self._accumulators[name], frame[name].to_array())
                _append(self._curves[name], frame[name].curve())
            _append(self._curves[schema.MERGED], merge_detectors(frame).curve())
            _append(self._monitors[schema.TRANSMITTED], np.float64(transmitted))
            _append(self._monitors[schema.INCIDENT], np.float64(incident))
        self.rows += 1

    def flush(self) -> None:
        """Make the rows appended so far visible to other processes.

        Raises
        ------
        OSError
            If the disk does not take them.
        """
        with telling(self._path), or_abandoned(self._file):
            self._file.flush()

    def close(self) -> None:
        """Close the file.

        Raises
        ------
        OSError
            If the disk does not take what waits; `h5xs repair` then makes the file readable.
        """
        close_growing(self._file, self._path)


def _growing(group: h5py.Group, name: str, row_shape: tuple[int, ...]) -> None:
    group.create_dataset(
        name,
        shape=(0, *row_shape),
        maxshape=(None, *row_shape),
        chunks=(_ROWS if row_shape else 1024, *row_shape),
        dtype=np.float64,
        fillvalue=np.nan,
    )


def _append(dataset: h5py.Dataset, row: NDArray[np.float64] | np.float64) -> None:
    rows = dataset.shape[0]
    dataset.resize(rows + 1, axis=0)
    dataset[rows] = row


def write_processed(path: Path, sample: ReducedSample, *, provenance: Provenance | None) -> None:
    """Replace the processed file by one that holds all of a sample's reduction.

    Parameters
    ----------
    provenance
        What it was made with; None where that is not known.
    """
    with (
        replace_whole(path) as temporary,
        made_in_memory(temporary) as file,
    ):
        write_reduced(file, sample, provenance=provenance)


def write_reduced(
    group: h5py.Group, sample: ReducedSample, *, provenance: Provenance | None
) -> None:
    """Write all of a sample's reduction into a group that has none; see `write_processed`."""
    _write_curves(group.create_group(schema.PROCESSED), sample)
    reduction = group.create_group(schema.REDUCTION)
    for name, accumulators in sample.detectors.items():
        reduction.create_group(name)[schema.ACCUMULATORS] = accumulators.to_array()
    reduction[schema.TRANSMITTED] = sample.transmitted
    reduction[schema.INCIDENT] = sample.incident
    reduction[schema.SUPERSEDED] = sample.superseded
    _write_trans(reduction, sample)
    if sample.no_average:
        reduction.attrs[schema.NO_AVERAGE] = sample.no_average
    if sample.selection is not None:
        _write_selection(reduction.create_group(schema.SELECTION), sample.selection)
    if sample.average is not None:
        _write_average(reduction.create_group(schema.AVERAGED), sample.average)
    if sample.subtraction is not None:
        subtracted = reduction.create_group(schema.SUBTRACTED)
        subtracted.attrs[schema.BUFFER] = sample.subtraction.buffer
        subtracted.attrs[schema.SC_FACTOR] = sample.subtraction.sc_factor
        subtracted.attrs[schema.AUTOMATIC] = sample.subtraction.automatic
    if sample.chromatogram is not None:
        write_chromatogram(reduction, sample.chromatogram)
    if provenance is not None:
        write_provenance(reduction, provenance)


def _write_curves(group: h5py.Group, sample: ReducedSample) -> None:
    for name, accumulators in sample.detectors.items():
        group[name] = accumulators.curve()
    group[schema.MERGED] = sample.merged.curve()
    group[schema.MERGED].attrs[schema.TRANS] = sample.trans
    if sample.selection is not None:
        group.attrs[schema.SELECTED] = sample.selection.kept
    if sample.average is not None:
        group[schema.AVERAGED] = sample.average.accumulators.curve()
        group[schema.AVERAGED].attrs[schema.TRANS] = sample.average.trans
    if sample.average is not None and sample.subtraction is not None:
        group[schema.SUBTRACTED] = sample.subtraction.curve
        group[schema.SUBTRACTED].attrs[schema.TRANS] = sample.average.trans
        group.attrs[schema.SC_FACTOR] = sample.subtraction.sc_factor


def _write_trans(reduction: h5py.Group, sample: ReducedSample) -> None:
    """Write what tells the transmitted beam, and the user's own factor for the buffer."""
    reduction.attrs[schema.TRANS_MODE] = sample.trans_mode
    if sample.sc_factor is not None:
        reduction.attrs[schema.SC_FACTOR] = sample.sc_factor
    if sample.peak is not None:
        reduction.attrs[schema.WATER_Q_RANGE] = sample.peak.q_range
        if sample.peak.background is not None:
            reduction.attrs[schema.WATER_BACKGROUND] = sample.peak.background
    for name in _OPTIONAL:
        values = getattr(sample, name)
        if values is not None:
            reduction[name] = values


def _write_selection(group: h5py.Group, selection: Selection) -> None:
    group[schema.KEPT] = selection.kept
    group[schema.P_VALUE] = selection.p_value
    group[schema.LONGEST_RUN] = selection.longest_run
    group[schema.DISTANCE] = selection.distance
    group[schema.REASON] = np.array(selection.reason, dtype=h5py.string_dtype())
    group.attrs[schema.REFERENCE] = selection.reference


def _write_average(group: h5py.Group, average: Average) -> None:
    group[schema.ACCUMULATORS] = average.accumulators.to_array()
    group.attrs[schema.TRANS] = average.trans
    group.attrs[schema.TRANS_SIGMA] = average.trans_sigma
    group.attrs[schema.TRANS_MODE] = average.trans_mode


def read_processed(sample: h5py.Group) -> ReducedSample:
    """Read all of a sample's reduction.

    Parameters
    ----------
    sample
        A group with ``processed`` and ``reduction``: a sample of an experiment, or the root of a
        processed file.

    Raises
    ------
    FileFormatError
        If there is no ``reduction``, as in files that the ancestor wrote.
    """
    reduction = sample.get(schema.REDUCTION)
    if reduction is None:
        raise FileFormatError(
            f"expected the group {schema.REDUCTION!r} in {sample.name!r} of "
            f"{sample.file.filename}, found none: reduce the frames first (load_data)"
        )
    detectors = {
        name: Accumulators.from_array(refresh(member[schema.ACCUMULATORS])[()])
        for name, member in reduction.items()
        if isinstance(member, h5py.Group)
        and schema.ACCUMULATORS in member
        and name != schema.AVERAGED
    }
    # While the file grows, the datasets may be a row apart: read what all of them have.
    rows = min(
        (part.count.shape[0] for part in detectors.values()),
        default=0,
    )
    transmitted = refresh(reduction[schema.TRANSMITTED])[()]
    incident = refresh(reduction[schema.INCIDENT])[()]
    rows = min(rows, len(transmitted), len(incident))
    superseded = reduction.get(schema.SUPERSEDED)
    return ReducedSample(
        detectors={name: part[:rows] for name, part in detectors.items()},
        transmitted=transmitted[:rows],
        incident=incident[:rows],
        superseded=np.zeros(rows, bool) if superseded is None else superseded[()],
        **_read_trans(reduction),
        selection=_read_selection(reduction.get(schema.SELECTION)),
        average=_read_average(reduction),
        subtraction=_read_subtraction(sample),
        chromatogram=read_chromatogram(reduction),
        no_average=text_attribute(reduction.attrs, schema.NO_AVERAGE),
    )


def read_reduced(sample: h5py.Group, *, roots: Sequence[Path]) -> ReducedSample | None:
    """Read a sample's reduction through links that are checked; None where there is none.

    Raises
    ------
    RefusedError
        If a link leads out of the roots.
    """
    reduction = follow(sample, schema.REDUCTION, roots=roots)
    if reduction is None:
        return None
    parent = reduction.parent  # both groups through one file, which may be replaced at any time
    for member in (schema.PROCESSED, schema.REDUCTION):
        refuse_outside(parent, member, roots=roots)
    return read_processed(parent)


def _read_trans(reduction: h5py.Group) -> dict[str, Any]:
    found = {name: reduction[name][()] for name in _OPTIONAL if name in reduction}
    found[schema.TRANS_MODE] = str(reduction.attrs.get(schema.TRANS_MODE, EXTERNAL))
    found[schema.SC_FACTOR] = reduction.attrs.get(schema.SC_FACTOR)
    q_range, background = (
        reduction.attrs.get(name) for name in (schema.WATER_Q_RANGE, schema.WATER_BACKGROUND)
    )
    if q_range is not None:
        found["peak"] = WaterPeak(
            q_range=_pair(q_range), background=None if background is None else _pair(background)
        )
    return found


def _pair(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = values
    return float(low), float(high)


def _read_selection(group: h5py.Group | None) -> Selection | None:
    if group is None:
        return None
    return Selection(
        kept=group[schema.KEPT][()],
        reference=int(group.attrs[schema.REFERENCE]),
        p_value=group[schema.P_VALUE][()],
        longest_run=group[schema.LONGEST_RUN][()],
        distance=group[schema.DISTANCE][()],
        reason=tuple(text.decode() for text in group[schema.REASON][()]),
    )


def _read_average(reduction: h5py.Group) -> Average | None:
    group = reduction.get(schema.AVERAGED)
    if group is None:
        return None
    return Average(
        accumulators=Accumulators.from_array(group[schema.ACCUMULATORS][()]),
        trans=float(group.attrs[schema.TRANS]),
        trans_sigma=float(group.attrs[schema.TRANS_SIGMA]),
        kept=reduction[schema.SELECTION][schema.KEPT][()],
        trans_mode=str(group.attrs.get(schema.TRANS_MODE, EXTERNAL)),
    )


def _read_subtraction(sample: h5py.Group) -> Subtraction | None:
    group = sample[schema.REDUCTION].get(schema.SUBTRACTED)
    if group is None:
        return None
    return Subtraction(
        curve=sample[schema.PROCESSED][schema.SUBTRACTED][()],
        buffer=str(group.attrs[schema.BUFFER]),
        sc_factor=float(group.attrs[schema.SC_FACTOR]),
        automatic=bool(group.attrs.get(schema.AUTOMATIC, False)),
    )
