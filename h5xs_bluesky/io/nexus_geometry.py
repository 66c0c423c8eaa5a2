"""Geometries from NeXus files: what pyFAI notes beside its results, NXdetector, an Eiger's master.

Positions are in NeXus' laboratory: z along the beam, y up, x to the left seen along the beam.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import FileFormatError, RefusedError
from h5xs_bluesky.io.frames import open_frames
from h5xs_bluesky.io.geometry_files import geometry_of_poni
from h5xs_bluesky.io.links import follow
from h5xs_bluesky.reduction.geometry import Geometry

_LENGTHS = {
    "m": 1.0, "meter": 1.0, "metre": 1.0, "cm": 1e-2, "mm": 1e-3, "millimeter": 1e-3,
    "um": 1e-6, "µm": 1e-6, "micron": 1e-6, "micrometer": 1e-6, "nm": 1e-9, "nanometer": 1e-9,
    "angstrom": 1e-10, "Angstrom": 1e-10, "Å": 1e-10, "A": 1e-10,
}  # fmt: skip
_ANGLES = {"deg": np.pi / 180, "degree": np.pi / 180, "degrees": np.pi / 180, "rad": 1.0}
_HC_EV_M = 1.239841984e-6  # CODATA 2018
_MOST_AXES = 32
_SQUARE = 1e-6  # how far from a right angle slow and fast axis may be

# NeXus' laboratory → pyFAI's. The second is a mirror image, in which q and polarisation are the
# same: pictures that run right and down, seen along the beam, are left-handed.
_AXES = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
_MIRRORED_AXES = np.array([[0.0, -1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])

Vector = NDArray[np.float64]


def read_nexus_geometry(
    path: Path, *, detector: str | None = None, shape: tuple[int, int] | None = None
) -> Geometry:
    """Read a detector's geometry from a NeXus file.

    Of these, the first that is there:

    - the PONI that pyFAI notes in an NXprocess beside its results;
    - an NXdetector whose module, or pixel offsets, stand on a chain of NXtransformations;
    - beam centre and distance of an upright detector, as an Eiger's master file has them. The
      beam centre is taken in pixels from the outer corner of the first one.

    Parameters
    ----------
    path
        The file.
    detector
        The path of the NXdetector (or NXprocess) in it; by default the only one.
    shape
        Rows and columns, where the file does not tell them.

    Raises
    ------
    FileFormatError
        If there is no such file, or something that the geometry needs is missing in it.
    RefusedError
        If a link leads out of the file's folder.
    """
    if not path.is_file():
        raise FileFormatError(f"{path}: expected a NeXus file, found none")
    try:
        with open_frames(path) as file:
            return _Reader(file).geometry(detector, shape)
    except RefusedError:
        raise
    except FileFormatError as error:
        raise FileFormatError(f"{path}: {error}") from error
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise FileFormatError(f"{path}: expected a NeXus file, found an error: {error}") from error


@dataclass(frozen=True, slots=True)
class _Plane:
    """A flat detector in NeXus' laboratory, in m.

    `origin` is the outer corner of the first pixel; `slow` and `fast` have the length of a pixel.
    """

    origin: Vector
    slow: Vector
    fast: Vector

    def geometry(self, shape: tuple[int, int], wavelength_m: float) -> Geometry:
        """Turn positions into pyFAI's distance, PONI and rotations."""
        sizes = float(np.linalg.norm(self.slow)), float(np.linalg.norm(self.fast))
        slow, fast = self.slow / sizes[0], self.fast / sizes[1]
        if abs(slow @ fast) > _SQUARE:
            raise FileFormatError(
                "expected slow and fast axis at right angles, found "
                f"{np.degrees(np.arccos(slow @ fast)):.4f} degrees"
            )
        axes = _AXES if np.cross(slow, fast) @ self.origin > 0 else _MIRRORED_AXES
        slow, fast, origin = axes @ slow, axes @ fast, axes @ self.origin
        normal = np.cross(slow, fast)
        rotation = np.stack([slow, fast, normal], axis=1)
        return Geometry(
            shape=shape,
            pixel_size_m=sizes,
            distance_m=float(normal @ origin),
            poni1_m=float(-slow @ origin),
            poni2_m=float(-fast @ origin),
            rot1_rad=float(np.arctan2(-rotation[2, 1], rotation[2, 2])),
            rot2_rad=float(np.arcsin(np.clip(rotation[2, 0], -1, 1))),
            rot3_rad=float(np.arctan2(rotation[1, 0], rotation[0, 0])),
            wavelength_m=wavelength_m,
        )


