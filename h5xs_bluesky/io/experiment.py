"""The experiment file: the configuration that holds for all its samples, and a link to each."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from h5xs_bluesky import schema
from h5xs_bluesky.errors import FileFormatError, RefusedError
from h5xs_bluesky.io.attributes import text_attribute
from h5xs_bluesky.io.corrections import save_corrections
from h5xs_bluesky.io.links import follow
from h5xs_bluesky.io.opening import DAMAGE, open_whole
from h5xs_bluesky.io.py4xs_files import (
    ancestor_beamline,
    detectors_from_json,
    detectors_to_json,
    with_fields_among,
)
from h5xs_bluesky.io.replace import FileLock, replace_whole
from h5xs_bluesky.io.writing import made_in_memory
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.qgrid import QGrid

logger = logging.getLogger(__name__)

_LOCK_TIMEOUT_S = 30.0

# The ancestor's `trans_mode` and field name, as in "0,em2_sum": a monitor, or the water peak.
_EXTERNAL, _FROM_WAXS = 0, 2


@dataclass(frozen=True, kw_only=True, eq=False)
class ExperimentSettings:
    """What the root of an experiment says about all its samples.

    Parameters
    ----------
    detectors, qgrid
        Geometry, masks and bins.
    trans_field
        The data key of the monitor that normalises; "" where there is none.
    beamline
        The rest of the beamline's configuration, as plain values; in a file of the ancestor what
        it takes for granted, in others without a configuration empty.
    from_water
        Whether the water peak tells the transmitted beam.
    """

    detectors: tuple[Detector, ...]
    qgrid: QGrid
    trans_field: str
    beamline: Mapping[str, Any]
    from_water: bool = False

    @cached_property
    def detectors_json(self) -> str:
        """The detectors as the root attribute holds them; equal for equal detectors."""
        return detectors_to_json(self.detectors)

    def write(self, file: h5py.File) -> None:
        """Write the settings as root attributes."""
        self.write_detectors(file)
        self.write_rest(file)

    def write_detectors(self, file: h5py.File) -> None:
        """Write detectors and q-grid alone."""
        file.attrs[schema.DETECTORS] = self.detectors_json
        file.attrs[schema.QGRID] = self.qgrid.centers
        file.attrs[schema.QGRID_EDGES] = self.qgrid.edges

    def write_rest(self, file: h5py.File) -> None:
        """Write all but detectors and q-grid."""
        mode = _FROM_WAXS if self.from_water else _EXTERNAL
        file.attrs[schema.TRANS] = f"{mode},{self.trans_field}"
        file.attrs[schema.BEAMLINE] = json.dumps(self.beamline)
        file.attrs[schema.SCHEMA] = schema.SCHEMA_VERSION

    @classmethod
    def read(cls, file: h5py.File) -> "ExperimentSettings":
        """Read the settings from the root attributes, ours or the ancestor's.

        Raises
        ------
        FileFormatError
            If the file holds no detectors or no q-grid, or is of a newer schema.
        """
        version = int(file.attrs.get(schema.SCHEMA, schema.SCHEMA_VERSION))
        if version > schema.SCHEMA_VERSION:
            raise FileFormatError(
                f"{file.filename}: expected {schema.SCHEMA} up to {schema.SCHEMA_VERSION}, "
                f"found {version}: read it with a newer h5xs_bluesky"
            )
        for name in (schema.DETECTORS, schema.QGRID):
            if name not in file.attrs:
                raise FileFormatError(
                    f"{file.filename}: expected the root attribute {name!r}, found none: "
                    "give detectors and q-grid when opening the file"
                )
        centers = np.asarray(file.attrs[schema.QGRID], dtype=float)
        edges = file.attrs.get(schema.QGRID_EDGES)
        trans_field, from_water = read_trans(file)
        detectors = detectors_from_json(
            text_attribute(file.attrs, schema.DETECTORS),
            folder=Path(file.filename).resolve().parent,
            file=file,
        )
        beamline = json.loads(text_attribute(file.attrs, schema.BEAMLINE, "{}"))
        if schema.SCHEMA not in file.attrs:
            fields = first_fields(file)
            detectors = with_fields_among(detectors, fields)
            beamline = beamline or ancestor_beamline(
                detectors, trans_field=trans_field, from_water=from_water, fields=fields
            )
        return cls(
            detectors=tuple(detectors),
            qgrid=QGrid.from_centers(centers)
            if edges is None
            else QGrid(edges=np.asarray(edges, dtype=float), centers=centers),
            trans_field=trans_field,
            beamline=beamline,
            from_water=from_water,
        )


def read_trans(file: h5py.File) -> tuple[str, bool]:
    """Give what the root says of the transmitted beam.

    Returns
    -------
    trans_field, from_water
        The field of the monitor that normalises, "" where there is none; and whether the water peak
        does.
    """
    mode, field = [*text_attribute(file.attrs, schema.TRANS).split(","), ""][:2]
    return field, mode.strip() == str(_FROM_WAXS)


def first_fields(file: h5py.File) -> dict[str, str]:
    """Give the streams of the fields of the first sample that has any; there py4xs looks, too."""
    for name, sample in samples(file):
        found: dict[str, str] = {}
        for stream in sample:
            fields = follow(sample, f"{stream}/{schema.DATA}", roots=roots_of(file))
            if isinstance(fields, h5py.Group):
                found |= dict.fromkeys(fields, stream)
        if found:
            logger.debug("%s: fields of detectors are those in %s", file.filename, name)
            return found
    return {}


def roots_of(file: h5py.File) -> list[Path]:
    """Give the only folder that links of a file may lead into by themselves: its own."""
    return [Path(file.filename).parent]


def open_for_reading(path: Path) -> h5py.File:
    """Open a file so that files it links to may still be growing.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    OSError
        If it cannot be opened, or was cut short.
    """
    if not path.exists():
        raise FileNotFoundError(f"expected an experiment file at {path}, found none")
    return open_whole(path)


def prepare_experiment(folder: Path, settings: ExperimentSettings) -> ExperimentSettings:
    """Give an experiment's settings; a new experiment gets these.

    What the experiment's file says wins: a recalibration lies there. One that holds detectors and
    q-grid only, as `h5exp` makes it, gets the rest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / schema.EXPERIMENT_FILE
    with _locked(folder):
        if not path.exists():
            save_corrections(folder, settings.detectors)
            with (
                replace_whole(path) as temporary,
                made_in_memory(temporary) as file,
            ):
                settings.write(file)
            return settings
        with open_for_reading(path) as file:
            found = ExperimentSettings.read(file)
        if (
            settings.beamline
            and not found.beamline
            and not found.trans_field
            and not found.from_water
        ):
            _replace(path, settings.write_rest)
    return found


