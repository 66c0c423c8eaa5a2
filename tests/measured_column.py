"""A series behind the simulated column, measured once with everything that follows it.

H5XS_SEC_FRAMES sets how many frames it has, 120 by default and 600 in a real run;
H5XS_SEC_PERIOD_S the time from one to the next, none by default.
"""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from bluesky import RunEngine
from numpy.typing import NDArray
from small_beamline import Documents, run_documents

from h5xs_bluesky.callbacks import ChromatographyFollower, LiveReduction
from h5xs_bluesky.sim.beamline import SimulatedBeamline
from h5xs_bluesky.sim.chromatography import COLUMN, sec_beamline
from h5xs_bluesky.sim.plans import count_sample
from h5xs_bluesky.sim.shots import Shot
from h5xs_bluesky.sim.station import Station

FRAMES = int(os.environ.get("H5XS_SEC_FRAMES", "120"))
PERIOD_S = float(os.environ.get("H5XS_SEC_PERIOD_S", "0"))

_BUFFER, _PROTEIN, _AGGREGATE = 1, 2, 3  # columns of `Column.amounts`


@dataclass(kw_only=True)
class MeasuredColumn:
    """What a series left behind.

    Parameters
    ----------
    file
        The experiment.
    setup
        The beamline.
    follower
        What followed it.
    documents
        What that emitted, each with the time.
    taken
        When the RunEngine emitted each frame's event, by its number; and the stop, as −1.
    """

    file: Path
    setup: SimulatedBeamline
    follower: ChromatographyFollower
    documents: list[tuple[float, str, dict[str, Any]]] = field(default_factory=list)
    taken: dict[int, float] = field(default_factory=dict)

    @property
    def protein(self) -> NDArray[np.float64]:
        """The true concentration, 1 at the peak."""
        return COLUMN.amounts(FRAMES)[:, _PROTEIN]

    @property
    def aggregate(self) -> NDArray[np.float64]:
        return COLUMN.amounts(FRAMES)[:, _AGGREGATE]

    def events(self, stream: str) -> list[tuple[float, dict[str, Any]]]:
        """When each event of a stream was emitted, and its data."""
        uids = [
            doc["uid"]
            for _, name, doc in self.documents
            if name == "descriptor" and doc["name"] == stream
        ]
        return [
            (at, doc["data"])
            for at, name, doc in self.documents
            if name == "event" and doc["descriptor"] in uids
        ]


def measure_column(folder: Path) -> MeasuredColumn:
    """Run the series through RunEngine, live reduction and follower."""
    setup = sec_beamline(folder)
    live = LiveReduction(setup.beamline, folder / "experiment")
    follower = ChromatographyFollower(setup.beamline)
    measured = MeasuredColumn(
        file=folder / "experiment" / "experiment.h5", setup=setup, follower=follower
    )
    follower.subscribe(lambda name, doc: measured.documents.append((time.time(), name, doc)))
    live.subscribe(follower)
    engine = RunEngine()
    engine.subscribe(live)
    engine.subscribe(lambda name, doc: _note(measured, name, doc))
    (sample,) = setup.samples
    plan = count_sample(
        Station.from_beamline(setup.beamline),
        _paced(sample.shots(FRAMES)),
        frames=FRAMES,
        exposure_s=sample.frame_s(FRAMES),
        metadata=sample.metadata,
    )
    try:
        engine(plan)
        assert live.wait(60)
    finally:
        live.close()
        follower.close()
    return measured


def column_documents(shots: Sequence[Shot], **changes: Any) -> Documents:
    """Give the documents of a run of what leaves the column, whose frames these are."""
    events = [
        {**shot.frames, "em1_mean_value": shot.incident, "em2_mean_value": shot.transmitted}
        for shot in shots
    ]
    start = {"sample_name": "column", "elution": True}
    return run_documents(events, monitors={}, **{**start, **changes})


def _note(measured: MeasuredColumn, name: str, doc: dict[str, Any]) -> None:
    if name == "event" and "shutter" not in doc["data"] and "fast_image" in doc["data"]:
        measured.taken[doc["seq_num"] - 1] = time.time()
    elif name == "stop":
        measured.taken[-1] = time.time()


def _paced(shots: Iterator[Shot]) -> Iterator[Shot]:
    began = time.monotonic()
    for number, shot in enumerate(shots):
        time.sleep(max(0.0, began + number * PERIOD_S - time.monotonic()))
        yield shot
