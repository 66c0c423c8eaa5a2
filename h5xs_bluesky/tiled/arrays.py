"""Datasets as arrays of Tiled: the file is opened for each read, no handle and no shape is kept.

The structure is that of the moment when the node was made, which is at each request anew; a file
that grows meanwhile is read up to there.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np
from fastapi import HTTPException
from numpy.typing import NDArray
from tiled.adapters.array import ArrayAdapter
from tiled.ndslice import NDBlock, NDSlice
from tiled.structures.array import ArrayStructure, BuiltinDtype
from tiled.structures.core import Spec

from h5xs_bluesky.errors import FrameAbsentError, RefusedError
from h5xs_bluesky.io.frames import read_frame, refresh
from h5xs_bluesky.io.links import follow
from h5xs_bluesky.io.presence import refuse_absent
from h5xs_bluesky.tiled.files import ServedFile, not_ready
from h5xs_bluesky.tiled.folders import is_broken

logger = logging.getLogger(__name__)

FRAMES_SPEC = Spec("H5XSFrames", "1")
CURVES_SPEC = Spec("H5XSCurves", "1")
CURVE_SPEC = Spec("H5XSCurve", "1")
ARRAY_SPEC = Spec("H5XSArray", "1")

_NUMBERS = "biufc"
_GONE = 410


class ServedArray(ArrayAdapter):  # type: ignore[misc]
    """A dataset of a served file.

    Parameters
    ----------
    served, dataset
        The file, and the dataset's path in it, through links that are checked.
    shape, dtype
        Of what is served.
    chunks
        Its blocks, axis by axis; one for all by default.
    """

    def __init__(
        self,
        served: ServedFile,
        dataset: str,
        *,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        chunks: tuple[tuple[int, ...], ...] | None = None,
        metadata: Mapping[str, Any],
        specs: Sequence[Spec],
    ) -> None:
        self.served = served
        self.dataset = dataset
        structure = ArrayStructure(
            data_type=BuiltinDtype.from_numpy_dtype(dtype),
            shape=shape,
            chunks=chunks or tuple((length,) for length in shape),
        )
        super().__init__(None, structure, metadata=dict(metadata), specs=list(specs))

    @property
    def access_tags(self) -> frozenset[str]:
        """Those of the file."""
        return self.served.access_tags

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.dataset}>"

    def get(self, key: str) -> None:
        """Give a member: an array has none."""

    def read(self, slice: NDSlice = NDSlice(...)) -> NDArray[Any]:  # noqa: A002, B008 - Tiled's
        """Read the array, or a part of it."""
        shape = self.structure().shape
        index = tuple(NDSlice(*slice).expand_for_shape(shape))
        with self.served.reading() as file:
            dataset = self.served.member(file, self.dataset)
            if not isinstance(dataset, h5py.Dataset):
                if self._is_gone(file):
                    raise HTTPException(_GONE, detail=f"{self.dataset}: its file is gone")
                raise not_ready(f"{self.dataset} is not there at the moment")
            if not self._fits(refresh(dataset).shape):
                raise not_ready(f"{self.dataset}: expected shape {shape}, found {dataset.shape}")
            try:
                return self._read(dataset, index)
            except FrameAbsentError as error:
                logger.info("Gone: %s", error)  # with paths that concern no client
                detail = f"{self.dataset}: what is asked for is not on disk"
                raise HTTPException(_GONE, detail=detail) from error

    def read_block(
        self,
        block: NDBlock,
        slice: NDSlice = NDSlice(...),  # noqa: A002, B008 - Tiled's
    ) -> NDArray[Any]:
        """Read one of the blocks, or a part of it."""
        values = self.read(NDBlock(*block).slice_from_chunks(self.structure().chunks))
        return values[tuple(slice)] if slice else values

    def _is_gone(self, file: h5py.File) -> bool:
        """Tell whether the sample, or a file that its links lead to, is not there."""
        at: Any = file
        for name in self.dataset.split("/"):
            try:
                found = follow(at, name, roots=self.served.roots)
            except RefusedError:
                return False
            if not isinstance(found, h5py.Group):
                unlinked = at == file and at.get(name, getlink=True) is None
                return found is None and (unlinked or is_broken(at, name))
            at = found
        return False

    def _fits(self, stored: tuple[int, ...]) -> bool:
        """Tell whether a dataset of this shape, which may have grown, has what was promised."""
        shape = self.structure().shape
        return len(stored) == len(shape) and all(np.greater_equal(stored, shape))

    def _read(self, dataset: h5py.Dataset, index: tuple[Any, ...]) -> NDArray[Any]:
        """Read a part of the open dataset; `index` has an entry for each axis."""
        if dataset.ndim == 0:
            return np.asarray(_values(dataset[()]))
        rows = range(self.structure().shape[0])[index[0]]
        if dataset.is_virtual:
            for number in np.ravel(rows):
                refuse_absent(dataset, int(number), trailing=dataset.ndim - 1)
        if isinstance(rows, int):
            row: NDArray[Any] = np.asarray(_values(dataset[rows]))[index[1:]]
            return row
        first, last = (min(rows), max(rows) + 1) if rows else (0, 0)
        values = np.asarray(_values(dataset[first:last]))
        chosen: NDArray[Any] = values[[row - first for row in rows]][(np.s_[:], *index[1:])]
        return chosen


class ServedFrames(ServedArray):
    """Frames, each a block of its own; only those that are asked for are read."""

    def _read(self, dataset: h5py.Dataset, index: tuple[Any, ...]) -> NDArray[Any]:
        shape = self.structure().shape
        leading = len(shape) - 2
        numbers = np.arange(int(np.prod(shape[:-2]))).reshape(shape[:-2])[index[:leading]]
        frames = [read_frame(dataset, int(number))[index[leading:]] for number in numbers.flat]
        if not frames:
            empty: NDArray[Any] = np.empty(shape, self.structure().data_type.to_numpy_dtype())
            part: NDArray[Any] = empty[index]
            return part
        stack: NDArray[Any] = np.stack(frames).reshape((*numbers.shape, *frames[0].shape))
        return stack


class PublishedFrames(ServedFrames):
    """Frames with the shape that a run's documents give them: (events, H, W), (events, k, H, W)."""

    def __init__(self, served: ServedFile, dataset: str, structure: ArrayStructure) -> None:
        super().__init__(
            served,
            dataset,
            shape=tuple(structure.shape),
            dtype=structure.data_type.to_numpy_dtype(),
            chunks=structure.chunks,
            metadata={},
            specs=[],
        )

    def _fits(self, stored: tuple[int, ...]) -> bool:
        shape = self.structure().shape
        frames = int(np.prod(shape[:-2]))
        return len(stored) == 3 and stored[1:] == shape[-2:] and stored[0] >= frames


