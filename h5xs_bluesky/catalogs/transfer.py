"""Stored runs become an experiment's folder: each goes the way that it went live."""

import itertools
import json
import logging
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from h5xs_bluesky import schema
from h5xs_bluesky.api.frame_choice import is_elution
from h5xs_bluesky.callbacks.documents import Document
from h5xs_bluesky.callbacks.live_reduction import LiveReduction
from h5xs_bluesky.catalogs.journals import journal_uids
from h5xs_bluesky.catalogs.open_source import open_source
from h5xs_bluesky.catalogs.source import Filters, RunSource, StoredRun, oldest_first
from h5xs_bluesky.config import Beamline
from h5xs_bluesky.errors import ConfigurationError, FramesNotSavedError, H5xsError
from h5xs_bluesky.io.experiment import (
    ExperimentSettings,
    find_sample,
    open_for_reading,
    start_of,
)
from h5xs_bluesky.io.names import fill_template, split_names
from h5xs_bluesky.io.opening import DAMAGE, open_whole

logger = logging.getLogger(__name__)

_PATIENCE_S = 3600.0  # for a slow disk: nothing is lost by waiting

Outcome = Literal["reduced", "incomplete", "there", "goes on", "excluded", "failed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredOutcome:
    """What became of a stored run.

    Parameters
    ----------
    uid
        Of the run.
    outcome
        ``"reduced"``; ``"incomplete"``, some frames were not, or the experiment has it without its
        end; ``"there"``, the experiment has it already and it was left alone; ``"goes on"``, it has
        no end yet and was left alone; ``"excluded"``, it was named by its uid and does not fit the
        filters; ``"failed"``, the store did not give it back.
    sample
        Its group in the experiment; "" where it has none.
    folder
        The sample's folder; None where it has none.
    reason
        Why it is not reduced, or not wholly; "" where it is.
    lost
        What the store has lost of it.
    status
        Counters, as in `LiveReduction.status`; empty where it was left alone.
    """

    uid: str
    outcome: Outcome
    sample: str = ""
    folder: Path | None = None
    reason: str = ""
    lost: tuple[str, ...] = ()
    status: Mapping[str, Any] = field(default_factory=dict)


def from_catalog(
    catalog: Any,
    uids: str | Iterable[str] | None,
    folder: str | Path,
    beamline: Beamline | None = None,
    *,
    group_by: str | None = None,
    since: float | str | datetime | None = None,
    until: float | str | datetime | None = None,
    plan: str | None = None,
    sample: str | None = None,
    where: Mapping[str, Any] | None = None,
    unfinished: bool = False,
    api_key: str | None = None,
) -> list[StoredOutcome]:
    """Make an experiment of stored runs, as if each were measured now.

    Parameters
    ----------
    catalog
        As `open_source` takes it: a client of Tiled, a `Broker` of databroker, the folder of an
        experiment, or the name of one of these.
    uids
        Of one or more runs, or the beginnings of uids; None for all that fit the other arguments.
    folder
        The experiment's; made if it is not there. Runs that it has are left alone.
    beamline
        The configuration; by default the experiment's own.
    group_by
        A key of the start document, as ``"holder"``: each of its values gets an experiment of its
        own below `folder`.
    since, until
        Runs that began at or after the one, and before the other: in s since the epoch, or a date
        (ISO 8601, local time where it names no zone).
    plan, sample
        Names that the start document has.
    where
        Further keys of the start document, dotted into nested ones, and their values.
    unfinished
        Take runs that have no stop document, too: their writer died.
    api_key
        Of a server that is named by its address or profile, as in `open_source`.

    Returns
    -------
    list of StoredOutcome
        One for each run that fits or is named by its uid, in their order; empty if there is none.

    Raises
    ------
    RunNotFoundError
        If a uid is not there: nothing is reduced then.
    ConfigurationError
        If there is no configuration, or a run lacks the key of `group_by`.
    CatalogError, FileNotFoundError
        If the store cannot be opened.
    FramesNotSavedError
        If frames cannot be written.
    """
    folder = Path(folder)
    beamline = beamline or experiment_beamline(folder)
    source = open_source(catalog, roots=beamline.roots, api_key=api_key)
    equal = dict(where or {})
    if plan is not None:
        equal["plan_name"] = plan
    if sample is not None:
        equal[beamline.sample_name_key] = sample
    filters = Filters(since_s=seconds_of(since), until_s=seconds_of(until), equal=equal)
    if uids is None:
        starts = source.search(filters)
    else:
        starts = oldest_first(map(source.find, [uids] if isinstance(uids, str) else uids))
    wanted = [start for start in starts if uids is None or filters.fit(start)]
    folders = {str(start["uid"]): _experiment(folder, group_by, start) for start in wanted}
    transfer = _Transfer(source, folder, beamline, group_by=group_by, unfinished=unfinished)
    done = {outcome.uid: outcome for outcome in transfer.all(folders)}
    reason = "it was named, but does not fit the filters"
    return [
        done.get(uid) or StoredOutcome(uid=uid, outcome="excluded", reason=reason)
        for uid in dict.fromkeys(str(start["uid"]) for start in starts)
    ]


def experiment_beamline(folder: Path) -> Beamline:
    """Give the configuration of an experiment.

    Raises
    ------
    ConfigurationError
        If there is no experiment, or none in it.
    """
    path = folder / schema.EXPERIMENT_FILE
    try:
        with open_for_reading(path) as file:
            settings = ExperimentSettings.read(file)
    except (H5xsError, OSError) as error:
        raise ConfigurationError(
            f"expected the beamline's configuration, found none in {path} ({error}): name a TOML "
            "file"
        ) from error
    return Beamline.from_mapping(
        settings.beamline, detectors=settings.detectors, qgrid=settings.qgrid, origin=str(path)
    )


def seconds_of(time: float | str | datetime | None) -> float | None:
    """Give a time in s since the epoch.

    Raises
    ------
    ConfigurationError
        If a text is no date.

    Examples
    --------
    >>> seconds_of("2026-11-25T01:00:00+00:00")
    1795568400.0
    """
    if isinstance(time, str):
        try:
            time = datetime.fromisoformat(time)
        except ValueError as error:
            raise ConfigurationError(
                f"expected a date as 2026-11-25 or 2026-11-25T08:30, found {time!r}"
            ) from error
    return time.timestamp() if isinstance(time, datetime) else time


def _experiment(folder: Path, group_by: str | None, start: Document) -> Path:
    if group_by is None:
        return folder
    try:
        return folder / fill_template(_template(group_by), start)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"run {str(start['uid'])[:8]}: expected the key {group_by!r}, by which runs are "
            f"grouped, found {sorted(start)}: leave it out with filters, or group by another key"
        ) from error


