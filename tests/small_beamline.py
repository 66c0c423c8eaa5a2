"""A beamline of small detectors, and the documents of runs on it, for tests of whole paths."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import event_model
import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.callbacks.live_reduction import LiveReduction
from h5xs_bluesky.config import Beamline, MetadataSource, Monitors, Output, ReductionOptions, Roots
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.geometry import Geometry
from h5xs_bluesky.reduction.qgrid import QGrid
from h5xs_bluesky.reduction.similarity import SelectionOptions

SAXS, WAXS = "saxs_image", "waxs_image"
SHAPES = {SAXS: (64, 48), WAXS: (40, 56)}
Frames = Mapping[str, NDArray[Any]]
Documents = list[tuple[str, dict[str, Any]]]


def small_detector(
    extension: str, kind: str, *, distance_m: float, data_key: str | None = None
) -> Detector:
    shape = SHAPES[kind]
    mask = np.zeros(shape, bool)
    mask[10:12] = True
    return Detector(
        extension=extension,
        data_key=data_key or kind,
        model="test",
        geometry=Geometry.from_beam_center(
            shape=shape,
            pixel_size_m=(172e-6, 172e-6),
            distance_m=distance_m,
            beam_center_px=(30.0, 20.0),
            wavelength_m=1e-10,
        ),
        mask=mask,
        fix_scale=1.0 if extension == "_SAXS" else 4.0,
        saturation=None,
    )


def small_beamline(**changes: Any) -> Beamline:
    values: dict[str, Any] = {
        "name": "small",
        "sample_name_key": "sample_name",
        "stream": "primary",
        "output": Output(),
        "roots": Roots(),
        "detectors": (
            small_detector("_SAXS", SAXS, distance_m=0.5),
            small_detector("_WAXS", WAXS, distance_m=0.25),
        ),
        "monitors": Monitors(incident="em1", transmitted="em2", relative_uncertainty=0.001),
        "metadata": {"buffer": MetadataSource(source="start", key="buffer")},
        "qgrid": QGrid.linear(0.02, 0.3, 25),
        "reduction": ReductionOptions(),
        "selection": SelectionOptions(),
    }
    return Beamline(**{**values, **changes})


def small_frames(count: int, *, seed: int = 0, mean: float = 50.0) -> list[Frames]:
    rng = np.random.default_rng(seed)
    return [
        {key: rng.poisson(mean, shape).astype(np.int32) for key, shape in SHAPES.items()}
        for _ in range(count)
    ]


def run_documents(
    events: Sequence[Mapping[str, Any]],
    *,
    monitors: Mapping[str, float] | None = None,
    seq_nums: Iterable[int] | None = None,
    **start: Any,
) -> Documents:
    """Give the documents of one run: an event for each mapping of fields, which may hold frames."""
    monitors = {"em1": 1000.0, "em2": 800.0} if monitors is None else monitors
    docs: Documents = []
    run = event_model.compose_run(metadata={"sample_name": "water", "scan_id": 7, **start})
    docs.append(("start", dict(run.start_doc)))
    if events:
        keys = {name: _data_key(value) for name, value in {**events[0], **monitors}.items()}
        stream = run.compose_descriptor(name="primary", data_keys=keys)
        docs.append(("descriptor", dict(stream.descriptor_doc)))
        for number, event in zip(seq_nums or range(1, len(events) + 1), events, strict=True):
            data = {**event, **monitors}
            stamps = dict.fromkeys(data, 100.0 + number)
            composed = stream.compose_event(
                data=data, timestamps=stamps, seq_num=number, validate=False
            )
            docs.append(("event", dict(composed)))
    docs.append(("stop", dict(run.compose_stop())))
    return docs


def _data_key(value: Any) -> dict[str, Any]:
    if isinstance(value, np.ndarray):
        return {"source": "test", "dtype": "array", "shape": list(value.shape)}
    if isinstance(value, str):
        return {"source": "test", "dtype": "string", "shape": []}
    return {"source": "test", "dtype": "number", "shape": []}


def write_experiment(folder: Path, *runs: Documents, **changes: Any) -> Path:
    """Send runs, one after the other, through a new callback; gives the experiment's file."""
    live = LiveReduction(small_beamline(**changes), folder)
    try:
        for documents in runs:
            for name, doc in documents:
                live(name, doc)
            assert live.wait(30)
    finally:
        live.close()
    return folder / "experiment.h5"
