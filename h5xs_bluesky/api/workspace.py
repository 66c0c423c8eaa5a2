"""What `h5xs` holds in memory of each sample: read from its file, or computed and not saved yet."""

import logging
from dataclasses import replace
from math import isfinite
from typing import TYPE_CHECKING, Any

from h5xs_bluesky import schema
from h5xs_bluesky.api.data1d import Data1d
from h5xs_bluesky.api.source import ExperimentSource
from h5xs_bluesky.api.stored import (
    Curves,
    StoredSample,
    frames_lacking,
    from_reduced,
    read_stored,
    same_frames,
    save_reduced,
)
from h5xs_bluesky.config import AVERAGING_CHOICE, Beamline
from h5xs_bluesky.errors import FileFormatError, ReductionError
from h5xs_bluesky.io.links import follow
from h5xs_bluesky.io.processed import read_reduced
from h5xs_bluesky.io.provenance import Provenance, run_uid_of
from h5xs_bluesky.reduction.sample import ReducedSample
from h5xs_bluesky.reduction.similarity import EXPLICIT, SelectionOptions

if TYPE_CHECKING:
    from h5xs_bluesky.reduction.chromatography.analyse import Chromatogram

logger = logging.getLogger(__name__)


class Workspace:
    """The samples in memory; the source's file is open while a method runs.

    Parameters
    ----------
    source
        The experiment's file.
    beamline
        With what its frames are reduced; may be replaced.

    Attributes
    ----------
    d2s : dict of str to dict
        What the user keeps of each sample besides its curves.
    buffer_list : dict of str to list of str
        The buffers that the user assigned to samples; they win over those in the file.
    eluted : dict of str to Chromatogram
        What was found of series behind a column before their frames were reduced anew.
    """

    def __init__(self, source: ExperimentSource, beamline: Beamline) -> None:
        self.source = source
        self.beamline = beamline
        self.d1s: dict[str, Curves] = {}
        self.d2s: dict[str, dict[str, Any]] = {}
        self.attrs: dict[str, dict[str, Any]] = {}
        self.reduced: dict[str, ReducedSample] = {}
        self.provenance: dict[str, Provenance | None] = {}
        self.unsaved: set[str] = set()
        self.buffer_list: dict[str, list[str]] = {}
        self.eluted: dict[str, Chromatogram] = {}
        self._lacking: dict[str, int] = {}  # frames by sample: see `save_if_possible`
        self._made: dict[str, frozenset[str]] = {}  # the names in d1s that are not the user's

    def load(self, name: str) -> ReducedSample | None:
        """Give a sample as it is now: what is not saved, else anew from its file.

        Curves that the user put into `d1s` under names of their own stay.
        """
        if name not in self.unsaved:
            self._read(name)
        return self.reduced.get(name)

    def read(self, name: str) -> None:
        """Read a sample from its file; what was not saved is given up."""
        self.d1s.pop(name, None)
        self._read(name)

    def _read(self, name: str) -> None:
        with self.source.results(name) as group:
            stored = read_stored(
                group,
                name,
                qgrid=self.beamline.qgrid,
                roots=self.source.roots,
                relative_uncertainty=self.beamline.monitor_uncertainty,
            )
        self._hold(name, stored or StoredSample(curves={}, attrs={}, reduced=None))
        self._lacking.pop(name, None)
        self.unsaved.discard(name)

    def curves(self, name: str, group: str) -> Data1d | list[Data1d]:
        """Give curves that are in memory.

        Raises
        ------
        ReductionError
            If there are none of this name.
        """
        known = self.d1s[name]
        if group not in known:
            raise ReductionError(
                f"{name}: expected a curve {group!r}, found {sorted(known)}: reduce the frames "
                "(load_data) or average them (average_d1s) first"
            )
        return known[group]

    def read_before(self, name: str) -> ReducedSample | None:
        """Read a sample's reduction that is about to be made anew; None where that is no use."""
        try:
            with self.source.results(name) as group:
                return read_reduced(group, roots=self.source.roots)
        except (FileFormatError, KeyError):
            logger.warning("%s: its earlier reduction cannot be read", name, exc_info=True)
            return None

    def take(self, name: str, fresh: ReducedSample, before: ReducedSample | None) -> None:
        """Take over a new reduction of a sample's frames, in place of the one before.

        What was made from the very same numbers stays; otherwise the user's own selection does,
        what normalises, the factor for the buffer, and how a series behind a column is analysed.
        The factor also stays of curves that another program made.
        """
        self.d1s.pop(name, None)
        if before is not None and same_frames(fresh, before):
            self.read(name)
            return
        if before is not None:
            fresh = self._as_chosen(fresh, before)
        else:
            fresh = replace(fresh, sc_factor=self._foreign_factor(name))
        uid = run_uid_of(self.source.sample(name))
        self.change(name, fresh)
        self.provenance[name] = Provenance(frames=self.beamline.reduction_process(uid))
        self._lacking.pop(name, None)
        lacking = 0 if before is None else frames_lacking(fresh, before)
        if lacking:  # also of what is computed from it: until it is saved all the same, or read
            self._lacking[name] = lacking
        selection = None if before is None else before.selection
        own = selection is not None and EXPLICIT in selection.reason
        if before is not None and before.chromatogram is not None:
            self.eluted[name], own = before.chromatogram, False
        if selection is not None and own and len(selection.kept) == len(fresh.superseded):
            self.attrs[name][schema.SELECTED] = selection.kept.copy()

    def _foreign_factor(self, name: str) -> float | None:
        """Give the factor for the buffer that another program noted; None where there is none."""
        sample = self.source.sample(name)
        processed = follow(sample, schema.PROCESSED, roots=self.source.roots)
        for member in (processed, sample):
            noted: Any = None if member is None else member.attrs.get(schema.SC_FACTOR)
            try:
                factor = float(noted)
            except (TypeError, ValueError):  # none, or a text
                continue
            if isfinite(factor) and factor > 0:
                return factor
        return None

    def _as_chosen(self, fresh: ReducedSample, before: ReducedSample) -> ReducedSample:
        """Let a new reduction keep what the user chose for the one before."""
        kept = replace(fresh, sc_factor=before.sc_factor, peak=before.peak)
        if before.trans_mode == fresh.trans_mode:
            return kept
        try:
            return kept.with_trans(
                before.trans_mode,
                q=self.beamline.qgrid.centers,
                peak=before.peak or self.beamline.reduction.water_peak,
                relative_uncertainty=self.beamline.monitor_uncertainty,
            )
        except ReductionError as error:
            logger.warning("The transmitted beam is %s again: %s", kept.trans_mode, error)
            return kept

    def change(
        self,
        name: str,
        reduced: ReducedSample,
        *,
        options: SelectionOptions | None = None,
        explicit: bool = False,
    ) -> None:
        """Hold a sample that was computed and is not in its file.

        Parameters
        ----------
        options, explicit
            How the frames of a new average were selected, if not as configured, and whether the
            user chose them.
        """
        self.eluted.pop(name, None)
        provenance = self._new_provenance(name, reduced, options, explicit)
        self._hold(name, replace(self._stored(name, reduced), provenance=provenance))
        self.unsaved.add(name)

    def _new_provenance(
        self, name: str, reduced: ReducedSample, options: SelectionOptions | None, explicit: bool
    ) -> Provenance | None:
        """Note how a new average is made; one that only weighs its frames anew keeps the choice."""
        before, provenance = self.reduced.get(name), self.provenance.get(name)
        if provenance is None or (before is not None and before.average is reduced.average):
            return provenance
        if reduced.average is None:
            return replace(provenance, averaging=None)
        process = self.beamline.averaging_process(
            options=options, explicit=explicit, trans_mode=reduced.trans_mode
        )
        earlier = provenance.averaging
        if before is not None and earlier is not None and reduced.selection is before.selection:
            process = process.keeping(earlier, AVERAGING_CHOICE)
        return replace(provenance, averaging=process)

    def save(self, name: str) -> None:
        """Save a sample.

        Raises
        ------
        ReductionError
            If it has no reduction, or its run has gone on since.
        RefusedError
            If it is read from a server.
        FileInUseError, FileFormatError, OSError
            If it cannot be written.
        """
        self.source.need_files("saving")
        reduced = self.reduced.get(name)
        if reduced is None:
            raise ReductionError(
                f"{name}: expected results to save, found none: call load_data() first"
            )
        self.source.sample(name)  # refuses a link out of the folder
        save_reduced(
            self.source.opened,
            name,
            reduced,
            provenance=self.provenance.get(name),
            detectors=self.beamline.detectors,
        )
        self.unsaved.discard(name)
        self._lacking.pop(name, None)

    def save_if_possible(self, name: str) -> None:
        """Save a sample that was computed; where that cannot be, it stays in memory.

        So it does where frames that its file has reduced could not be reduced again, as where the
        raw data are away for a while.
        """
        if name not in self.unsaved:
            return
        if name in self._lacking:
            logger.warning(
                "%s is not saved, its results stay in memory: %d frames that its file has reduced "
                "were not found, or do not fit; save_d1s() saves the others without them",
                *(name, self._lacking[name]),
            )
            return
        try:
            self.save(name)
        except (ReductionError, FileFormatError, OSError) as error:
            logger.warning("%s is not saved, its results stay in memory: %s", name, error)

    def warn_read_only(self) -> None:
        """Log that nothing is saved."""
        logger.warning("%s was opened read-only: nothing is saved", self.source.name)

    def _stored(self, name: str, reduced: ReducedSample) -> StoredSample:
        return from_reduced(
            reduced,
            name,
            qgrid=self.beamline.qgrid,
            relative_uncertainty=self.beamline.monitor_uncertainty,
        )

    def _hold(self, name: str, stored: StoredSample) -> None:
        before, made = self.d1s.get(name, {}), self._made.get(name, frozenset())
        own = {group: curves for group, curves in before.items() if group not in made}
        self.d1s[name] = {**own, **stored.curves}
        self._made[name] = frozenset(stored.curves)
        self.d2s.setdefault(name, {})
        self.attrs[name] = stored.attrs
        self.provenance[name] = stored.provenance
        self.reduced.pop(name, None)
        if stored.reduced is not None:
            self.reduced[name] = stored.reduced