def write_settings(path: Path, settings: ExperimentSettings) -> None:
    """Replace the detectors and the q-grid of an experiment; a new file gets all settings.

    Everything else in the file stays, so that runs that go on are not disturbed.

    Raises
    ------
    RefusedError
        If the file holds samples itself, and not links to them: it is not ours to change.
    FileInUseError, OSError
        If it cannot be replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.parent):
        if path.exists():
            _refuse_samples_within(path)
        save_corrections(path.parent, settings.detectors)
        if path.exists():
            _replace(path, settings.write_detectors)
            return
        with replace_whole(path) as temporary, made_in_memory(temporary) as file:
            settings.write(file)


def _refuse_samples_within(path: Path) -> None:
    with open_for_reading(path) as file:
        inside = [n for n in file if isinstance(file.get(n, getlink=True), h5py.HardLink)]
    if inside:
        raise RefusedError(
            f"{path}: expected an experiment that links its samples, found {inside[0]!r} in the "
            "file itself: files of other origin are not changed; save the detectors to a new file"
        )


def add_sample(folder: Path, sample: str) -> None:
    """Link a sample's run file into the experiment, where it is not linked yet."""
    path = folder / schema.EXPERIMENT_FILE

    def link(file: h5py.File) -> None:
        target = Path(sample, schema.RUN_FILE).as_posix()
        file[sample] = h5py.ExternalLink(target, "/" + sample)

    with _locked(folder):
        with open_for_reading(path) as file:
            linked = file.get(sample, getlink=True) is not None
        if not linked:
            _replace(path, link)


