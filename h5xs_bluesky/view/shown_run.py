"""One run as the windows show it, of bounded size however long it is."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky import schema
from h5xs_bluesky.api.data2d import Data2d
from h5xs_bluesky.reduction.monitors import MonitorReadings
from h5xs_bluesky.reduction.similarity import Selection

Array = NDArray[np.float64]

MOST_ROWS = 1000  # frames of which curves are kept; of more every second, every fourth, ...
LATEST = 5  # frames that are kept in any case

# What may have changed since a window was drawn.
FRAMES, RESULTS, PATTERNS, SELECTION = "frames", "results", "patterns", "selection"
READINGS, SERIES = "readings", "series"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FrameRow:
    """One frame position of a run.

    Parameters
    ----------
    frame
        Its number, from 0.
    curve : ndarray, shape (2, nq)
        I and σ; NaN in bins without pixels.
    transmitted, incident
        The monitors' readings; NaN where they are not known.
    """

    frame: int
    curve: Array
    transmitted: float
    incident: float


@dataclass(kw_only=True, slots=True, eq=False)
class ShownSeries:
    """What a follower has found of a series behind a column so far.

    Parameters
    ----------
    points
        The data of its events, one for each frame.
    result
        Those of its last event: ranges, and the curve of the sample less the buffer.
    ended
        Whether that is all.
    problem
        Why there is no result then.
    """

    points: list[Mapping[str, Any]] = field(default_factory=list)
    result: Mapping[str, Any] | None = None
    ended: bool = False
    problem: str = ""

    def values(self, name: str) -> Array:
        """Give a value of each frame and its σ, (n, 2)."""
        pairs = [(point[name], point[f"{name}_sigma"]) for point in self.points]
        return np.array(pairs, dtype=float).reshape(-1, 2)


@dataclass(kw_only=True, slots=True, eq=False)
class ShownRun:
    """A run as far as it has come.

    Parameters
    ----------
    raw_uid, sample, name
        The raw run's uid, the sample's group in the experiment, and the name its scan gave.
    q : ndarray, shape (nq,)
        In Å⁻¹.
    rows
        The frames, thinned out evenly so that there are at most 1000; `step` tells how much.
    latest
        The last frames, none left out.
    total
        How many frames came.
    averaged, subtracted : ndarray, shape (2, nq), or None
        The run's results.
    kept
        Which frames are in the average.
    buffer
        What was subtracted.
    ended
        The exit status; "" while the run goes on.
    patterns
        The latest frame of each detector, by extension.
    selection
        Of the frames so far, or of the run.
    readings
        Of monitors that run on their own, once the run has ended.
    series
        Of a series behind a column, what is known of its frames.
    versions
        Counts changes, by what changed.
    """

    raw_uid: str
    sample: str
    name: str
    q: Array = field(default_factory=lambda: np.empty(0))
    rows: list[FrameRow] = field(default_factory=list)
    latest: deque[FrameRow] = field(default_factory=lambda: deque(maxlen=LATEST))
    step: int = 1
    total: int = 0
    averaged: Array | None = None
    kept: NDArray[np.bool_] | None = None
    subtracted: Array | None = None
    buffer: str = ""
    ended: str = ""
    patterns: Mapping[str, Data2d] = field(default_factory=dict)
    selection: Selection | None = None
    readings: MonitorReadings | None = None
    series: ShownSeries = field(default_factory=ShownSeries)
    versions: dict[str, int] = field(default_factory=dict)
    _sums: Array | None = None  # (3, nq): of I and σ², and how many frames

    @property
    def mean(self) -> Array | None:
        """Mean of all frames so far (2, nq), I and σ; None where there is none."""
        if self._sums is None:
            return None
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.stack([self._sums[0] / self._sums[2], np.sqrt(self._sums[1]) / self._sums[2]])

    def beam(self, name: str) -> Array:
        """Give what the monitor ``"incident"`` or ``"transmitted"`` read with each of `rows`."""
        values = np.array([getattr(row, name) for row in self.rows], dtype=float)
        if self.readings is None:
            return values
        own = getattr(self.readings, name)
        frames = np.array([row.frame for row in self.rows], dtype=int)
        late = np.isnan(values) & (frames < own.size)
        values[late] = own[frames[late]]
        return values

    def changed(self, topic: str) -> None:
        """Note that something is to be drawn anew."""
        self.versions[topic] = self.versions.get(topic, 0) + 1

    def take(self, stream: str, data: Mapping[str, Any]) -> None:
        """Take the data of one event of the processed run."""
        self.q = np.asarray(data["q"], dtype=float)
        curve = np.stack([data["I"], data["sigma"]]).astype(float)
        if stream == schema.PRIMARY:
            self._add(
                FrameRow(
                    frame=int(data["frame"]),
                    curve=curve,
                    transmitted=float(data["transmitted"]),
                    incident=float(data["incident"]),
                )
            )
            self.changed(FRAMES)
        elif stream == schema.AVERAGED:
            self.averaged, self.kept = curve, np.asarray(data[schema.KEPT], dtype=bool)
            self.changed(RESULTS)
        elif stream == schema.SUBTRACTED:
            self.subtracted, self.buffer = curve, str(data[schema.BUFFER])
            self.changed(RESULTS)

    def take_of_series(self, stream: str, data: Mapping[str, Any]) -> None:
        """Take the data of one event of the follower of a series."""
        if stream == schema.PRIMARY:
            self.series.points.append(data)
        elif stream == schema.SUBTRACTED:
            self.series.result = data
        self.changed(SERIES)

    def end_series(self, problem: str) -> None:
        """Take the end of what the follower of a series sends."""
        self.series.ended, self.series.problem = True, problem
        self.changed(SERIES)

    def copy(self) -> "ShownRun":
        """Give what is there now, which later frames do not change."""
        return replace(
            self,
            rows=list(self.rows),
            latest=deque(self.latest, maxlen=LATEST),
            series=replace(self.series, points=list(self.series.points)),
            versions=dict(self.versions),
            _sums=None if self._sums is None else self._sums.copy(),
        )

    def _add(self, row: FrameRow) -> None:
        self.latest.append(row)
        if self.total % self.step == 0:
            self.rows.append(row)
        self.total += 1
        if len(self.rows) > MOST_ROWS:
            self.rows = self.rows[::2]
            self.step *= 2
        usable = np.isfinite(row.curve).all(axis=0)
        if self._sums is None:
            self._sums = np.zeros((3, row.curve.shape[1]))
        self._sums[:, usable] += np.stack(
            [row.curve[0], row.curve[1] ** 2, np.ones(row.curve.shape[1])]
        )[:, usable]
