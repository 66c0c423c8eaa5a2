"""What property tests draw from."""

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from h5xs_bluesky.reduction.accumulators import Accumulators
from h5xs_bluesky.reduction.geometry import Geometry
from h5xs_bluesky.reduction.integration.pixels import Pixels
from h5xs_bluesky.reduction.py4xs_geometry import Py4xsGeometry
from h5xs_bluesky.reduction.qgrid import QGrid

SHAPE = (23, 31)
FLIPS = [0, 1, 2, 3, -1, -2, -3, -4, 4, -5]


# A detector as WAXS stands: near and turned about every axis.
TILTED = Geometry(
    shape=(195, 487),
    pixel_size_m=(172e-6, 172e-6),
    distance_m=0.15,
    poni1_m=0.01,
    poni2_m=-0.005,
    rot1_rad=0.3,
    rot2_rad=-0.2,
    rot3_rad=0.1,
    wavelength_m=0.9e-10,
)


@st.composite
def qgrids(draw: st.DrawFn) -> QGrid:
    """Grids of any spacing within the range of `pixels`."""
    widths = draw(st.lists(st.floats(0.002, 0.1), min_size=1, max_size=20))
    return QGrid.from_edges(draw(st.floats(0.0, 0.2)) + np.cumsum([0.0, *widths]))


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    """Detectors of `SHAPE` in any usual place, tilted or not."""
    angle = st.floats(-0.5, 0.5)
    return Geometry(
        shape=SHAPE,
        pixel_size_m=(172e-6, 172e-6),
        distance_m=draw(st.floats(0.02, 2.0)),
        poni1_m=draw(st.floats(-0.02, 0.02)),
        poni2_m=draw(st.floats(-0.02, 0.02)),
        rot1_rad=draw(angle),
        rot2_rad=draw(angle),
        rot3_rad=draw(angle),
        wavelength_m=draw(st.floats(0.3e-10, 2e-10)),
    )


@st.composite
def py4xs_geometries(draw: st.DrawFn) -> Py4xsGeometry:
    """Detectors in any place that py4xs can describe, tilted and flipped."""
    angle = st.floats(-180, 180)
    return Py4xsGeometry(
        image_width=SHAPE[1],
        image_height=SHAPE[0],
        bm_ctr_x=draw(st.floats(-50, 80)),
        bm_ctr_y=draw(st.floats(-50, 80)),
        ratio_dw=draw(st.floats(0.5, 50)),
        wavelength_angstrom=draw(st.floats(0.3, 2.5)),
        det_orient_deg=draw(angle),
        det_tilt_deg=draw(st.sampled_from([0.0, 1e-3, -0.5, 5.0, -20.0, 35.0, 60.0])),
        det_phi_deg=draw(angle),
        flip=draw(st.sampled_from(FLIPS)),
        sample_normal_deg=draw(st.floats(-90, 90)),
    )


@st.composite
def pixels(draw: st.DrawFn) -> Pixels:
    """Pixels with q from 0 to 1 and any mask."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return Pixels(
        q=rng.uniform(0, 1, SHAPE),
        normalization=rng.uniform(0.5, 2, SHAPE),
        mask=rng.random(SHAPE) < draw(st.sampled_from([0.0, 0.2, 1.0])),
    )


@st.composite
def half_widths(draw: st.DrawFn) -> NDArray[np.float64]:
    """Half widths of pixels in q, some of them none."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    widths = rng.uniform(0, draw(st.floats(0.001, 0.2)), SHAPE)
    widths[rng.random(SHAPE) < 0.1] = 0.0
    return widths


@st.composite
def frames(draw: st.DrawFn) -> NDArray[np.int32]:
    """Counts, with some negative pixels."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    frame = rng.poisson(draw(st.floats(0, 50)), SHAPE).astype(np.int32)
    frame[rng.random(SHAPE) < draw(st.sampled_from([0.0, 0.1]))] = -1
    return frame


@st.composite
def accumulators(draw: st.DrawFn, *, least: int = 1, bins: int = 7) -> Accumulators:
    """Sums of several frames (n, bins), none missing."""
    count = draw(st.integers(least, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return Accumulators(**{
        name: rng.integers(1, 1000, (count, bins)).astype(float) for name in Accumulators.FIELDS
    })  # fmt: skip
