"""What lies in a sample's `processed` and `reduction`: read as curves, and saved."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky import schema
from h5xs_bluesky.api.data1d import Data1d
from h5xs_bluesky.errors import FileFormatError, ReductionError
from h5xs_bluesky.io.corrections import save_corrections
from h5xs_bluesky.io.experiment import open_for_reading
from h5xs_bluesky.io.journal import read_journal
from h5xs_bluesky.io.links import follow, refuse_outside
from h5xs_bluesky.io.names import join_names
from h5xs_bluesky.io.processed import read_processed, read_reduced, write_processed
from h5xs_bluesky.io.provenance import Provenance, read_provenance
from h5xs_bluesky.io.run_contents import RunContents
from h5xs_bluesky.io.run_files import RunFolder, sample_attributes, write_run_file
from h5xs_bluesky.io.sidecar import write_sidecar, write_sidecar_buffer
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.qgrid import QGrid
from h5xs_bluesky.reduction.sample import ReducedSample

logger = logging.getLogger(__name__)

Curves = dict[str, Data1d | list[Data1d]]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class StoredSample:
    """A sample's processed data as they were read.

    Parameters
    ----------
    curves
        By name: one curve for each frame, or a single one.
    attrs
        ``selected`` and ``sc_factor``, where they are known; all that a file of the ancestor has.
    reduced
        What the curves were made from; None in a file that the ancestor wrote.
    provenance
        What with; None where that is not noted.
    """

    curves: Curves
    attrs: dict[str, Any]
    reduced: ReducedSample | None
    provenance: Provenance | None = None


def read_stored(
    sample: h5py.Group,
    name: str,
    *,
    qgrid: QGrid,
    roots: Sequence[Path],
    relative_uncertainty: float,
) -> StoredSample | None:
    """Read a sample's processed data; None where there are none.

    Parameters
    ----------
    relative_uncertainty
        Of one monitor reading.

    Raises
    ------
    FileFormatError
        If they do not fit the q-grid.
    RefusedError
        If a link leads out of the roots.
    """
    reduced = read_reduced(sample, roots=roots)
    if reduced is not None:
        stored = from_reduced(reduced, name, qgrid=qgrid, relative_uncertainty=relative_uncertainty)
        return replace(stored, provenance=read_provenance(sample, roots=roots))
    processed = follow(sample, schema.PROCESSED, roots=roots)
    if not isinstance(processed, h5py.Group):
        return None
    refuse_outside(sample, schema.PROCESSED, roots=roots)
    curves: Curves = {}
    for member, data in processed.items():
        if isinstance(data, h5py.Dataset) and data.ndim >= 2 and data.shape[-2] == 2:
            trans = data.attrs.get(schema.TRANS, np.nan)
            curves[member] = _curves(data[()], trans, name, member, qgrid)
    return StoredSample(curves=curves, attrs=dict(processed.attrs), reduced=None)


def from_reduced(
    reduced: ReducedSample, name: str, *, qgrid: QGrid, relative_uncertainty: float
) -> StoredSample:
    """Give the curves of a reduction as objects, and its selection as attributes.

    Parameters
    ----------
    relative_uncertainty
        Of one monitor reading.

    Raises
    ------
    FileFormatError
        If it was made on another q-grid.
    """
    curves: Curves = {
        extension: _curves(part.curve(), reduced.trans, name, extension, qgrid)
        for extension, part in reduced.detectors.items()
    }
    curves[schema.MERGED] = _curves(
        reduced.merged.curve(), reduced.trans, name, schema.MERGED, qgrid
    )
    attrs: dict[str, Any] = {}
    beams = _beams(reduced, relative_uncertainty)
    for each in curves.values():
        for number, curve in enumerate(each if isinstance(each, list) else [each]):
            _set_beam(curve, {key: values[number] for key, values in beams.items()})
    average = reduced.average
    if reduced.selection is not None:
        attrs[schema.SELECTED] = reduced.selection.kept.copy()
    if average is not None:
        averaged = _curve(average.accumulators.curve(), average.trans, f"{name} averaged", qgrid)
        averaged.comments = f"average of {average.kept.sum()} of {average.kept.size} frames"
        curves[schema.AVERAGED] = averaged
        _set_beam(averaged, _mean_beam(beams, average.kept))
    if average is not None and reduced.subtraction is not None:
        subtraction = reduced.subtraction
        curve = _curve(subtraction.curve, average.trans, f"{name} subtracted", qgrid)
        buffer = subtraction.buffer
        if reduced.chromatogram is not None:
            own = np.flatnonzero(reduced.chromatogram.buffer_frames)
            buffer = f"{own.size} of the frames {own[0]} to {own[-1]} of {buffer}"
        curve.comments = f"buffer: {buffer}\nsc_factor: {subtraction.sc_factor:.9g}"
        _set_beam(curve, _mean_beam(beams, average.kept))
        curves[schema.SUBTRACTED] = curve
        attrs[schema.SC_FACTOR] = subtraction.sc_factor
    return StoredSample(curves=curves, attrs=attrs, reduced=reduced)


def _beams(reduced: ReducedSample, relative_uncertainty: float) -> dict[str, NDArray[np.float64]]:
    """Give what tells the beam of each frame, (n,), by the attributes of `Data1d`."""
    water = (
        np.full((len(reduced.superseded), 2), np.nan) if reduced.water is None else reduced.water
    )
    return {
        "trans_sigma": reduced.trans_sigma(relative_uncertainty),
        "trans_w": water[:, 0],
        "trans_w_sigma": water[:, 1],
        "trans_e": reduced.external,
        "trans_e_sigma": reduced.external_sigma(relative_uncertainty),
    }


def _mean_beam(
    beams: Mapping[str, NDArray[np.float64]], kept: NDArray[np.bool_]
) -> dict[str, float]:
    """Give the same for the average of frames: means, and their standard errors."""
    return {
        key: float(np.sqrt(np.sum(values[kept] ** 2)) / kept.sum())
        if key.endswith("_sigma")
        else float(np.mean(values[kept]))
        for key, values in beams.items()
    }


def _set_beam(curve: Data1d, beam: Mapping[str, float]) -> None:
    for key, value in beam.items():
        setattr(curve, key, float(value))


def _curves(
    values: NDArray[np.float64], trans: Any, name: str, group: str, qgrid: QGrid
) -> Data1d | list[Data1d]:
    if values.ndim == 2:
        return _curve(values, float(np.ravel(trans)[0]), f"{name} {group}", qgrid)
    frames = values.reshape(-1, *values.shape[-2:])
    each = np.broadcast_to(np.ravel(trans), (len(frames),))
    return [
        _curve(frame, float(each[number]), f"{name} {group}, frame {number}", qgrid)
        for number, frame in enumerate(frames)
    ]


def _curve(values: NDArray[np.float64], trans: float, label: str, qgrid: QGrid) -> Data1d:
    if values.shape != (2, len(qgrid)):
        raise FileFormatError(
            f"{label}: expected I and σ on the {len(qgrid)} bins of the experiment's q-grid, found "
            f"shape {values.shape}: it was reduced on another grid; reduce it again (load_data)"
        )
    return Data1d(qgrid=qgrid.centers, data=values[0], err=values[1], trans=trans, label=label)


def same_frames(one: ReducedSample | None, other: ReducedSample | None) -> bool:
    """Tell whether two reductions started from the same numbers, to the last bit."""
    if one is None or other is None or one.detectors.keys() != other.detectors.keys():
        return False
    pairs = [(one.detectors[e].to_array(), other.detectors[e].to_array()) for e in one.detectors]
    pairs += [(one.transmitted, other.transmitted), (one.incident, other.incident)]
    pairs += [(one.superseded.astype(float), other.superseded.astype(float))]
    return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)


def frames_lacking(one: ReducedSample, other: ReducedSample) -> int:
    """Count the frames that a reduction lacks and another has, of all detectors together."""
    count = 0
    for extension, sums in other.detectors.items():
        lacks = np.ones(len(other.superseded), dtype=bool)
        if extension in one.detectors:
            missing = one.detectors[extension].is_missing()[: len(lacks)]
            lacks[: len(missing)] = missing
        count += int(np.sum(lacks & ~sums.is_missing()))
    return count


def save_reduced(
    experiment: h5py.File,
    sample: str,
    reduced: ReducedSample,
    *,
    provenance: Provenance | None,
    detectors: Sequence[Detector],
) -> None:
    """Replace a sample's processed data, under the run's lock, and link them where they are not.

    Those of a sample in a file of another origin go into a sidecar.

    Parameters
    ----------
    detectors
        Whose flats and darks are kept beside the experiment, unless they are there.

    Raises
    ------
    FileInUseError
        If the run is still being written.
    ReductionError
        If the file holds more frames than this reduction.
    """
    save_corrections(Path(experiment.filename).parent, detectors)
    own = _own_folder(experiment, sample)
    if own is None:
        write_sidecar(Path(experiment.filename), sample, reduced, provenance=provenance)
        return
    folder = RunFolder.open(own)
    try:
        _refuse_fewer(folder.path, len(reduced.superseded))
        write_processed(folder.path / schema.PROCESSED_FILE, reduced, provenance=provenance)
        relink_processed(folder.path)
    finally:
        folder.close()


def _own_folder(experiment: h5py.File, sample: str) -> Path | None:
    """Give the run folder of a sample; None in a file of another origin."""
    link = experiment.get(sample, getlink=True)
    ours = isinstance(link, h5py.ExternalLink) and Path(link.filename) == Path(
        sample, schema.RUN_FILE
    )
    return Path(experiment.filename).parent / sample if ours else None


def write_buffer(experiment: h5py.File, sample: str, names: Sequence[str]) -> None:
    """Replace a sample's run file by one that names these buffers.

    Those of a sample in a file of another origin are noted in its sidecar.

    Raises
    ------
    FileInUseError
        If the run is still being written, or the sidecar.
    OSError
        If it cannot be written.
    """
    own = _own_folder(experiment, sample)
    if own is None:
        write_sidecar_buffer(Path(experiment.filename), sample, names)
        return
    folder = RunFolder.open(own)
    try:
        attributes = sample_attributes(folder.path)
        for key in (schema.BUFFER, schema.BUFFER_ASSIGNED):
            attributes.pop(key, None)
        if names:
            attributes |= {schema.BUFFER: join_names(names), schema.BUFFER_ASSIGNED: "yes"}
        _rewrite_run_file(folder.path, attributes)
    finally:
        folder.close()


def _refuse_fewer(folder: Path, frames: int) -> None:
    path = folder / schema.PROCESSED_FILE
    if not path.exists():
        return
    try:
        with open_for_reading(path) as file:
            stored = len(read_processed(file).superseded)
    except (OSError, FileFormatError):  # what a killed writer left; it is replaced
        logger.warning("%s could not be read and is replaced", path)
        return
    if stored > frames:
        raise ReductionError(
            f"{path}: expected at most the {frames} frames to be saved, found {stored}: the run "
            "went on after they were read; load them again (load_d1s or load_data)"
        )


def relink_processed(folder: Path) -> None:
    """Show the processed file in the run file; the caller holds the run's lock.

    Nothing happens where it is shown already. Otherwise the run file is made anew from the
    journal, with the attributes that it has.
    """
    with open_for_reading(folder / schema.RUN_FILE) as file:
        if file[folder.name].get(schema.PROCESSED, getlink=True) is not None:
            return
    _rewrite_run_file(folder, sample_attributes(folder))


def _rewrite_run_file(folder: Path, attributes: Mapping[str, str]) -> None:
    journal = folder / schema.JOURNAL_FILE
    contents = RunContents.from_records(read_journal(journal))
    if contents.stop is None:  # its writer died: the streams' files may end before the journal
        contents = RunContents.from_records(read_journal(journal), keep_scalars=True)
    write_run_file(folder, contents, attributes)
