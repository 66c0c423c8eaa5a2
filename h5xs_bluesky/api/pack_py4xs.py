"""Names that py4xs insists on, added to a packed file and marked there."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from h5xs_bluesky import schema
from h5xs_bluesky.api.metadata import ENERGY, EXPOSURE, HC_KEV_ANGSTROM, RunMetadata
from h5xs_bluesky.api.raw import find_frames
from h5xs_bluesky.config import Beamline
from h5xs_bluesky.errors import ConfigurationError
from h5xs_bluesky.io.names import safe_name
from h5xs_bluesky.io.py4xs_files import LIX_FIELDS, rename_detectors
from h5xs_bluesky.reduction.detector import Detector

logger = logging.getLogger(__name__)

# py4xs finds monitors by these letters in the names of their fields.
_INCIDENT, _TRANSMITTED = "em1", "em2"
_MONITOR = "{}_sum_all_mean_value"
_EV_PER_KEV = 1000.0
# Of LiX's extensions those that have names of their own.
_EXTENSIONS = ("_SAXS", "_WAXS1", "_WAXS2")


class Py4xsNames:
    """Further names in a packed file, so that py4xs works on it as on its own.

    A detector whose extension LiX does not have gets the next of LiX's that is free; so do its
    frames and curves, which keep their own names, too.

    Parameters
    ----------
    beamline
        Of the experiment.
    samples
        Those to be packed.
    roots
        Folders that links may lead into.

    Raises
    ------
    ConfigurationError
        If more detectors wrote frames than py4xs has names for.
    """

    def __init__(
        self, beamline: Beamline, samples: Sequence[h5py.Group], *, roots: Sequence[Path]
    ) -> None:
        self._beamline, self._roots = beamline, roots
        used = [d for d in beamline.detectors if any(self._has(sample, d) for sample in samples)]
        free = [e for e in _EXTENSIONS if e not in {d.extension for d in used}]
        self._names: dict[str, str] = {}
        for detector in used:
            own = detector.extension
            if own not in _EXTENSIONS and not free:
                raise ConfigurationError(
                    f"expected at most {len(_EXTENSIONS)} detectors, which is all that py4xs has "
                    f"names for, found {[d.extension for d in used]}: pack without --py4xs"
                )
            self._names[own] = own if own in _EXTENSIONS else free.pop(0)
        self._used = used

    def missing(self, sample: h5py.Group) -> str:
        """Tell why py4xs could not bear a sample; "" if it can."""
        absent = [d.extension for d in self._used if not self._has(sample, d)]
        if not self._used or absent:
            return f"it has no frames of {absent or 'any detector'}, which py4xs cannot bear"
        return ""

    def write_root(self, file: h5py.File) -> None:
        """Give the detectors the names that py4xs knows; those without frames are left out."""
        file.attrs[schema.DETECTORS] = rename_detectors(file.attrs[schema.DETECTORS], self._names)

    def add(self, sample: h5py.Group) -> tuple[str, ...]:
        """Add the names to a packed sample; gives them, as their paths in it."""
        added = [*self._add_frames(sample), *self._add_monitors(sample)]
        added += [*self._add_curves(sample), *self._add_documents(sample)]
        if schema.BUFFER in sample.attrs:  # py4xs' own class trips over it
            sample.attrs[schema.H5XS_BUFFER] = sample.attrs[schema.BUFFER]
            del sample.attrs[schema.BUFFER]
        sample.attrs[schema.PY4XS_ADDED] = json.dumps(added)
        return tuple(added)

    def _has(self, sample: h5py.Group, detector: Detector) -> bool:
        return bool(self._frames(sample, detector))

    def _frames(self, sample: h5py.Group, detector: Detector) -> Any:
        stream = self._beamline.stream
        return find_frames(sample, detector.data_key, stream=stream, roots=self._roots)

    def _add_frames(self, sample: h5py.Group) -> list[str]:
        stream = safe_name(self._beamline.stream)
        added = []
        for detector in self._used:
            sources = find_frames(
                sample,
                detector.data_key,
                stream=self._beamline.stream,
                roots=[Path(sample.file.filename).parent],
            )
            positions = np.concatenate([source.positions for source in sources])
            if len(sources) > 1 or not np.array_equal(positions, np.arange(positions.size)):
                logger.warning(
                    "%s: frames of %s are missing, or differ in shape: py4xs takes those that "
                    "are there as the first ones",
                    sample.name,
                    detector.extension,
                )
            name = LIX_FIELDS[self._names[detector.extension]]
            added += _link(sample, stream, safe_name(detector.data_key), schema.PRIMARY, name)
        return added

    def _add_monitors(self, sample: h5py.Group) -> list[str]:
        monitors = self._beamline.monitors
        if monitors is None:
            return []
        stream = safe_name(self._beamline.stream)
        added = []
        for field, letters in (
            (monitors.incident, _INCIDENT),
            (monitors.transmitted, _TRANSMITTED),
        ):
            known = field and f"{stream}/{schema.DATA}/{safe_name(field)}" in sample
            if field and known and letters not in field:
                added += _link(sample, stream, safe_name(field), stream, _MONITOR.format(letters))
        return added

    def _add_curves(self, sample: h5py.Group) -> list[str]:
        group = sample.get(schema.PROCESSED)
        if group is None:
            return []
        new = [name for own, name in self._names.items() if own != name and own in group]
        for own, name in self._names.items():
            if name in new:
                group[name] = group[own]
        if new:
            group.attrs[schema.PY4XS_ADDED] = json.dumps(new)
        return [f"{schema.PROCESSED}/{name}" for name in new]

    def _add_documents(self, sample: h5py.Group) -> list[str]:
        """Add to start and descriptors what py4xs reads there; NaN for an unknown exposure."""
        run = RunMetadata.read(sample, self._beamline, roots=[Path(sample.file.filename).parent])
        start, added = dict(run.start), []
        frames = sample[f"{schema.PRIMARY}/{schema.DATA}/{LIX_FIELDS[self._first]}"]
        wanted = {
            "num_points": None if "shape" in start else int(np.prod(frames.shape[:-2])),
            "beamline_id": self._beamline.name,
            ENERGY: {ENERGY: HC_KEV_ANGSTROM / run.wavelength_angstrom * _EV_PER_KEV},
        }
        for key, value in wanted.items():
            if value is not None and key not in start:
                start[key] = value
                added.append(f"{schema.START}: {key}")
        descriptors = [dict(doc) for doc in run.descriptors] or [{}]
        configuration = dict(descriptors[0].get("configuration", {}))
        for name in self._names.values():
            device = LIX_FIELDS[name].removesuffix("_image")
            key = f"{device}_cam_acquire_time"
            known = dict(configuration.get(device, {}))
            if key not in known.get("data", {}):
                data = {**known.get("data", {}), key: run.number(EXPOSURE)}
                configuration[device] = {**known, "data": data}
                added.append(f"{schema.DESCRIPTORS}: {key}")
        descriptors[0]["configuration"] = configuration
        sample.attrs[schema.START] = json.dumps(start)
        sample.attrs[schema.DESCRIPTORS] = json.dumps(descriptors)
        return added

    @property
    def _first(self) -> str:
        return next(iter(self._names.values()))


def _link(sample: h5py.Group, stream: str, member: str, new_stream: str, name: str) -> list[str]:
    """Give a field a second name, with its timestamps; nothing happens if that is taken."""
    added = []
    for part in (schema.DATA, schema.TIMESTAMPS):
        source = sample.get(f"{stream}/{part}/{member}")
        group = sample.require_group(f"{new_stream}/{part}")
        if source is None or name in group:
            continue
        group[name] = source
        known = json.loads(group.attrs.get(schema.PY4XS_ADDED, "[]"))
        group.attrs[schema.PY4XS_ADDED] = json.dumps([*known, name])
        added.append(f"{new_stream}/{part}/{name}")
    return added
