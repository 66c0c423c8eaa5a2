"""What a calibration leaves beside an experiment's file: PONI, JSON and picture."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from h5xs_bluesky import schema
from h5xs_bluesky.io.geometry_files import poni_text
from h5xs_bluesky.io.names import safe_name
from h5xs_bluesky.io.replace import replace_whole
from h5xs_bluesky.reduction.geometry import Geometry


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationFiles:
    """The files of one detector's calibration.

    Parameters
    ----------
    poni, record, picture
        The geometry as pyFAI reads it; all that is known, as JSON; a picture to judge it by.
    """

    poni: Path
    record: Path
    picture: Path

    def remove(self) -> None:
        """Remove them, as after a calibration that did not come to hold."""
        for path in (self.poni, self.record, self.picture):
            path.unlink(missing_ok=True)


def write_calibration(
    folder: Path,
    extension: str,
    *,
    date: datetime,
    geometry: Geometry,
    record: Mapping[str, Any],
    picture: bytes,
) -> CalibrationFiles:
    """Write the files of one detector's calibration, under names that are not taken.

    Parameters
    ----------
    folder
        The experiment's.
    extension
        The detector's.
    date
        Is in the names, in UTC.
    geometry
        What was found.
    record
        Plain values.
    picture
        A PNG file's content.
    """
    stem = f"{safe_name(extension)}.{schema.CALIBRATION}.{date:%Y%m%dT%H%M%SZ}"
    number, files = 1, _files(folder, stem)
    while any(path.exists() for path in (files.poni, files.record, files.picture)):
        number += 1
        files = _files(folder, f"{stem}-{number}")
    content = {
        files.poni: poni_text(geometry).encode(),
        files.record: json.dumps(record, indent=1, allow_nan=False).encode(),
        files.picture: picture,
    }
    try:
        for path, data in content.items():
            with replace_whole(path) as temporary:
                temporary.write_bytes(data)
    except BaseException:
        files.remove()
        raise
    return files


def _files(folder: Path, stem: str) -> CalibrationFiles:
    return CalibrationFiles(
        poni=folder / f"{stem}.poni",
        record=folder / f"{stem}.json",
        picture=folder / f"{stem}.png",
    )
