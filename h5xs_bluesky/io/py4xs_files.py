"""The detectors of an experiment, in the form that py4xs writes and reads.

py4xs' own keys describe an untilted or tilted detector with square pixels of 172 µm; what they
cannot hold stands beside them under a key of ours, which wins when we read.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import FileFormatError, H5xsError
from h5xs_bluesky.io.corrections import digest, load_corrections
from h5xs_bluesky.io.py4xs_masks import pack_mask, unpack_mask
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.geometry import Geometry

_OURS = "h5xs"
_PIXEL_M = 172e-6
_ANGSTROM_M = 1e-10
_SMALLEST_COSINE = 1e-9

# Axes: py4xs' laboratory has x right, y up, z upstream, in pixels of the picture as stored
# (flip = 0); pyFAI's has 1 up, 2 horizontal, 3 along the beam. Rows run down, columns right.
_DETECTOR_AXES = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
_LABORATORY_AXES = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])


def detectors_to_json(detectors: Sequence[Detector]) -> str:
    """Write detectors as the root attribute of an experiment; equal texts for equal detectors."""
    return json.dumps([_to_mapping(detector) for detector in detectors])


def detectors_from_json(text: str | bytes, *, folder: Path) -> list[Detector]:
    """Read the detectors of an experiment of ours.

    Parameters
    ----------
    text
        The root attribute.
    folder
        The experiment's, where flats and darks are.

    Raises
    ------
    FileFormatError
        If the text is not what `detectors_to_json` writes.
    """
    try:
        entries = json.loads(text)
        return [_from_mapping(entry, folder) for entry in entries]
    except (ValueError, TypeError, KeyError, IndexError) as error:
        if isinstance(error, H5xsError):
            raise
        raise FileFormatError(
            f"expected the detectors of an experiment as JSON, found {error!r} in {text!r:.120}"
        ) from error


def _to_mapping(detector: Detector) -> dict[str, Any]:
    rows, columns = detector.geometry.shape
    return {
        "extension": detector.extension,
        "fix_scale": detector.fix_scale,
        "ImageWidth": columns,
        "ImageHeight": rows,
        "exp_para": {
            **py4xs_parameters(detector.geometry),
            "flip": 0,
            "grazing_incident": False,
            "incident_angle": 0.2,
            "sample_normal": 0.0,
            "fix_azimuthal_angles": False,
            "mask": list(pack_mask(detector.mask)),
        },
        _OURS: {
            "data_key": detector.data_key,
            "model": detector.model,
            "saturation": detector.saturation,
            "geometry": asdict(detector.geometry),
            "corrections": {name: digest(array) for name, array in detector.corrections.items()},
        },
    }


def _from_mapping(entry: Mapping[str, Any], folder: Path) -> Detector:
    if _OURS not in entry:
        raise FileFormatError(
            f"expected the key {_OURS!r} for detector {entry.get('extension')!r}, found none: the "
            "detectors were written by py4xs; give detectors and q-grid when opening the file"
        )
    ours = entry[_OURS]
    values = dict(ours["geometry"])
    for key in ("shape", "pixel_size_m"):
        values[key] = tuple(values[key])
    geometry = Geometry(**values)
    extension = str(entry["extension"])
    return Detector(
        extension=extension,
        data_key=str(ours["data_key"]),
        model=str(ours["model"]),
        geometry=geometry,
        mask=unpack_mask(bytes(entry["exp_para"]["mask"]), shape=geometry.shape),
        fix_scale=float(entry["fix_scale"]),
        saturation=ours["saturation"],
        **load_corrections(folder, extension, ours.get("corrections", {})),
    )


def py4xs_parameters(geometry: Geometry) -> dict[str, float]:
    """Give the parameters with which py4xs computes the same q.

    The detector's rotation in py4xs' laboratory is Rz(orient + phi) · Ry(tilt) · Rz(−orient),
    about the point where the beam meets the detector (Yang, J. Synchrotron Rad. 20 (2013) 211);
    lengths are in pixels. Pixels that are not square and 172 µm wide are given in units of their
    height, which leaves q right for square ones.

    Returns
    -------
    dict
        ``wavelength`` in Å, ``bm_ctr_x`` and ``bm_ctr_y`` in pixels, ``ratioDw`` (distance over
        width), ``det_orient``, ``det_tilt`` and ``det_phi`` in degrees.

    Raises
    ------
    FileFormatError
        If the beam does not meet the detector's plane.
    """
    pixel, (_, columns) = geometry.pixel_size_m[0], geometry.shape
    rotation = _LABORATORY_AXES.T @ _pyfai_rotation(geometry) @ _DETECTOR_AXES.T
    if rotation[2, 2] <= _SMALLEST_COSINE:
        raise FileFormatError("expected a detector that the beam meets, found one parallel to it")
    distance = geometry.distance_m / pixel / rotation[2, 2]
    row = geometry.poni1_m / pixel - 0.5 + distance * rotation[2, 1]
    column = geometry.poni2_m / geometry.pixel_size_m[1] - 0.5 - distance * rotation[2, 0]
    sine = np.hypot(rotation[2, 0], rotation[2, 1])
    if sine < 1e-12:
        orient, tilt, turn = 0.0, 0.0, np.arctan2(rotation[1, 0], rotation[0, 0])
    else:
        tilt = -np.arctan2(sine, rotation[2, 2])
        orient = np.arctan2(rotation[2, 1], rotation[2, 0])
        turn = np.arctan2(-rotation[1, 2], -rotation[0, 2])
    phi = (np.degrees(turn - orient) + 180) % 360 - 180
    return {
        "wavelength": geometry.wavelength_m / _ANGSTROM_M,
        "bm_ctr_x": float(column),
        "bm_ctr_y": float(row),
        "ratioDw": float(distance / columns),
        "det_orient": float(np.degrees(orient)),
        "det_tilt": float(np.degrees(tilt)),
        "det_phi": float(phi),
    }


def _pyfai_rotation(geometry: Geometry) -> NDArray[np.float64]:
    (c1, c2, c3), (s1, s2, s3) = (
        function([geometry.rot1_rad, geometry.rot2_rad, geometry.rot3_rad])
        for function in (np.cos, np.sin)
    )
    first = np.array([[1, 0, 0], [0, c1, s1], [0, -s1, c1]])
    second = np.array([[c2, 0, -s2], [0, 1, 0], [s2, 0, c2]])
    third = np.array([[c3, -s3, 0], [s3, c3, 0], [0, 0, 1]])
    product: NDArray[np.float64] = third @ second @ first
    return product
