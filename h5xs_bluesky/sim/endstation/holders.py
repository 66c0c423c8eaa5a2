"""What is on the sample changer, and what the beam and time do to it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.sim.profiles import Profile, silver_behenate, water
from h5xs_bluesky.sim.samples import AGGREGATE, PROTEIN, Condition, Sample

_MOST_AGGREGATED = 0.12
_FILLING_WITH_BUBBLE = 0.35
_FILM_RADIUS_MM = 0.8
_FILM_EDGE_MM = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """A sample in its holder.

    Parameters
    ----------
    sample
        What is in it.
    bubbles_s
        When bubbles pass: pairs of times, counted while the beam is on it, from its loading on.
    damage_after_s
        How long one spot of it may be in the beam before it aggregates; None for ever. After twice
        that time, 12 % of it are aggregates, which is as far as it goes.
    cover
        Gives how thick it is at a place of the stage (x, y, in mm), relative to its thickness;
        None where it is the same everywhere.
    concentration
        Gives the solute's concentration, relative to the sample's, so many seconds after the
        loading; None where it does not change.
    """

    sample: Sample
    bubbles_s: Sequence[tuple[float, float]] = ()
    damage_after_s: float | None = None
    cover: Callable[[float, float], float] | None = None
    concentration: Callable[[float], float] | None = None

    def condition(self, *, beam_s: float, spot_s: float, loaded_s: float) -> Condition:
        """Tell its state.

        Parameters
        ----------
        beam_s
            How long the beam has been on it.
        spot_s
            How long the beam has been on the spot where it is.
        loaded_s
            How long ago it was loaded.
        """
        bubble = any(start <= beam_s < stop for start, stop in self.bubbles_s)
        aggregated = 0.0
        if self.damage_after_s is not None:
            over = np.clip(spot_s / self.damage_after_s - 1, 0, 1)
            aggregated = _MOST_AGGREGATED * float(over)
        concentration = 1.0
        if self.concentration is not None:
            concentration = min(max(float(self.concentration(loaded_s)), 0.0), 1.0)
        return Condition(
            filling=_FILLING_WITH_BUBBLE if bubble else 1.0,
            aggregated=aggregated,
            concentration=concentration,
        )

    def at(self, x_mm: float, y_mm: float) -> Sample:
        """Give the sample as thick as it is at a place of the stage."""
        if self.cover is None:
            return self.sample
        cover = max(float(self.cover(x_mm, y_mm)), 0.0)
        return replace(self.sample, thickness_cm=self.sample.thickness_cm * cover)


def nothing(q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give what an empty holder scatters."""
    return np.zeros_like(q)


def film(x_mm: float, y_mm: float) -> float:
    """Give the thickness of a round film with soft edges, centred on the stage's origin."""
    edge = (_FILM_RADIUS_MM - np.hypot(x_mm, y_mm)) / _FILM_EDGE_MM
    return float(1 / (1 + np.exp(-edge)))


def elution(*, at_s: float, width_s: float, tail_s: float) -> Callable[[float], float]:
    """Give the concentration of what leaves a column, 1 where it is largest, so long after loading.

    An exponentially modified Gaussian.

    Parameters
    ----------
    at_s, width_s
        Centre and standard deviation of the Gaussian.
    tail_s
        Decay of its tail.
    """
    from scipy.stats import exponnorm

    peak = exponnorm(tail_s / width_s, loc=at_s, scale=width_s)
    around = np.linspace(at_s - 5 * width_s, at_s + 5 * (width_s + tail_s), 2001)
    largest = float(peak.pdf(around).max())
    return lambda loaded_s: float(peak.pdf(loaded_s)) / largest


def _solution(name: str, title: str, *, solute: Profile | None = None) -> Sample:
    return Sample(
        name=name,
        title=title,
        matrix=water,
        solute=solute,
        aggregate=None if solute is None else AGGREGATE,
        exposure_s=0.2,
    )


def _standard(name: str, title: str) -> Sample:
    return Sample(
        name=name,
        title=title,
        matrix=silver_behenate,
        thickness_cm=0.05,
        attenuation_per_cm=6.0,
        exposure_s=0.2,
    )


def standard_holders() -> dict[str, Holder]:
    """Make what is on the simulated changer, by position.

    ``empty``; ``agbh``, silver behenate; ``water``; ``buffer`` and ``protein``, a pair;
    ``dilute``, the protein at a quarter of its concentration; ``bubbles``, water in which bubbles
    pass; ``fragile``, a protein that a second of beam harms; ``film``, a round film of silver
    behenate for maps; ``column``, the protein as it leaves a column, most of it 34 s after loading.
    """
    empty = Sample(
        name="empty", title="nothing", matrix=nothing, attenuation_per_cm=0.0, exposure_s=0.2
    )
    protein = _solution("protein", "protein in buffer", solute=PROTEIN)
    weak = replace(PROTEIN, forward_per_cm=PROTEIN.forward_per_cm / 4)
    holders = [
        Holder(sample=empty),
        Holder(sample=_standard("agbh", "silver behenate")),
        Holder(sample=_solution("water", "water")),
        Holder(sample=_solution("buffer", "buffer")),
        Holder(sample=protein),
        Holder(sample=_solution("dilute", "dilute protein in buffer", solute=weak)),
        Holder(
            sample=_solution("bubbles", "water with bubbles"),
            bubbles_s=[(start, start + 0.3) for start in (1.0, 2.5, 4.0, 7.0)],
        ),
        Holder(
            sample=replace(protein, name="fragile", title="protein that the beam harms"),
            damage_after_s=1.0,
        ),
        Holder(sample=_standard("film", "film of silver behenate"), cover=film),
        Holder(
            sample=replace(protein, name="column", title="protein behind a column"),
            concentration=elution(at_s=33.0, width_s=1.3, tail_s=1.1),
        ),
    ]
    return {holder.sample.name: holder for holder in holders}
