"""What is put into the simulated beam, what goes wrong with it, and what is recorded of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ConfigurationError
from h5xs_bluesky.sim.patterns import PatternMaker
from h5xs_bluesky.sim.profiles import (
    Profile,
    Spheres,
    meniscus_scattering,
    silver_behenate,
    slit_scattering,
    water,
)
from h5xs_bluesky.sim.shots import Shot

PROTEIN = Spheres(forward_per_cm=0.25, radius_angstrom=33.0, relative_width=0.08)
AGGREGATE = Spheres(forward_per_cm=1.6, radius_angstrom=85.0, relative_width=0.25)

_FEWEST_FRAMES_WITH_MISHAPS = 6
_MOST_AGGREGATED = 0.12
_FILLING_WITH_BUBBLE = 0.35


@dataclass(frozen=True, kw_only=True, slots=True)
class Beam:
    """The beam, and how it wavers from frame to frame.

    Parameters
    ----------
    photons_per_s
        On the sample.
    drift
        Relative loss between two refills of the storage ring.
    refill_frames
        Frames from one refill to the next.
    monitor_noise
        Relative standard deviation of one monitor reading.
    """

    photons_per_s: float = 5e11
    drift: float = 0.01
    refill_frames: int = 9
    monitor_noise: float = 5e-4

    def photons(self, frame: int, *, exposure_s: float) -> float:
        """Give the photons on the sample during a frame."""
        age = (frame % self.refill_frames) / self.refill_frames
        return self.photons_per_s * exposure_s * (1 - self.drift * age)


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """The state of a sample during one frame.

    Parameters
    ----------
    filling
        Part of the path that is filled; less than 1 where there is a bubble.
    aggregated
        Part of the solute that the beam has made aggregate.
    concentration
        Of the solute, relative to that of the sample.
    """

    filling: float = 1.0
    aggregated: float = 0.0
    concentration: float = 1.0

    def __post_init__(self) -> None:
        for name in ("filling", "aggregated"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigurationError(
                    f"expected {name} from 0 to 1, found {getattr(self, name)}"
                )


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """Something in the beam.

    Parameters
    ----------
    name, title
        As the start document has them.
    matrix, solute, aggregate
        What it scatters: always; while intact; and instead once damaged.
    thickness_cm, attenuation_per_cm
        Of the path through it, when filled; by default water in a capillary at 15 keV.
    exposure_s
        Of one frame.
    buffer
        The sample that is subtracted from this one.
    bubble_at
        When a bubble passes, as a part of the series; None for never.
    damage
        Whether the beam harms it towards the end of the series.
    """

    name: str
    title: str
    matrix: Profile
    solute: Profile | None = None
    aggregate: Profile | None = None
    thickness_cm: float = 0.15
    attenuation_per_cm: float = 1.65
    exposure_s: float
    buffer: str | None = None
    bubble_at: float | None = None
    damage: bool = False

    def conditions(self, frames: int) -> list[Condition]:
        """Tell the state during each of the frames; a series too short for mishaps has none."""
        if frames < _FEWEST_FRAMES_WITH_MISHAPS:
            return [Condition()] * frames
        damaged = frames // 4 if self.damage else 0
        harm = np.concatenate([np.zeros(frames - damaged), np.linspace(0, 1, damaged + 1)[1:]])
        series = [Condition(aggregated=float(_MOST_AGGREGATED * part)) for part in harm]
        if self.bubble_at is not None:
            series[int(frames * self.bubble_at)] = Condition(filling=_FILLING_WITH_BUBBLE)
        return series

    def transmission(self, filling: float = 1.0) -> float:
        """Give the part of the beam that comes through: exp(−μ d)."""
        return float(np.exp(-self.attenuation_per_cm * self.thickness_cm * filling))

    @property
    def profiles(self) -> tuple[Profile | None, ...]:
        """What may scatter: matrix, solute, aggregate, slits, and the surface of a bubble."""
        return (self.matrix, self.solute, self.aggregate, slit_scattering, meniscus_scattering)

    def amounts(self, condition: Condition) -> NDArray[np.float64]:
        """Give the thickness in cm at which each of the `profiles` counts."""
        filled = self.thickness_cm * condition.filling
        solute = filled * condition.concentration
        return np.array(
            [
                filled,
                solute * (1 - condition.aggregated),
                solute * condition.aggregated,
                self.thickness_cm,
                self.thickness_cm if condition.filling < 1 else 0.0,
            ]
        )


SAMPLES: Sequence[Sample] = (
    Sample(
        name="agbh",
        title="silver behenate",
        matrix=silver_behenate,
        thickness_cm=0.05,
        attenuation_per_cm=6.0,
        exposure_s=0.2,
    ),
    Sample(name="buffer", title="buffer", matrix=water, exposure_s=1.0, bubble_at=0.7),
    Sample(
        name="protein",
        title="protein in buffer",
        matrix=water,
        solute=PROTEIN,
        aggregate=AGGREGATE,
        exposure_s=1.0,
        buffer="buffer",
        bubble_at=0.35,
        damage=True,
    ),
)


def simulate(
    sample: Sample,
    frames: int,
    *,
    makers: Mapping[str, PatternMaker],
    beam: Beam,
    rng: np.random.Generator,
) -> Iterator[Shot]:
    """Expose a sample.

    Parameters
    ----------
    sample
        What is in the beam.
    frames
        How many exposures.
    makers
        The detectors, by data key.
    beam
        The beam.
    rng
        The source of chance.

    Yields
    ------
    Shot
        One exposure after the other.
    """
    profiles = sample.profiles
    images = {
        key: [maker.image(profile) for profile in profiles if profile is not None]
        for key, maker in makers.items()
    }
    for number, condition in enumerate(sample.conditions(frames)):
        photons = beam.photons(number, exposure_s=sample.exposure_s)
        transmitted = photons * sample.transmission(condition.filling)
        amounts = sample.amounts(condition)
        weights = [
            transmitted * amount
            for profile, amount in zip(profiles, amounts, strict=True)
            if profile is not None
        ]
        noise = 1 + beam.monitor_noise * rng.standard_normal(2)
        yield Shot(
            frames={key: maker.frame(images[key], weights, rng) for key, maker in makers.items()},
            incident=photons * float(noise[0]),
            transmitted=transmitted * float(noise[1]),
        )
