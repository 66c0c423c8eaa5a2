"""Whether results can be made again: reduce from the raw frames, compare with what is stored."""

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky import schema
from h5xs_bluesky.api.elutions import analyse_again
from h5xs_bluesky.api.monitors import FramesOfSample, complete_trans
from h5xs_bluesky.api.raw import read_raw
from h5xs_bluesky.api.reduce_offline import executor_or_threads, progress_bar, reduce_raw
from h5xs_bluesky.api.source import ExperimentSource, experiment_file
from h5xs_bluesky.config import Beamline
from h5xs_bluesky.errors import FileFormatError, H5xsError, ReductionError
from h5xs_bluesky.io.links import follow
from h5xs_bluesky.io.names import split_names
from h5xs_bluesky.io.processed import read_reduced, write_reduced
from h5xs_bluesky.io.provenance import Process, Provenance, read_provenance, run_uid_of
from h5xs_bluesky.io.py4xs_files import added_for_py4xs
from h5xs_bluesky.reduction.average import unite_averages
from h5xs_bluesky.reduction.chromatography.analyse import Chromatogram
from h5xs_bluesky.reduction.integration.integrate import Integrator
from h5xs_bluesky.reduction.sample import ReducedSample
from h5xs_bluesky.reduction.scale import AUTO

if TYPE_CHECKING:
    from h5xs_bluesky.reduction.average import Average

logger = logging.getLogger(__name__)

Outcome = Literal["identical", "equal", "differs", "cannot", "nothing"]

TOLERANCE = 1e-12  # relative, where versions or processor are others than those noted
_STEPS = (schema.PROVENANCE, schema.AVERAGING)
_PER_FRAME = ("transmitted", "incident", "transmitted_sigma", "incident_sigma", "water")


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """How one sample's results compare with what their raw frames give now.

    Parameters
    ----------
    sample
        Its group.
    outcome
        ``"identical"`` to the last bit; ``"equal"`` within `TOLERANCE`, where versions or processor
        have changed; ``"differs"``; ``"cannot"`` be told; ``"nothing"`` where it is not reduced.
    frames
        How many were reduced again.
    differences
        By the name of a dataset or attribute: the largest relative difference; infinite where
        texts, shapes, or what is missing differ.
    changes
        Versions that are others than those noted: then and now.
    reason
        Why it cannot be told.
    """

    sample: str
    outcome: Outcome
    frames: int = 0
    differences: dict[str, float] = field(default_factory=dict)
    changes: dict[str, tuple[str, str]] = field(default_factory=dict)
    reason: str = ""


def verify(
    path: Path,
    samples: str | Sequence[str] | None = None,
    *,
    roots: Sequence[Path] = (),
    executor: Executor | None = None,
    progress: bool = False,
) -> list[Verified]:
    """Reduce samples again, each as its provenance says, and compare.

    Parameters
    ----------
    path
        An experiment's folder or file.
    samples
        One or several; all by default.
    roots
        Folders outside the experiment's that links may lead into.
    executor
        Runs the reduction; by default threads, one for each processor.
    progress
        Show it on the terminal.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    SampleNotFoundError
        If a sample named is not there.
    """
    file = experiment_file(path)
    source = ExperimentSource(file, roots=roots)
    with source.reading(), executor_or_threads(executor) as pool:
        again = _Again(source, pool, progress=progress)
        return [_verified(again, name) for name in source.chosen(samples)]