def _template(group_by: str) -> str:
    return f"{{{group_by}}}"


class _Transfer:
    """Sends runs of a store, one after the other, through one `LiveReduction`."""

    def __init__(
        self,
        source: RunSource,
        folder: Path,
        beamline: Beamline,
        *,
        group_by: str | None,
        unfinished: bool,
    ) -> None:
        output = replace(beamline.output, max_block_s=_PATIENCE_S, when_full="fail")
        if group_by is not None:
            output = replace(output, base=folder, folder=_template(group_by))
        self._beamline = replace(beamline, output=output)
        self._folder = folder if group_by is None else None
        self._source = source
        self._unfinished = unfinished
        self._lost: tuple[str, ...] = ()  # by the store, of the run on its way
        self._there: dict[Path, dict[str, Path]] = {}

    def all(self, folders: Mapping[str, Path]) -> list[StoredOutcome]:
        """Transfer runs, each into its experiment's folder."""
        live: LiveReduction | None = None
        done: list[StoredOutcome] = []
        try:
            for uid, experiment in folders.items():
                found = self._left_alone(uid, experiment)
                if found is None:
                    live = live or LiveReduction(
                        self._beamline, self._folder, attributes=self._attributes
                    )
                    found = _with_status(self._transfer(uid, live), live)
                done.append(found)
        finally:
            if live is not None:
                live.close()  # runs without an end are finished by it
        return [_with_advice(_with_status(each, live)) for each in done]

    def _left_alone(self, uid: str, experiment: Path) -> StoredOutcome | None:
        """Tell of a run that the experiment has already."""
        if experiment not in self._there:
            self._there[experiment] = dict(journal_uids(experiment))
        there = self._there[experiment].get(uid)
        if there is None:
            return None
        found = StoredOutcome(
            uid=uid,
            outcome="there",
            sample=there.name,
            folder=there,
            reason="the experiment has it",
        )
        if _has_ended(there):
            return found
        return replace(
            found,
            outcome="incomplete",
            reason=f"the experiment has it without its end: remove {there} to take it again, "
            "unless it is measured now",
        )

    def _transfer(self, uid: str, live: LiveReduction) -> StoredOutcome:
        lost: tuple[str, ...] = ()
        try:
            run = self._source.run(uid)
            self._lost = lost = run.lost
            if run.stop is None and not self._unfinished:
                reason = "it has no stop document: it goes on, or its writer died (unfinished)"
                return StoredOutcome(uid=uid, outcome="goes on", reason=reason, lost=lost)
            _send(run, live)
        except FramesNotSavedError:
            raise
        except (H5xsError, OSError, LookupError, TypeError, ValueError) as error:
            told = isinstance(error, H5xsError | OSError)
            reason = str(error) if told else f"{type(error).__name__}: {error}"
            logger.warning("Run %s is not taken, or not wholly: %s", uid[:8], reason)
            return StoredOutcome(uid=uid, outcome="failed", reason=reason, lost=lost)
        finally:
            live.wait()
        return StoredOutcome(uid=uid, outcome="reduced", lost=lost)

    def _attributes(self, start: Document) -> dict[str, str]:
        """Name the store, and what it has lost, in the sample's header."""
        origin = {
            "source": self._source.name,
            "lost": list(self._lost),
            "read": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        return {schema.ORIGIN: json.dumps(origin)}


def _send(run: StoredRun, live: LiveReduction) -> None:
    """Send a run's documents; nothing is sent where its first frames cannot be read."""
    with closing(run.documents()) as documents:  # type: ignore[type-var]
        head = []
        for name, doc in documents:
            head.append((name, doc))
            if name == "event":
                break
        for name, doc in itertools.chain(head, documents):
            live(name, doc)


def _has_ended(folder: Path) -> bool:
    try:
        with open_whole(folder / schema.RUN_FILE) as file:
            return schema.STOP in file[folder.name].attrs
    except DAMAGE:
        return False


def _with_status(outcome: StoredOutcome, live: LiveReduction | None) -> StoredOutcome:
    """Add what `LiveReduction` counted of a run; it forgets those that ended long ago."""
    runs = {} if live is None else {run["uid"]: run for run in live.status()["runs"]}
    status = runs.get(outcome.uid)
    if status is None:
        return outcome
    found = replace(
        outcome,
        status=status,
        sample=status["sample"],
        folder=Path(status["folder"]) if status["folder"] else None,
    )
    if outcome.outcome not in ("reduced", "incomplete"):
        return found
    whole = not (status["errors"] or any(status[key] for key in ("failed", "lost", "missing")))
    reason = "; ".join((*status["errors"], *status["warnings"]))
    return replace(found, outcome="reduced" if whole else "incomplete", reason=reason)


def _with_advice(outcome: StoredOutcome) -> StoredOutcome:
    """Tell which buffers of a reduced run are not in its experiment, and are to be subtracted."""
    if outcome.outcome not in ("reduced", "incomplete") or outcome.folder is None:
        return outcome
    folder = outcome.folder
    try:
        with open_for_reading(folder.parent / schema.EXPERIMENT_FILE) as file:
            sample = file[folder.name]
            own = is_elution(start_of(sample))  # a series behind a column has its own buffer
            names = [] if own else split_names(str(sample.attrs.get(schema.BUFFER, "")))
            absent = [name for name in names if find_sample(file, name, but=folder.name) is None]
    except (OSError, KeyError):
        return outcome
    if not absent:
        return outcome
    advice = f"the experiment has no {', '.join(absent)}: to subtract it, add its uid"
    said = [part for part in outcome.reason.split("; ") if part and not _tells_of_buffer(part)]
    return replace(outcome, reason="; ".join((*said, advice)))


def _tells_of_buffer(warning: str) -> bool:
    """Whether a live reduction said that a buffer may come yet, which none here will."""
    return warning.startswith("its buffer ") and "is not averaged yet" in warning
