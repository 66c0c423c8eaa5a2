"""Silver behenate on small detectors, with gaps, dead and hot pixels, from known places."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from small_beamline import small_beamline

from h5xs_bluesky.config import Beamline
from h5xs_bluesky.reduction.calibration.cones import Placement, beam_center_px
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.geometry import Geometry
from h5xs_bluesky.reduction.merge import default_scales
from h5xs_bluesky.reduction.qgrid import QGrid
from h5xs_bluesky.sim.patterns import PatternMaker, Sensor
from h5xs_bluesky.sim.profiles import silver_behenate

PIXEL_M = 172e-6
WAVELENGTH_M = 1e-10
SHAPE = (260, 300)
PHOTONS = 3e9


def place(
    *,
    shape: tuple[int, int] = SHAPE,
    length_m: float = 0.5,
    center_px: tuple[float, float] = (118.3, 140.6),
    tilts_rad: tuple[float, float] = (0.0, 0.0),
) -> Geometry:
    """Give a geometry by where the beam meets the detector."""
    upright = Geometry.from_beam_center(
        shape=shape,
        pixel_size_m=(PIXEL_M, PIXEL_M),
        distance_m=length_m,
        beam_center_px=center_px,
        wavelength_m=WAVELENGTH_M,
    )
    first, second = tilts_rad
    return replace(Placement.of(upright), rot1_rad=first, rot2_rad=second).geometry(upright)


def moved(geometry: Geometry, rows: float, columns: float, stretch: float) -> Geometry:
    """Give a wrong geometry: the beam some pixels aside, the distance by a factor."""
    here = Placement.of(geometry)
    height, width = geometry.pixel_size_m
    return replace(
        here,
        length_m=here.length_m * stretch,
        beam1_m=here.beam1_m + rows * height,
        beam2_m=here.beam2_m + columns * width,
    ).geometry(geometry)


def standard_frame(
    geometry: Geometry, *, photons: float = PHOTONS, seed: int = 0, hot: int = 20
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Expose silver behenate; gives the frame, and the mask of gaps and beam stop alone."""
    rng = np.random.default_rng(seed)
    rows, columns = geometry.shape
    gaps = np.zeros(geometry.shape, bool)
    gaps[rows // 3 : rows // 3 + 9] = True
    gaps[:, columns // 2 : columns // 2 + 5] = True
    row, column = beam_center_px(geometry)
    from_beam = np.hypot(*np.ogrid[-row : rows - row, -column : columns - column])
    shadow = from_beam[:rows, :columns] < 12
    sensor = Sensor.with_faults(gaps, shadow=shadow, dead=20, hot=hot, rng=rng)
    maker = PatternMaker(geometry, sensor, polarization=0.99)
    frame = maker.frame([maker.image(silver_behenate)], [photons], rng)
    return frame, gaps | shadow


def directions(*, shift_px: float, stretch: float, count: int) -> Sequence[tuple[Any, ...]]:
    """Give starts (rows, columns, factor) all around, too near and too far in turns."""
    turns = 2 * np.pi * np.arange(count) / count
    return [
        (
            round(shift_px * float(np.sin(turn)), 1),
            round(shift_px * float(np.cos(turn)), 1),
            1 + stretch * (-1) ** number,
        )
        for number, turn in enumerate(turns)
    ]


def standard_detector(
    extension: str, data_key: str, geometry: Geometry, **changes: Any
) -> Detector:
    """Give a detector at a place, masked as `standard_frame` has it."""
    _, mask = standard_frame(geometry, photons=0.0)
    values = {"model": "test", "mask": mask, **changes}
    return Detector(extension=extension, data_key=data_key, geometry=geometry, **values)


SAXS_PLACE = place()
WAXS_PLACE = place(
    shape=(200, 240), length_m=0.2, center_px=(-30.0, 100.0), tilts_rad=(0.02, -0.15)
)


def standard_beamline(*, shift_px: float = 12.0, stretch: float = 1.03) -> Beamline:
    """Give a beamline whose SAXS and WAXS detectors are not where it says they are."""
    wrong = {
        key: moved(truth, shift_px, -shift_px, stretch)
        for key, truth in (("saxs_image", SAXS_PLACE), ("waxs_image", WAXS_PLACE))
    }
    scales = default_scales(list(wrong.values()))
    return small_beamline(
        detectors=tuple(
            standard_detector(extension, key, geometry, fix_scale=scale)
            for (key, geometry), extension, scale in zip(
                wrong.items(), ("_SAXS", "_WAXS"), scales, strict=True
            )
        ),
        qgrid=QGrid.linear(0.03, 1.5, 500),
    )


def standard_frames(count: int = 1, *, photons: float = PHOTONS) -> list[dict[str, Any]]:
    """Give frames of both detectors where they really are."""
    return [
        {
            key: standard_frame(truth, photons=photons, seed=seed)[0]
            for key, truth in (("saxs_image", SAXS_PLACE), ("waxs_image", WAXS_PLACE))
        }
        for seed in range(count)
    ]
