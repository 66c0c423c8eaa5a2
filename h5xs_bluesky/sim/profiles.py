"""What samples scatter: differential cross-sections as functions of q, on an absolute scale.

Every profile takes q in Å⁻¹, an array of any shape without zeros, and gives dΣ/dΩ in cm⁻¹ in the
same shape.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Profile = Callable[[NDArray[np.float64]], NDArray[np.float64]]

# Water at 293 K: its forward scattering follows from the compressibility (Orthaber, Bergmann and
# Glatter, J. Appl. Cryst. 33 (2000) 218); position and width of the peak are those of its pair
# correlations, the height a round number.
WATER_FORWARD_PER_CM = 1.632e-2
WATER_PEAK_PER_ANGSTROM = 2.0
_WATER_PEAK_PER_CM = 0.14
_WATER_PEAK_WIDTH_PER_ANGSTROM = 0.33

_RING_FWHM_PER_ANGSTROM = 0.004
_RING_LORENTZIAN_PART = 0.3
_RING_ONE_PER_CM = 6.0
_EVEN_RINGS = 0.45  # the even orders of silver behenate are the weaker ones
_GRAIN_SCATTERING_PER_CM = 0.1
_GRAIN_SCATTERING_AT_PER_ANGSTROM = 0.03
_CHAIN_PEAK_PER_CM = 0.25
_CHAIN_PEAK_PER_ANGSTROM = 1.4  # neighbouring alkyl chains, 4.5 Å apart
_CHAIN_PEAK_WIDTH_PER_ANGSTROM = 0.15

_RADII_OF_A_DISTRIBUTION = 25
_WIDTHS_OF_A_DISTRIBUTION = 3.0


def water(q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give water's: flat at small angles, with the structure peak near 2 Å⁻¹."""
    peak = _gaussian(q, WATER_PEAK_PER_ANGSTROM, _WATER_PEAK_WIDTH_PER_ANGSTROM)
    return WATER_FORWARD_PER_CM + _WATER_PEAK_PER_CM * peak


def slit_scattering(q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give what slits and windows scatter close to the beam, as if the sample did: ∝ q⁻⁴."""
    scattering: NDArray[np.float64] = 0.35 * (q / 0.01) ** -4
    return scattering


def meniscus_scattering(q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the scattering of a bubble's surface in the beam: ∝ q⁻⁴ (Porod), strong."""
    scattering: NDArray[np.float64] = 1.5 * (q / 0.01) ** -4
    return scattering


@dataclass(frozen=True, kw_only=True, slots=True)
class Spheres:
    """Homogeneous spheres in dilute solution, their radii normally distributed.

    I(q) = I(0) ⟨V² F²(qR)⟩ / ⟨V²⟩, F(x) = 3 (sin x − x cos x) / x³ (Rayleigh, 1911).

    Parameters
    ----------
    forward_per_cm
        I(0).
    radius_angstrom
        The mean radius.
    relative_width
        Standard deviation of the radii relative to their mean.

    Examples
    --------
    >>> round(Spheres(forward_per_cm=1.0, radius_angstrom=10.0).guinier_radius_angstrom, 2)
    7.75
    """

    forward_per_cm: float
    radius_angstrom: float
    relative_width: float = 0.0

    def __call__(self, q: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give dΣ/dΩ at q."""
        radii, weights = self._distribution()
        volumes = weights * radii**6
        intensity = np.zeros_like(q)
        for radius, share in zip(radii, volumes / volumes.sum(), strict=True):
            x = q * radius
            intensity += share * (3 * (np.sin(x) - x * np.cos(x)) / x**3) ** 2
        return self.forward_per_cm * intensity

    @property
    def guinier_radius_angstrom(self) -> float:
        """The radius of gyration that a Guinier fit finds: Rg² = 3/5 ⟨R⁸⟩ / ⟨R⁶⟩, in Å."""
        radii, weights = self._distribution()
        return float(np.sqrt(0.6 * np.sum(weights * radii**8) / np.sum(weights * radii**6)))

    def _distribution(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if self.relative_width == 0:
            return np.array([self.radius_angstrom]), np.ones(1)
        widths = _WIDTHS_OF_A_DISTRIBUTION
        deviations = np.linspace(-widths, widths, _RADII_OF_A_DISTRIBUTION)
        radii = self.radius_angstrom * (1 + self.relative_width * deviations)
        return radii, np.exp(-(deviations**2) / 2)


def silver_behenate(q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give silver behenate's: the rings of pyFAI's calibrant on the scattering of its grains.

    The rings are pseudo-Voigt functions of q at 2π k / d₀₀₁.
    """
    rings = np.zeros_like(q)
    for order, position in enumerate(ring_positions(float(q.max())), start=1):
        height = _RING_ONE_PER_CM / order * (1.0 if order % 2 else _EVEN_RINGS)
        rings += height * _pseudo_voigt(q, position)
    grains = _GRAIN_SCATTERING_PER_CM * (q / _GRAIN_SCATTERING_AT_PER_ANGSTROM) ** -4
    chains = _CHAIN_PEAK_PER_CM * _gaussian(
        q, _CHAIN_PEAK_PER_ANGSTROM, _CHAIN_PEAK_WIDTH_PER_ANGSTROM
    )
    total: NDArray[np.float64] = rings + grains + chains + WATER_FORWARD_PER_CM
    return total


def ring_positions(largest_q: float) -> Sequence[float]:
    """Give silver behenate's rings up to `largest_q`, both in Å⁻¹, from pyFAI's calibrant."""
    from pyFAI.calibrant import get_calibrant

    positions = [2 * np.pi / float(d) for d in get_calibrant("AgBh").dspacing]
    return [q for q in positions if q <= largest_q]


def _gaussian(q: NDArray[np.float64], center: float, width: float) -> NDArray[np.float64]:
    bell: NDArray[np.float64] = np.exp(-(((q - center) / width) ** 2) / 2)
    return bell


def _pseudo_voigt(q: NDArray[np.float64], center: float) -> NDArray[np.float64]:
    x = 2 * (q - center) / _RING_FWHM_PER_ANGSTROM
    gaussian, lorentzian = np.exp(-np.log(2) * x**2), 1 / (1 + x**2)
    mixed: NDArray[np.float64] = (
        1 - _RING_LORENTZIAN_PART
    ) * gaussian + _RING_LORENTZIAN_PART * lorentzian
    return mixed
