"""Runs whose frames lie in files of areaDetector, told of by resource and datum documents."""

from pathlib import Path
from typing import Any

import event_model
import numpy as np
import tifffile
from numpy.typing import NDArray
from small_beamline import SAXS, SHAPES
from small_streams import file_of

FRAMES = np.random.default_rng(5).poisson(40, (4, *SHAPES[SAXS])).astype(np.uint16)
Documents = list[tuple[str, dict[str, Any]]]


def hdf5(folder: Path, frames: NDArray[Any]) -> dict[str, Any]:
    file_of(folder / "frames.h5", frames)
    return {
        "spec": "AD_HDF5",
        "resource_path": "frames.h5",
        "resource_kwargs": {"frame_per_point": 2},
    }


def tiff(folder: Path, frames: NDArray[Any]) -> dict[str, Any]:
    for number, frame in enumerate(frames):
        tifffile.imwrite(folder / f"shot_{number:06d}.tiff", frame)
    kwargs = {"template": "%s%s_%6.6d.tiff", "filename": "shot", "frame_per_point": 2}
    return {"spec": "AD_TIFF", "resource_path": "", "resource_kwargs": kwargs}


def legacy_run(
    folder: Path, resource: dict[str, Any], *, dtype: str | None = None, **start: Any
) -> Documents:
    """Give a run of two events with two frames each, and monitors.

    Parameters
    ----------
    folder
        The resource's root.
    resource
        The rest of it.
    dtype
        What the descriptor says of the frames.
    """
    run = event_model.compose_run(metadata={"sample_name": "water", **start})
    keys: dict[str, Any] = {
        name: {"source": "test", "dtype": "number", "shape": []} for name in ("em1", "em2")
    }
    keys[SAXS] = {
        "source": "ioc",
        "dtype": "array",
        "shape": [2, *SHAPES[SAXS]],
        "external": "FILESTORE:",
        **({} if dtype is None else {"dtype_numpy": dtype}),
    }
    stream = run.compose_descriptor(name="primary", data_keys=keys)
    made = run.compose_resource(root=str(folder), **resource)
    documents: Documents = [
        ("start", dict(run.start_doc)),
        ("descriptor", dict(stream.descriptor_doc)),
        ("resource", dict(made.resource_doc)),
    ]
    for number in range(2):
        datum = made.compose_datum(datum_kwargs={"point_number": number})
        data = {"em1": 1000.0, "em2": 800.0, SAXS: datum["datum_id"]}
        event = stream.compose_event(
            data=data,
            timestamps=dict.fromkeys(data, 100.0 + number),
            time=100.5 + number,
            filled={SAXS: False},
            validate=False,
        )
        documents += [("datum", dict(datum)), ("event", dict(event))]
    return [*documents, ("stop", dict(run.compose_stop()))]
