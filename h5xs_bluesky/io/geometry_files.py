"""Geometries from files: PONI, as pyFAI writes it."""

import json
from pathlib import Path
from typing import Any

from h5xs_bluesky.errors import FileFormatError, H5xsError
from h5xs_bluesky.reduction.geometry import Geometry

_ORIENTATION = 3


def read_poni(path: Path, *, shape: tuple[int, int] | None = None) -> Geometry:
    """Read a PONI file, version 1 or 2.

    Parameters
    ----------
    path
        The file.
    shape
        Rows and columns, where the file's detector does not tell them.

    Raises
    ------
    FileFormatError
        If it is no PONI file, or lacks the wavelength or the shape.
    """
    from pyFAI.io.ponifile import PoniFile

    if not path.is_file():
        raise FileFormatError(f"{path}: expected a PONI file, found none")
    try:
        poni = PoniFile(str(path))
    except Exception as error:
        raise FileFormatError(f"{path}: expected a PONI file, found an error: {error}") from error
    try:
        return geometry_of_poni(poni, shape)
    except (H5xsError, TypeError) as error:
        raise FileFormatError(f"{path}: {error}") from error


def geometry_of_poni(poni: Any, shape: tuple[int, int] | None) -> Geometry:
    """Take the geometry out of what pyFAI read.

    Parameters
    ----------
    poni
        A `pyFAI.io.ponifile.PoniFile`.
    shape
        Rows and columns, where its detector does not tell them.

    Raises
    ------
    FileFormatError
        If something is missing, or the detector is of another orientation than 3.
    """
    values = [poni.dist, poni.poni1, poni.poni2, poni.rot1, poni.rot2, poni.rot3]
    detector = poni.detector
    if detector is None or any(value is None for value in values):
        raise FileFormatError("expected a PONI file with detector and position, found none")
    if poni.wavelength is None:
        raise FileFormatError("expected a wavelength, found none: add it to the file")
    if detector.orientation not in (0, _ORIENTATION):
        raise FileFormatError(
            f"expected a detector of orientation {_ORIENTATION}, found "
            f"{int(detector.orientation)}: calibrate again with orientation {_ORIENTATION}"
        )
    known = detector.max_shape
    if known is not None:
        shape = int(known[0]), int(known[1])
    if shape is None:
        raise FileFormatError(
            f"expected a detector of known size, found {detector.name!r}: "
            "give the shape beside the file"
        )
    return Geometry(
        shape=shape,
        pixel_size_m=(float(detector.pixel1), float(detector.pixel2)),
        distance_m=float(poni.dist),
        poni1_m=float(poni.poni1),
        poni2_m=float(poni.poni2),
        rot1_rad=float(poni.rot1),
        rot2_rad=float(poni.rot2),
        rot3_rad=float(poni.rot3),
        wavelength_m=float(poni.wavelength),
    )


def pyfai_detector(model: str) -> Any | None:
    """Make a detector that pyFAI knows by name; None otherwise, also where a file is called so."""
    from pyFAI.detectors import Detector

    names = (model.lower(), model.lower().replace(" ", "_"))
    kinds = [Detector.registry[name] for name in names if name in Detector.registry]
    return kinds[0]() if kinds else None


def poni_text(geometry: Geometry) -> str:
    """Give a geometry as a PONI file, version 2.1, that pyFAI and `read_poni` read.

    Numbers are written so that the very same ones are read back.
    """
    height, width = geometry.pixel_size_m
    detector = {
        "pixel1": height,
        "pixel2": width,
        "max_shape": list(geometry.shape),
        "orientation": _ORIENTATION,
    }
    lines = {
        "poni_version": 2.1,
        "Detector": "Detector",
        "Detector_config": json.dumps(detector),
        "Distance": geometry.distance_m,
        "Poni1": geometry.poni1_m,
        "Poni2": geometry.poni2_m,
        "Rot1": geometry.rot1_rad,
        "Rot2": geometry.rot2_rad,
        "Rot3": geometry.rot3_rad,
        "Wavelength": geometry.wavelength_m,
    }
    return "".join(f"{key}: {value}\n" for key, value in lines.items())


def detector_by_name(model: str) -> tuple[tuple[int, int], tuple[float, float]] | None:
    """Give shape and pixel sizes in m of a detector that pyFAI knows by name; None otherwise."""
    detector = pyfai_detector(model)
    if detector is None or detector.max_shape is None or detector.pixel1 is None:
        return None
    rows, columns = detector.max_shape
    return (int(rows), int(columns)), (float(detector.pixel1), float(detector.pixel2))
