"""Which configuration holds for a run: the experiment's own, once there is one."""

import logging
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from h5xs_bluesky import schema
from h5xs_bluesky.callbacks.documents import Document
from h5xs_bluesky.callbacks.status import RunStatus
from h5xs_bluesky.config import Beamline
from h5xs_bluesky.errors import H5xsError
from h5xs_bluesky.io.experiment import ExperimentSettings, open_for_reading, prepare_experiment
from h5xs_bluesky.io.names import fill_template
from h5xs_bluesky.reduction.integration.integrate import Integrator
from h5xs_bluesky.reduction.water import WATER

logger = logging.getLogger(__name__)


class Configuration:
    """A beamline's configuration, and the integrators made from it when first needed."""

    def __init__(self, beamline: Beamline) -> None:
        self.beamline = beamline

    @cached_property
    def integrators(self) -> Mapping[str, Integrator]:
        """What reduces the frames of each detector, by its extension."""
        return self.beamline.integrators()

    @cached_property
    def settings(self) -> ExperimentSettings:
        """What the root of an experiment with this configuration says."""
        monitors = self.beamline.monitors
        return ExperimentSettings(
            detectors=self.beamline.detectors,
            qgrid=self.beamline.qgrid,
            trans_field="" if monitors is None else monitors.normalizing,
            beamline=self.beamline.to_mapping(),
            from_water=self.beamline.reduction.trans == WATER,
        )

    def fits(self, settings: ExperimentSettings) -> bool:
        """Whether an experiment has the same detectors and q-grid."""
        return (
            self.settings.detectors_json == settings.detectors_json
            and self.settings.qgrid == settings.qgrid
        )


class Configurations:
    """Finds the configuration of each run; the integrators are ready before the first scan.

    Parameters
    ----------
    beamline
        What new experiments get.
    folder
        The experiment's folder; None for the beamline's template over the start document.

    Attributes
    ----------
    data_keys : frozenset of str
        The fields that detectors of any configuration so far write.
    monitor_fields : frozenset of str
        The fields that the beamline's monitors write.
    """

    def __init__(self, beamline: Beamline, folder: Path | None) -> None:
        self._beamline = beamline
        self._folder = folder
        self.monitor_fields = beamline.monitor_fields
        self._latest = self._own = Configuration(beamline)
        self._prepared: set[Path] = set()
        if folder is not None and (folder / schema.EXPERIMENT_FILE).exists():
            with open_for_reading(folder / schema.EXPERIMENT_FILE) as file:
                self._latest = self._configuration(ExperimentSettings.read(file))
        self.data_keys = frozenset((*beamline.data_keys, *self._latest.beamline.data_keys))
        _ = self._latest.integrators  # seconds of work that no scan should wait for

    def for_run(self, start: Document, status: RunStatus) -> tuple[Path, Configuration]:
        """Give the experiment's folder and the configuration that holds for a run in it.

        A recalibration that lies in the experiment reaches the runs that begin after it. An
        experiment whose file cannot be read does not stop the frames: they are written, and
        reduced with the configuration at hand.
        """
        folder = self._folder_for(start, status)
        file = folder / schema.EXPERIMENT_FILE
        if file in self._prepared and not file.exists():
            status.warn(f"{file} has gone since the last run: a new experiment begins there")
        try:
            settings = prepare_experiment(folder, self._own.settings)
        except (H5xsError, OSError) as error:
            status.fail(f"{file}: {error}; the frames are written")
            return folder, self._latest
        self._prepared.add(file)
        if not self._latest.fits(settings):
            self._latest = self._configuration(settings)
            self.data_keys = self.data_keys | frozenset(self._latest.beamline.data_keys)
        if self._latest is not self._own:
            logger.info("%s has its own detectors or q-grid: they win", folder)
        return folder, self._latest

    def _folder_for(self, start: Mapping[str, Any], status: RunStatus) -> Path:
        if self._folder is not None:
            return self._folder
        output = self._beamline.output
        try:
            return output.base / fill_template(output.folder, start)
        except H5xsError as error:
            status.fail(f"{error}; the run is written to {output.base / 'unsorted'}")
            return output.base / "unsorted"

    def _configuration(self, settings: ExperimentSettings) -> Configuration:
        if self._own.fits(settings):
            return self._own
        return Configuration(self._beamline.with_detectors(settings.detectors, settings.qgrid))
