"""Averages and subtractions over the samples of an experiment."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from h5xs_bluesky import schema
from h5xs_bluesky.api.buffers import BufferTable, subtract_average
from h5xs_bluesky.api.elutions import (
    analyse_again,
    average_as_buffer,
    average_elution,
    drift_of,
)
from h5xs_bluesky.api.frame_choice import why_no_average
from h5xs_bluesky.api.workspace import Workspace
from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.io.names import join_names
from h5xs_bluesky.reduction.average import unite_averages
from h5xs_bluesky.reduction.chromatography.analyse import Chromatogram
from h5xs_bluesky.reduction.sample import ReducedSample, Subtraction
from h5xs_bluesky.reduction.similarity import EXPLICIT
from h5xs_bluesky.reduction.water import WaterPeak

logger = logging.getLogger(__name__)


class Averaging:
    """One round of averaging; `changed` lists the samples that it changed in the workspace.

    Parameters
    ----------
    workspace
        Where the samples are.
    max_distance
        Instead of the configuration's limit, where the statistics select frames.
    """

    def __init__(self, workspace: Workspace, *, max_distance: float | None = None) -> None:
        self.workspace = workspace
        options = workspace.beamline.selection
        self._options = (
            options if max_distance is None else replace(options, max_distance=max_distance)
        )
        self.changed: set[str] = set()
        self._earlier: dict[str, Subtraction] = {}

    def average(
        self, name: str, selection: ArrayLike | None, *, filter_data: bool, update_only: bool
    ) -> bool:
        """Select and average a sample's frames.

        Returns
        -------
        bool
            False if its frames are not reduced yet.

        Raises
        ------
        ReductionError
            If no frame is kept, the sample is a map and nothing says which frames, or a series
            behind a column that cannot be analysed: it has no average then.
        """
        attrs = self.workspace.attrs
        earlier = self.workspace.eluted.get(name)
        wanted = attrs.get(name, {}).get(schema.SELECTED)
        reduced = self.workspace.load(name)
        if reduced is None:
            return False
        if update_only and reduced.average is not None:
            return True
        explicit = chosen_frames(
            selection,
            filter_data=filter_data,
            selected=attrs[name].get(schema.SELECTED) if wanted is None else wanted,
            reduced=reduced,
        )
        earlier = reduced.chromatogram or earlier
        again = earlier is not None and not filter_data
        if explicit is None and (again or self.workspace.source.is_elution(name)):
            self._average_elution(name, reduced, None if filter_data else earlier)
            return True
        shape = self.workspace.source.map_shape(name)
        if shape and explicit is None and not filter_data:
            raise ReductionError(
                f"{name}: {why_no_average(shape)}: average_d1s(…, selection=…) averages those that "
                "you choose"
            )
        beamline = self.workspace.beamline
        try:
            averaged = reduced.averaged(
                self._options,
                q=beamline.qgrid.centers,
                relative_uncertainty=beamline.monitor_uncertainty,
                explicit=explicit,
            )
        except ReductionError as error:
            raise ReductionError(f"{name}: {error}") from error
        if reduced.subtraction is not None:
            self._earlier[name] = reduced.subtraction
        self._change(name, averaged, explicit=explicit is not None)
        return True

    def _average_elution(
        self, name: str, reduced: ReducedSample, earlier: Chromatogram | None
    ) -> None:
        beamline = self.workspace.beamline
        done = average_elution(reduced, name=name, beamline=beamline, earlier=earlier)
        self._change(name, done, explicit=True)
        if done.average is None:
            raise ReductionError(f"{name}: {done.no_average}")
        drift = drift_of(done)
        if drift:
            logger.warning("%s: %s", name, drift)

    def set_trans(
        self, name: str, reduced: ReducedSample, mode: str, *, peak: WaterPeak, find_peak: bool
    ) -> None:
        """Let something else tell a sample's transmitted beam; its selection stays.

        A series behind a column is analysed again, as before.

        Raises
        ------
        ReductionError
            If the detectors do not see the water peak, or a series cannot be analysed so.
        """
        beamline = self.workspace.beamline
        try:
            changed = reduced.with_trans(
                mode,
                q=beamline.qgrid.centers,
                peak=peak,
                relative_uncertainty=beamline.monitor_uncertainty,
                find_peak=find_peak,
            )
            own = None if peak == beamline.reduction.water_peak else peak
            changed = replace(changed, peak=own)
            eluted = reduced.chromatogram
            if eluted is not None:
                changed = analyse_again(changed, eluted, name=name, beamline=beamline)
        except ReductionError as error:
            raise ReductionError(f"{name}: {error}") from error
        if reduced.subtraction is not None:
            self._earlier[name] = reduced.subtraction
        self._change(name, changed, explicit=eluted is not None)

    def subtract(self, samples: Sequence[str], buffers: BufferTable) -> None:
        """Subtract their buffers from those samples that changed, or whose buffer did.

        A series behind a column has its own already.

        A subtraction made anew keeps the buffers of the one before, where the sample's names still
        mean them, and the user's own factor. Where it cannot be made, the average stays, and the
        reason is logged.

        Parameters
        ----------
        samples
            All of the experiment.
        buffers
            Which samples are whose buffers.
        """
        averaged = frozenset(self.changed)
        for name in samples:
            groups = buffers.groups(name)
            if groups and {name, *groups} & averaged:
                self._subtract(name, buffers)

    def _subtract(self, name: str, buffers: BufferTable) -> None:
        reduced = self.workspace.load(name)
        if reduced is None or reduced.average is None or reduced.chromatogram is not None:
            return
        earlier = reduced.subtraction or self._earlier.get(name)
        groups = buffers.groups(name, earlier=None if earlier is None else earlier.buffer)
        try:
            self.subtract_from(name, reduced, groups or [])
        except ReductionError as error:
            logger.warning("%s: its buffer %s is not subtracted: %s", name, groups, error)

    def subtract_from(self, name: str, reduced: ReducedSample, groups: Sequence[str]) -> None:
        """Subtract the average of buffers from a sample.

        Raises
        ------
        ReductionError
            If one of them has no average, or the subtraction cannot be made.
        """
        averages = []
        for group in groups:
            found = None if group == name else self.workspace.load(group)
            average = average_as_buffer(found, group)
            if average is None:
                raise ReductionError(
                    f"{name}: expected an average of its buffer {group!r}, found none: call "
                    "load_data() and average_d1s() for it first"
                )
            averages.append(average)
        try:
            subtracted = subtract_average(
                reduced,
                unite_averages(averages),
                name=join_names(groups),
                beamline=self.workspace.beamline,
            )
        except ReductionError as error:
            raise ReductionError(f"{name}: {error}") from error
        self._change(name, subtracted)

    def _change(self, name: str, reduced: ReducedSample, *, explicit: bool = False) -> None:
        self.workspace.change(name, reduced, options=self._options, explicit=explicit)
        self.changed.add(name)


def average_samples(
    workspace: Workspace,
    names: Sequence[str],
    *,
    everything: Sequence[str],
    selection: ArrayLike | None,
    filter_data: bool,
    update_only: bool,
    required: bool,
    max_distance: float | None = None,
) -> tuple[set[str], list[ReductionError]]:
    """Average samples, then subtract the buffers of all that this concerns.

    Parameters
    ----------
    names, everything
        The samples to average, and all of the experiment.
    required
        Whether a sample that is not reduced is an error.
    max_distance
        Instead of the configuration's, where the statistics select.

    Returns
    -------
    set of str, list of ReductionError
        The samples changed, and why others could not be averaged.
    """
    errors = []
    averaging = Averaging(workspace, max_distance=max_distance)
    for name in names:
        try:
            found = averaging.average(
                name, selection, filter_data=filter_data, update_only=update_only
            )
            if required and not found:
                raise ReductionError(
                    f"{name}: expected reduced frames, found none: call load_data() first"
                )
        except ReductionError as error:
            if not (required and len(names) == 1):  # then it is raised
                expected = workspace.source.map_shape(name)
                level = logging.INFO if expected else logging.WARNING
                logger.log(level, "No average: %s", error)
            errors.append(error)
    averaging.subtract(
        everything, BufferTable.read(workspace.source, everything, workspace.buffer_list)
    )
    return averaging.changed, errors


def chosen_frames(
    selection: ArrayLike | None,
    *,
    filter_data: bool,
    selected: Any,
    reduced: ReducedSample,
) -> NDArray[np.bool_] | None:
    """Tell which frames the user chose; None where the statistics are to choose.

    Parameters
    ----------
    selection
        What the user says now: for each frame whether it is kept.
    filter_data
        Whether the statistics are to choose, whatever was said before.
    selected
        The sample's attribute of that name: a choice where it differs from what was selected.
    reduced
        Its selection tells whether it was the user's.
    """
    if selection is not None:
        return np.asarray(selection, dtype=bool)
    if filter_data or selected is None:
        return None
    wanted = np.asarray(selected, dtype=bool)
    earlier = reduced.selection
    own = earlier is not None and EXPLICIT in earlier.reason and reduced.chromatogram is None
    if earlier is not None and not own:
        return None if np.array_equal(wanted, earlier.kept) else wanted
    return wanted
