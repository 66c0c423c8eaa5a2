"""Where the frames of the simulated detectors come from: from physics, or from real exposures."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.config import Beamline
from h5xs_bluesky.errors import ConfigurationError
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.sim.beamline import known_exposures
from h5xs_bluesky.sim.endstation.holders import Holder, nothing, standard_holders
from h5xs_bluesky.sim.patterns import GAP, PatternMaker, Sensor
from h5xs_bluesky.sim.samples import Sample

_SHADOW_OF_SMALLEST_Q = 0.6  # the beam stop reaches to this part of the q-grid's first edge
_MOST_COUNTS = 1_000_000.0
_EXPOSED_S = 30.0  # of the real source, for each second of the simulated one


class FrameSource(Protocol):
    """Makes frames of what is in the beam."""

    @property
    def holders(self) -> Mapping[str, Holder]:
        """What may be put into the beam, by position on the changer."""
        ...

    def load(self, position: str) -> None:
        """Get ready for frames of this position; may take a second."""
        ...

    def frame(
        self, data_key: str, position: str, photons_cm: Sequence[float], rng: np.random.Generator
    ) -> NDArray[np.int32]:
        """Make a frame, (H, W), of counts with their noise.

        Parameters
        ----------
        data_key
            Names the detector.
        position
            What is in the beam.
        photons_cm
            For each of `Sample.profiles`: transmitted photons × its thickness in cm.
        rng
            The source of chance.
        """
        ...


class SimulatedFrames:
    """Frames from cross-sections.

    What a detector's mask excludes does not count: gaps that pyFAI knows give −1, the rest lies in
    the shadow. So does what is behind the beam stop, at q below the grid.

    Parameters
    ----------
    beamline
        Its detectors.
    holders
        What may be put into the beam; by default `standard_holders`.
    """

    def __init__(self, beamline: Beamline, holders: Mapping[str, Holder] | None = None) -> None:
        self.holders: Mapping[str, Holder] = standard_holders() if holders is None else holders
        self._beamline = beamline
        self._lock = threading.Lock()
        self._makers: dict[str, PatternMaker] = {}
        self._images: dict[tuple[str, Any], NDArray[np.float64]] = {}

    def load(self, position: str) -> None:
        """Make the images of what scatters there."""
        for data_key in self._beamline.data_keys:
            self._images_of(data_key, position)

    def frame(
        self, data_key: str, position: str, photons_cm: Sequence[float], rng: np.random.Generator
    ) -> NDArray[np.int32]:
        """Make a frame."""
        maker, images = self._images_of(data_key, position)
        weights = [
            weight
            for profile, weight in zip(
                self.holders[position].sample.profiles, photons_cm, strict=True
            )
            if profile is not None
        ]
        return maker.frame(images, weights, rng)

    def _images_of(
        self, data_key: str, position: str
    ) -> tuple[PatternMaker, list[NDArray[np.float64]]]:
        with self._lock:
            if data_key not in self._makers:
                self._makers[data_key] = _maker(self._beamline, data_key)
            maker = self._makers[data_key]
            images = []
            for profile in self.holders[position].sample.profiles:
                if profile is None:
                    continue
                if (data_key, profile) not in self._images:
                    self._images[data_key, profile] = maker.image(profile)
                images.append(self._images[data_key, profile])
            return maker, images


def _maker(beamline: Beamline, data_key: str) -> PatternMaker:
    detector = beamline.data_keys[data_key]
    gaps = _gaps(detector)
    q = detector.geometry.q_map()
    behind_the_stop = q < _SHADOW_OF_SMALLEST_Q * float(beamline.qgrid.edges[0])
    sensor = Sensor(
        flags=np.where(gaps, GAP, 0).astype(np.int32),
        shadow=(detector.mask & ~gaps) | behind_the_stop,
        hot_counts=np.zeros(gaps.shape, np.int32),
    )
    return PatternMaker(detector.geometry, sensor, polarization=beamline.reduction.polarization)


def _gaps(detector: Detector) -> NDArray[np.bool_]:
    """Give where a detector has gaps, as far as pyFAI knows its model."""
    from pyFAI.detectors import ALL_DETECTORS, detector_factory

    shape = detector.geometry.shape
    if detector.model.lower() not in ALL_DETECTORS:
        return np.zeros(shape, dtype=bool)
    gaps = detector_factory(detector.model).calc_mask()
    if gaps is None or gaps.shape != shape:
        return np.zeros(shape, dtype=bool)
    return np.asarray(gaps != 0)


class MeasuredFrames:
    """Frames that scatter as real exposures did, taken at a laboratory source with one detector.

    Each frame has Poisson's noise about the exposure, scaled by the simulated beam. The exposures'
    own noise is in all of them.

    Parameters
    ----------
    beamline
        From `exposures_beamline`, with one detector.
    data
        Holds the exposures: see `exposures_beamline`.
    photons_per_s
        Of the simulated beam for which a second gives the counts of 30 s of the real one.

    Raises
    ------
    ConfigurationError
        If the beamline has other than one detector.
    FileFormatError
        If an exposure is missing, or not of the detector's shape.
    """

    def __init__(self, beamline: Beamline, data: Path, *, photons_per_s: float = 2e12) -> None:
        if len(beamline.detectors) != 1:
            raise ConfigurationError(
                "expected a beamline with the one detector of the exposures, found "
                f"{[detector.extension for detector in beamline.detectors]}"
            )
        self._expected: dict[str, NDArray[np.float64]] = {}
        holders = {"empty": Holder(sample=_plain("empty", "nothing", 0.0))}
        for exposure in known_exposures(data):
            sample = _plain(exposure.name, exposure.title, 1.65)
            photons_cm = photons_per_s * sample.transmission() * sample.thickness_cm
            scale = _EXPOSED_S / exposure.exposure_s / photons_cm
            holders[exposure.name] = Holder(sample=sample)
            self._expected[exposure.name] = np.maximum(exposure.counts, 0) * scale
        self.holders: Mapping[str, Holder] = holders

    def load(self, position: str) -> None:
        """Do nothing: all is there."""

    def frame(
        self, data_key: str, position: str, photons_cm: Sequence[float], rng: np.random.Generator
    ) -> NDArray[np.int32]:
        """Make a frame."""
        expected = self._expected.get(position)
        if expected is None:
            shape = next(iter(self._expected.values())).shape
            return np.zeros(shape, dtype=np.int32)
        counts: NDArray[Any] = rng.poisson(np.minimum(photons_cm[0] * expected, _MOST_COUNTS))
        return counts.astype(np.int32)


def _plain(name: str, title: str, attenuation_per_cm: float) -> Sample:
    return Sample(
        name=name,
        title=title,
        matrix=nothing,
        attenuation_per_cm=attenuation_per_cm,
        exposure_s=0.2,
    )
