"""What is known about a sample's measurement, for headers of exported files."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py

from h5xs_bluesky import schema
from h5xs_bluesky.config import Beamline
from h5xs_bluesky.errors import FileFormatError
from h5xs_bluesky.io.links import follow
from h5xs_bluesky.io.names import safe_name
from h5xs_bluesky.reduction.detector import Detector

BASELINE = "baseline"
EXPOSURE, ENERGY = "exposure", "energy"
_FIXED = (EXPOSURE, ENERGY, schema.BUFFER)  # no lines of their own name
HC_KEV_ANGSTROM = 12.398419843320026  # exact in the SI of 2019


@dataclass(frozen=True, kw_only=True, slots=True)
class RunMetadata:
    """A sample's documents, and what the beamline's configuration finds in them.

    Parameters
    ----------
    start, descriptors
        Documents.
    baseline
        Readings of the baseline stream by field, the last of each.
    beamline
        Its `metadata` tells where things stand.
    detectors
        Those that wrote frames; all where that is not known.
    """

    start: Mapping[str, Any]
    descriptors: Sequence[Mapping[str, Any]]
    baseline: Mapping[str, Any]
    beamline: Beamline
    detectors: tuple[Detector, ...]

    @classmethod
    def read(
        cls, sample: h5py.Group, beamline: Beamline, *, roots: Sequence[Path]
    ) -> "RunMetadata":
        """Read a sample's documents.

        Raises
        ------
        FileFormatError
            If there is no start document, or one that is no JSON.
        RefusedError
            If a link leads out of the roots.
        """
        start = _document(sample, schema.START)
        if not isinstance(start, dict):
            raise FileFormatError(
                f"{sample.file.filename}: {sample.name}: expected a start document as JSON in the "
                f"attribute {schema.START!r}, found {start!r:.60}: there are {sorted(sample.attrs)}"
            )
        descriptors = _document(sample, schema.DESCRIPTORS)
        data = follow(sample, f"{safe_name(beamline.stream)}/{schema.DATA}", roots=roots)
        fields = set(data) if isinstance(data, h5py.Group) else set()
        wrote = [d for d in beamline.detectors if safe_name(d.data_key) in fields]
        keys = [s.key for s in beamline.metadata.values() if s.source == BASELINE]
        return cls(
            start=start,
            descriptors=descriptors if isinstance(descriptors, list) else [],
            baseline={key: _last(sample, key, roots) for key in keys},
            beamline=beamline,
            detectors=tuple(wrote) or beamline.detectors,
        )

    def value(self, name: str) -> Any:
        """Give what the configuration calls `name`; None where it or the run does not have it."""
        if name not in self.beamline.metadata:
            return None
        return self.beamline.metadata_value(
            name, start=self.start, descriptors=self.descriptors, baseline=self.baseline
        )

    def number(self, name: str) -> float:
        """Give a number of that name; NaN where there is none."""
        try:
            return float(self.value(name))
        except (TypeError, ValueError):
            return math.nan

    @property
    def instrument(self) -> str:
        """The beamline, as the start document or else the configuration calls it."""
        return str(self.start.get("beamline_id") or self.beamline.name)

    @property
    def wavelength_angstrom(self) -> float:
        """From the energy in keV, where the run has it, else as the detectors were calibrated."""
        energy_kev = self.number(ENERGY)
        if energy_kev > 0:
            return HC_KEV_ANGSTROM / energy_kev
        return self.detectors[0].geometry.wavelength_m * 1e10 if self.detectors else math.nan

    def to_mapping(self, md_keys: Sequence[str] = ()) -> dict[str, Any]:
        """Give the lines of an exported header, by their names.

        Parameters
        ----------
        md_keys
            Further keys of the start document; one that it lacks is left out.
        """
        found: dict[str, Any] = {
            "Instrument": self.instrument,
            **_date(self.start.get("time")),
            "Wavelength (A)": f"{self.wavelength_angstrom:.4f}",
            "Detector": " , ".join(detector.model for detector in self.detectors),
        }
        exposure_s = self.number(EXPOSURE)
        if math.isfinite(exposure_s):
            found["Exposure time/frame (s)"] = f"{exposure_s:.3f}"
        found["Sample-to-detector distance (m)"] = " , ".join(
            f"{detector.geometry.beam_distance_m:.4f}" for detector in self.detectors
        )
        for name in self.beamline.metadata:
            value = None if name in _FIXED else self.value(name)
            if value is not None:
                found[name] = value
        return found | {key: self.start[key] for key in md_keys if key in self.start}


def lines_of(metadata: Mapping[str, Any]) -> list[str]:
    """Write each piece of metadata as a line."""
    return [f"{key} : {value}" for key, value in metadata.items()]


def _document(sample: h5py.Group, name: str) -> Any:
    try:
        return json.loads(sample.attrs[name])
    except (KeyError, TypeError, ValueError):
        return None


def _last(sample: h5py.Group, key: str, roots: Sequence[Path]) -> Any:
    """Give the last reading of a field of the baseline; None where there is none."""
    data = follow(sample, f"{BASELINE}/{schema.DATA}/{safe_name(key)}", roots=roots)
    if not isinstance(data, h5py.Dataset) or not data.shape or not data.shape[0]:
        return None
    value = data[-1]
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value.item() if getattr(value, "shape", None) == () else value


def _date(time_s: Any) -> dict[str, str]:
    """Tell day and time of a start document, as the clock on the wall showed it."""
    try:
        moment = datetime.fromtimestamp(float(time_s)).astimezone()
    except (TypeError, ValueError, OverflowError):
        return {}
    return {"Date": f"{moment:%Y-%m-%d}", "Time": f"{moment:%H:%M:%S}"}
