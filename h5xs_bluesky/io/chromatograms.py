"""The chromatogram of a series behind a column, in a sample's `reduction`."""

import json
from dataclasses import asdict, astuple
from typing import Any

import h5py
import numpy as np

from h5xs_bluesky import schema
from h5xs_bluesky.errors import FileFormatError, ReductionError
from h5xs_bluesky.reduction.chromatography.analyse import Chromatogram
from h5xs_bluesky.reduction.chromatography.options import ChromatographyOptions
from h5xs_bluesky.reduction.chromatography.peaks import ElutionPeak

_PER_FRAME = (
    schema.INTENSITY,
    schema.RG,
    schema.I0,
    schema.BUFFER_FRAMES,
    schema.SAMPLE_FRAMES,
)
_GIVEN = (schema.BUFFER_GIVEN, schema.SAMPLE_GIVEN)
_PEAK_COLUMNS = 6  # as the fields of `ElutionPeak`


def write_chromatogram(reduction: h5py.Group, chromatogram: Chromatogram) -> None:
    """Write a chromatogram into a sample's `reduction`."""
    group = reduction.create_group(schema.CHROMATOGRAM)
    for name in _PER_FRAME:
        group[name] = getattr(chromatogram, name)
    peaks = [astuple(peak) for peak in chromatogram.peaks]
    group[schema.PEAKS] = np.array(peaks, dtype=float).reshape(-1, _PEAK_COLUMNS)
    for name in _GIVEN:
        group.attrs[name] = getattr(chromatogram, name)
    group.attrs[schema.TRANS] = chromatogram.beam
    group.attrs[schema.CONFIGURATION] = json.dumps(asdict(chromatogram.options))


def read_chromatogram(reduction: h5py.Group) -> Chromatogram | None:
    """Read the chromatogram of a sample; None where there is none.

    Raises
    ------
    FileFormatError
        If it cannot be understood.
    """
    group = reduction.get(schema.CHROMATOGRAM)
    if group is None:
        return None
    try:
        options: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in json.loads(group.attrs[schema.CONFIGURATION]).items()
        }
        per_frame: dict[str, Any] = {name: group[name][()] for name in _PER_FRAME}
        given: dict[str, Any] = {name: bool(group.attrs[name]) for name in _GIVEN}
        return Chromatogram(
            **per_frame,
            **given,
            peaks=tuple(_peak(*row) for row in group[schema.PEAKS][()]),
            beam=float(group.attrs[schema.TRANS]),
            options=ChromatographyOptions(**options),
        )
    except (KeyError, TypeError, ValueError, AttributeError, ReductionError) as error:
        raise FileFormatError(
            f"{group.file.filename}: {group.name}: expected a chromatogram as written here, found "
            f"an error: {error}: analyse the series again (process_sec)"
        ) from error


def _peak(
    position: float, sigma: float, height: float, apex: float, first: float, last: float
) -> ElutionPeak:
    return ElutionPeak(
        position=float(position),
        position_sigma=float(sigma),
        height=float(height),
        apex=int(apex),
        first=int(first),
        last=int(last),
    )