def serve_frames(
    served: ServedFile,
    path: str,
    dataset: h5py.Dataset,
    *,
    frames: int,
    metadata: Mapping[str, Any],
) -> ServedFrames:
    """Serve a dataset of frames (n, H, W), or (m, n, H, W) as some older files have it.

    Parameters
    ----------
    frames
        How many there are for certain, counted flat.
    """
    leading = dataset.shape[:-2]
    if len(leading) == 1:
        leading = (frames,)
    return ServedFrames(
        served,
        path,
        shape=(*leading, *dataset.shape[-2:]),
        dtype=dataset.dtype,
        chunks=(*((1,) * length for length in leading), *((n,) for n in dataset.shape[-2:])),
        metadata=metadata,
        specs=[FRAMES_SPEC, ARRAY_SPEC],
    )


def serve_values(
    served: ServedFile, path: str, dataset: h5py.Dataset, *, metadata: Mapping[str, Any]
) -> ServedArray | None:
    """Serve a dataset of numbers or texts; None for what is neither, as objects are never read."""
    dtype = dataset.dtype
    if h5py.check_string_dtype(dtype) is not None:
        dtype = np.asarray(_values(dataset[()])).dtype
    if dtype.kind not in _NUMBERS + "US" or dtype.itemsize == 0:
        return None
    return ServedArray(
        served,
        path,
        shape=refresh(dataset).shape,
        dtype=dtype,
        metadata=metadata,
        specs=[ARRAY_SPEC],
    )


class PartOfCurve(ServedArray):
    """A plain array of one axis from a single curve: its I or its σ."""

    def __init__(self, served: ServedFile, dataset: str, row: int, **more: Any) -> None:
        super().__init__(served, dataset, **more)
        self._row = row

    def _fits(self, stored: tuple[int, ...]) -> bool:
        return stored == (2, *self.structure().shape)

    def _read(self, dataset: h5py.Dataset, index: tuple[Any, ...]) -> NDArray[Any]:
        part: NDArray[Any] = np.asarray(dataset[self._row])[index]
        return part


class KnownValues(ServedArray):
    """Values that were read when the node was made, such as q from an attribute."""

    def __init__(self, served: ServedFile, values: NDArray[Any], **more: Any) -> None:
        super().__init__(served, "", shape=values.shape, dtype=values.dtype, specs=[], **more)
        self._known = values

    def read(self, slice: NDSlice = NDSlice(...)) -> NDArray[Any]:  # noqa: A002, B008 - Tiled's
        """Give the values, or a part of them."""
        part: NDArray[Any] = np.asarray(self._known[tuple(slice)])
        return part


def _values(stored: Any) -> Any:
    """Make texts of what h5py gives as objects or bytes."""
    array = np.asarray(stored)
    if array.dtype.kind not in "OS":
        return array
    texts = [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in array.flat]
    return np.array(texts, dtype=np.str_).reshape(array.shape)
