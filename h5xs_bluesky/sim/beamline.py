"""Beamlines to try the program on: one simulated, one that repeats exposures from files."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.api.frame_choice import ELUTION
from h5xs_bluesky.config import Beamline
from h5xs_bluesky.errors import FileFormatError
from h5xs_bluesky.io.mask_files import read_mask
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.sim.patterns import PatternMaker, Sensor, beam_stop
from h5xs_bluesky.sim.samples import PROTEIN, SAMPLES, Beam, Sample, simulate
from h5xs_bluesky.sim.shots import Shot
from h5xs_bluesky.sim.split import split_exposure

CONFIGURATION_FILE = "beamline.toml"
SAXS_MASK_FILE, WAXS_MASK_FILE, WAXS_PONI_FILE = "saxs_mask.npz", "waxs_mask.npz", "waxs.poni"

_SAXS_SHAPE, _WAXS_SHAPE = (1043, 981), (619, 487)  # Pilatus 1M and 300K
_BEAM_CENTER_PX = (430.0, 520.0)  # as in beamline.toml
_WAXS_PONI = """\
# Calibration of the simulated WAXS detector, as pyFAI writes it.
poni_version: 2.1
Detector: Pilatus300k
Detector_config: {"orientation": 3}
Distance: 0.40
Poni1: 0.053
Poni2: 0.0419
Rot1: 0.03
Rot2: -0.16
Rot3: 0.0
Wavelength: 8.2e-11
"""
_GUINIER_ERROR_OF_SPHERES = 0.03  # a fit up to q Rg = 1.3 reads spheres 1 to 2 % high
_GUINIER_RADIUS_OF_EXPOSURES = (16.2, 0.6)
_NOMINAL_PHOTONS_PER_S = 1e6
_SHADOW_MARGIN_PX = 3


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MeasuredSample:
    """A sample that can be put into the beam.

    Parameters
    ----------
    name, title
        As the start document has them.
    buffer
        The sample that is its background.
    frame_s
        Gives a frame's exposure, in s, if a number of frames is taken.
    shots
        Gives the exposures of a series of that many frames.
    originals : mapping of data key to ndarray, shape (H, W)
        What the frames of a series add up to, where that is known.
    elutes
        Whether it is what leaves a column.
    """

    name: str
    title: str
    buffer: str | None
    frame_s: Callable[[int], float]
    shots: Callable[[int], Iterator[Shot]]
    originals: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    elutes: bool = False

    @property
    def metadata(self) -> dict[str, Any]:
        """What the start document tells about it."""
        start: dict[str, Any] = {"sample_name": self.name, "title": self.title}
        if self.elutes:
            start[ELUTION] = True
        return start if self.buffer is None else {**start, "buffer": self.buffer}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Exposure:
    """A real exposure.

    Parameters
    ----------
    name, title
        Of the sample.
    buffer
        The sample that is its background.
    exposure_s
        How long it took.
    counts : ndarray of int32, shape (H, W)
        The pattern.
    """

    name: str
    title: str
    buffer: str | None
    exposure_s: float
    counts: NDArray[Any]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SimulatedBeamline:
    """A beamline's configuration, and the samples that wait there.

    Parameters
    ----------
    beamline
        Read from the files that were written.
    samples
        In the order in which they are measured.
    guinier_radius_angstrom
        Radius of gyration that sample minus buffer should have, and how far off it may be.
    note
        What a reader of the results should know.
    """

    beamline: Beamline
    samples: Sequence[MeasuredSample]
    guinier_radius_angstrom: tuple[float, float]
    note: str = ""


def simulated_beamline(folder: Path, *, seed: int = 0) -> SimulatedBeamline:
    """Write the configuration of the simulated beamline and make its samples.

    Parameters
    ----------
    folder
        Gets ``beamline.toml``, two masks and a PONI file; older ones are replaced.
    seed
        Equal seeds give equal frames.
    """
    rng = np.random.default_rng(seed)
    sensors = _sensors(rng)
    _write_geometry(folder, sensors)
    beamline = _write_configuration(folder, "beamline.toml")
    makers = {
        detector.data_key: PatternMaker(
            detector.geometry, sensor, polarization=beamline.reduction.polarization
        )
        for detector, sensor in zip(beamline.detectors, sensors, strict=True)
    }
    samples = [
        _simulated(sample, makers, sample_rng)
        for sample, sample_rng in zip(SAMPLES, rng.spawn(len(SAMPLES)), strict=True)
    ]
    radius = PROTEIN.guinier_radius_angstrom
    return SimulatedBeamline(
        beamline=beamline,
        samples=samples,
        guinier_radius_angstrom=(radius, _GUINIER_ERROR_OF_SPHERES * radius),
    )


def endstation_beamline(folder: Path, *, seed: int = 0) -> Beamline:
    """Write the configuration of the beamline whose devices are an `Endstation`, and read it.

    Its detectors are those of `simulated_beamline`; its monitors run on their own.

    Parameters
    ----------
    folder
        Is made, and gets ``beamline.toml``, two masks and a PONI file; older ones are replaced.
    seed
        Equal seeds give equal masks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write_geometry(folder, _sensors(np.random.default_rng(seed)))
    return _write_configuration(folder, "endstation.toml")


