"""Frames in files that stored documents name: read only from folders that are allowed."""

from collections import OrderedDict
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.callbacks.documents import Document
from h5xs_bluesky.errors import FileFormatError, RefusedError
from h5xs_bluesky.io.external import AllowedFolders, ExternalDataset

_AREA_DETECTOR_DATASET = "/entry/data/data"
# Specs of area-detector-handlers and ophyd whose files are pictures, which cannot link others.
_PICTURES = ("AD_TIFF", "AD_CBF", "NPY_SEQ")
_MOST_OPEN = 8


class FileFrames:
    """Reads frames from files, and keeps the last ones open until `close`.

    Parameters
    ----------
    folders
        Where files, and what they link to, have to lie.
    """

    def __init__(self, folders: AllowedFolders) -> None:
        self._folders = folders
        self._open: OrderedDict[tuple[Path, str], ExternalDataset] = OrderedDict()

    def hdf5(self, path: Path, dataset: str, *, first: int, count: int) -> NDArray[Any]:
        """Read frames (count, H, W) of a dataset.

        Raises
        ------
        RefusedError
            If the file, or what it links to, lies elsewhere.
        OSError, KeyError, FileFormatError
            If the frames are not there.
        """
        return self._dataset(path, dataset).frames(first, 1, count)

    def of_datum(self, resource: Document, datum: Document) -> NDArray[Any]:
        """Read what a datum document stands for, (k, H, W).

        Raises
        ------
        RefusedError
            If its files lie elsewhere.
        FileFormatError
            If it is of a kind that is not read.
        OSError, KeyError
            If the frames are not there.
        """
        spec, kwargs = str(resource["spec"]), dict(datum["datum_kwargs"])
        options = dict(resource.get("resource_kwargs") or {})
        path = Path(str(resource.get("root") or "/")) / str(resource["resource_path"])
        count = int(options.get("frame_per_point", 1))
        if spec.startswith("AD_HDF5") and not spec.endswith("_TS") and "point_number" in kwargs:
            first = int(kwargs["point_number"]) * count
            return self.hdf5(path, _AREA_DETECTOR_DATASET, first=first, count=count)
        if spec in _PICTURES:
            return self._pictures(spec, path, options, kwargs)
        raise FileFormatError(
            f"{path}: expected a resource of spec AD_HDF5 with point numbers, or one of "
            f"{', '.join(_PICTURES)}, found {spec!r} with {sorted(kwargs)}: read it with "
            "h5xs import"
        )

    def close(self) -> None:
        """Close the files."""
        while self._open:
            self._open.popitem()[1].close()

    def _dataset(self, path: Path, dataset: str) -> ExternalDataset:
        key = path, dataset
        if key not in self._open:
            self._open[key] = ExternalDataset(path, dataset, folders=self._folders)
            if len(self._open) > _MOST_OPEN:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(key)
        return self._open[key]

    def _pictures(
        self, spec: str, path: Path, options: dict[str, Any], kwargs: dict[str, Any]
    ) -> NDArray[Any]:
        handler = _handler(spec)(str(path), **options)
        for name in handler.get_file_list([kwargs]):
            self._refuse_elsewhere(Path(name))
        frames = np.asarray(handler(**kwargs))
        return frames.reshape(-1, *frames.shape[-2:])

    def _refuse_elsewhere(self, path: Path) -> None:
        roots = (*self._folders.permanent, *self._folders.allowed)
        if not any(path.resolve().is_relative_to(root.resolve()) for root in roots):
            folders = ", ".join(str(root) for root in roots) or "no folder"
            raise RefusedError(
                f"{path}: expected a file inside {folders}: it is not opened; if its folder can be "
                "trusted, add it to [roots] in the configuration"
            )


def _handler(spec: str) -> Any:
    found = [each for each in entry_points(group="databroker.handlers") if each.name == spec]
    if not found:
        raise FileFormatError(
            f"expected a handler for {spec}, found none: install area-detector-handlers "
            "(h5xs_bluesky[databroker])"
        )
    return found[0].load()
