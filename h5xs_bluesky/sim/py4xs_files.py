"""Simulated experiments in single files, laid out as py4xs keeps them at LiX."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky import schema
from h5xs_bluesky.compat.py4xs.detector_config import DetectorConfig
from h5xs_bluesky.compat.py4xs.exp_para import ExpPara
from h5xs_bluesky.compat.py4xs.local import incident_monitor_field, transmitted_monitor_field
from h5xs_bluesky.errors import ConfigurationError
from h5xs_bluesky.io.replace import replace_whole
from h5xs_bluesky.sim.patterns import PatternMaker, Sensor, beam_stop
from h5xs_bluesky.sim.profiles import Profile, slit_scattering, water
from h5xs_bluesky.sim.samples import PROTEIN

_WAVELENGTH_ANGSTROM = 0.82
_KEV_ANGSTROM = 12.398419843320026  # h c
_PHOTONS = 5e10  # of an exposure
_EXPOSURE_S = 1.0
_PATH_CM = 0.15
_WATER_ATTENUATION_PER_CM = 1.65
_MONITOR_NOISE = 1e-4
_STOP_PX = 5.0
_WINDOWS_PER_CM = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """One sample's exposures.

    Parameters
    ----------
    name
        Of the sample.
    water
        Part of the path that is filled.
    concentration : (n,)
        Of the protein in each frame; 1 for the usual one.
    """

    name: str
    water: float = 1.0
    concentration: tuple[float, ...]


def _peak(frames: int, *, at: float, width: float) -> tuple[float, ...]:
    number = np.arange(frames)
    return tuple(np.exp(-(((number - at) / width) ** 2) / 2).tolist())


# In a flow cell water fills the beam's path; a fixed cell is measured empty, too; of a column's
# eluate, frame after frame, the protein comes as a peak.
EXPERIMENTS: Mapping[str, Sequence[Series]] = {
    "flow cell": (
        Series(name="buffer", concentration=(0.0,) * 8),
        Series(name="protein", concentration=(1.0,) * 8),
    ),
    "fixed cell": (
        Series(name="empty", water=0.0, concentration=(0.0,) * 5),
        Series(name="buffer", concentration=(0.0,) * 5),
        Series(name="protein", water=0.97, concentration=(1.0,) * 5),
    ),
    "SEC": (Series(name="column", concentration=_peak(48, at=27.0, width=4.0)),),
}


def py4xs_detectors() -> list[DetectorConfig]:
    """Make the detectors: SAXS upright, and WAXS tilted and turned by 90° (``flip=1``)."""
    saxs, waxs = ExpPara(243, 195), ExpPara(195, 243)
    saxs.bm_ctr_x, saxs.bm_ctr_y, saxs.ratioDw = 110.3, 88.7, 15.8
    waxs.bm_ctr_x, waxs.bm_ctr_y, waxs.ratioDw = -20.4, 250.2, 4.5
    waxs.det_orient, waxs.det_tilt, waxs.det_phi, waxs.flip = 45.0, -19.0, 3.0, 1
    for para in (saxs, waxs):
        para.wavelength = _WAVELENGTH_ANGSTROM
    saxs.mask.add_item("c", [saxs.bm_ctr_x, saxs.bm_ctr_y, _STOP_PX + 2])
    saxs.mask.add_item("r", [saxs.bm_ctr_x, 145.0, 7.0, 120.0, 0.0])
    waxs.mask.add_item("r", [97.0, 120.0, 195.0, 7.0, 0.0])
    scale = float((saxs.Dd / waxs.Dd) ** 2)
    return [
        DetectorConfig("_SAXS", saxs, fix_scale=1.0),
        DetectorConfig("_WAXS2", waxs, fix_scale=scale),
    ]


def py4xs_qgrid() -> NDArray[np.float64]:
    """Give the centres of the bins, in Å⁻¹: steps that grow, as LiX has them.

    They begin outside the beam stop: py4xs' averages are NaN throughout where one bin below
    0.3 Å⁻¹ is.
    """
    parts = ((0.016, 0.05, 0.001), (0.05, 0.1, 0.002), (0.1, 0.5, 0.005), (0.5, 1.0, 0.01))
    fine = [start + step * np.arange(round((stop - start) / step)) for start, stop, step in parts]
    return np.concatenate([*fine, 1.0 + 0.02 * np.arange(75)])


def write_py4xs_file(path: Path, experiment: str, *, seed: int = 0) -> None:
    """Write the raw data of an experiment, with detectors, masks and q-grid, but no curves.

    Parameters
    ----------
    path
        Of the file; one that is there is replaced.
    experiment
        One of `EXPERIMENTS`.
    seed
        Equal seeds give equal frames.

    Raises
    ------
    ConfigurationError
        If there is no such experiment.
    """
    if experiment not in EXPERIMENTS:
        raise ConfigurationError(f"expected one of {list(EXPERIMENTS)}, found {experiment!r}")
    rng = np.random.default_rng(seed)
    detectors = py4xs_detectors()
    makers = {d.to_detector().data_key: _maker(d) for d in detectors}
    with replace_whole(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs[schema.DETECTORS] = json.dumps([d.pack_dict() for d in detectors])
        file.attrs[schema.QGRID] = py4xs_qgrid()
        file.attrs[schema.TRANS] = f"0,{transmitted_monitor_field}"
        for number, series in enumerate(EXPERIMENTS[experiment]):
            _write_sample(file.create_group(series.name), series, number, makers, rng)


def _cell(q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give what slits and windows scatter, as if the sample did: flat, and ∝ q⁻⁴ near the beam."""
    return slit_scattering(q) + _WINDOWS_PER_CM


