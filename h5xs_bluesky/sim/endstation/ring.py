"""The storage ring: how many photons per second come, and when they do not."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


class StorageRing:
    """The beam before the shutter, as a function of time.

    It decays between refills, and wavers by the pointing of its optics. A dump takes it away; a
    refill, that is the end of the dump, brings it back.

    Parameters
    ----------
    photons_per_s
        Just after a refill.
    drift
        Relative loss between two refills.
    refill_s
        From one refill to the next.
    wavering, wavering_s
        Relative amplitude and period of a slow oscillation.

    Examples
    --------
    >>> ring = StorageRing(photons_per_s=1e12, drift=0.1, refill_s=10.0, wavering=0.0)
    >>> ring.flux([0.0, 5.0]) / 1e12
    array([1.  , 0.95])
    >>> ring.dump(5.0, 7.0)
    >>> ring.flux([4.0, 6.0]) / 1e12
    array([0.96, 0.  ])
    """

    def __init__(
        self,
        *,
        photons_per_s: float = 2e12,
        drift: float = 0.02,
        refill_s: float = 20.0,
        wavering: float = 0.003,
        wavering_s: float = 3.7,
    ) -> None:
        self.photons_per_s = photons_per_s
        self._drift, self._refill_s = drift, refill_s
        self._wavering, self._wavering_s = wavering, wavering_s
        self._dumps: list[tuple[float, float]] = []

    def dump(self, start_s: float, stop_s: float) -> None:
        """Lose the beam between two moments, in s since the epoch."""
        self._dumps.append((start_s, stop_s))

    def flux(self, times_s: ArrayLike) -> NDArray[np.float64]:
        """Give photons per second at these times, in s since the epoch."""
        times = np.asarray(times_s, dtype=float)
        age = (times % self._refill_s) / self._refill_s
        wave = np.sin(2 * np.pi * times / self._wavering_s)
        flux: NDArray[np.float64] = (
            self.photons_per_s * (1 - self._drift * age) * (1 + self._wavering * wave)
        )
        for start_s, stop_s in self._dumps:
            flux = np.where((times >= start_s) & (times < stop_s), 0.0, flux)
        return flux
