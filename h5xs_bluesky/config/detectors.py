"""From the tables of a TOML file to detectors: geometry, masks, corrections."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.config.tables import Table
from h5xs_bluesky.errors import ConfigurationError, H5xsError
from h5xs_bluesky.io.geometry_files import detector_by_name, read_poni
from h5xs_bluesky.io.image_files import read_image
from h5xs_bluesky.io.mask_files import detector_mask, read_mask
from h5xs_bluesky.io.nexus_geometry import read_nexus_geometry
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.geometry import Geometry
from h5xs_bluesky.reduction.merge import default_scales
from h5xs_bluesky.reduction.orientation import SampleOrientation
from h5xs_bluesky.reduction.py4xs_geometry import Py4xsGeometry

_ANGSTROM_M = 1e-10
# py4xs' names of what `Py4xsGeometry` needs, and of angles that may be left out.
PY4XS_NUMBERS = {
    "bm_ctr_x": "bm_ctr_x",
    "bm_ctr_y": "bm_ctr_y",
    "ratio_dw": "ratioDw",
    "wavelength_angstrom": "wavelength",
}
PY4XS_ANGLES = ("det_orient", "det_tilt", "det_phi")
_OWN_MASK = "detector"  # stands for the mask that pyFAI knows, where a file is expected


def read_detectors(tables: list[Table], base: Path) -> tuple[Detector, ...]:
    """Read the tables of all detectors; without `fix_scale` it follows from solid angles.

    Parameters
    ----------
    base
        The folder that relative file names start from.

    Raises
    ------
    ConfigurationError
        For the first mistake, with its place.
    """
    found = [_detector(table, base) for table in tables]
    scales = default_scales([detector.geometry for detector, _ in found])
    return tuple(
        detector if scale_given else replace(detector, fix_scale=scale)
        for (detector, scale_given), scale in zip(found, scales, strict=True)
    )


def _detector(table: Table, base: Path) -> tuple[Detector, bool]:
    extension, data_key = table.get("extension", str), table.get("data_key", str)
    model = table.get("model", str)
    geometry = _geometry(table.table("geometry"), model, base)
    mask = _mask(table, model, geometry.shape, base)
    fix_scale = table.get("fix_scale", float, None)
    saturation = table.get("saturation", float, None)
    orientation = _orientation(table)
    corrections = {name: _correction(table, name, base) for name in Detector.CORRECTIONS}
    detector = table.build(
        lambda: Detector(
            extension=extension,
            data_key=data_key,
            model=model,
            geometry=geometry,
            mask=mask,
            fix_scale=1.0 if fix_scale is None else fix_scale,
            saturation=saturation,
            orientation=orientation,
            **corrections,
        )
    )
    return detector, fix_scale is not None


def _mask(table: Table, model: str, shape: tuple[int, int], base: Path) -> NDArray[np.bool_]:
    """Read the masks of a detector and combine them: excluded in one is excluded."""
    value = table.get("mask", object, [])
    mask = np.zeros(shape, dtype=bool)
    for entry in value if isinstance(value, list) else [value]:
        if isinstance(entry, str):
            entry = {"file": entry}
        if not isinstance(entry, dict):
            raise table.error("mask", f"expected a file or a list of files, found {entry!r}")
        source = Table(entry, file=table.file, name=f"{table.name}.mask")
        try:
            mask |= _one_mask(source, model, shape, base)
        except ConfigurationError:
            raise
        except H5xsError as error:
            raise table.error("mask", str(error)) from error
    return mask


def _one_mask(table: Table, model: str, shape: tuple[int, int], base: Path) -> NDArray[np.bool_]:
    file = table.get("file", str)
    invert = table.get("invert", bool, False)
    dataset: str | None = table.get("dataset", str, None)
    color: str | None = table.get("color", str, None)
    bits = table.numbers("bits", None) if "bits" in table else None
    if bits is not None and any(bit != int(bit) for bit in bits):
        raise table.error("bits", f"expected whole numbers, found {bits}")
    flip = table.get("flip", int, 0)
    table.build(lambda: None)
    if file == _OWN_MASK:
        mask = detector_mask(model, shape=shape)
    else:
        mask = read_mask(
            base / file,
            shape=shape,
            dataset=dataset,
            bits=None if bits is None else [int(bit) for bit in bits],
            color=color,
            flip=flip,
        )
    return ~mask if invert else mask


def _correction(table: Table, name: str, base: Path) -> NDArray[np.float64] | None:
    file: str | None = table.get(name, str, None)
    if file is None:
        return None
    try:
        return read_image(base / file, what=name).astype(float)
    except H5xsError as error:
        raise table.error(name, str(error)) from error


_PLACES = ("poni", "nexus", "py4xs", "beam_center_px")


def _geometry(table: Table, model: str, base: Path) -> Geometry:
    given = [key for key in _PLACES if key in table]
    if len(given) > 1:
        raise table.error(given[1], f"expected either {given[0]} or {given[1]}, found both")
    shape = table.optional_numbers("shape", 2)
    rows_columns = None if shape is None else (int(shape[0]), int(shape[1]))
    if given == ["poni"] or given == ["nexus"]:
        return _geometry_from_file(table, given[0], rows_columns, base)
    if given == ["py4xs"]:
        return _geometry_of_py4xs(table)
    return _geometry_by_hand(table, model, rows_columns)


def _orientation(table: Table) -> SampleOrientation:
    """Read how sample and picture are turned; py4xs' negative flip mirrors the picture."""
    entry = table.table("orientation")
    normal = entry.get("sample_normal_deg", float, 0.0)
    angle: float | None = entry.get("incident_angle_deg", float, None)
    flip = table.table("geometry").table("py4xs").get("flip", int, 0)
    mirrored = entry.get("mirrored", bool, flip < 0)
    return entry.build(
        lambda: SampleOrientation(
            sample_normal_deg=normal, incident_angle_deg=angle, mirrored=mirrored
        )
    )


