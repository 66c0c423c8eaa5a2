"""With what an experiment is reduced: its own settings, or those that the user gives."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol

import h5py

from h5xs_bluesky import schema
from h5xs_bluesky.config import Beamline, Monitors, ReductionOptions
from h5xs_bluesky.errors import ConfigurationError
from h5xs_bluesky.io.attributes import text_attribute
from h5xs_bluesky.io.experiment import ExperimentSettings, first_fields, read_trans
from h5xs_bluesky.io.py4xs_files import ancestor_beamline
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.merge import default_scales
from h5xs_bluesky.reduction.qgrid import QGrid
from h5xs_bluesky.reduction.water import WATER


class DescribesDetector(Protocol):
    """What stands for a detector, as the ancestor's mutable configurations do."""

    fix_scale: float | None

    def to_detector(self) -> Detector:
        """Give the detector as it is described now."""
        ...


def as_detectors(detectors: Iterable[Detector | DescribesDetector]) -> list[Detector]:
    """Give detectors, whether they are given as such or described.

    Where a description leaves `fix_scale` open it follows from the pixels' solid angles.
    """
    given = list(detectors)
    result = [d if isinstance(d, Detector) else d.to_detector() for d in given]
    if not result:
        return []
    scales = default_scales([detector.geometry for detector in result])
    return [
        replace(detector, fix_scale=scale) if description.fix_scale is None else detector
        for description, detector, scale in zip(given, result, scales, strict=True)
    ]


def read_beamline(
    file: h5py.File,
    exp_setup: Sequence[Any] | None,
    trans_field: str,
    reduction: ReductionOptions | None = None,
) -> Beamline:
    """Give the configuration with which an experiment's samples are reduced.

    Parameters
    ----------
    file
        The experiment's file.
    exp_setup
        ``[detectors, qgrid]``, which win over the file's; the q-grid may be an array of centres.
    trans_field
        The field of the transmitted beam, which wins over the file's; "" for the file's.
    reduction
        How frames become curves, which wins over what the file says.

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
    if reduction is not None:
        beamline = replace(beamline, reduction=reduction)
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
    detectors, qgrid = as_detectors(exp_setup[0]), exp_setup[1]
    trans_field, from_water = read_trans(file)
    beamline = json.loads(text_attribute(file.attrs, schema.BEAMLINE, "{}"))
    return ExperimentSettings(
        detectors=tuple(detectors),
        qgrid=qgrid if isinstance(qgrid, QGrid) else QGrid.from_centers(qgrid),
        trans_field=trans_field,
        beamline=beamline
        or ancestor_beamline(
            detectors,
            trans_field=trans_field,
            from_water=from_water,
            fields=first_fields(file),
        ),
        from_water=from_water,
    )
