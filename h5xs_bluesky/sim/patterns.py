"""What a counting area detector records: expected counts from cross-sections, then Poisson noise.

A pixel expects N dΣ/dΩ(q) d T ΔΩ P counts: N photons on a sample of thickness d that transmits T,
the pixel's solid angle ΔΩ, and the beam's polarisation P towards it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.geometry import Geometry
from h5xs_bluesky.sim.profiles import Profile

GAP = -1
DEAD = -2

_PROFILE_POINTS = 20_000


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Sensor:
    """The faults of a detector, and the shadow on it; what does not scatter.

    Parameters
    ----------
    flags : ndarray of int32, shape (H, W)
        Given out instead of counts where not 0: `GAP` between modules, `DEAD` pixels.
    shadow : ndarray of bool, shape (H, W)
        True behind the beam stop: no photon comes there.
    hot_counts : ndarray of int32, shape (H, W)
        Counts that a pixel adds of itself to every frame.
    """

    flags: NDArray[np.int32]
    shadow: NDArray[np.bool_]
    hot_counts: NDArray[np.int32]

    @classmethod
    def with_faults(
        cls,
        gaps: NDArray[np.bool_],
        *,
        shadow: NDArray[np.bool_],
        dead: int,
        hot: int,
        rng: np.random.Generator,
    ) -> "Sensor":
        """Scatter dead and hot pixels over a sensor.

        Parameters
        ----------
        gaps, shadow
            (H, W): True between modules, and behind the beam stop.
        dead, hot
            How many pixels.
        """
        flags = np.where(gaps, GAP, 0).astype(np.int32)
        chosen = rng.choice(np.flatnonzero(~gaps), size=dead + hot, replace=False)
        flags.flat[chosen[:dead]] = DEAD
        hot_counts = np.zeros(gaps.shape, np.int32)
        hot_counts.flat[chosen[dead:]] = 10 ** rng.uniform(2.5, 4.5, size=hot)
        return cls(flags=flags, shadow=shadow, hot_counts=hot_counts)

    def mask(self, *, margin_px: int) -> NDArray[np.bool_]:
        """Give the mask that a careful scientist would draw: faults, and a margin of the shadow."""
        mask: NDArray[np.bool_] = self.shadow.copy()
        for _ in range(margin_px):
            grown = np.pad(mask, 1)
            for axis in (0, 1):
                grown |= np.roll(grown, 1, axis) | np.roll(grown, -1, axis)
            mask = grown[1:-1, 1:-1]
        mask |= (self.flags != 0) | (self.hot_counts > 0)
        return mask


class PatternMaker:
    """Makes the frames of one detector.

    Parameters
    ----------
    geometry
        Where it stands.
    sensor
        Its faults.
    polarization
        Factor of the beam, 1 for horizontal; None for none.

    Raises
    ------
    ReductionError
        If the sensor's shape is not the geometry's.
    """

    def __init__(self, geometry: Geometry, sensor: Sensor, *, polarization: float | None) -> None:
        if sensor.flags.shape != geometry.shape:
            raise ReductionError(
                f"expected a sensor of shape {geometry.shape}, found {sensor.flags.shape}"
            )
        self._sensor = sensor
        self._q = geometry.q_map()
        self._solid_angle_sr = geometry.solid_angle_map() * geometry.solid_angle_at_poni()
        if polarization is not None:
            self._solid_angle_sr *= geometry.polarization_map(polarization)
        self._solid_angle_sr[sensor.shadow | (sensor.flags != 0)] = 0.0

    def image(self, profile: Profile) -> NDArray[np.float64]:
        """Give dΣ/dΩ ΔΩ P of every pixel, (H, W), in sr/cm; zero where nothing arrives."""
        grid = np.linspace(self._q.min(), self._q.max(), _PROFILE_POINTS)
        grid[0] = max(grid[0], grid[1] / 2)  # profiles may diverge in the direct beam
        image: NDArray[np.float64] = np.interp(self._q, grid, profile(grid))
        image *= self._solid_angle_sr
        return image

    def frame(
        self,
        images: Sequence[NDArray[np.float64]],
        photons_cm: Sequence[float],
        rng: np.random.Generator,
    ) -> NDArray[np.int32]:
        """Give one frame: counts, with the sensor's faults.

        Parameters
        ----------
        images
            From `image`, one for each thing in the beam.
        photons_cm
            For each: transmitted photons × its thickness in cm.

        Returns
        -------
        ndarray of int32, shape (H, W)
            Counts; negative in gaps and dead pixels.
        """
        expected = np.zeros(self._q.shape)
        for image, weight in zip(images, photons_cm, strict=True):
            if weight:
                expected += weight * image
        counts: NDArray[Any] = rng.poisson(expected)
        frame = counts.astype(np.int32)
        frame += self._sensor.hot_counts
        np.copyto(frame, self._sensor.flags, where=self._sensor.flags != 0)
        return frame


def beam_stop(
    shape: tuple[int, int], *, center_px: tuple[float, float], radius_px: float, arm_px: float
) -> NDArray[np.bool_]:
    """Give the shadow of a disc on an arm that comes from the last row.

    Parameters
    ----------
    shape
        Rows and columns.
    center_px
        Row and column of the disc's centre.
    radius_px, arm_px
        The disc's radius and the arm's width.

    Returns
    -------
    ndarray of bool, shape (H, W)
        True in the shadow.
    """
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    below, aside = rows - center_px[0], columns - center_px[1]
    shadow: NDArray[np.bool_] = (below**2 + aside**2 <= radius_px**2) | (
        (below >= 0) & (np.abs(aside) <= arm_px / 2)
    )
    return shadow