class _Reader:
    """Finds what a geometry needs in one open file."""

    def __init__(self, file: h5py.File) -> None:
        self.file = file
        self.roots = [Path(file.filename).resolve().parent]

    def geometry(self, name: str | None, shape: tuple[int, int] | None) -> Geometry:
        if name is not None:
            group = follow(self.file, name.strip("/"), roots=self.roots)
            if not isinstance(group, h5py.Group):
                raise FileFormatError(f"expected a group {name!r}, found none")
            poni = self._poni(group)
            return poni or self._of_detector(group, shape)
        for group in self._groups("NXprocess"):
            poni = self._poni(group)
            if poni is not None:
                return poni
        detectors = list(self._groups("NXdetector"))
        if len(detectors) != 1:
            names = [str(group.name) for group in detectors]
            raise FileFormatError(
                f"expected one NXdetector, found {names or 'none'}: name the one that is meant"
            )
        return self._of_detector(detectors[0], shape)

    def _groups(self, nx_class: str) -> Iterator[h5py.Group]:
        """Give the groups of a class, down to four levels, links checked."""
        level: list[h5py.Group] = [self.file]
        for _ in range(4):
            below = []
            for group in level:
                for name in group:
                    member = follow(group, name, roots=self.roots)
                    if isinstance(member, h5py.Group):
                        below.append(member)
                        if _text(member.attrs.get("NX_class", "")) == nx_class:
                            yield member
            level = below

    def _poni(self, process: h5py.Group) -> Geometry | None:
        data = follow(process, "poni/data", roots=self.roots)
        if not isinstance(data, h5py.Dataset):
            return None
        from pyFAI.io.ponifile import PoniFile

        return geometry_of_poni(PoniFile(json.loads(_text(data[()]))), None)

    def _of_detector(self, detector: h5py.Group, shape: tuple[int, int] | None) -> Geometry:
        shape = shape or self._shape(detector)
        wavelength = self._wavelength(detector)
        plane = self._from_module(detector) or self._from_offsets(detector)
        return (plane or self._upright(detector)).geometry(shape, wavelength)

    def _from_module(self, detector: h5py.Group) -> _Plane | None:
        """Read fast_pixel_direction, slow_pixel_direction and module_offset of the only module."""
        modules = [
            member
            for name in detector
            if isinstance(member := follow(detector, name, roots=self.roots), h5py.Group)
            and "fast_pixel_direction" in member
        ]
        if not modules:
            return None
        if len(modules) > 1:
            raise FileFormatError(
                f"{detector.name}: expected a flat detector of one module, found {len(modules)}"
            )
        fast, slow = (modules[0][f"{name}_pixel_direction"] for name in ("fast", "slow"))
        offset = modules[0].get("module_offset", fast)
        start = np.zeros(3) if offset is fast else _shift(offset)
        origin = self._placed(start + _offset(offset), offset)
        return _Plane(
            origin=origin,
            slow=self._placed(_shift(slow), slow) - self._placed(np.zeros(3), slow),
            fast=self._placed(_shift(fast), fast) - self._placed(np.zeros(3), fast),
        )

    def _from_offsets(self, detector: h5py.Group) -> _Plane | None:
        """Read x_pixel_offset and y_pixel_offset, the centres of columns and rows."""
        if "depends_on" not in detector or "x_pixel_offset" not in detector:
            return None
        x, y = (np.ravel(_number(detector[f"{axis}_pixel_offset"], _LENGTHS)) for axis in "xy")
        if detector["x_pixel_offset"].ndim != 1 or x.size < 2 or y.size < 2:
            raise FileFormatError(
                f"{detector.name}: expected pixel offsets of columns and of rows, found "
                f"{detector['x_pixel_offset'].shape} and {detector['y_pixel_offset'].shape}"
            )
        dx, dy = (x[-1] - x[0]) / (x.size - 1), (y[-1] - y[0]) / (y.size - 1)
        left, top = x[0] - dx / 2, y[0] - dy / 2
        origin, right, down = (
            self._placed(np.array([*point, 0.0]), detector)
            for point in ((left, top), (left + dx, top), (left, top + dy))
        )
        return _Plane(origin=origin, slow=down - origin, fast=right - origin)

    def _upright(self, detector: h5py.Group) -> _Plane:
        names = {
            "distance": ("detector_distance", "distance"),
            "x": ("beam_center_x",),
            "y": ("beam_center_y",),
        }
        found = {}
        for key, choices in names.items():
            present = [name for name in choices if name in detector]
            if not present:
                raise FileFormatError(
                    f"{detector.name}: expected transformations, or beam centre and distance, "
                    f"found no {choices[0]}"
                )
            found[key] = detector[present[0]]
        sizes = {axis: float(_number(detector[f"{axis}_pixel_size"], _LENGTHS)) for axis in "xy"}
        center = {
            axis: float(_number(found[axis], {**_LENGTHS, "pixel": sizes[axis]}, default="pixel"))
            for axis in "xy"
        }
        distance = float(_number(found["distance"], _LENGTHS))
        return _Plane(
            origin=np.array([center["x"], center["y"], distance]),
            slow=np.array([0.0, -sizes["y"], 0.0]),
            fast=np.array([-sizes["x"], 0.0, 0.0]),
        )

    def _placed(self, point: Vector, axis: h5py.Group | h5py.Dataset) -> Vector:
        """Carry a point from where an axis, or a group, stands on its chain to the laboratory."""
        for transformation in self._chain(axis):
            vector = np.asarray(transformation.attrs["vector"], dtype=float)
            kind = _text(transformation.attrs["transformation_type"])
            if kind == "translation":
                point = point + _shift(transformation)
            elif kind == "rotation":
                point = _rotated(point, vector, float(_number(transformation, _ANGLES)))
            else:
                raise FileFormatError(
                    f"{transformation.name}: expected a translation or rotation, found {kind!r}"
                )
            point = point + _offset(transformation)
        return point

    def _chain(self, axis: h5py.Group | h5py.Dataset) -> Iterator[h5py.Dataset]:
        for _ in range(_MOST_AXES):
            value = (
                axis["depends_on"][()]
                if isinstance(axis, h5py.Group)
                else axis.attrs.get("depends_on", ".")
            )
            target = _text(value)
            if target == ".":
                return
            base = self.file if target.startswith("/") else axis
            base = base.parent if isinstance(base, h5py.Dataset) else base
            found = follow(base, target.strip("/"), roots=self.roots)
            if not isinstance(found, h5py.Dataset):
                raise FileFormatError(f"{axis.name}: expected an axis {target!r}, found none")
            yield found
            axis = found
        raise FileFormatError(f"{axis.name}: expected at most {_MOST_AXES} axes in a chain")

    def _shape(self, detector: h5py.Group) -> tuple[int, int]:
        for name in ("pixel_mask", "flatfield", "data"):
            member = follow(detector, name, roots=self.roots)
            if isinstance(member, h5py.Dataset) and member.ndim >= 2:
                return int(member.shape[-2]), int(member.shape[-1])
        if "y_pixel_offset" in detector and detector["y_pixel_offset"].ndim == 1:
            return len(detector["y_pixel_offset"]), len(detector["x_pixel_offset"])
        names = [f"detectorSpecific/{axis}_pixels_in_detector" for axis in "yx"]
        rows, columns = (follow(detector, name, roots=self.roots) for name in names)
        if isinstance(rows, h5py.Dataset) and isinstance(columns, h5py.Dataset):
            return int(np.ravel(rows[()])[0]), int(np.ravel(columns[()])[0])
        raise FileFormatError(
            f"{detector.name}: expected the detector's size (pixel_mask, data or "
            "y_pixels_in_detector), found none: give the shape beside the file"
        )

    def _wavelength(self, detector: h5py.Group) -> float:
        for nx_class in ("NXbeam", "NXmonochromator"):
            for group in self._groups(nx_class):
                for name in ("incident_wavelength", "wavelength"):
                    if name in group:
                        return float(_number(group[name], _LENGTHS, default="angstrom"))
                for name in ("incident_energy", "energy"):
                    if name in group:
                        energies = {"eV": 1.0, "keV": 1e3}
                        return _HC_EV_M / float(_number(group[name], energies))
        raise FileFormatError(
            f"{detector.name}: expected a wavelength in an NXbeam or NXmonochromator, found none"
        )