def _geometry_from_file(
    table: Table, kind: str, shape: tuple[int, int] | None, base: Path
) -> Geometry:
    name = table.get(kind, str)
    for key in ("distance_m", "wavelength_angstrom"):
        if key in table:
            raise table.error(key, f"expected either {kind} or {key}, found both")
    detector: str | None = table.get("detector", str, None) if kind == "nexus" else None
    table.build(lambda: None)
    try:
        if kind == "poni":
            geometry = read_poni(base / name, shape=shape)
        else:
            geometry = read_nexus_geometry(base / name, detector=detector, shape=shape)
    except H5xsError as error:
        raise table.error(kind, str(error)) from error
    if shape not in (None, geometry.shape):
        raise table.error("shape", f"expected {geometry.shape} as in {name}, found {shape}")
    return geometry


def _geometry_of_py4xs(table: Table) -> Geometry:
    """Read py4xs' own parameters, under py4xs' own names."""
    entry = table.table("py4xs")
    numbers = {ours: entry.get(theirs, float) for ours, theirs in PY4XS_NUMBERS.items()}
    for angle in PY4XS_ANGLES:
        numbers[f"{angle}_deg"] = entry.get(angle, float, 0.0)
    numbers["pixel_size_m"] = entry.get("pixel_size_m", float, 172e-6)
    width, height = entry.get("ImageWidth", int), entry.get("ImageHeight", int)
    flip = entry.get("flip", int, 0)
    table.build(lambda: None)
    return entry.build(
        lambda: Py4xsGeometry(
            image_width=width, image_height=height, flip=flip, **numbers
        ).to_geometry()
    )


def _geometry_by_hand(table: Table, model: str, shape: tuple[int, int] | None) -> Geometry:
    pixel_size = table.optional_numbers("pixel_size_m", 2)
    if shape is None or pixel_size is None:
        known = detector_by_name(model)
        if known is None:
            raise table.error(
                "shape", f"expected shape and pixel_size_m, since pyFAI knows no detector {model!r}"
            )
        shape = shape or known[0]
        pixel_size = pixel_size or list(known[1])
    center = table.numbers("beam_center_px", 2)
    distance, wavelength = table.get("distance_m", float), table.get("wavelength_angstrom", float)
    return table.build(
        lambda: Geometry.from_beam_center(
            shape=shape,
            pixel_size_m=(pixel_size[0], pixel_size[1]),
            distance_m=distance,
            beam_center_px=(center[0], center[1]),
            wavelength_m=wavelength * _ANGSTROM_M,
        )
    )
