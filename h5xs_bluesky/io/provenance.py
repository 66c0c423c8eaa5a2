"""What a result was made with, stored beside it: each step as an NXprocess (NeXus)."""

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from h5xs_bluesky import schema
from h5xs_bluesky.errors import FileFormatError
from h5xs_bluesky.io.links import follow, refuse_outside

_PACKAGES = ("h5xs_bluesky", "numpy", "scipy", "pyFAI", "freesas", "h5py", "hdf5plugin")
_KERNEL = "h5xs_bluesky.reduction.integration._kernel"


@cache
def current_versions() -> Mapping[str, str]:
    """Give the versions that numbers may depend on, as they are here."""
    found = {"python": platform.python_version(), "HDF5": h5py.version.hdf5_version}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    found["compiled loop"] = "no" if find_spec(_KERNEL) is None else "yes"
    return found


@cache
def current_processor() -> str:
    """Give the machine's architecture and the processor's model."""
    model = platform.processor()
    if sys.platform == "linux":
        try:
            lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        model = names[0] if names else model
    return f"{platform.machine()} {model}".strip()


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """One step, and all that its numbers depend on.

    Parameters
    ----------
    configuration
        Options as plain values.
    detectors
        The detectors as the experiment's root holds them, masks included; flats and darks are in it
        by their digests. "" for a step that uses none.
    run_uid
        Of the run whose frames were reduced; "" for a step that takes none.
    program, version, date
        What did it, and when (ISO 8601, UTC).
    versions
        Of the interpreter and the packages, and whether the loop over the pixels was compiled.
    processor
        The machine's.
    """

    configuration: Mapping[str, Any]
    detectors: str = ""
    run_uid: str = ""
    program: str = "h5xs_bluesky"
    version: str = field(default_factory=lambda: version("h5xs_bluesky"))
    date: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    versions: Mapping[str, str] = field(default_factory=lambda: dict(current_versions()))
    processor: str = field(default_factory=current_processor)

    def changes(self) -> dict[str, tuple[str, str]]:
        """Tell which versions, or the processor, are others now: then and now, by name."""
        then = {**self.versions, schema.PROCESSOR: self.processor}
        now = {**current_versions(), schema.PROCESSOR: current_processor()}
        return {
            name: (then.get(name, "none"), now.get(name, "none"))
            for name in sorted({*then, *now})
            if then.get(name) != now.get(name)
        }

    def keeping(self, earlier: "Process", keys: Sequence[str]) -> "Process":
        """Give the same step with some options of an earlier one."""
        kept = {key: earlier.configuration[key] for key in keys if key in earlier.configuration}
        return replace(self, configuration={**self.configuration, **kept})


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """The steps that led to a sample's results.

    Parameters
    ----------
    frames
        From frames to accumulators.
    averaging
        From accumulators to the average; None where there is none.
    """

    frames: Process
    averaging: Process | None = None


def write_provenance(reduction: h5py.Group, provenance: Provenance) -> None:
    """Write the steps into a sample's `reduction`; texts are of fixed length, as SWMR demands."""
    _write(reduction.create_group(schema.PROVENANCE), provenance.frames, step=1)
    if provenance.averaging is not None:
        _write(reduction.create_group(schema.AVERAGING), provenance.averaging, step=2)


def _write(group: h5py.Group, process: Process, *, step: int) -> None:
    group.attrs["NX_class"] = np.bytes_(b"NXprocess")
    group[schema.SEQUENCE_INDEX] = step
    texts = {
        schema.PROGRAM: process.program,
        schema.VERSION: process.version,
        schema.DATE: process.date,
        schema.PROCESSOR: process.processor,
        schema.RUN_UID: process.run_uid,
        schema.VERSIONS: json.dumps(process.versions),
        schema.CONFIGURATION: json.dumps(process.configuration),
    }
    for name, text in texts.items():
        if text:
            group[name] = np.bytes_(text.encode())
    if process.detectors:  # a list of one text: a single one cannot be compressed
        packed = np.array([process.detectors.encode()])
        group.create_dataset(schema.DETECTORS, data=packed, chunks=(1,), compression="gzip")


def read_provenance(sample: h5py.Group, *, roots: Sequence[Path]) -> Provenance | None:
    """Read the steps that led to a sample's results; None where they are not noted.

    Raises
    ------
    FileFormatError
        If they cannot be understood.
    RefusedError
        If a link leads out of the roots.
    """
    group = follow(sample, f"{schema.REDUCTION}/{schema.PROVENANCE}", roots=roots)
    if not isinstance(group, h5py.Group) or schema.VERSIONS not in group:
        return None
    reduction = group.parent
    for name in (schema.PROVENANCE, schema.AVERAGING):
        refuse_outside(reduction, name, roots=roots)
    averaging = reduction.get(schema.AVERAGING)
    return Provenance(
        frames=_read(group), averaging=None if averaging is None else _read(averaging)
    )


def _read(group: h5py.Group) -> Process:
    def text(name: str) -> str:
        value = group[name][()] if name in group else b""
        value = value[0] if isinstance(value, np.ndarray) else value
        return value.decode() if isinstance(value, bytes) else str(value)

    try:
        return Process(
            configuration=json.loads(text(schema.CONFIGURATION)),
            detectors=text(schema.DETECTORS),
            run_uid=text(schema.RUN_UID),
            program=text(schema.PROGRAM),
            version=text(schema.VERSION),
            date=text(schema.DATE),
            versions=json.loads(text(schema.VERSIONS)),
            processor=text(schema.PROCESSOR),
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise FileFormatError(
            f"{group.file.filename}: {group.name}: expected an NXprocess as written here, found an "
            f"error: {error}: reduce the frames again (load_data)"
        ) from error


def run_uid_of(sample: h5py.Group) -> str:
    """Give the uid of the run that measured a sample; "" where it is not known."""
    try:
        return str(json.loads(sample.attrs[schema.START])["uid"])
    except (KeyError, TypeError, ValueError):
        return ""
