"""Curves as arrays of Tiled, and what the header of a file that one downloads tells of them."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from tiled.ndslice import NDSlice

from h5xs_bluesky import schema
from h5xs_bluesky.api.metadata import RunMetadata, lines_of
from h5xs_bluesky.api.settings import read_beamline
from h5xs_bluesky.errors import H5xsError
from h5xs_bluesky.io.frames import refresh
from h5xs_bluesky.tiled.arrays import ARRAY_SPEC, CURVE_SPEC, CURVES_SPEC, ServedArray
from h5xs_bluesky.tiled.files import ServedFile
from h5xs_bluesky.tiled.results import frame_trans, results_of

logger = logging.getLogger(__name__)

_ROWS = 64  # of a block of curves


@dataclass(frozen=True, kw_only=True, slots=True)
class CurveHeader:
    """What is told of curves above their numbers.

    Parameters
    ----------
    lines
        As `h5xs.export_d1s` writes them; none where the file does not have what they need.
    trans
        What normalises each frame that was read; empty for a single curve.
    """

    lines: tuple[str, ...] = ()
    trans: tuple[float, ...] = ()


class ServedCurves(ServedArray):
    """I and σ of one curve (2, nq), or of one for each frame (n, 2, nq).

    Parameters
    ----------
    own, sample, name
        The sample's own file, which may not be that of its results, the sample's group, and the
        curve's name.
    """

    def __init__(
        self,
        served: ServedFile,
        dataset: str,
        *,
        own: ServedFile,
        sample: str,
        name: str,
        **more: Any,
    ) -> None:
        super().__init__(served, dataset, **more)
        self._own = own
        self._sample = sample
        self._name = name
        self._frames: tuple[int, ...] | None = None

    def read(self, slice: NDSlice = NDSlice(...)) -> NDArray[Any]:  # noqa: A002, B008 - Tiled's
        """Read the array, or a part of it; `metadata` then knows which frames these are."""
        shape = self.structure().shape
        if len(shape) > 2:
            first = NDSlice(*slice).expand_for_shape(shape)[0]
            self._frames = tuple(np.ravel(range(shape[0])[first]).tolist())
        return super().read(slice)

    def metadata(self) -> dict[str, Any]:
        """Give the metadata, which can tell of what was read last."""
        return CurveMetadata(super().metadata(), curves=self, frames=self._frames)

    def header(self, frames: tuple[int, ...] | None) -> CurveHeader:
        """Read what is told of some frames, or of a single curve."""
        with self._own.reading() as file:
            group = self._own.group(file, self._sample)
            lines: tuple[str, ...] = ()
            try:
                beamline = read_beamline(file, None, "")
                run = RunMetadata.read(group, beamline, roots=self._own.roots)
                lines = tuple(lines_of(run.to_mapping()))
            except H5xsError as error:
                logger.info("%s in %s has no header: %s", self._sample, self._own.path, error)
            if frames is None:
                return CurveHeader(lines=lines)
            with results_of(self._own, group, self._sample) as results:
                known = frame_trans(results, self._name)
        each = (known[n] if known is not None and n < len(known) else np.nan for n in frames)
        return CurveHeader(lines=lines, trans=tuple(float(trans) for trans in each))


class CurveMetadata(dict[str, Any]):
    """The metadata of curves, which also tell what a header needs where one is written.

    Tiled gives a serializer the values and the metadata alone.

    Parameters
    ----------
    plain
        The metadata.
    curves, frames
        The node, and which frames were read; None for a single curve, and before the first read.
    """

    def __init__(
        self, plain: Mapping[str, Any], *, curves: ServedCurves, frames: tuple[int, ...] | None
    ) -> None:
        super().__init__(plain)
        self.frames = frames
        self._curves = curves

    def header(self) -> CurveHeader:
        """Read it from the file."""
        return self._curves.header(self.frames)


def serve_curves(
    served: ServedFile,
    dataset: h5py.Dataset,
    *,
    own: ServedFile,
    sample: str,
    name: str,
    metadata: Mapping[str, Any],
) -> ServedCurves:
    """Serve one curve (2, nq), or one for each frame (n, 2, nq); see `ServedCurves`."""
    shape = refresh(dataset).shape
    single = len(shape) == 2
    blocks = [_ROWS] * (shape[0] // _ROWS) + [shape[0] % _ROWS]
    return ServedCurves(
        served,
        f"{sample}/{schema.PROCESSED}/{name}",
        own=own,
        sample=sample,
        name=name,
        shape=shape,
        dtype=dataset.dtype,
        chunks=None
        if single
        else (tuple(n for n in blocks if n) or (0,), *((n,) for n in shape[1:])),
        metadata=metadata,
        specs=[CURVE_SPEC if single else CURVES_SPEC, ARRAY_SPEC],
    )
