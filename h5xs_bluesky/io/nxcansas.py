"""Reduced curves in the form of NXcanSAS, which analysis programs read."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky import schema
from h5xs_bluesky.io.provenance import Process
from h5xs_bluesky.io.replace import replace_whole
from h5xs_bluesky.io.writing import LIBVER, made_in_memory
from h5xs_bluesky.reduction.detector import Detector

_CLASSES = {  # of NeXus, by that of canSAS
    "SASentry": "NXentry",
    "SASdata": "NXdata",
    "SASsample": "NXsample",
    "SASinstrument": "NXinstrument",
    "SASsource": "NXsource",
    "SASdetector": "NXdetector",
    "SASprocess": "NXprocess",
    "SASprocessnote": "NXcollection",
}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CanSasCurve:
    """One curve.

    Parameters
    ----------
    name
        Of its group, as ``"averaged"``.
    q, intensity, sigma : ndarray, shape (n,)
        q in Å⁻¹; I and σ without absolute scale. Points whose I is NaN are left out.
    """

    name: str
    q: NDArray[np.float64]
    intensity: NDArray[np.float64]
    sigma: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CanSasEntry:
    """What a file tells about a sample.

    Parameters
    ----------
    title, run
        The sample's name as its scan gave it, and the uid of the run.
    curves
        The first is shown by default.
    sample
        Fields of SASsample beside the name; numbers or texts.
    instrument
        Its name.
    wavelength_angstrom
        Of the beam.
    detectors
        Those that measured.
    processes
        What was done, in order, and with what.
    """

    title: str
    run: str
    curves: Sequence[CanSasCurve]
    sample: Mapping[str, Any]
    instrument: str
    wavelength_angstrom: float
    detectors: Sequence[Detector]
    processes: Mapping[str, Process]


def write_nxcansas(path: Path, entry: CanSasEntry) -> None:
    """Write a file that holds all itself, replacing it whole.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    with (
        replace_whole(path) as temporary,
        made_in_memory(temporary) as file,
    ):
        _write_entry(file, entry)


def nxcansas_bytes(entry: CanSasEntry) -> bytes:
    """Give the bytes of a file with the same content."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver=LIBVER) as file:
        _write_entry(file, entry)
    return buffer.getvalue()


def _write_entry(file: h5py.File, entry: CanSasEntry) -> None:
    file.attrs["NX_class"] = "NXroot"
    file.attrs["default"] = "entry"
    group = _group(file, "entry", "SASentry")
    group.attrs["version"] = "1.1"
    group.attrs["default"] = entry.curves[0].name
    group["definition"] = "NXcanSAS"
    group["title"], group["run"] = entry.title, entry.run
    for curve in entry.curves:
        _write_curve(_group(group, curve.name, "SASdata"), curve)
    sample = _group(group, "sample", "SASsample")
    sample["name"] = entry.title
    for key, value in entry.sample.items():
        sample[key] = value
    _write_instrument(_group(group, "instrument", "SASinstrument"), entry)
    for name, process in entry.processes.items():
        _write_process(_group(group, name, "SASprocess"), name, process)


def _group(parent: h5py.Group, name: str, kind: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs["canSAS_class"], group.attrs["NX_class"] = kind, _CLASSES[kind]
    return group


def _quantity(group: h5py.Group, name: str, value: Any, units: str) -> h5py.Dataset:
    group[name] = value
    group[name].attrs["units"] = units
    return group[name]


def _write_curve(group: h5py.Group, curve: CanSasCurve) -> None:
    known = np.isfinite(curve.intensity)
    group.attrs["signal"] = "I"
    group.attrs["I_axes"] = group.attrs["axes"] = "Q"
    group.attrs["Q_indices"] = 0
    _quantity(group, "Q", curve.q[known], "1/angstrom")
    intensity = _quantity(group, "I", curve.intensity[known], "arbitrary")
    intensity.attrs["uncertainties"] = "Idev"
    _quantity(group, "Idev", curve.sigma[known], "arbitrary")


def _write_instrument(group: h5py.Group, entry: CanSasEntry) -> None:
    group["name"] = entry.instrument
    source = _group(group, "source", "SASsource")
    source["probe"] = "x-ray"
    if np.isfinite(entry.wavelength_angstrom):
        _quantity(source, "incident_wavelength", entry.wavelength_angstrom, "angstrom")
    for number, detector in enumerate(entry.detectors, start=1):
        geometry = detector.geometry
        member = _group(group, f"detector{number}", "SASdetector")
        member["name"] = f"{detector.model} {detector.extension}".strip()
        _quantity(member, "SDD", geometry.beam_distance_m, "m")
        height_m, width_m = geometry.pixel_size_m
        _quantity(member, "x_pixel_size", width_m, "m")
        _quantity(member, "y_pixel_size", height_m, "m")
        down_m, across_m = geometry.beam_center_m
        _quantity(member, "beam_center_x", across_m, "m")
        _quantity(member, "beam_center_y", down_m, "m")


def _write_process(group: h5py.Group, name: str, process: Process) -> None:
    group["name"] = f"{process.program} {process.version}"
    group["date"] = process.date
    group["description"] = name
    note = _group(group, "processnote", "SASprocessnote")
    texts = {
        schema.RUN_UID: process.run_uid,
        schema.PROCESSOR: process.processor,
        schema.VERSIONS: json.dumps(process.versions),
        schema.CONFIGURATION: json.dumps(process.configuration),
    }
    for key, text in texts.items():
        if text:
            note[key] = text
