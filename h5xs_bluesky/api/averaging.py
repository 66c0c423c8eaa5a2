"""Averages and subtractions over the samples of an experiment."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from h5xs_bluesky import schema
from h5xs_bluesky.api.workspace import Workspace
from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.sample import ReducedSample, Subtraction
from h5xs_bluesky.reduction.similarity import EXPLICIT

logger = logging.getLogger(__name__)


class Averaging:
    """One round of averaging; `changed` lists the samples that it changed in the workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
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
            If no frame is kept.
        """
        attrs = self.workspace.attrs
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
        beamline = self.workspace.beamline
        try:
            averaged = reduced.averaged(
                beamline.selection,
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

    def subtract(self, samples: Sequence[str], buffers: Mapping[str, str]) -> None:
        """Subtract their buffers from those samples that changed, or whose buffer did.

        A subtraction made anew keeps the buffer and the factor of the one before. Where it cannot
        be made, the average stays, and the reason is logged.

        Parameters
        ----------
        samples
            All of the experiment.
        buffers
            The group of the buffer of each sample that has one.
        """
        averaged = frozenset(self.changed)
        for name in samples:
            if name in buffers and {name, buffers[name]} & averaged:
                self._subtract(name, buffers[name])

    def _subtract(self, name: str, newest: str) -> None:
        reduced = self.workspace.load(name)
        if reduced is None or reduced.average is None:
            return
        earlier = reduced.subtraction or self._earlier.get(name)
        buffer = newest if earlier is None else earlier.buffer
        found = None if buffer == name else self.workspace.load(buffer)
        if found is None or found.average is None:
            logger.info("%s: its buffer %s is not averaged yet", name, buffer)
            return
        try:
            subtracted = reduced.subtracted(
                found.average,
                name=buffer,
                sc_factor=1.0 if earlier is None else earlier.sc_factor,
                normalize=self.workspace.beamline.monitors is not None,
            )
        except ReductionError as error:
            logger.warning("%s: its buffer %s is not subtracted: %s", name, buffer, error)
            return
        self._change(name, subtracted)

    def _change(self, name: str, reduced: ReducedSample, *, explicit: bool = False) -> None:
        self.workspace.change(name, reduced, explicit=explicit)
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
) -> tuple[set[str], list[ReductionError]]:
    """Average samples, then subtract the buffers of all that this concerns.

    Parameters
    ----------
    names, everything
        The samples to average, and all of the experiment.
    required
        Whether a sample that is not reduced is an error.

    Returns
    -------
    set of str, list of ReductionError
        The samples changed, and why others could not be averaged.
    """
    errors = []
    averaging = Averaging(workspace)
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
            logger.warning("No average: %s", error)
            errors.append(error)
    averaging.subtract(everything, workspace.source.buffers(everything))
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
    if earlier is not None and EXPLICIT not in earlier.reason:
        return None if np.array_equal(wanted, earlier.kept) else wanted
    return wanted
