"""All that is configured about a beamline, and what follows from it for a run."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from h5xs_bluesky import schema
from h5xs_bluesky.config.monitors import Monitors
from h5xs_bluesky.config.options import (
    MetadataSource,
    Output,
    ReductionOptions,
    Roots,
    check_integral,
)
from h5xs_bluesky.config.tables import Table
from h5xs_bluesky.errors import ConfigurationError, FileFormatError
from h5xs_bluesky.io.corrections import digest
from h5xs_bluesky.io.names import safe_name
from h5xs_bluesky.io.provenance import Process
from h5xs_bluesky.io.py4xs_files import detectors_from_json, detectors_to_json
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.integration.integrate import Integrator, make_integrator
from h5xs_bluesky.reduction.integration.pixels import Pixels
from h5xs_bluesky.reduction.qgrid import QGrid
from h5xs_bluesky.reduction.similarity import SelectionOptions
from h5xs_bluesky.reduction.water import EXTERNAL, WATER

_RESERVED = (
    schema.MERGED,
    schema.AVERAGED,
    schema.SUBTRACTED,
    schema.SELECTION,
    schema.PROVENANCE,
    schema.AVERAGING,
)

_AVERAGING = ("selection", "monitors", "reduction")  # tables that an average depends on
AVERAGING_CHOICE = ("selection", "explicit", "trans_mode")  # by which its frames were selected


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Beamline:
    """All that is configured about a beamline.

    Parameters
    ----------
    name
        Of the beamline.
    sample_name_key
        Of the start document, dotted into nested tables.
    stream
        The stream whose frames are reduced.
    output, roots, detectors, monitors, metadata, qgrid, reduction, selection
        As their classes say. Without `monitors` exposures are taken as equal. `metadata` maps
        names to their sources: ``exposure``, ``energy`` and ``buffer`` have fixed meanings (the
        buffer is subtracted), every other is a line of the exported header.
    integrals
        Ranges of q in Å⁻¹ by name, whose integrals processed documents carry; without any,
        ``total``, over the whole grid.
    """

    name: str
    detectors: tuple[Detector, ...]
    qgrid: QGrid
    sample_name_key: str = "sample_name"
    stream: str = schema.PRIMARY
    output: Output = field(default_factory=Output)
    roots: Roots = field(default_factory=Roots)
    monitors: Monitors | None = None
    metadata: Mapping[str, MetadataSource] = field(default_factory=dict)
    reduction: ReductionOptions = field(default_factory=ReductionOptions)
    selection: SelectionOptions = field(default_factory=SelectionOptions)
    integrals: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, (low, high) in self.integrals.items():
            check_integral(name, low, high)
        for what in ("extension", "data_key"):
            values = [getattr(detector, what) for detector in self.detectors]
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                raise ConfigurationError(
                    f"expected detectors that differ in {what}, found {twice[0]!r} twice"
                )
        for detector in self.detectors:
            if (
                detector.extension in _RESERVED
                or safe_name(detector.extension) != detector.extension
            ):
                raise ConfigurationError(
                    f"expected an extension like '_SAXS', found {detector.extension!r}: it cannot "
                    "name a dataset, or is taken"
                )

    @classmethod
    def from_toml(cls, path: str | Path) -> "Beamline":
        """Read a TOML file; relative paths in it start from its folder.

        Parameters
        ----------
        path
            Of the file.

        Returns
        -------
        Beamline
            As the file describes it.

        Raises
        ------
        ConfigurationError
            For the first mistake: file, key, what was expected and what was found.
        """
        from h5xs_bluesky.config.reading import beamline_from_toml

        return beamline_from_toml(Path(path))

    @classmethod
    def from_mapping(
        cls,
        values: Mapping[str, Any],
        *,
        detectors: Sequence[Detector],
        qgrid: QGrid,
        origin: str,
    ) -> "Beamline":
        """Take what `to_mapping` gave, with the detectors and the q-grid of an experiment.

        Parameters
        ----------
        values
            As `to_mapping` gives them.
        detectors
            Of the experiment.
        qgrid
            Of the experiment.
        origin
            Where the values come from, for messages.

        Returns
        -------
        Beamline
            As it was, but for folders, which are those of this process.
        """
        from h5xs_bluesky.config.reading import beamline_from_table

        table = Table(values or {"beamline": {"name": "unknown"}}, file=origin)
        return beamline_from_table(table, tuple(detectors), qgrid, base=Path.cwd())

    def to_mapping(self) -> dict[str, Any]:
        """Give everything but detectors, q-grid and folders as plain values, like the TOML.

        Returns
        -------
        dict
            By table and key, as in the TOML file; what is not set is left out.
        """
        values: dict[str, Any] = {
            "beamline": {
                "name": self.name,
                "sample_name_key": self.sample_name_key,
                "stream": self.stream,
            },
            "metadata": {
                name: {"from": s.source, "key": s.key, "device": s.device}
                for name, s in self.metadata.items()
            },
            "reduction": asdict(self.reduction),
            "selection": asdict(self.selection),
            "integrals": {name: list(q_range) for name, q_range in self.integrals.items()},
        }
        if self.monitors is not None:
            values["monitors"] = asdict(self.monitors)
        cleaned: dict[str, Any] = _without_none(values)
        return cleaned

    def provenance(self) -> dict[str, Any]:
        """Give all that the curves depend on as plain values; masks by their digests.

        Returns
        -------
        dict
            What `to_mapping` gives, ``detectors`` by extension, and ``qgrid`` with its edges and
            centres in Å⁻¹.
        """
        detectors = {
            detector.extension: {
                "geometry": asdict(detector.geometry),
                "orientation": asdict(detector.orientation),
                "fix_scale": detector.fix_scale,
                "saturation": detector.saturation,
                "mask_sha256": hashlib.sha256(detector.mask.tobytes()).hexdigest(),
                **{f"{name}_sha256": digest(array) for name, array in detector.corrections.items()},
            }
            for detector in self.detectors
        }
        grid = {"edges": self.qgrid.edges.tolist(), "centers": self.qgrid.centers.tolist()}
        return {**self.to_mapping(), "detectors": detectors, "qgrid": grid}

    def reduction_process(self, run_uid: str) -> Process:
        """Describe the reduction of a run's frames, as done now; `from_process` reads it.

        Parameters
        ----------
        run_uid
            Of the run whose frames are reduced.

        Returns
        -------
        Process
            What is stored with the results.
        """
        return Process(
            configuration=self.provenance(),
            detectors=detectors_to_json(self.detectors),
            run_uid=run_uid,
        )

    def averaging_process(
        self,
        *,
        options: SelectionOptions | None = None,
        explicit: bool = False,
        trans_mode: str = EXTERNAL,
    ) -> Process:
        """Describe an average, as made now; `for_averaging` reads it.

        Parameters
        ----------
        options
            How its frames were selected, if not as configured.
        explicit
            Whether the user chose them.
        trans_mode
            What told the transmitted beam when they were selected.

        Returns
        -------
        Process
            What is stored with the average.
        """
        values = replace(self, selection=options or self.selection).to_mapping()
        used = {key: values[key] for key in _AVERAGING if key in values}
        choice = {"explicit": explicit, "trans_mode": trans_mode}
        return Process(configuration={**used, **choice})

    def for_averaging(self, process: Process) -> "Beamline":
        """Give the same beamline with the options with which an average was made.

        Parameters
        ----------
        process
            As `averaging_process` described the average.

        Returns
        -------
        Beamline
            With these options of selection and monitors.
        """
        values = {key: value for key, value in self.to_mapping().items() if key not in _AVERAGING}
        values |= {k: v for k, v in process.configuration.items() if k in _AVERAGING}
        return Beamline.from_mapping(
            values, detectors=self.detectors, qgrid=self.qgrid, origin="the provenance"
        )

    @classmethod
    def from_process(
        cls, process: Process, *, origin: Path, file: h5py.File | None = None
    ) -> "Beamline":
        """Make the beamline with which a run's frames were reduced, whatever has changed since.

        Parameters
        ----------
        process
            From `reduction_process`.
        origin
            The experiment's file; flats and darks are in its folder,
        file
            or in itself, where it is packed.

        Raises
        ------
        FileFormatError
            If detectors or grid are not noted, or a flat or dark is not there any more.
        """
        values = dict(process.configuration)
        values.pop("detectors", None)
        grid = values.pop("qgrid", {})
        if not process.detectors or not {"edges", "centers"} <= set(grid):
            raise FileFormatError(
                f"{origin}: expected detectors and q-grid in the provenance, found none: "
                "reduce the frames again (load_data)"
            )
        return cls.from_mapping(
            values,
            detectors=detectors_from_json(process.detectors, folder=origin.parent, file=file),
            qgrid=QGrid(
                edges=np.array(grid["edges"], float), centers=np.array(grid["centers"], float)
            ),
            origin=str(origin),
        )

    def with_detectors(self, detectors: Sequence[Detector], qgrid: QGrid) -> "Beamline":
        """Give the same beamline with other detectors and another q-grid.

        Parameters
        ----------
        detectors
            The other detectors.
        qgrid
            The other q-grid.

        Returns
        -------
        Beamline
            The same in all else.
        """
        return replace(self, detectors=tuple(detectors), qgrid=qgrid)

    @property
    def data_keys(self) -> dict[str, Detector]:
        """The detectors by the fields that they write."""
        return {detector.data_key: detector for detector in self.detectors}

    @property
    def fields(self) -> frozenset[str]:
        """The fields of the stream that is reduced: frames, and monitors read with them."""
        monitors = {} if self.monitors is None else self.monitors.with_frames
        return frozenset((*self.data_keys, *monitors.values()))

    @property
    def monitor_fields(self) -> frozenset[str]:
        """The fields of all monitors, which are never frames."""
        found = self.monitors
        return frozenset(() if found is None else filter(None, (found.incident, found.transmitted)))

    @property
    def normalizes(self) -> bool:
        """Whether the transmitted beam is known; otherwise exposures are taken as equal."""
        return self.monitors is not None or self.reduction.trans == WATER

    @property
    def monitor_uncertainty(self) -> float:
        """Relative standard uncertainty of a monitor reading; 0 without monitors."""
        return 0.0 if self.monitors is None else self.monitors.relative_uncertainty

    def integrators(self) -> dict[str, Integrator]:
        """Make what reduces the frames of each detector, by extension; takes seconds.

        Returns
        -------
        dict of Integrator
            By the detectors' extensions.
        """
        return {
            detector.extension: make_integrator(
                Pixels.from_detector(
                    detector,
                    polarization=self.reduction.polarization,
                    solid_angle=self.reduction.solid_angle,
                    splitting=self.reduction.splitting,
                ),
                self.qgrid,
                self.reduction.method,
                engine=self.reduction.engine,
            )
            for detector in self.detectors
        }

    def sample_name(self, start: Mapping[str, Any]) -> str | None:
        """Give the sample's name in a start document; None where there is none.

        Parameters
        ----------
        start
            The run's start document.

        Returns
        -------
        str or None
            The name as it stands there.
        """
        value = _look_up(start, self.sample_name_key)
        if isinstance(value, Mapping):
            value = value.get("name")
        if value is None or isinstance(value, Mapping | list) or not str(value).strip():
            return None
        return str(value)

    def metadata_value(
        self,
        name: str,
        *,
        start: Mapping[str, Any],
        descriptors: Sequence[Mapping[str, Any]],
        baseline: Mapping[str, Any],
    ) -> Any:
        """Give one piece of metadata of a run; None where the run does not have it.

        Parameters
        ----------
        name
            A key under ``[metadata]``.
        start
            The run's start document.
        descriptors
            Its descriptors, which have the devices' configurations.
        baseline
            The readings of its baseline.

        Returns
        -------
        Any
            As the document has it.

        Raises
        ------
        ConfigurationError
            If the configuration does not say where it stands.
        """
        if name not in self.metadata:
            raise ConfigurationError(
                f"expected the source of {name!r} under [metadata], found {sorted(self.metadata)}"
            )
        wanted = self.metadata[name]
        if wanted.source == "start":
            return _look_up(start, wanted.key)
        if wanted.source == "baseline":
            return baseline.get(wanted.key)
        for descriptor in descriptors:
            data = descriptor.get("configuration", {}).get(wanted.device, {}).get("data", {})
            if wanted.key in data:
                return data[wanted.key]
        return None


def _look_up(values: Mapping[str, Any], dotted: str) -> Any:
    if dotted in values:
        return values[dotted]
    found: Any = values
    for key in dotted.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _without_none(values: Any) -> Any:
    if isinstance(values, dict):
        return {key: _without_none(v) for key, v in values.items() if v is not None}
    return list(values) if isinstance(values, tuple) else values
