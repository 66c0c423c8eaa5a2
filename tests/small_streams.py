"""Files as an IOC writes them, and the documents that announce what is in them, for tests."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import event_model
import h5py
import numpy as np
from numpy.typing import NDArray

Documents = list[tuple[str, dict[str, Any]]]

FRAMES = "/entry/data/data"


class Ioc:
    """Writes one file of frames, and of numbers, as an areaDetector's file plugin does.

    Parameters
    ----------
    path
        The file.
    datasets
        For each dataset the shape and dtype of one row.
    swmr
        Whether others may read it while it is written.
    """

    def __init__(
        self,
        path: Path,
        datasets: Mapping[str, tuple[tuple[int, ...], str]],
        *,
        swmr: bool = True,
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.file = h5py.File(path, "w", libver="latest")
        self.data = {
            name: self.file.create_dataset(
                name, (0, *shape), dtype, maxshape=(None, *shape), chunks=(1, *shape)
            )
            for name, (shape, dtype) in datasets.items()
        }
        if swmr:
            self.file.swmr_mode = True

    @classmethod
    def of_frames(cls, path: Path, frame: NDArray[Any], *, swmr: bool = True) -> "Ioc":
        return cls(path, {FRAMES: (frame.shape[-2:], frame.dtype.str)}, swmr=swmr)

    def write(self, values: Any, dataset: str = FRAMES) -> None:
        """Append one row, or several."""
        data = self.data[dataset]
        rows = np.asarray(values).reshape(-1, *data.shape[1:])
        first = len(data)
        data.resize(first + len(rows), axis=0)
        data[first:] = rows
        self.file.flush()

    def close(self) -> None:
        self.file.close()


def file_of(path: Path, frames: NDArray[Any]) -> Path:
    """Write a whole file of frames."""
    ioc = Ioc.of_frames(path, frames)
    ioc.write(frames)
    ioc.close()
    return path


class StreamedRun:
    """Composes the documents of one run whose frames lie in files.

    Parameters
    ----------
    keys
        For each field its shape in an event: (k, H, W) of frames, (k,) or () of numbers.
    values
        Fields that the events bring themselves.
    start
        For the start document.
    """

    def __init__(
        self, keys: Mapping[str, tuple[int, ...]], *, values: Sequence[str] = (), **start: Any
    ) -> None:
        metadata = {"sample_name": "water", "scan_id": 7, **start}
        self.run = event_model.compose_run(metadata=metadata)
        self.keys = dict(keys)
        self.resources: dict[str, Any] = {}
        self.stream = self.run.compose_descriptor(name="primary", data_keys=self._data_keys(values))

    def _data_keys(self, values: Sequence[str]) -> dict[str, Any]:
        external = {
            name: {
                "source": "ioc",
                "dtype": "array" if shape else "number",
                "shape": list(shape),
                "external": "STREAM:",
            }
            for name, shape in self.keys.items()
        }
        own = {name: {"source": "test", "dtype": "number", "shape": []} for name in values}
        return {**external, **own}

    def begin(self) -> Documents:
        return [
            ("start", dict(self.run.start_doc)),
            ("descriptor", dict(self.stream.descriptor_doc)),
        ]

    def describe_again(self, keys: Mapping[str, tuple[int, ...]]) -> Documents:
        """Give a second descriptor of the same stream."""
        self.keys = dict(keys)
        self.stream = self.run.compose_descriptor(name="primary", data_keys=self._data_keys(()))
        return [("descriptor", dict(self.stream.descriptor_doc))]

    def resource(self, field: str, path: Path | str, dataset: str = FRAMES) -> Documents:
        uri = path if isinstance(path, str) else f"file://localhost{path}"
        self.resources[field] = self.run.compose_stream_resource(
            mimetype="application/x-hdf5",
            uri=uri,
            data_key=field,
            parameters={"dataset": dataset, "chunk_shape": [1]},
        )
        return [("stream_resource", dict(self.resources[field].stream_resource_doc))]

    def datum(self, field: str, first: int, stop: int, *, seq_num: int | None = None) -> Documents:
        """Announce the events from index `first` to before `stop`."""
        seq_num = first + 1 if seq_num is None else seq_num
        datum = self.resources[field].compose_stream_datum(
            indices={"start": first, "stop": stop},
            seq_nums={"start": seq_num, "stop": seq_num + stop - first},
            descriptor=self.stream.descriptor_doc,
        )
        return [("stream_datum", dict(datum))]

    def event(self, seq_num: int, **data: Any) -> Documents:
        composed = self.stream.compose_event(
            data=data,
            timestamps=dict.fromkeys(data, 100.0 + seq_num),
            seq_num=seq_num,
            time=100.0 + seq_num,
            validate=False,
        )
        return [("event", dict(composed))]

    def end(self) -> Documents:
        return [("stop", dict(self.run.compose_stop()))]