def _replace(path: Path, change: Callable[[h5py.File], None]) -> None:
    """Replace a file, whose folder is locked, by a changed copy; members we do not know stay."""
    with (
        replace_whole(path) as temporary,
        made_in_memory(temporary) as new,
        open_for_reading(path) as old,
    ):
        for key, value in old.attrs.items():
            new.attrs[key] = value
        for name in old:
            link = old.get(name, getlink=True)
            if isinstance(link, h5py.HardLink):
                old.copy(name, new)
            else:
                new[name] = link
        change(new)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / schema.EXPERIMENT_LOCK)
    lock.acquire(timeout_s=_LOCK_TIMEOUT_S)
    try:
        yield
    finally:
        lock.release()


def samples(file: h5py.File) -> Iterator[tuple[str, h5py.Group]]:
    """Give the samples whose run files are there, by name.

    A group without a start document, a stream and curves, as the ancestor's ``overall``, is none.
    """
    return ((name, group) for name, group, is_sample in _groups(file) if is_sample)


def other_groups(file: h5py.File) -> Iterator[tuple[str, h5py.Group]]:
    """Give the groups at the top that are no samples, by name."""
    return ((name, group) for name, group, is_sample in _groups(file) if not is_sample)


def damaged_groups(file: h5py.File) -> Iterator[tuple[str, str]]:
    """Give the names at the top behind which something cannot be read, with the reason."""
    for name in file:
        try:
            member = follow(file, name, roots=roots_of(file))
            if isinstance(member, h5py.Group) and _is_sample(member):
                dict(member.attrs)
        except RefusedError:
            continue
        except DAMAGE as error:
            yield name, str(error)


def _groups(file: h5py.File) -> Iterator[tuple[str, h5py.Group, bool]]:
    """Give the groups at the top that can be read, and whether they are samples."""
    for name in file:
        try:
            member = follow(file, name, roots=roots_of(file))
            is_sample = isinstance(member, h5py.Group) and _is_sample(member)
        except DAMAGE as error:
            logger.warning("Sample %s is left out: %s", name, error)
            continue
        if isinstance(member, h5py.Group):
            yield name, member, is_sample


def _is_sample(group: h5py.Group) -> bool:
    if schema.START in group.attrs or schema.PROCESSED in group:
        return True
    links = [name for name in group if isinstance(group.get(name, getlink=True), h5py.HardLink)]
    members = [group[name] for name in links]
    return any(isinstance(member, h5py.Group) and schema.DATA in member for member in members)


def sample_names(file: h5py.File) -> list[str]:
    """List the samples whose run files are there, oldest first."""
    return [name for _, name in sorted((_started(group), name) for name, group in samples(file))]


def find_sample(file: h5py.File, name: str, *, but: str | None = None) -> str | None:
    """Find the newest sample of a name, which may also be its group's; None where there is none.

    Parameters
    ----------
    but
        A group that is not meant.
    """
    found = [
        (_started(group), member)
        for member, group in samples(file)
        if member != but and (member == name or _attribute(group, schema.SAMPLE_NAME) == name)
    ]
    return max(found)[1] if found else None


def measurement_of(sample: h5py.Group) -> str | None:
    """Give the measurement that a sample belongs to, as a plan names it; None where it does not."""
    return measurement_in(start_of(sample))


def measurement_in(start: Mapping[str, Any]) -> str | None:
    """Give the measurement that a start document names; None where it names none."""
    found = start.get(schema.MEASUREMENT)
    return found if isinstance(found, str) else None


def _started(sample: h5py.Group) -> float:
    try:
        return float(start_of(sample).get("time", 0.0))
    except (ValueError, TypeError):  # `header` tells what is wrong with it
        return 0.0


def start_of(sample: h5py.Group) -> dict[str, Any]:
    """Give a sample's start document; {} where it cannot be read."""
    try:
        start = json.loads(_attribute(sample, schema.START) or "{}")
    except ValueError:
        return {}
    return start if isinstance(start, dict) else {}


def _attribute(sample: h5py.Group, name: str) -> str:
    """Give an attribute as text; "" where there is none, or it is damaged."""
    try:
        return text_attribute(sample.attrs, name)
    except DAMAGE:
        return ""
