"""Poisson frames of two detectors whose expected counts are known, reduced by the real core."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from small_beamline import small_beamline

from h5xs_bluesky.reduction.accumulators import Accumulators
from h5xs_bluesky.reduction.integration.integrate import Integrator
from h5xs_bluesky.reduction.integration.pixels import Pixels
from h5xs_bluesky.reduction.merge import merge_detectors
from h5xs_bluesky.reduction.qgrid import QGrid


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What frames show on average.

    Parameters
    ----------
    expected
        Counts of each pixel of each detector, for a beam of 1.
    sums
        What their accumulators are then, (nq,).
    integrators
        What reduces the frames.
    """

    expected: Mapping[str, NDArray[np.float64]]
    sums: Mapping[str, Accumulators]
    integrators: Mapping[str, Integrator]

    @property
    def merged(self) -> Accumulators:
        return merge_detectors(self.sums)


@cache
def beamline_parts(bins: int | None) -> tuple[dict[str, Pixels], dict[str, Integrator]]:
    beamline = small_beamline()
    if bins is not None:
        beamline = small_beamline(qgrid=QGrid.linear(0.005, 0.2, bins))
    pixels = {
        detector.extension: Pixels.from_detector(detector, polarization=None, solid_angle=True)
        for detector in beamline.detectors
    }
    return pixels, beamline.integrators()


def truth(counts_per_pixel: float, *, slope: float = 8.0, bins: int | None = None) -> Truth:
    """Make the truth for a mean of so many counts per pixel, falling with q.

    Parameters
    ----------
    slope
        How fast.
    bins
        Of the grid; the small beamline's by default.
    """
    pixels, integrators = beamline_parts(bins)
    shapes = {name: p.normalization * np.exp(-slope * p.q) for name, p in pixels.items()}
    mean = np.mean(np.concatenate([shape[~pixels[n].mask] for n, shape in shapes.items()]))
    expected = {name: shape * counts_per_pixel / mean for name, shape in shapes.items()}
    sums = {name: integrators[name].integrate(counts) for name, counts in expected.items()}
    return Truth(expected=expected, sums=sums, integrators=integrators)


def simulate(
    of: Truth, frames: int, *, rng: np.random.Generator, beams: NDArray[np.float64] | None = None
) -> dict[str, Accumulators]:
    """Reduce simulated frames, (frames, nq) for each detector.

    Parameters
    ----------
    beams : (frames,)
        By which the expected counts of each are multiplied.
    """
    factors = np.ones(frames) if beams is None else beams
    return {
        name: Accumulators.from_array(
            np.stack([
                of.integrators[name]
                .integrate(rng.poisson(expected * factor).astype(np.int32))
                .to_array()
                for factor in factors
            ])
        )
        for name, expected in of.expected.items()
    }  # fmt: skip
