"""What the benchmarks work on: a Pilatus 1M in the beam of a SAXS beamline, and its frames."""

import os
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.geometry import Geometry
from h5xs_bluesky.reduction.integration.pixels import Pixels
from h5xs_bluesky.reduction.qgrid import QGrid

POLARIZATION = 0.99
SHAPE = (1043, 981)
BINS = 300
COUNTS = 5.0  # per pixel, on average


def cores() -> int:
    """Count the processors at hand."""
    return len(os.sched_getaffinity(0))


def saxs_detector(shape: tuple[int, int] = SHAPE, *, extension: str = "_SAXS") -> Detector:
    """Make a Pilatus 1M, or a detector of the same size with more or fewer pixels."""
    pixel = 172e-6 * SHAPE[0] / shape[0]
    return Detector(
        extension=extension,
        data_key="pil1M_image" if extension == "_SAXS" else f"pil{extension}_image",
        model="Pilatus1M",
        geometry=Geometry.from_beam_center(
            shape=shape,
            pixel_size_m=(pixel, pixel),
            distance_m=0.75,
            beam_center_px=(0.5 * shape[0], 0.5 * shape[1]),
            wavelength_m=1.0e-10,
        ),
        mask=gaps(shape),
    )


def gaps(shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Mask what lies between modules of a Pilatus, scaled to the shape."""
    row, column = np.indices(shape)
    return np.asarray(
        (row % (shape[0] / 5) > 0.92 * shape[0] / 5)
        | (column % (shape[1] / 2) > 0.985 * shape[1] / 2)
    )


def pixels_of(detector: Detector, *, splitting: str = "no", dark: bool = False) -> Pixels:
    """Compute the detector's pixels, perhaps with a dark of half a count."""
    if dark:
        shape = detector.geometry.shape
        detector = replace(detector, dark=np.full(shape, 0.5), dark_variance=np.full(shape, 0.01))
    return Pixels.from_detector(
        detector, polarization=POLARIZATION, solid_angle=True, splitting=splitting
    )


def grid(bins: int = BINS) -> QGrid:
    """Make bins of two widths: fine ones up to 0.2 1/Å, coarse ones up to the corners."""
    fine = bins // 2
    edges = np.concatenate(
        [np.linspace(0.01, 0.2, fine + 1), np.linspace(0.2, 1.04, bins - fine + 1)[1:]]
    )
    return QGrid.from_edges(edges)


def frames(count: int, *, shape: tuple[int, int] = SHAPE, dtype: str = "i4") -> NDArray[Any]:
    """Make frames (count, H, W) of Poisson counts that fall with the radius.

    Each fourth is drawn; those between are mirrored, which takes less time.
    """
    rng = np.random.default_rng(0)
    row, column = np.indices(shape)
    radius = np.hypot(row / shape[0] - 0.5, column / shape[1] - 0.5)
    mean = np.exp(-4 * radius)
    mean *= COUNTS / mean.mean()
    made = np.empty((count, *shape), dtype)
    for number in range(count):
        if number % 4 == 0:
            drawn = rng.poisson(mean)
        made[number] = drawn[:: (1, -1)[number % 2], :: (1, -1)[number // 2 % 2]]
    return made