class _Again:
    """Makes results again; what several samples share is made once."""

    def __init__(self, source: ExperimentSource, executor: Executor, *, progress: bool) -> None:
        self.source = source
        self._executor = executor
        self._progress = progress
        self._integrators: dict[str, dict[str, Integrator]] = {}
        self._averages: dict[str, Average | None] = {}

    @contextmanager
    def stored(self, name: str) -> Iterator[tuple[h5py.Group, ReducedSample, Provenance] | None]:
        """Give a sample's results as they are stored; None where there are none."""
        with self.source.results(name) as group:
            reduced = read_reduced(group, roots=self.source.roots)
            if reduced is None:
                processed = follow(group, schema.PROCESSED, roots=self.source.roots)
                if isinstance(processed, h5py.Group) and len(processed):
                    raise FileFormatError(
                        f"{name}: expected the provenance of its results, found only "
                        f"{sorted(processed)} that were reduced elsewhere: reduce the frames here "
                        "(load_data)"
                    )
                yield None
                return
            provenance = read_provenance(group, roots=self.source.roots)
            if provenance is None:
                raise FileFormatError(
                    f"{name}: expected the provenance of its results, found none: they are of an "
                    "older version; reduce the frames again (load_data)"
                )
            yield group, reduced, provenance

    def averaged(self, name: str, stored: ReducedSample, provenance: Provenance) -> ReducedSample:
        """Reduce and average a sample's frames anew, as many as are stored."""
        beamline = self._beamline(provenance.frames)
        sample = self.source.sample(name)
        uid = run_uid_of(sample)
        if uid != provenance.frames.run_uid:
            raise FileFormatError(
                f"{name}: expected the frames of run {provenance.frames.run_uid!r}, found those of "
                f"{uid!r}"
            )
        raw = read_raw(sample, beamline, roots=self.source.roots)
        integrators = self._integrators_of(beamline, provenance.frames)
        with progress_bar(name, raw.frame_count, shown=self._progress) as advance:
            fresh = reduce_raw(raw, integrators, executor=self._executor, advance=advance)
        frames = FramesOfSample(
            group=sample,
            frames_per_event=raw.frames_per_event,
            size=len(raw),
            roots=self.source.roots,
        )
        ended = schema.STOP in sample.attrs
        if ended or stored.average is not None:
            fresh, _ = complete_trans(fresh, frames, beamline)
        fresh = self._as_far(fresh, stored, name, ended=ended)
        kept = {key: getattr(stored, key) for key in ("peak", "sc_factor", "no_average")}
        fresh = replace(fresh, **kept)
        fresh = _averaged(fresh, stored, provenance, beamline)
        self._averages[name] = fresh.average
        return fresh

    def subtracted(
        self, fresh: ReducedSample, stored: ReducedSample, provenance: Provenance
    ) -> ReducedSample:
        """Subtract the buffers anew, which are averaged anew, too."""
        if stored.subtraction is None or fresh.average is None:
            return fresh
        if stored.chromatogram is not None:
            return self._eluted(fresh, stored, stored.chromatogram, provenance)
        averages = []
        for buffer in split_names(stored.subtraction.buffer):
            average = self._average_of(buffer)
            if average is None:
                raise ReductionError(f"expected an average of its buffer {buffer!r}, found none")
            averages.append(average)
        beamline = _averaging_beamline(self._beamline(provenance.frames), provenance)
        own = stored.subtraction
        return fresh.subtracted(
            unite_averages(averages),
            name=own.buffer,
            sc_factor=AUTO if own.automatic else own.sc_factor,
            normalize=beamline.normalizes,
            q=beamline.qgrid.centers,
            peak=stored.peak or beamline.reduction.water_peak,
        )

    def _eluted(
        self,
        fresh: ReducedSample,
        stored: ReducedSample,
        chromatogram: Chromatogram,
        provenance: Provenance,
    ) -> ReducedSample:
        """Analyse a series behind a column anew, with the frames that the user gave."""
        return analyse_again(
            fresh,
            chromatogram,
            name="" if stored.subtraction is None else stored.subtraction.buffer,
            beamline=_averaging_beamline(self._beamline(provenance.frames), provenance),
        )

    def _average_of(self, buffer: str) -> "Average | None":
        if buffer not in self._averages:
            with self.stored(buffer) as found:
                if found is not None:
                    self.averaged(buffer, found[1], found[2])
        return self._averages.get(buffer)

    @staticmethod
    def _as_far(
        fresh: ReducedSample, stored: ReducedSample, name: str, *, ended: bool
    ) -> ReducedSample:
        """Cut a reduction to the frames that are stored, of a run that is going on."""
        rows, known = len(fresh.superseded), len(stored.superseded)
        if known > rows or (ended and known < rows):
            raise ReductionError(
                f"{name}: expected results of the {rows} frames measured, found {known}: reduce "
                "the frames again (load_data)"
            )
        return replace(
            fresh,
            detectors={key: part[:known] for key, part in fresh.detectors.items()},
            superseded=fresh.superseded[:known],
            **{
                each.name: getattr(fresh, each.name)[:known]
                for each in fields(fresh)
                if each.name in _PER_FRAME and getattr(fresh, each.name) is not None
            },
        )

    def _beamline(self, process: Process) -> Beamline:
        return Beamline.from_process(process, origin=self.source.path, file=self.source.file)

    def _integrators_of(self, beamline: Beamline, process: Process) -> dict[str, Integrator]:
        key = repr((process.detectors, beamline.reduction, process.configuration["qgrid"]))
        if key not in self._integrators:
            self._integrators = {key: beamline.integrators()}  # those of one configuration only
        return self._integrators[key]


def _averaged(
    fresh: ReducedSample, stored: ReducedSample, provenance: Provenance, beamline: Beamline
) -> ReducedSample:
    """Select and average with what was configured then, and let the same tell the beam."""
    averaging = _averaging_beamline(beamline, provenance)
    options: dict[str, Any] = {
        "q": averaging.qgrid.centers,
        "relative_uncertainty": averaging.monitor_uncertainty,
    }
    choice = {} if provenance.averaging is None else provenance.averaging.configuration
    peak = stored.peak or averaging.reduction.water_peak

    def told_by(sample: ReducedSample, mode: str) -> ReducedSample:
        find_peak = stored.water is not None and sample.water is None
        if sample.trans_mode == mode and not find_peak:
            return sample
        return sample.with_trans(mode, peak=peak, find_peak=find_peak, **options)

    if stored.selection is not None and provenance.averaging is not None:
        fresh = told_by(fresh, str(choice.get("trans_mode", stored.trans_mode)))
        explicit = stored.selection.kept if choice.get("explicit") else None
        fresh = fresh.averaged(averaging.selection, explicit=explicit, **options)
    return told_by(fresh, stored.trans_mode)


