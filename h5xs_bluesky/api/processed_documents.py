"""Bluesky documents of a run's curves: a processed run beside the raw one."""

import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import event_model
import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky import schema
from h5xs_bluesky.api.frame_choice import ELUTION
from h5xs_bluesky.config import Beamline
from h5xs_bluesky.reduction.accumulators import Accumulators
from h5xs_bluesky.reduction.integrals import integrate_range
from h5xs_bluesky.reduction.sample import ReducedSample

Document = dict[str, Any]
Emit = Callable[[str, Document], None]

RAW_RUN = "original_run_uid"
REDUCED = "reduced"  # the stage of the run beside each raw one

CARRIED = (
    *("sample", "scan_id", "plan_name", "plan_type", ELUTION),
    *("data_session", "project", "group", "owner"),
)

_SOURCE = "h5xs_bluesky"
_PER_SOLID_ANGLE = "counts per relative solid angle"


class ProcessedRun:
    """Emits the documents of one processed run, in the order in which its methods are called.

    The start document names the raw run under ``original_run_uid`` and carries over what says
    whose data they are. Its uid, and those of its other documents, follow from the raw run's: who
    makes the run again from the files finds it where it was sent before. Stream ``primary`` has an
    event for every frame position; ``averaged`` and ``subtracted`` have one each. All of them have
    ``q``, ``I`` and ``sigma`` (nq,), merged
    over the detectors and not divided by the monitor, q in Å⁻¹, NaN in bins without pixels; each
    integral of the configuration with its uncertainty; and the ``transmitted`` beam, NaN where it
    is not known.

    Parameters
    ----------
    raw_start
        The raw run's start document.
    sample
        The group in the experiment that holds the run.
    beamline
        The configuration.
    emit
        Called with each document.
    stage
        Told as ``analysis_stage``.
    clock
        Gives the time of the next document, in s since the epoch.
    """

    def __init__(
        self,
        raw_start: Mapping[str, Any],
        *,
        sample: str,
        beamline: Beamline,
        emit: Emit,
        stage: str = REDUCED,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._uid = processed_uid(str(raw_start["uid"]), stage)
        self._clock = clock
        self._qgrid = beamline.qgrid
        whole = (float(self._qgrid.edges[0]), float(self._qgrid.edges[-1]))
        self._integrals = beamline.integrals or {"total": whole}
        self._emit = emit
        self._streams: dict[str, event_model.ComposeDescriptorBundle] = {}
        self._events: Counter[str] = Counter()
        carried = {key: raw_start[key] for key in CARRIED if key in raw_start}
        self._run = event_model.compose_run(
            uid=self._uid,
            time=clock(),
            metadata={
                **carried,
                RAW_RUN: str(raw_start["uid"]),
                "analysis_stage": stage,
                schema.SAMPLE_NAME: beamline.sample_name(raw_start) or sample,
                "h5xs_sample": sample,
                "hints": {"dimensions": [[["frame"], schema.PRIMARY]]},
            },
            validate=False,
        )
        emit("start", dict(self._run.start_doc))

    def frame(
        self, number: int, merged: Accumulators, *, transmitted: float, incident: float
    ) -> None:
        """Emit the event of one frame position.

        Parameters
        ----------
        number
            The position in the raw stream, from 0: ``frame``.
        merged
            The sums (nq,) over all detectors.
        transmitted, incident
            The monitors' readings.
        """
        beam = {"transmitted": transmitted, "incident": incident}
        self._event(schema.PRIMARY, merged.curve(), {"frame": number, **beam})

    def result(self, sample: ReducedSample) -> None:
        """Emit the average, with ``kept`` (n,), and the subtracted curve, where there are any."""
        average, subtraction = sample.average, sample.subtraction
        if average is None:
            return
        beam = {"transmitted": average.trans, "transmitted_sigma": average.trans_sigma}
        self._event(
            schema.AVERAGED, average.accumulators.curve(), {**beam, schema.KEPT: average.kept}
        )
        if subtraction is not None:
            self.subtracted(sample)

    def subtracted(self, sample: ReducedSample) -> None:
        """Emit the subtracted curve, with ``buffer`` and ``sc_factor``."""
        average, subtraction = sample.average, sample.subtraction
        if average is None or subtraction is None:
            return
        rest = {
            "transmitted": average.trans,
            schema.BUFFER: subtraction.buffer,
            schema.SC_FACTOR: subtraction.sc_factor,
        }
        self._event(schema.SUBTRACTED, subtraction.curve, rest)

    def stop(self, *, exit_status: str = "success", reason: str = "") -> None:
        """Emit the stop document, with the raw run's `exit_status`, or ``"fail"`` and why."""
        status: Any = exit_status
        doc = self._run.compose_stop(
            exit_status=status, reason=reason, time=self._clock(), uid=self._child("stop")
        )
        self._emit("stop", dict(doc))

    def _event(self, stream: str, curve: NDArray[np.float64], rest: Document) -> None:
        data: Document = {"q": self._qgrid.centers, "I": curve[0], "sigma": curve[1], **rest}
        for name, (low, high) in self._integrals.items():
            data[name], data[f"{name}_sigma"] = integrate_range(
                curve, self._qgrid, low=low, high=high
            )
        if stream not in self._streams:
            self._streams[stream] = self._describe(stream, data)
        now = self._clock()
        self._events[stream] += 1
        event = self._streams[stream].compose_event(
            data=data,
            timestamps=dict.fromkeys(data, now),
            time=now,
            uid=self._child(f"{stream}/{self._events[stream]}"),
            validate=False,
        )
        self._emit("event", dict(event))

    def _describe(self, stream: str, data: Document) -> event_model.ComposeDescriptorBundle:
        bundle = self._run.compose_descriptor(
            name=stream,
            uid=self._child(stream),
            time=self._clock(),
            data_keys={key: data_key(key, value) for key, value in data.items()},
            object_keys={_SOURCE: list(data)},
            hints={_SOURCE: {"fields": list(self._integrals)}},
            configuration={},
            validate=False,
        )
        self._emit("descriptor", dict(bundle.descriptor_doc))
        return bundle

    def _child(self, name: str) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self._uid}/{name}"))


def processed_uid(raw_uid: str, stage: str = "reduced") -> str:
    """Give the uid of the processed run of a raw one."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{RAW_RUN}:{raw_uid}/{stage}"))


def data_key(name: str, value: Any) -> Any:
    """Describe a field by its first value, and the units of those that have any."""
    array = np.asarray(value)
    key: Document = {"source": _SOURCE, "shape": list(array.shape), "dtype": "string"}
    if array.dtype.kind != "U":
        scalar = "integer" if array.dtype.kind in "iu" else "number"
        key["dtype"] = "array" if array.ndim else scalar
        key["dtype_numpy"] = array.dtype.str
    if name in ("q", "I", "sigma"):
        key["units"] = "1/angstrom" if name == "q" else _PER_SOLID_ANGLE
    return key
