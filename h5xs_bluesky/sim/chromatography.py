"""A column in front of the beam (SEC): what elutes frame after frame, with the truth known."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.config import Beamline
from h5xs_bluesky.errors import ConfigurationError
from h5xs_bluesky.sim.beamline import CONFIGURATION_FILE, MeasuredSample, SimulatedBeamline
from h5xs_bluesky.sim.patterns import PatternMaker, Sensor, beam_stop
from h5xs_bluesky.sim.profiles import Profile, Spheres, slit_scattering, water
from h5xs_bluesky.sim.samples import PROTEIN, Beam
from h5xs_bluesky.sim.shots import Shot

_GUINIER_ERROR_OF_SPHERES = 0.03  # a fit up to q Rg = 1.3 reads spheres 1 to 2 % high
_SHAPE, _BEAM_CENTER_PX = (256, 192), (40.0, 96.0)  # as in sec.toml
_MASK_FILE = "fast_mask.npz"
_STOP_RADIUS_PX, _STOP_ARM_PX = 5.0, 5.0
_SHADOW_MARGIN_PX = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Eluted:
    """Something that leaves the column as an exponentially modified Gaussian.

    Parameters
    ----------
    profile
        What it scatters where it is most concentrated.
    at, width, tail
        Centre and standard deviation of the Gaussian, and the decay of its tail, as parts of the
        series.
    """

    profile: Profile
    at: float
    width: float
    tail: float

    def __post_init__(self) -> None:
        for name in ("width", "tail"):
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"expected a positive {name}, found {getattr(self, name)}")

    def concentration(self, frames: int) -> NDArray[np.float64]:
        """Give the concentration in each of the frames, 1 where it is largest."""
        from scipy.stats import exponnorm

        part = np.arange(frames) / frames
        shape = exponnorm.pdf(part, self.tail / self.width, loc=self.at, scale=self.width)
        concentration: NDArray[np.float64] = shape / shape.max()
        return concentration


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A series behind a column.

    Parameters
    ----------
    protein
        The main peak.
    aggregate
        What elutes in front of it and overlaps; None for nothing.
    fouling
        What the protein leaves on the capillary by the end, in proportion to what has passed; None
        for nothing.
    matrix
        The buffer.
    thickness_cm, attenuation_per_cm
        Of the path through it.
    exposure_s
        Of one frame.
    """

    protein: Eluted
    aggregate: Eluted | None = None
    fouling: Profile | None = None
    matrix: Profile = water
    thickness_cm: float = 0.15
    attenuation_per_cm: float = 1.65
    exposure_s: float = 0.2

    @property
    def profiles(self) -> list[Profile]:
        """What scatters: slits, buffer, protein and, where there are any, aggregate and fouling."""
        profiles = [slit_scattering, self.matrix, self.protein.profile]
        if self.aggregate is not None:
            profiles.append(self.aggregate.profile)
        return profiles if self.fouling is None else [*profiles, self.fouling]

    def amounts(self, frames: int) -> NDArray[np.float64]:
        """Give how much of each of `profiles` is there in each frame, (frames, profiles)."""
        protein = self.protein.concentration(frames)
        columns = [np.ones(frames), np.ones(frames), protein]
        if self.aggregate is not None:
            columns.append(self.aggregate.concentration(frames))
        if self.fouling is not None:
            columns.append(np.cumsum(protein) / protein.sum())
        return np.stack(columns, axis=1)

    def shots(
        self,
        frames: int,
        *,
        makers: Mapping[str, PatternMaker],
        beam: Beam,
        rng: np.random.Generator,
    ) -> Iterator[Shot]:
        """Expose frame after frame.

        Parameters
        ----------
        frames
            How many.
        makers
            The detectors, by data key.
        beam
            The beam; over the whole series it falls by its drift.
        rng
            The source of chance.

        Yields
        ------
        Shot
            One exposure after the other.
        """
        images = {
            key: [maker.image(profile) for profile in self.profiles]
            for key, maker in makers.items()
        }
        through = np.exp(-self.attenuation_per_cm * self.thickness_cm)
        slow = replace(beam, refill_frames=frames)
        for number, amounts in enumerate(self.amounts(frames)):
            photons = slow.photons(number, exposure_s=self.exposure_s)
            weights = photons * through * self.thickness_cm * amounts
            noise = 1 + beam.monitor_noise * rng.standard_normal(2)
            yield Shot(
                frames={
                    key: maker.frame(images[key], weights.tolist(), rng)
                    for key, maker in makers.items()
                },
                incident=photons * float(noise[0]),
                transmitted=photons * float(through * noise[1]),
            )


def fouled_capillary(q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give what protein burnt onto the capillary scatters: ∝ q⁻³, a little."""
    scattering: NDArray[np.float64] = 0.004 * (q / 0.01) ** -3
    return scattering


COLUMN = Column(
    protein=Eluted(profile=PROTEIN, at=0.55, width=0.022, tail=0.018),
    aggregate=Eluted(
        profile=Spheres(forward_per_cm=0.1, radius_angstrom=60.0, relative_width=0.15),
        at=0.45,
        width=0.018,
        tail=0.006,
    ),
)


def sec_beamline(
    folder: Path, *, column: Column = COLUMN, photons_per_s: float = 5e11, seed: int = 0
) -> SimulatedBeamline:
    """Write the configuration of a beamline with a column and one small, fast detector.

    Parameters
    ----------
    folder
        Gets ``beamline.toml`` and a mask; older ones are replaced.
    column
        What comes out of the column: the one sample, ``"column"``.
    photons_per_s
        On the sample.
    seed
        Equal seeds give equal frames.
    """
    shadow = beam_stop(
        _SHAPE, center_px=_BEAM_CENTER_PX, radius_px=_STOP_RADIUS_PX, arm_px=_STOP_ARM_PX
    )
    sensor = Sensor(
        flags=np.zeros(_SHAPE, np.int32), shadow=shadow, hot_counts=np.zeros(_SHAPE, np.int32)
    )
    np.savez_compressed(folder / _MASK_FILE, mask=sensor.mask(margin_px=_SHADOW_MARGIN_PX))
    text = resources.files("h5xs_bluesky.sim").joinpath("sec.toml").read_text(encoding="utf-8")
    path = folder / CONFIGURATION_FILE
    path.write_text(text, encoding="utf-8")
    beamline = Beamline.from_toml(path)
    (detector,) = beamline.detectors
    makers = {
        detector.data_key: PatternMaker(
            detector.geometry, sensor, polarization=beamline.reduction.polarization
        )
    }
    beam, rng = Beam(photons_per_s=photons_per_s), np.random.default_rng(seed)
    sample = MeasuredSample(
        name="column",
        title="protein behind a column",
        buffer=None,
        elutes=True,
        frame_s=lambda _: column.exposure_s,
        shots=lambda frames: column.shots(frames, makers=makers, beam=beam, rng=rng),
    )
    radius = PROTEIN.guinier_radius_angstrom
    return SimulatedBeamline(
        beamline=beamline,
        samples=[sample],
        guinier_radius_angstrom=(radius, _GUINIER_ERROR_OF_SPHERES * radius),
    )