def _maker(detector: DetectorConfig) -> PatternMaker:
    place = detector.exp_para.place
    geometry = place.to_geometry()
    shadow = np.zeros((place.image_height, place.image_width), bool)
    if detector.extension == "_SAXS":
        shadow = beam_stop(
            shadow.shape,
            center_px=(place.bm_ctr_y, place.bm_ctr_x),
            radius_px=_STOP_PX,
            arm_px=_STOP_PX,
        )
    flags = np.zeros(geometry.shape, np.int32)
    flags[:, -3:] = -1
    sensor = Sensor(flags=flags, shadow=place.stored(shadow), hot_counts=np.zeros_like(flags))
    return PatternMaker(geometry, sensor, polarization=1.0)


def _write_sample(
    group: h5py.Group,
    series: Series,
    number: int,
    makers: Mapping[str, PatternMaker],
    rng: np.random.Generator,
) -> None:
    count = len(series.concentration)
    times = 1.7e9 + 1000 * number + np.arange(count) * _EXPOSURE_S
    for key, document in _documents(series, times).items():
        group.attrs[key] = json.dumps(document)
    photons = _PHOTONS * (1 - 0.02 * rng.random(count))
    through = np.exp(-_WATER_ATTENUATION_PER_CM * _PATH_CM * series.water)
    noise = 1 + _MONITOR_NOISE * rng.standard_normal((2, count))
    columns: dict[str, NDArray[Any]] = {
        incident_monitor_field: photons * noise[0],
        transmitted_monitor_field: photons * through * noise[1],
    }
    profiles: list[Profile] = [_cell, water, PROTEIN]
    for key, maker in makers.items():
        columns[key] = _frames(maker, profiles, series, photons * through, rng)
    stream = group.create_group(schema.PRIMARY)
    stream[schema.TIME] = times
    for key, column in columns.items():
        compressed = {"compression": "gzip", "compression_opts": 1} if column.ndim > 1 else {}
        stream.create_dataset(f"{schema.DATA}/{key}", data=column, **compressed)
        stream[f"{schema.TIMESTAMPS}/{key}"] = times


def _documents(series: Series, times: NDArray[Any]) -> dict[str, Any]:
    """Give the headers, with what py4xs looks for in them."""
    start = {
        "uid": f"simulated-{series.name}",
        "time": times[0],
        "scan_id": 1,
        "plan_name": "count",
        "num_points": len(times),
        "sample_name": series.name,
        "beamline_id": "LIX",
        "energy": {"energy": 1000 * _KEV_ANGSTROM / _WAVELENGTH_ANGSTROM},
        "pilatus": {"exposure_time": _EXPOSURE_S},
    }
    exposures = {f"pil_{name}_cam_acquire_time": _EXPOSURE_S for name in ("pil1M", "pilW2")}
    descriptor = {"name": schema.PRIMARY, "configuration": {"pil": {"data": exposures}}}
    stop = {"run_start": start["uid"], "time": times[-1] + _EXPOSURE_S, "exit_status": "success"}
    return {schema.START: start, schema.DESCRIPTORS: [descriptor], schema.STOP: stop}


def _frames(
    maker: PatternMaker,
    profiles: Sequence[Profile],
    series: Series,
    transmitted: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.int32]:
    images = [maker.image(profile) for profile in profiles]
    return np.stack(
        [
            maker.frame(
                images,
                [beam * _PATH_CM * part for part in (1.0, series.water, concentration)],
                rng,
            )
            for beam, concentration in zip(transmitted, series.concentration, strict=True)
        ]
    )
