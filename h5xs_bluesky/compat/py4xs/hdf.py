"""py4xs' ``hdf``: `h5xs` with its names, orders of arguments and mutable detectors."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from h5xs_bluesky import schema
from h5xs_bluesky.api.data2d import Data2d
from h5xs_bluesky.api.h5exp import h5exp as _h5exp
from h5xs_bluesky.api.h5xs import h5xs as _h5xs
from h5xs_bluesky.api.settings import as_detectors
from h5xs_bluesky.compat.py4xs.detector_config import DetectorConfig, create_det_from_attrs
from h5xs_bluesky.compat.py4xs.h5_files import (
    create_linked_files,
    find_field,
    h5_file_access,
    lsh5,
)
from h5xs_bluesky.compat.py4xs.patterns import describe
from h5xs_bluesky.config import ReductionOptions
from h5xs_bluesky.errors import ReductionError, RefusedError
from h5xs_bluesky.io.attributes import text_attribute
from h5xs_bluesky.io.py4xs_files import MODEL
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.qgrid import QGrid

__all__ = [
    "LIKE_PY4XS",
    "create_linked_files",
    "find_field",
    "h5_file_access",
    "h5exp",
    "h5xs",
    "lsh5",
]

logger = logging.getLogger(__name__)

# How py4xs averages over pixels; with `Py4xsBins` it gives py4xs' numbers.
LIKE_PY4XS = ReductionOptions(estimator="unweighted", error_model="azimuthal", polarization=1.0)

_DATA_TYPES = (schema.DATA, schema.TIMESTAMPS)


class h5xs(_h5xs):
    """`h5xs_bluesky.h5xs` under py4xs' names.

    Detectors are `DetectorConfig`, whose attributes may be changed; `load_data` takes the change.
    `qgrid` is an array of the centres. The arguments `reft`, `save_1d`, `N`, `max_c_size`, `dtype`
    and `debug` of py4xs' methods are taken and do nothing. Files are never modified in place: what
    py4xs writes into its one file lies beside it, and ``exp_setup`` holds for this object alone.

    Parameters
    ----------
    fn, exp_setup, transField, save_d1, have_raw_data, read_only, roots, reduction
        As of `h5xs_bluesky.h5xs`; detectors may be `DetectorConfig`.
    """

    def __init__(
        self,
        fn: str | Path,
        exp_setup: Sequence[Any] | None = None,
        transField: str = "",
        save_d1: bool = True,
        have_raw_data: bool = True,
        read_only: bool = False,
        *,
        roots: Sequence[str | Path] = (),
        reduction: ReductionOptions | None = None,
    ) -> None:
        super().__init__(
            fn,
            exp_setup,
            transField,
            save_d1,
            have_raw_data,
            read_only,
            roots=roots,
            reduction=reduction,
        )
        given = None if exp_setup is None else exp_setup[0]
        self._configs = self._read_configs() if given is None else [_config(d) for d in given]

    @property
    def detectors(self) -> list[Any]:
        """The detectors, which may be changed: `load_data` takes them as they are then."""
        return self._configs

    @detectors.setter
    def detectors(self, detectors: Sequence[Any]) -> None:
        self._configs = [_config(detector) for detector in detectors]
        self._given = ([self._configs, self._memory.beamline.qgrid], *self._given[1:])

    @property  # type: ignore[override]
    def qgrid(self) -> NDArray[np.float64]:
        """The centres of the bins (nq,), in Å⁻¹."""
        return self._memory.beamline.qgrid.centers

    @qgrid.setter
    def qgrid(self, qgrid: ArrayLike | QGrid) -> None:
        grid = qgrid if isinstance(qgrid, QGrid) else QGrid.from_centers(qgrid)
        self._memory.beamline = self._memory.beamline.with_detectors(
            self._memory.beamline.detectors, grid
        )
        self._given = ([self._configs, grid], *self._given[1:])

    @property
    def transField(self) -> str:
        """The field of the monitor of the transmitted beam; "" where there is none."""
        monitors = self._memory.beamline.monitors
        return (monitors.transmitted or "") if monitors is not None else ""

    @property
    def det_name(self) -> dict[str, str]:
        """The field of each detector's frames, by its extension."""
        return {d.extension: d.data_key for d in self._memory.beamline.detectors}

    def enable_write(self, writable: bool) -> None:
        """Refuse: no file is modified in place.

        Raises
        ------
        RefusedError
            If asked to write.
        """
        if writable:
            raise RefusedError(
                f"{self.fn}: expected to read, found a request to write into the open file: files "
                "are only replaced whole; use save_d1s, assign_buffer or h5exp.save_detectors"
            )

    def det(self, ext: str) -> Any:
        """Give the detector of this extension; None where there is none."""
        return next((d for d in self.detectors if d.extension == ext), None)

    def read_detectors(self) -> NDArray[np.float64]:
        """Read the detectors from the file again; gives the centres of its q-grid."""
        self._given = (None, *self._given[1:])
        with self._source.reading() as file:
            self._memory.beamline = self._read_beamline(file)
        self._configs = self._read_configs()
        return self.qgrid

    @h5_file_access
    def get_h5_attr(self, grp: str, attr_name: str) -> Any:
        """Give an attribute of a group in the file.

        Raises
        ------
        KeyError
            If it is not there.
        """
        return self._file[grp].attrs[attr_name]

    @h5_file_access
    def dshape(
        self, dsname: str, data_type: str = "data", sn: str | None = None
    ) -> tuple[int, ...]:
        """Give the shape of a field's data, or of its timestamps."""
        shape: tuple[int, ...] = self._file[self._path(dsname, data_type, sn)].shape
        return shape

    @h5_file_access
    def dset(
        self,
        dsname: str,
        data_type: str = "data",
        sn: str | None = None,
        get_path: bool = False,
        return_reference: bool = True,
    ) -> Any:
        """Give a field's data, or their timestamps.

        Parameters
        ----------
        dsname
            The field.
        data_type
            ``"data"`` or ``"timestamps"``.
        sn
            The sample; the oldest by default.
        get_path
            Give the path in the file instead.
        return_reference
            Give the dataset, which is of use between `explicit_open` and `explicit_close` only;
            False for its values.
        """
        path = self._path(dsname, data_type, sn)
        if get_path:
            return path
        return self._file[path] if return_reference else self._file[path][()]

    def load_data(
        self,
        update_only: bool = False,
        detectors: Sequence[Any] | None = None,
        reft: float = -1,
        save_1d: bool = False,
        save_merged: bool = False,
        debug: bool | str = False,
        N: int = 8,
        max_c_size: int = 0,
        dtype: Any = None,
        **ours: Any,
    ) -> None:
        """Reduce the raw frames; see `h5xs_bluesky.h5xs.load_data`.

        Parameters
        ----------
        update_only, detectors
            As there.
        reft, save_1d, save_merged, debug, N, max_c_size, dtype
            Do nothing; all processors are used, or the `executor` that is given.
        **ours
            Its further arguments.
        """
        used = self._configs if detectors is None else detectors
        super().load_data(update_only, used, **ours)

    def average_d1s(  # type: ignore[override]
        self,
        samples: str | Sequence[str] | None = None,
        update_only: bool = False,
        selection: ArrayLike | None = None,
        filter_data: bool = False,
        debug: Any = False,
        *,
        max_distance: float | None = None,
    ) -> None:
        """Average frames; see `h5xs_bluesky.h5xs.average_d1s`. `debug` does nothing."""
        super().average_d1s(samples, update_only, selection, filter_data, max_distance)

    def get_mon(
        self,
        sn: str | Sequence[str] | None = None,
        *arguments: Any,
        ts_pos_in_frame: str | None = None,
        debug: bool | str = False,
        **named: Any,
    ) -> Any:
        """Give what the monitors read; see `h5xs_bluesky.h5xs.get_mon`.

        Parameters
        ----------
        ts_pos_in_frame
            As `stamped` there.
        debug
            Does nothing.
        """
        if ts_pos_in_frame is not None:
            named["stamped"] = ts_pos_in_frame
        return super().get_mon(sn, *arguments, **named)

    def set_trans(
        self, transMode: Any, *arguments: Any, debug: bool | str = False, **named: Any
    ) -> None:
        """Choose what tells the transmitted beam; see `h5xs_bluesky.h5xs.set_trans`.

        `debug` does nothing.
        """
        super().set_trans(transMode, *arguments, **named)

    def export_d1s(
        self,
        samples: str | Sequence[str] | None = None,
        path: str | Path = "",
        save_subtracted: bool | Literal["merged"] = True,
        debug: bool | str = False,
        **ours: Any,
    ) -> list[Path]:
        """Write curves as text; see `h5xs_bluesky.h5xs.export_d1s`. `debug` does nothing."""
        return super().export_d1s(samples, path, save_subtracted, **ours)

    def save_d1s(self, sn: str | None = None, debug: bool | str = False) -> None:
        """Save; see `h5xs_bluesky.h5xs.save_d1s`. `debug` does nothing."""
        super().save_d1s(sn)

    def get_d2(
        self,
        sn: str | None = None,
        det_ext: str | None = None,
        frn: Any = None,
        dtype: Any = None,
        detectors: Sequence[Any] | None = None,
        client: object = None,
    ) -> Any:
        """Give patterns, as `h5xs_bluesky.h5xs.get_d2`; ``data.d`` is the flipped picture."""
        found = super().get_d2(sn, det_ext, frn, dtype, detectors)
        if isinstance(found, dict):
            return {name: self._described(pattern) for name, pattern in found.items()}
        return self._described(found)

    def _described(self, pattern: Data2d) -> Data2d:
        config = self.det(pattern.detector.extension)
        return describe(pattern, config.exp_para if isinstance(config, DetectorConfig) else None)

    @property
    def _file(self) -> h5py.File:
        if not self.fh5:
            raise RuntimeError("expected the file to be open, found it closed")
        return self.fh5

    def _path(self, dsname: str, data_type: str, sn: str | None) -> str:
        if data_type not in _DATA_TYPES:
            raise ValueError(f"expected a data_type of {_DATA_TYPES}, found {data_type!r}")
        name = self._source.resolve(sn)
        return f"{name}/{find_field(self._file, dsname, name)}/{data_type}/{dsname}"

    @h5_file_access
    def _read_configs(self) -> list[Any]:
        """Describe the detectors: as py4xs wrote them, where it did."""
        text = text_attribute(self._file.attrs, schema.DETECTORS, "[]")
        written = {str(entry["extension"]): entry for entry in json.loads(text)}
        configs = []
        for detector in self._memory.beamline.detectors:
            if detector.model == MODEL and detector.extension in written:
                config = create_det_from_attrs(written[detector.extension])
                config.data_key = detector.data_key
                config.fix_scale = detector.fix_scale
                configs.append(config)
            else:
                configs.append(_config(detector))
        return configs


def _config(detector: Any) -> Any:
    """Describe a detector; one that py4xs has no terms for stays as it is."""
    if not isinstance(detector, Detector):
        return detector
    try:
        return DetectorConfig.from_detector(detector)
    except ReductionError as error:
        logger.info("%s is not described in py4xs' terms: %s", detector.extension, error)
        return detector


class h5exp(_h5exp):
    """Detectors and q-grid for other objects; see `h5xs_bluesky.h5exp`.

    ``[exp.detectors, exp.qgrid]`` is what `h5xs` takes.

    Parameters
    ----------
    fn, roots, read_only
        As of `h5xs_bluesky.h5exp`.
    exp_setup
        ``[detectors, qgrid]``; detectors may be `DetectorConfig`.
    """

    def __init__(
        self,
        fn: str | Path,
        exp_setup: Sequence[Any] | None = None,
        *,
        roots: Sequence[str | Path] = (),
        read_only: bool = False,
    ) -> None:
        if exp_setup is not None:
            exp_setup = [as_detectors(exp_setup[0]), *exp_setup[1:]]
        super().__init__(fn, exp_setup, roots=roots, read_only=read_only)