def exposures_beamline(folder: Path, data: Path, *, seed: int = 0) -> SimulatedBeamline:
    """Write the configuration of a laboratory source, and repeat the exposures taken there.

    Parameters
    ----------
    folder
        Gets ``beamline.toml`` and the mask.
    data
        Holds ``agbh.tif`` (60 s), ``buffer.tif`` and ``sample.tif`` (300 s each) and
        ``mask.npz``, itself or in its folder ``saxs``.
    seed
        Equal seeds give equal frames.

    Raises
    ------
    FileFormatError
        If one of these files is not there, or not of the detector's shape.
    """
    mask = read_mask(_exposures_in(data) / "mask.npz", shape=_SAXS_SHAPE)
    _write_mask(folder / SAXS_MASK_FILE, mask)
    beamline = _write_configuration(folder, "exposures.toml")
    rngs = np.random.default_rng(seed).spawn(3)
    samples = [
        _repeated(exposure, beamline.detectors[0], rng)
        for exposure, rng in zip(known_exposures(data), rngs, strict=True)
    ]
    return SimulatedBeamline(
        beamline=beamline,
        samples=samples,
        guinier_radius_angstrom=_GUINIER_RADIUS_OF_EXPOSURES,
        note="The monitors are simulated: the exposures came without.",
    )


def known_exposures(data: Path) -> list[Exposure]:
    """Read the exposures in a folder: see `exposures_beamline`.

    Raises
    ------
    FileFormatError
        If one of them is not there, or not of the detector's shape.
    """
    known = (
        ("agbh", "silver behenate", None, 60.0),
        ("buffer", "buffer", None, 300.0),
        ("sample", "protein in buffer", "buffer", 300.0),
    )
    source = _exposures_in(data)
    return [
        Exposure(
            name=name,
            title=title,
            buffer=buffer,
            exposure_s=exposure_s,
            counts=_read_exposure(source / f"{name}.tif"),
        )
        for name, title, buffer, exposure_s in known
    ]


def _exposures_in(data: Path) -> Path:
    return data / "saxs" if (data / "saxs").is_dir() else data


def _sensors(rng: np.random.Generator) -> tuple[Sensor, Sensor]:
    from pyFAI.detectors import detector_factory

    gaps = [detector_factory(model).calc_mask() != 0 for model in ("Pilatus1M", "Pilatus300k")]
    shadow = beam_stop(_SAXS_SHAPE, center_px=_BEAM_CENTER_PX, radius_px=20.0, arm_px=13.0)
    return (
        Sensor.with_faults(gaps[0], shadow=shadow, dead=70, hot=120, rng=rng),
        Sensor.with_faults(gaps[1], shadow=np.zeros(_WAXS_SHAPE, bool), dead=20, hot=40, rng=rng),
    )


def _write_geometry(folder: Path, sensors: tuple[Sensor, Sensor]) -> None:
    """Write what the TOML files name: a careful scientist's masks, and the calibration."""
    _write_mask(folder / SAXS_MASK_FILE, sensors[0].mask(margin_px=_SHADOW_MARGIN_PX))
    _write_mask(folder / WAXS_MASK_FILE, sensors[1].mask(margin_px=0))
    (folder / WAXS_PONI_FILE).write_text(_WAXS_PONI, encoding="utf-8")


def _simulated(
    sample: Sample, makers: Mapping[str, PatternMaker], rng: np.random.Generator
) -> MeasuredSample:
    return MeasuredSample(
        name=sample.name,
        title=sample.title,
        buffer=sample.buffer,
        frame_s=lambda _: sample.exposure_s,
        shots=lambda frames: simulate(sample, frames, makers=makers, beam=Beam(), rng=rng),
    )


def _repeated(exposure: Exposure, detector: Detector, rng: np.random.Generator) -> MeasuredSample:
    noise = Beam().monitor_noise

    def shots(frames: int) -> Iterator[Shot]:
        photons = _NOMINAL_PHOTONS_PER_S * exposure.exposure_s / frames
        for frame in split_exposure(exposure.counts, frames, rng):
            incident, transmitted = photons * (1 + noise * rng.standard_normal(2))
            yield Shot(
                frames={detector.data_key: frame},
                incident=float(incident),
                transmitted=float(transmitted),
            )

    return MeasuredSample(
        name=exposure.name,
        title=exposure.title,
        buffer=exposure.buffer,
        frame_s=lambda frames: exposure.exposure_s / frames,
        shots=shots,
        originals={detector.data_key: exposure.counts},
    )


def _read_exposure(path: Path) -> NDArray[Any]:
    import fabio

    if not path.is_file():
        raise FileFormatError(f"{path}: expected an exposure, found no file")
    try:
        with fabio.open(str(path)) as picture:
            exposure = np.asarray(picture.data)
    except Exception as error:
        raise FileFormatError(f"{path}: expected an exposure, found an error: {error}") from error
    if exposure.shape != _SAXS_SHAPE or exposure.dtype != np.int32:
        raise FileFormatError(
            f"{path}: expected an exposure of shape {_SAXS_SHAPE} and dtype int32, found "
            f"{exposure.shape} and {exposure.dtype}"
        )
    return exposure


def _write_configuration(folder: Path, name: str) -> Beamline:
    text = resources.files("h5xs_bluesky.sim").joinpath(name).read_text(encoding="utf-8")
    path = folder / CONFIGURATION_FILE
    path.write_text(text, encoding="utf-8")
    return Beamline.from_toml(path)


def _write_mask(path: Path, mask: NDArray[np.bool_]) -> None:
    np.savez_compressed(path, mask=mask)
