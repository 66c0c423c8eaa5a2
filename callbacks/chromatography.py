"""Series behind a column (SEC), followed while they are measured: Rg and I(0) of each frame."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

import event_model
import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky import schema
from h5xs_bluesky.api.frame_choice import is_elution
from h5xs_bluesky.api.processed_documents import (
    CARRIED,
    RAW_RUN,
    REDUCED,
    Emit,
    data_key,
)
from h5xs_bluesky.callbacks.documents import Document
from h5xs_bluesky.callbacks.subscribers import Callback, Subscribers
from h5xs_bluesky.config import Beamline
from h5xs_bluesky.errors import ConfigurationError, ReductionError
from h5xs_bluesky.reduction.chromatography.analyse import Chromatogram, subtracted_average
from h5xs_bluesky.reduction.chromatography.options import ChromatographyOptions
from h5xs_bluesky.reduction.chromatography.running import RunningElution
from h5xs_bluesky.reduction.water import WATER, peak_intensity

logger = logging.getLogger(__name__)

STAGE = "chromatography"
MONITOR, EQUAL = "monitor", "equal"  # what tells the beam of a frame, besides WATER
BEAMS = (MONITOR, WATER, EQUAL)

_SOURCE = "h5xs_bluesky"
_UNITS = {"q": "1/angstrom", "rg": "angstrom", "rg_sigma": "angstrom"}


class ChromatographyFollower:
    """Follows the processed runs of series, and emits a run of its own for each.

    Subscribe it to `LiveReduction`, and others to it; each has a thread of its own, so that a slow
    plot delays nothing. Stream ``primary`` has an event for each frame, with ``frame``,
    ``intensity`` (over the trace's range of q), ``net`` (that less the buffer's), ``rg`` (Å) and
    ``i0``, each with its ``_sigma``, and ``buffer``, how many frames that has by now. Before it is
    known ``net``, Rg and I(0) are NaN, and the last two where nothing elutes. At the end of the run
    all is analysed again as offline; stream ``subtracted`` has one event: the average over the peak
    less the buffer. Where that cannot be, the stop document's ``reason`` says why.

    Parameters
    ----------
    beamline
        Its configuration.
    options
        How series are analysed.
    follows
        Told a processed run's start document, says whether to follow it; all by default.
    beam
        What tells the beam of a frame: ``"monitor"``, the peak of ``"water"``, or ``"equal"``
        exposures. By default what the configuration says; where its monitors run on their own,
        and are known too late, the water peak if it is seen, else exposures are taken as equal.

    Attributes
    ----------
    chromatogram : Chromatogram or None
        Of the last series that ended.
    sample : str
        Its group in the experiment.
    problem : str
        Why the last one could not be analysed; "" where it could.

    Raises
    ------
    ConfigurationError
        If `beam` is none of these.

    Examples
    --------
    >>> follower = ChromatographyFollower(beamline)  # doctest: +SKIP
    >>> follower.subscribe(LivePlot("rg", "frame"))  # doctest: +SKIP
    >>> live.subscribe(follower)  # doctest: +SKIP
    """

    def __init__(
        self,
        beamline: Beamline,
        *,
        options: ChromatographyOptions | None = None,
        follows: Callable[[Mapping[str, Any]], bool] = lambda start: True,
        beam: Literal["monitor", "water", "equal"] | None = None,
    ) -> None:
        self._beamline = beamline
        self._options = options
        self._follows = follows
        if beam is not None and beam not in BEAMS:
            raise ConfigurationError(f"expected beam as one of {BEAMS}, found {beam!r}")
        self._source = beam
        self._subscribers = Subscribers()
        self._series: dict[str, _Series] = {}
        self.chromatogram: Chromatogram | None = None
        self.sample = ""
        self.problem = ""

    def subscribe(self, callback: Callback) -> int:
        """Call a function in a thread of its own with each document of the series to come.

        Parameters
        ----------
        callback
            Called with name and document; what it raises is logged.

        Returns
        -------
        int
            A token for `unsubscribe`.
        """
        return self._subscribers.add(callback)

    def unsubscribe(self, token: int) -> None:
        """Call a callback no more, once it has what waits for it.

        Parameters
        ----------
        token
            From `subscribe`.
        """
        self._subscribers.remove(token)

    def close(self) -> None:
        """Let all callbacks finish what waits for them, for at most 10 s each."""
        self._subscribers.close()

    def __call__(self, name: str, doc: Document) -> None:
        """Take a document of a processed run."""
        if name == "start":
            if doc.get("analysis_stage") == REDUCED and self._follows(doc):
                self._series[doc["uid"]] = _Series(doc, self._subscribers.emit)
            return
        if name == "event":
            for series in self._series.values():
                if doc["descriptor"] in series.streams:
                    self._frame(series, doc["data"])
            return
        found = self._series.get(doc.get("run_start", ""))
        if found is None:
            return
        if name == "descriptor" and doc["name"] == schema.PRIMARY:
            found.streams.add(doc["uid"])
        elif name == "stop":
            self._finish(self._series.pop(doc["run_start"]), doc)

    def _frame(self, series: "_Series", data: Mapping[str, Any]) -> None:
        q, curve = np.asarray(data["q"]), np.stack([data["I"], data["sigma"]])
        if series.running is None:
            series.running = RunningElution(q, self._options)
        beam, beam_sigma = self._beam(series, data, q, curve)
        point = series.running.add(curve, beam=beam, beam_sigma=beam_sigma)
        values: Document = {"frame": int(data["frame"])}
        for name in ("intensity", "net", "rg", "i0"):
            values[name], values[f"{name}_sigma"] = getattr(point, name)
        series.event(schema.PRIMARY, {**values, schema.BUFFER: point.buffer}, ["rg", "i0"])

    def _beam(
        self,
        series: "_Series",
        data: Mapping[str, Any],
        q: NDArray[np.float64],
        curve: NDArray[np.float64],
    ) -> tuple[float, float]:
        """Give the beam that a frame had, and its σ."""
        water = self._water(q, curve)
        if not series.source:
            series.source = self._source or self._configured(seen=bool(np.isfinite(water[0])))
        if series.source == EQUAL:
            return 1.0, 0.0
        if series.source == WATER:
            return water
        if not series.monitor:
            known = [key for key in ("transmitted", "incident") if np.isfinite(data[key])]
            series.monitor = known[0] if known else ""
        beam = float(data[series.monitor]) if series.monitor else np.nan
        return beam, self._beamline.monitor_uncertainty * abs(beam)

    def _configured(self, *, seen: bool) -> str:
        """Tell what the configuration says of the beam; `seen` is whether the water peak is."""
        monitors = self._beamline.monitors
        if self._beamline.reduction.trans == WATER:
            return WATER
        if monitors is None:
            return EQUAL
        if monitors.asynchronous is None:
            return MONITOR
        source = WATER if seen else EQUAL
        logger.info("The monitors are known when the run has ended; until then: %s", source)
        return source

    def _water(self, q: NDArray[np.float64], curve: NDArray[np.float64]) -> tuple[float, float]:
        try:
            peak = self._beamline.reduction.water_peak
            intensity, sigma = peak_intensity(curve[None], q=q, peak=peak)[0]
        except ReductionError:
            return np.nan, np.nan
        return float(intensity), float(sigma)

    def _finish(self, series: "_Series", stop: Document) -> None:
        self.sample, self.chromatogram, self.problem = series.sample, None, ""
        try:
            if series.running is None:
                raise ReductionError("expected frames, found none")
            chromatogram = series.running.finish()
            curve, beam = subtracted_average(series.running.frames(), chromatogram)
        except ReductionError as error:
            self.problem = f"{series.sample}: {error}"
            level = logging.INFO if series.is_elution else logging.WARNING  # the reduction tells it
            logger.log(level, "The series is not analysed: %s", self.problem)
        else:
            self.chromatogram = chromatogram
            series.result(chromatogram, curve, q=series.running.frames().q, beam=beam)
        series.stop(stop.get("exit_status", "success"), self.problem)


class _Series:
    """One series: its frames so far, and the run that is emitted of it."""

    def __init__(self, start: Mapping[str, Any], emit: Emit) -> None:
        carried = (*CARRIED, RAW_RUN, schema.SAMPLE_NAME, "h5xs_sample")
        self.sample = str(start.get("h5xs_sample", ""))
        self.running: RunningElution | None = None
        self.streams: set[str] = set()
        self.source = self.monitor = ""
        self.is_elution = is_elution(start)
        self._emit = emit
        self._described: dict[str, event_model.ComposeDescriptorBundle] = {}
        self._run = event_model.compose_run(
            metadata={
                **{key: start[key] for key in carried if key in start},
                "analysis_stage": STAGE,
                "hints": {"dimensions": [[["frame"], schema.PRIMARY]]},
            },
            validate=False,
        )
        emit("start", dict(self._run.start_doc))

    def event(self, stream: str, data: Document, hinted: list[str]) -> None:
        """Emit an event, and its descriptor before the first."""
        if stream not in self._described:
            bundle = self._run.compose_descriptor(
                name=stream,
                data_keys={key: _described(key, value) for key, value in data.items()},
                object_keys={_SOURCE: list(data)},
                hints={_SOURCE: {"fields": hinted}},
                configuration={},
                validate=False,
            )
            self._described[stream] = bundle
            self._emit("descriptor", dict(bundle.descriptor_doc))
        event = self._described[stream].compose_event(
            data=data, timestamps=dict.fromkeys(data, time.time()), validate=False
        )
        self._emit("event", dict(event))

    def result(
        self,
        chromatogram: Chromatogram,
        curve: NDArray[np.float64],
        *,
        q: NDArray[np.float64],
        beam: float,
    ) -> None:
        """Emit what is known in the end."""
        main = chromatogram.main
        data = {
            "q": q,
            "I": curve[0],
            "sigma": curve[1],
            "transmitted": beam,
            "peak": np.nan if main is None else main.position,
            "peak_sigma": np.nan if main is None else main.position_sigma,
            schema.BUFFER_FRAMES: chromatogram.buffer_frames,
            schema.SAMPLE_FRAMES: chromatogram.sample_frames,
        }
        self.event(schema.SUBTRACTED, data, [])

    def stop(self, exit_status: Any, reason: str) -> None:
        """Emit the stop document."""
        self._emit("stop", dict(self._run.compose_stop(exit_status=exit_status, reason=reason)))


def _described(name: str, value: Any) -> Any:
    key = data_key(name, value)
    return {**key, "units": _UNITS[name]} if name in _UNITS else key
