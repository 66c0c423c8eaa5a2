"""Standards whose rings are known: pyFAI's calibrants."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ConfigurationError

_ANGSTROM_M = 1e-10


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Calibrant:
    """A powder's rings.

    Parameters
    ----------
    name
        As pyFAI knows it.
    spacing_angstrom : ndarray, shape (n,)
        Of the lattice planes, falling; ring 1 is the innermost.
    """

    name: str
    spacing_angstrom: NDArray[np.float64]

    @classmethod
    def named(cls, name: str) -> "Calibrant":
        """Find a calibrant of pyFAI's.

        Raises
        ------
        ConfigurationError
            If pyFAI knows none of this name.
        """
        known = calibrant_names()
        if name not in known:
            raise ConfigurationError(
                f"expected one of pyFAI's calibrants, found {name!r}: choose from "
                f"{', '.join(known)}"
            )
        from pyFAI.calibrant import get_calibrant

        spacings = np.unique(np.asarray(get_calibrant(name).dspacing, dtype=float))[::-1]
        return cls(name=name, spacing_angstrom=spacings)

    @property
    def q_per_angstrom(self) -> NDArray[np.float64]:
        """Of each ring: 2π / d."""
        q: NDArray[np.float64] = 2 * np.pi / self.spacing_angstrom
        return q

    def two_theta(self, wavelength_m: float) -> NDArray[np.float64]:
        """Give 2θ of the rings that there are at a wavelength, in rad: 2 arcsin(λ / 2d)."""
        sine = wavelength_m / _ANGSTROM_M / (2 * self.spacing_angstrom)
        angles: NDArray[np.float64] = 2 * np.arcsin(sine[sine < 1])
        return angles


def calibrant_names() -> list[str]:
    """List pyFAI's calibrants."""
    from pyFAI.calibrant import ALL_CALIBRANTS

    return sorted(ALL_CALIBRANTS.keys())