def _averaging_beamline(beamline: Beamline, provenance: Provenance) -> Beamline:
    """Give the beamline with the options that held when the average was made."""
    if provenance.averaging is None:
        return beamline
    return beamline.for_averaging(provenance.averaging)


def _verified(again: _Again, name: str) -> Verified:
    try:
        with again.stored(name) as stored:
            if stored is None:
                return Verified(sample=name, outcome="nothing")
            group, reduced, provenance = stored
            fresh = again.averaged(name, reduced, provenance)
            fresh = again.subtracted(fresh, reduced, provenance)
            ended = schema.STOP in again.source.sample(name).attrs
            differences = _differences(group, fresh, ended=ended)
    except (H5xsError, OSError, KeyError, ValueError) as error:
        logger.info("%s cannot be verified", name, exc_info=True)
        return Verified(sample=name, outcome="cannot", reason=str(error))
    changes = provenance.frames.changes()
    if provenance.averaging is not None:
        changes |= provenance.averaging.changes()
    worst = max(differences.values(), default=0.0)
    outcome: Outcome = "identical" if not differences else "differs"
    if differences and changes and worst <= TOLERANCE:
        outcome = "equal"
    return Verified(
        sample=name,
        outcome=outcome,
        frames=len(fresh.superseded),
        differences=differences,
        changes=changes,
    )


def _differences(stored: h5py.Group, fresh: ReducedSample, *, ended: bool) -> dict[str, float]:
    """Compare all that is stored with what would be stored now, but for how it was made."""
    with h5py.File("again.h5", "w", driver="core", backing_store=False) as memory:
        write_reduced(memory, fresh, provenance=None)
        then, now = _values(stored), _values(memory)
    if not ended:  # some of it comes at the end; datasets may be a row apart, monitors seconds
        monitors = {f"{schema.REDUCTION}/{name}" for name in (schema.TRANSMITTED, schema.INCIDENT)}
        common = (set(then) & set(now)) - monitors
        now = {name: values for name, values in now.items() if name in common}
        then = {name: _as_long(then[name], now[name]) for name in common}
    found = {}
    for name in sorted({*then, *now}):
        scale = None  # a difference of curves is as exact as the larger of them
        if name == f"{schema.PROCESSED}/{schema.SUBTRACTED}":
            scale = then.get(f"{schema.PROCESSED}/{schema.AVERAGED}")
        off = _largest(then.get(name), now.get(name), scale)
        if off > 0:
            found[name] = off
    return found


def _as_long(values: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    return values[: len(other)] if values.ndim else values


def _values(group: h5py.Group) -> dict[str, NDArray[Any]]:
    """List all numbers and texts of a sample's results, by name; attributes after an "@"."""
    found: dict[str, NDArray[Any]] = {}

    def add(member: h5py.Group | h5py.Dataset, name: str) -> None:
        for key, value in member.attrs.items():
            if key != schema.PY4XS_ADDED:
                found[f"{name}@{key}"] = np.asarray(value)
        if isinstance(member, h5py.Dataset):
            found[name] = np.asarray(member[()])
            return
        others = added_for_py4xs(member) | ({*_STEPS} if name == schema.REDUCTION else set())
        for below in member:
            if below not in others:
                add(member[below], f"{name}/{below}")

    for name in (schema.PROCESSED, schema.REDUCTION):
        if name in group:
            add(group[name], name)
    return found


def _largest(
    then: NDArray[Any] | None, now: NDArray[Any] | None, scale: NDArray[Any] | None
) -> float:
    """Give the largest relative difference; 0 only where all is the same to the last bit."""
    if then is None or now is None or then.shape != now.shape:
        return float("inf")
    if then.dtype.kind not in "biuf" or now.dtype.kind not in "biuf":
        return 0.0 if np.array_equal(then, now) else float("inf")
    if np.array_equal(then, now, equal_nan=True):
        return 0.0
    one, other = np.atleast_1d(then).astype(float), np.atleast_1d(now).astype(float)
    size = np.maximum(np.abs(one), np.abs(other))
    if scale is not None and scale.shape == then.shape:
        size = np.maximum(size, np.abs(scale))
    with np.errstate(invalid="ignore", divide="ignore"):
        off = np.abs(one - other) / size
    off[(one == other) | (np.isnan(one) & np.isnan(other))] = 0.0
    off[np.isnan(off)] = np.inf
    return float(off.max())