def _number(
    data: h5py.Dataset, units: Mapping[str, float], *, default: str | None = None
) -> NDArray[np.float64]:
    """Read numbers in SI units; of several of a scalar field, the first."""
    unit = _text(data.attrs.get("units", default or ""))
    if unit not in units:
        raise FileFormatError(
            f"{data.name}: expected a unit of {sorted(units)}, found {unit or 'none'}"
        )
    values = np.asarray(data[()], dtype=float)
    if values.ndim == 1 and values.size == 1:
        values = values[0]
    return np.asarray(values * units[unit])


def _shift(axis: h5py.Dataset) -> Vector:
    length = float(np.ravel(_number(axis, _LENGTHS))[0])
    return length * np.asarray(axis.attrs["vector"], dtype=float)


def _offset(axis: h5py.Dataset) -> Vector:
    offset: Sequence[float] | None = axis.attrs.get("offset")
    if offset is None:
        return np.zeros(3)
    unit = _text(axis.attrs.get("offset_units", axis.attrs.get("units", "")))
    if unit not in _LENGTHS and np.any(np.asarray(offset, dtype=float)):
        raise FileFormatError(
            f"{axis.name}: expected offset_units of {sorted(_LENGTHS)}, found {unit or 'none'}"
        )
    return np.asarray(offset, dtype=float) * _LENGTHS.get(unit, 1.0)


def _rotated(point: Vector, axis: Vector, angle: float) -> Vector:
    """Turn a point about an axis (Rodrigues' formula)."""
    unit = axis / np.linalg.norm(axis)
    cosine, sine = np.cos(angle), np.sin(angle)
    along = (1 - cosine) * (unit @ point) * unit
    turned: Vector = cosine * point + sine * np.cross(unit, point) + along
    return turned


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
