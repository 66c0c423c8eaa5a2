"""What the windows show, gathered from processed documents; any thread may look at it."""

import threading
from collections.abc import Collection, Mapping
from typing import Any

from h5xs_bluesky import schema
from h5xs_bluesky.api.data2d import Data2d
from h5xs_bluesky.api.processed_documents import RAW_RUN, REDUCED
from h5xs_bluesky.callbacks.chromatography import STAGE as SERIES_STAGE
from h5xs_bluesky.callbacks.documents import Document
from h5xs_bluesky.io.names import split_names
from h5xs_bluesky.reduction.monitors import MonitorReadings
from h5xs_bluesky.reduction.similarity import Selection
from h5xs_bluesky.view.shown_run import PATTERNS, READINGS, RESULTS, SELECTION, ShownRun

_LAST_RUNS = 4  # that a buffer measured later may belong to


class Board:
    """The newest run that has frames; a callback for documents of processed runs, and of series.

    It holds the curves of the last few runs, at most a thousand of each: nothing waits in it, and
    the latest wins. The run before stays until the first frame of the next. A run whose buffer was
    measured after it is shown again with what is left of it, unless another sample's goes on.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 0
        self._runs: dict[str, tuple[int, ShownRun]] = {}  # those that go on, by their order
        self._last: dict[str, tuple[int, ShownRun]] = {}  # the last few, by their raw runs
        self._series: set[str] = set()  # those of them that a follower of series sends
        self._streams: dict[str, tuple[str, str]] = {}  # run and stream of each descriptor
        self._shown: tuple[int, ShownRun] | None = None

    def __call__(self, name: str, doc: Document) -> None:
        """Take a document; the time it takes does not depend on how many came before."""
        with self._lock:
            if name == "start":
                self._begin(doc)
            elif name == "descriptor" and doc["run_start"] in self._runs:
                self._streams[doc["uid"]] = (doc["run_start"], doc["name"])
            elif name == "event" and doc["descriptor"] in self._streams:
                self._take(*self._streams[doc["descriptor"]], doc["data"])
            elif name == "stop":
                self._end(doc)

    def shown(self) -> ShownRun | None:
        """Give a copy of the run that is to be shown; None before the first frame."""
        with self._lock:
            return None if self._shown is None else self._shown[1].copy()

    def ended_series(self, *, but: Collection[str]) -> list[ShownRun]:
        """Give copies of the last few series that have ended, but those of these raw runs."""
        with self._lock:
            runs = [run for _, run in self._last.values()]
            return [run.copy() for run in runs if run.series.ended and run.raw_uid not in but]

    def versions(self) -> dict[str, int]:
        """Tell what changed how often, in which run, and whether it has ended."""
        with self._lock:
            if self._shown is None:
                return {}
            number, run = self._shown
            return {"run": number, "ended": int(bool(run.ended)), **run.versions}

    def put(
        self,
        raw_uid: str,
        *,
        patterns: Mapping[str, Data2d] | None = None,
        selection: Selection | None = None,
        readings: MonitorReadings | None = None,
    ) -> None:
        """Add what was read from a run's files; nothing happens if another is shown by now."""
        with self._lock:
            if self._shown is None or self._shown[1].raw_uid != raw_uid:
                return
            run = self._shown[1]
            if patterns is not None:
                run.patterns = dict(patterns)
                run.changed(PATTERNS)
            if selection is not None:
                run.selection = selection
                run.changed(SELECTION)
            if readings is not None:
                run.readings = readings
                run.changed(READINGS)

    def _begin(self, start: Document) -> None:
        raw_uid = str(start[RAW_RUN])
        stage = start.get("analysis_stage")
        if stage != REDUCED:  # of a series, or with a buffer that came later: no frames
            if raw_uid in self._last:
                self._runs[start["uid"]] = self._last[raw_uid]
                if stage == SERIES_STAGE:
                    self._series.add(start["uid"])
            return
        self._number += 1
        run = ShownRun(
            raw_uid=raw_uid,
            sample=str(start["h5xs_sample"]),
            name=str(start[schema.SAMPLE_NAME]),
        )
        self._runs[start["uid"]] = self._last[raw_uid] = (self._number, run)
        while len(self._last) > _LAST_RUNS:
            del self._last[next(iter(self._last))]

    def _take(self, uid: str, stream: str, data: Mapping[str, Any]) -> None:
        number, run = self._runs[uid]
        if uid in self._series:
            run.take_of_series(stream, data)
            return
        run.take(stream, data)
        if self._shown is None:
            self._shown = (number, run)
        elif stream == schema.PRIMARY:
            self._shown = max(self._shown, (number, run), key=lambda each: each[0])
        elif stream == schema.SUBTRACTED:
            now = self._shown[1]
            if now.ended or now.sample in split_names(run.buffer):
                self._shown = (number, run)

    def _end(self, stop: Document) -> None:
        found = self._runs.pop(stop["run_start"], None)
        if found is not None and stop["run_start"] in self._series:
            found[1].end_series(str(stop.get("reason", "")))
        self._series.discard(stop["run_start"])
        self._streams = {d: each for d, each in self._streams.items() if each[0] in self._runs}
        if found is not None and not found[1].ended:
            found[1].ended = str(stop["exit_status"])
            found[1].changed(RESULTS)
