"""The methods of `h5xs` that find out how much beam each frame had."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky import schema
from h5xs_bluesky.api.averaging import Averaging
from h5xs_bluesky.api.buffers import BufferTable
from h5xs_bluesky.api.experiment import Experiment
from h5xs_bluesky.api.monitors import (
    FramesOfSample,
    StreamsOverExposures,
    integrate_streams,
    readings_of,
    with_readings,
)
from h5xs_bluesky.api.raw import RawSample, read_raw
from h5xs_bluesky.config import Monitors
from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.monitors import MonitorReadings
from h5xs_bluesky.reduction.water import EXTERNAL, WATER, WaterPeak

if TYPE_CHECKING:
    from matplotlib.axes import Axes

logger = logging.getLogger(__name__)

# What the ancestor calls them: members of its `trans_mode`, and their values.
_MODES = {EXTERNAL: EXTERNAL, WATER: WATER, "from_waxs": WATER, 0: EXTERNAL, 2: WATER}


class MonitorMethods(Experiment):
    """Read monitors, and choose what tells the transmitted beam."""

    def get_mon(
        self,
        sn: str | Sequence[str] | None = None,
        trigger: str | None = None,
        gf_sigma: float = 2,
        exp: float | None = None,
        check_size: int = 0,
        force_synch: float | Literal["auto"] | None = None,
        force_synch_trig: float = 0,
        extend_mon_stream: bool | None = None,
        plot_trigger: bool = False,
        *,
        dead_time: float | None = None,
        stamped: Literal["start", "end"] | None = None,
        quiet: bool = False,
    ) -> MonitorReadings | dict[str, MonitorReadings]:
        """Give what the beam monitors read during each frame, and the transmission.

        Monitors that were read with the detectors give their readings. Those in streams of their
        own, as ``[monitors.asynchronous]`` tells, are integrated over each exposure; what they do
        not cover is NaN, and a warning is logged. What is given here wins over the configuration.

        Parameters
        ----------
        sn
            One sample; several, or with None all of them, give a dictionary.
        trigger
            The field whose timestamps are those of the frames, as a motor's in a fly scan;
            ``"time"`` for the events'; ``"sol"`` or None for the detectors' own.
        gf_sigma
            Without effect, as in py4xs.
        exp
            Exposure time in s, instead of the one in the metadata.
        check_size
            Frames to give at least; NaN for those that are not there.
        force_synch
            ``"auto"`` sets the incident monitor's clock to the transmitted one's by the opening of
            the shutter; a number lets its first reading come so many s after that one's first.
        force_synch_trig
            Added to the frames' times, in s.
        extend_mon_stream
            Let the first and the last reading hold beyond the stream.
        plot_trigger
            Plot readings and exposures of a single sample.
        dead_time
            Between the frames of one event, in s.
        stamped
            Whether frames' timestamps mark the start or the end of an exposure.
        quiet
            Log no warning of what is not known.

        Returns
        -------
        MonitorReadings or dict
            Also kept, without uncertainties, in ``d0s[sample]``.

        Raises
        ------
        ReductionError
            If no monitors are configured, or a sample has no frames.
        """
        changes = _given(
            trigger=None if trigger == "sol" else trigger,
            dead_time_s=dead_time,
            stamped=stamped,
            extend=extend_mon_stream,
            synchronise="transmitted" if force_synch == "auto" else None,
        )
        lag = None if force_synch in (None, "auto") else float(force_synch)
        result = {}
        with self._source.reading():
            names = self._source.chosen(sn)
            for name in names:
                raw, found, monitors = self._integrated(
                    name,
                    changes,
                    exposure_s=exp,
                    lag_s=lag,
                    trigger_shift_s=force_synch_trig,
                    quiet=quiet,
                )
                result[name] = _padded(readings_of(raw, found, monitors), check_size)
                self.d0s[name] = {
                    key: getattr(result[name], key)
                    for key in (schema.TRANSMITTED, schema.INCIDENT, "transmission")
                }
                if plot_trigger and len(names) == 1:
                    from h5xs_bluesky.api.plots.monitors import plot_monitors

                    plot_monitors(name, result[name], found)
        return result[names[0]] if isinstance(sn, str) else result

    def plot_mon(self, sn: str, ax: "Axes | None" = None) -> "Axes":
        """Plot what the monitors of a sample read during each frame, and all the time.

        Parameters
        ----------
        sn
            The sample.
        ax
            Where; a new figure if there is none.

        Returns
        -------
        Axes
            Where it was drawn.

        Raises
        ------
        ReductionError
            If no monitors are configured, or the sample has no frames.
        """
        from h5xs_bluesky.api.plots.monitors import plot_monitors

        with self._source.reading():
            name = self._source.resolve(sn)
            raw, found, monitors = self._integrated(name, {}, exposure_s=None)
            return plot_monitors(name, readings_of(raw, found, monitors), found, ax)

    def set_trans(
        self,
        transMode: Any,  # noqa: N803 - the ancestor's name
        sn: str | Sequence[str] | None = None,
        trigger: str | None = None,
        gf_sigma: float = 2,
        dt0: float = 0,
        exp: float | None = None,
        plot_trigger: bool = False,
        *,
        q_start: float | None = None,
        q_end: float | None = None,
        calc_water_peak: bool = False,
    ) -> None:
        """Choose what tells the transmitted beam: a monitor, or the water peak.

        The curves stay as they are, since they are not divided by it; ``trans`` of each is set, and
        ``trans_w`` and ``trans_e`` tell both. Averages and subtractions are made anew, with the
        same frames; series behind a column are analysed anew. Sample and buffer need the same
        choice.

        Parameters
        ----------
        transMode
            ``"external"`` or ``"water"``; also py4xs' ``trans_mode``, and its values 0 and 2.
        sn
            One sample or several; by default all that are reduced.
        trigger, exp, plot_trigger
            As in `get_mon`.
        gf_sigma, dt0
            Without effect, as in py4xs.
        q_start, q_end
            The water peak's range in Å⁻¹, instead of the configuration's.
        calc_water_peak
            Find the water peak's intensity, ``trans_w``, also where it is not what normalises.

        Raises
        ------
        ReductionError
            If a sample named is not reduced, its detectors do not see the water peak, its monitors
            are not known, or a series behind a column cannot be analysed so.
        """
        mode = trans_mode_of(transMode)
        with self._source.reading():
            everything = self.list_samples()
            averaging = Averaging(self._memory)
            for name in self._source.chosen(sn):
                reduced = self._memory.load(name)
                if reduced is None:
                    if sn is None:
                        continue
                    raise ReductionError(
                        f"{name}: expected reduced frames, found none: call load_data() first"
                    )
                peak = self._peak(reduced.peak, q_start, q_end)
                if mode == EXTERNAL and (trigger is not None or exp is not None):
                    changes = _given(trigger=None if trigger == "sol" else trigger)
                    _, found, _ = self._integrated(name, changes, exposure_s=exp)
                    reduced = reduced if found is None else with_readings(reduced, found)
                if mode == EXTERNAL and not np.isfinite(reduced.external).any():
                    raise ReductionError(
                        f"{name}: expected readings of a monitor, found none: configure [monitors] "
                        "and reduce again (load_data), or use the water peak"
                    )
                averaging.set_trans(name, reduced, mode, peak=peak, find_peak=calc_water_peak)
                if plot_trigger and isinstance(sn, str):
                    self.get_mon(name, trigger, exp=exp, plot_trigger=True)
            buffers = BufferTable.read(self._source, everything, self._memory.buffer_list)
            averaging.subtract(everything, buffers)
            for name in sorted(averaging.changed):
                self._save_at_once(name)

    def _peak(self, own: WaterPeak | None, q_start: float | None, q_end: float | None) -> WaterPeak:
        known = own or self._memory.beamline.reduction.water_peak
        low, high = known.q_range
        q_range = (low if q_start is None else q_start, high if q_end is None else q_end)
        return replace(known, q_range=q_range)

    def _integrated(
        self,
        name: str,
        changes: dict[str, Any],
        *,
        exposure_s: float | None,
        lag_s: float | None = None,
        trigger_shift_s: float = 0,
        quiet: bool = False,
    ) -> tuple[RawSample, StreamsOverExposures | None, Monitors]:
        """Read a sample's monitors; unless it is to be quiet, what is not known is logged."""
        beamline = self._memory.beamline
        monitors = beamline.monitors
        if monitors is None:
            raise ReductionError(
                f"{name}: expected monitors in the configuration, found none: add [monitors] to "
                "it, or give transField"
            )
        group = self._source.sample(name)
        raw = read_raw(group, beamline, roots=self._source.roots)
        if monitors.asynchronous is None:
            return raw, None, monitors
        own = monitors.asynchronous
        if changes.get("trigger", own.trigger) != own.trigger:  # a field as py4xs names it
            changes = {"trigger_from": "timestamps", **changes}
        own = replace(own, **changes)
        own = replace(own, offset_s=own.offset_s - trigger_shift_s)
        frames = FramesOfSample(
            group=group,
            frames_per_event=raw.frames_per_event,
            size=len(raw),
            roots=self._source.roots,
        )
        found = integrate_streams(
            frames,
            beamline,
            replace(monitors, asynchronous=own),
            own,
            exposure_s=exposure_s,
            incident_lag_s=lag_s,
        )
        for problem in () if quiet else found.problems:
            logger.warning("%s: %s", name, problem)
        return raw, found, monitors


def trans_mode_of(value: Any) -> str:
    """Give what tells the transmitted beam: ``"external"`` or ``"water"``.

    Parameters
    ----------
    value
        One of these, or what py4xs has for it: ``trans_mode.from_waxs``, its name or value.

    Raises
    ------
    ReductionError
        If it is none of them.
    """
    name = value.name if isinstance(value, Enum) else value
    if not isinstance(name, str | int) or name not in _MODES:
        raise ReductionError(f"expected transMode to be {EXTERNAL!r} or {WATER!r}, found {value!r}")
    return _MODES[name]


def _given(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _padded(readings: MonitorReadings, size: int) -> MonitorReadings:
    def longer(values: NDArray[np.float64]) -> NDArray[np.float64]:
        missing = max(0, size - values.size)
        return np.concatenate([values, np.full(missing, np.nan)])

    return MonitorReadings(
        incident=longer(readings.incident),
        transmitted=longer(readings.transmitted),
        incident_sigma=longer(readings.incident_sigma),
        transmitted_sigma=longer(readings.transmitted_sigma),
    )
