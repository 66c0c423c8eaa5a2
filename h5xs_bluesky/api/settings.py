"""With what an experiment is reduced: its own settings, or those that the user gives."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import h5py

from h5xs_bluesky import schema
from h5xs_bluesky.config import Beamline, Monitors
from h5xs_bluesky.errors import ConfigurationError
from h5xs_bluesky.io.experiment import ExperimentSettings
from h5xs_bluesky.reduction.qgrid import QGrid
from h5xs_bluesky.reduction.water import WATER


def read_beamline(file: h5py.File, exp_setup: Sequence[Any] | None, trans_field: str) -> Beamline:
    """Give the configuration with which an experiment's samples are reduced.

    Parameters
    ----------
    file
        The experiment's file.
    exp_setup
        ``[detectors, qgrid]``, which win over the file's; the q-grid may be an array of centres.
    trans_field
        The field of the transmitted beam, which wins over the file's; "" for the file's.

    Raises
    ------
    FileFormatError
        If detectors and q-grid are neither given nor in the file.
    ConfigurationError
        If what is given, or the file's configuration, cannot be used.
    """
    settings = ExperimentSettings.read(file) if exp_setup is None else _given(file, exp_setup)
    beamline = Beamline.from_mapping(
        settings.beamline,
        detectors=settings.detectors,
        qgrid=settings.qgrid,
        origin=str(file.filename),
    )
    if trans_field:
        monitors = beamline.monitors or Monitors(transmitted=trans_field)
        return replace(beamline, monitors=replace(monitors, transmitted=trans_field))
    if not settings.beamline:  # the ancestor's file
        return _as_the_ancestor(beamline, settings)
    return beamline


def _as_the_ancestor(beamline: Beamline, settings: ExperimentSettings) -> Beamline:
    """Take from the root attribute ``trans`` what tells the transmitted beam."""
    if settings.trans_field:
        beamline = replace(beamline, monitors=Monitors(transmitted=settings.trans_field))
    if settings.from_water:
        beamline = replace(beamline, reduction=replace(beamline.reduction, trans=WATER))
    return beamline


def _given(file: h5py.File, exp_setup: Sequence[Any]) -> ExperimentSettings:
    if len(exp_setup) != 2:
        raise ConfigurationError(
            f"expected exp_setup = [detectors, qgrid], found {len(exp_setup)} items"
        )
    detectors, qgrid = exp_setup
    mode, _, field = str(file.attrs.get(schema.TRANS, "")).partition(",")
    return ExperimentSettings(
        detectors=tuple(detectors),
        qgrid=qgrid if isinstance(qgrid, QGrid) else QGrid.from_centers(qgrid),
        trans_field=field.partition(",")[0],
        beamline=json.loads(file.attrs.get(schema.BEAMLINE, "{}")),
        from_water=mode.strip() == "2",
    )
