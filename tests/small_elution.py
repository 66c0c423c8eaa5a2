"""Series behind a column whose bins count, with the truth known; no detector, for speed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.reduction.chromatography.frames import ElutionFrames
from h5xs_bluesky.sim.chromatography import COLUMN, Column
from h5xs_bluesky.sim.profiles import slit_scattering, water
from h5xs_bluesky.sim.samples import PROTEIN

Q = np.arange(0.012, 0.25, 0.002)
BEAM = 1000.0
BEAM_UNCERTAINTY = 5e-4

_COUNTS = 2e6  # per unit of intensity in a bin


@dataclass(frozen=True, kw_only=True)
class Series:
    """A series and its truth.

    Parameters
    ----------
    frames
        What was measured.
    amounts : (n, species)
        As `Column.amounts`: slits, buffer, protein, aggregate, fouling.
    """

    frames: ElutionFrames
    amounts: NDArray[np.float64]

    @property
    def protein(self) -> NDArray[np.float64]:
        return self.amounts[:, 2]

    def curve_of_protein(self) -> NDArray[np.float64]:
        """The protein's curve at the peak without noise; σ as of one frame."""
        base = water(Q) + slit_scattering(Q)
        expected = _COUNTS * Q / Q[0] * (base + PROTEIN(Q))
        return np.stack([PROTEIN(Q), np.sqrt(expected) / (_COUNTS * Q / Q[0])])


def series(frames: int, *, seed: int = 0, column: Column = COLUMN, counts: float = 1.0) -> Series:
    """Measure a series; `counts` is how many more photons there are than usual."""
    rng = np.random.default_rng(seed)
    amounts = column.amounts(frames)
    intensity = amounts @ np.stack([profile(Q) for profile in column.profiles])
    beam = BEAM * (1 - 0.01 * np.arange(frames) / frames)
    normalization = counts * _COUNTS * Q / Q[0]
    counted = rng.poisson(intensity * normalization * beam[:, None] / BEAM)
    curves = np.stack([counted / normalization, np.sqrt(counted) / normalization], axis=1)
    read = beam * (1 + BEAM_UNCERTAINTY * rng.standard_normal(frames))
    elution = ElutionFrames(curves=curves, q=Q, beam=read, beam_sigma=BEAM_UNCERTAINTY * read)
    return Series(frames=elution, amounts=amounts)
