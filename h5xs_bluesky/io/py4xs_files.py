"""The detectors of an experiment, in the form that py4xs writes and reads.

py4xs' own keys describe an untilted or tilted detector with square pixels of 172 µm; what they
cannot hold stands beside them under a key of ours, which wins when we read.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import h5py

from h5xs_bluesky import schema
from h5xs_bluesky.errors import FileFormatError, H5xsError
from h5xs_bluesky.io.corrections import digest, load_corrections
from h5xs_bluesky.io.py4xs_masks import pack_mask, unpack_mask
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.geometry import Geometry
from h5xs_bluesky.reduction.merge import default_scales
from h5xs_bluesky.reduction.orientation import SampleOrientation
from h5xs_bluesky.reduction.py4xs_geometry import Py4xsGeometry

_OURS = "h5xs"
_PY4XS_INCIDENT_ANGLE = 0.2  # degrees; what py4xs has where no surface is in the beam

# The fields under which py4xs looks for the frames of a detector, by its extension.
LIX_FIELDS = {
    "_SAXS": "pil1M_image",
    "_WAXS": "pilW1_image",
    "_WAXS1": "pilW1_image",
    "_WAXS2": "pilW2_image",
}
_OR_WITH = ("_image", "_ext_image")  # the other names that LiX has for them
_TRANSMITTED_TO_INCIDENT = ("em2", "em1")
MODEL = "py4xs"  # of a detector as py4xs describes it: it does not tell


def added_for_py4xs(group: h5py.Group) -> set[str]:
    """Tell which members of a packed group are further names, for py4xs alone."""
    return set(json.loads(group.attrs.get(schema.PY4XS_ADDED, "[]")))


def rename_detectors(text: str, names: Mapping[str, str]) -> str:
    """Give detectors other extensions for py4xs; we still read their own ones.

    Parameters
    ----------
    text
        From `detectors_to_json`, or as py4xs wrote it.
    names
        New extensions by the old ones; a detector that is not in it is left out.
    """
    renamed = []
    for entry in json.loads(text):
        ours = entry.get(_OURS, {})
        own = str(ours.get("extension", entry["extension"]))
        if own not in names:
            continue
        if _OURS in entry and names[own] != own:
            entry = {**entry, _OURS: {**ours, "extension": own}}
        renamed.append({**entry, "extension": names[own]})
    return json.dumps(renamed)


def detectors_to_json(detectors: Sequence[Detector]) -> str:
    """Write detectors as the root attribute of an experiment; equal texts for equal detectors."""
    return json.dumps([_to_mapping(detector) for detector in detectors])


def detectors_from_json(
    text: str | bytes, *, folder: Path, file: h5py.File | None = None
) -> list[Detector]:
    """Read the detectors of an experiment, of ours or of py4xs.

    Where py4xs left `fix_scale` open it follows from the pixels' solid angles.

    Parameters
    ----------
    text
        The root attribute.
    folder
        The experiment's, where flats and darks are,
    file
        or a packed file, which has them in it.

    Raises
    ------
    FileFormatError
        If the text is not what `detectors_to_json`, or py4xs, writes.
    """
    try:
        entries = json.loads(text)
        detectors = [_from_mapping(entry, folder, file) for entry in entries]
        if not detectors:
            return []
        scales = default_scales([detector.geometry for detector in detectors])
        return [
            replace(detector, fix_scale=scale) if entry.get("fix_scale") is None else detector
            for entry, detector, scale in zip(entries, detectors, scales, strict=True)
        ]
    except (ValueError, TypeError, KeyError, IndexError) as error:
        if isinstance(error, H5xsError):
            raise
        raise FileFormatError(
            f"expected the detectors of an experiment as JSON, found {error!r} in {text!r:.120}"
        ) from error


def lix_fields(extension: str) -> tuple[str, ...]:
    """Give the fields that the frames of a detector have at LiX; none where it has no such one."""
    name = LIX_FIELDS.get(extension)
    return () if name is None else (name, name.replace(*_OR_WITH))


def with_fields_among(detectors: Sequence[Detector], fields: Collection[str]) -> list[Detector]:
    """Correct the fields of py4xs' detectors, which it does not tell, to those that are there.

    Parameters
    ----------
    detectors
        As `detectors_from_json` gives them; others stay as they are.
    fields
        What a sample holds.
    """
    result = []
    for detector in detectors:
        names = lix_fields(detector.extension) if detector.model == MODEL else ()
        found = [name for name in names if name in fields]
        result.append(replace(detector, data_key=found[0]) if found else detector)
    return result


def ancestor_beamline(
    detectors: Sequence[Detector],
    *,
    trans_field: str,
    from_water: bool,
    fields: Mapping[str, str],
) -> dict[str, Any]:
    """Give what py4xs takes for granted about a beamline, as plain values; its files do not tell.

    The beam is polarised horizontally; the incident beam's monitor is called like the transmitted
    one's, with ``em1`` instead of ``em2``. Monitors in streams of their own are integrated over
    exposures that begin at the frames' timestamps, the incident one's clock is set by the shutter,
    and the exposure time is where LiX's plans put it.

    Parameters
    ----------
    detectors
        Of the file. Unless some are as py4xs describes them, nothing is taken for granted.
    trans_field, from_water
        The field of the transmitted beam, "" where there is none; and whether the water peak tells
        it instead.
    fields
        What a sample holds, with the streams.
    """
    if not any(detector.model == MODEL for detector in detectors):
        return {}
    beamline: dict[str, Any] = {
        "beamline": {"name": MODEL},
        "reduction": {"polarization": 1.0, "trans": "water" if from_water else "external"},
        "metadata": {"exposure": {"from": "start", "key": "pilatus.exposure_time"}},
    }
    return {**beamline, "monitors": _monitors(trans_field, fields)} if trans_field else beamline


def _monitors(transmitted: str, fields: Mapping[str, str]) -> dict[str, Any]:
    monitors: dict[str, Any] = {"transmitted": transmitted}
    incident = transmitted.replace(*_TRANSMITTED_TO_INCIDENT)
    if incident != transmitted and incident in fields:
        monitors["incident"] = incident
    streams = {
        f"{name}_stream": fields[field]
        for name, field in monitors.items()
        if fields.get(field, schema.PRIMARY) != schema.PRIMARY
    }
    if streams:
        synchronise = "transmitted" if len(streams) > 1 else "no"
        monitors["asynchronous"] = {**streams, "stamped": "start", "synchronise": synchronise}
    return monitors


def detector_texts(text: str | bytes) -> dict[str, str]:
    """Give each detector of a root attribute as one of its own, by the field of its frames.

    Flats and darks are left out: they lie beside the experiment. What is no such text gives none.
    """
    try:
        entries = json.loads(text)
        texts = {}
        for entry in entries:
            ours = entry.get(_OURS)
            field = LIX_FIELDS.get(entry["extension"]) if ours is None else ours["data_key"]
            if ours is not None:
                entry = {**entry, _OURS: {**ours, "corrections": {}}}
            if field is not None:
                texts[str(field)] = json.dumps([entry])
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}
    return texts


def _to_mapping(detector: Detector) -> dict[str, Any]:
    rows, columns = detector.geometry.shape
    return {
        "extension": detector.extension,
        "fix_scale": detector.fix_scale,
        "ImageWidth": columns,
        "ImageHeight": rows,
        "exp_para": {
            **_py4xs_parameters(detector.geometry),
            **_py4xs_orientation(detector.orientation),
            "fix_azimuthal_angles": False,
            "mask": list(pack_mask(detector.mask)),
        },
        _OURS: {
            "data_key": detector.data_key,
            "model": detector.model,
            "saturation": detector.saturation,
            "geometry": asdict(detector.geometry),
            "orientation": asdict(detector.orientation),
            "corrections": {name: digest(array) for name, array in detector.corrections.items()},
        },
    }


def _from_mapping(entry: Mapping[str, Any], folder: Path, file: h5py.File | None) -> Detector:
    if _OURS not in entry:
        return _from_py4xs(entry)
    ours = entry[_OURS]
    values = dict(ours["geometry"])
    for key in ("shape", "pixel_size_m"):
        values[key] = tuple(values[key])
    geometry = Geometry(**values)
    extension = str(ours.get("extension", entry["extension"]))
    return Detector(
        extension=extension,
        data_key=str(ours["data_key"]),
        model=str(ours["model"]),
        geometry=geometry,
        mask=unpack_mask(bytes(entry["exp_para"]["mask"]), shape=geometry.shape),
        fix_scale=float(entry["fix_scale"]),
        saturation=ours["saturation"],
        orientation=SampleOrientation(**ours.get("orientation", {})),
        **load_corrections(folder, extension, ours.get("corrections", {}), file=file),
    )


def _from_py4xs(entry: Mapping[str, Any]) -> Detector:
    """Read a detector as py4xs wrote it; its mask belongs to the flipped picture."""
    extension, parameters = str(entry["extension"]), entry["exp_para"]
    if extension not in LIX_FIELDS:
        raise FileFormatError(
            f"expected one of py4xs' detectors {sorted(LIX_FIELDS)}, found {extension!r}, whose "
            "field is not known: give detectors and q-grid when opening the file"
        )
    place = Py4xsGeometry(
        image_width=int(entry["ImageWidth"]),
        image_height=int(entry["ImageHeight"]),
        bm_ctr_x=float(parameters["bm_ctr_x"]),
        bm_ctr_y=float(parameters["bm_ctr_y"]),
        ratio_dw=float(parameters["ratioDw"]),
        wavelength_angstrom=float(parameters["wavelength"]),
        det_orient_deg=float(parameters.get("det_orient", 0.0)),
        det_tilt_deg=float(parameters.get("det_tilt", 0.0)),
        det_phi_deg=float(parameters.get("det_phi", 0.0)),
        flip=int(parameters.get("flip", 0)),
        sample_normal_deg=float(parameters.get("sample_normal", 0.0)),
    )
    mask = unpack_mask(bytes(parameters["mask"]), shape=(place.image_height, place.image_width))
    scale = entry.get("fix_scale")
    return Detector(
        extension=extension,
        data_key=LIX_FIELDS[extension],
        model=MODEL,
        geometry=place.to_geometry(),
        mask=place.stored(mask),
        fix_scale=1.0 if scale is None else float(scale),
        orientation=SampleOrientation(
            sample_normal_deg=place.sample_normal_deg,
            incident_angle_deg=(
                float(parameters["incident_angle"]) if parameters.get("grazing_incident") else None
            ),
            mirrored=place.flip < 0,
        ),
    )


def _py4xs_orientation(orientation: SampleOrientation) -> dict[str, Any]:
    angle = orientation.incident_angle_deg
    return {
        "sample_normal": orientation.sample_normal_deg,
        "grazing_incident": angle is not None,
        "incident_angle": _PY4XS_INCIDENT_ANGLE if angle is None else angle,
    }


def _py4xs_parameters(geometry: Geometry) -> dict[str, Any]:
    """Give the parameters with which py4xs computes the same q, in its own names.

    Pixels that are not square, which py4xs does not know, are given in units of their height.
    """
    height, width = geometry.pixel_size_m
    square = replace(
        geometry, pixel_size_m=(height, height), poni2_m=geometry.poni2_m / width * height
    )
    place = Py4xsGeometry.from_geometry(square)
    return {
        "wavelength": place.wavelength_angstrom,
        "bm_ctr_x": place.bm_ctr_x,
        "bm_ctr_y": place.bm_ctr_y,
        "ratioDw": place.ratio_dw,
        "det_orient": place.det_orient_deg,
        "det_tilt": place.det_tilt_deg,
        "det_phi": place.det_phi_deg,
        "flip": place.flip,
    }
