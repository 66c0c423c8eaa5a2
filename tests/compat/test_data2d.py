"""py4xs' pictures and bins."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from strategies import FLIPS

from h5xs_bluesky.compat.py4xs.data2d import (
    Data2d,
    DataType,
    flip_array,
    get_bin_edges,
    get_bins_range,
    unflip_array,
)
from h5xs_bluesky.compat.py4xs.hdf import h5xs
from h5xs_bluesky.compat.py4xs.utils import get_grid_from_bin_ranges
from h5xs_bluesky.errors import ConfigurationError
from h5xs_bluesky.reduction.py4xs_geometry import Py4xsGeometry
from h5xs_bluesky.sim.py4xs_files import py4xs_detectors


@pytest.mark.parametrize("flip", FLIPS)
def test_pictures_are_turned_as_the_geometry_turns_them(flip: int) -> None:
    frame = np.arange(12).reshape(3, 4)
    picture = flip_array(frame, flip)
    place = Py4xsGeometry(
        image_width=picture.shape[1],
        image_height=picture.shape[0],
        bm_ctr_x=0,
        bm_ctr_y=0,
        ratio_dw=1,
        wavelength_angstrom=1,
        flip=flip,
    )
    assert np.array_equal(picture, place.flipped(frame))
    assert np.array_equal(unflip_array(picture, flip), frame)


def test_edges_have_the_grid_in_their_middles() -> None:
    grid = np.array([0.1, 0.2, 0.35, 0.4])
    edges = get_bin_edges(grid)
    assert np.allclose((edges[1:] + edges[:-1]) / 2, grid)


def test_parts_of_a_grid_make_the_grid() -> None:
    grid = np.concatenate([np.arange(0.005, 0.0495, 0.001), np.arange(0.05, 0.0995, 0.002)])
    assert np.allclose(get_grid_from_bin_ranges(get_bins_range(grid)), grid)


def test_types_have_py4xs_numbers() -> None:
    assert [DataType(number).name for number in range(1, 6)] == ["det", "qrqz", "qphi", "q", "xyq"]


def test_pattern_is_seen_stored_and_turned(flow_cell: Path) -> None:
    dt = h5xs(flow_cell, read_only=True)
    pattern = dt.get_d2("protein", "_WAXS2", frn=1)
    assert pattern.data.shape == pattern.im.shape == (195, 243)
    assert (pattern.height, pattern.width) == pattern.data.d.shape == (243, 195)
    assert np.array_equal(pattern.data.d, flip_array(pattern.im, 1))
    assert pattern.exp is dt.det("_WAXS2").exp_para
    assert (pattern.data.xc.size, pattern.data.yc[0]) == (195, 242)
    assert pattern.md["frame #"] == 1
    assert np.array_equal(replace(pattern, label="a").data.d, pattern.data.d)
    assert set(dt.get_d2("protein")) == {"_SAXS", "_WAXS2"}


def test_pattern_may_be_made_from_a_picture(flow_cell: Path, tmp_path: Path) -> None:
    dt = h5xs(flow_cell, read_only=True)
    config = dt.det("_WAXS2")
    stored = dt.get_d2("protein", "_WAXS2").im
    np.save(tmp_path / "frame.npy", stored)
    patterns = [
        Data2d(stored, exp=config.exp_para, label="frame.npy"),
        Data2d(str(tmp_path / "frame.npy"), exp=config.exp_para),
        Data2d(flip_array(stored, 1), exp=config.exp_para, ignore_flip=True, label="frame.npy"),
    ]
    for pattern in patterns:
        assert np.array_equal(pattern.im, stored)
        assert pattern.label == "frame.npy"
        intensity, sigma = pattern.conv_Iq(dt.qgrid)
    dt.load_data(samples="protein")
    expected = dt.get_d1("protein", "_WAXS2")
    assert np.allclose(intensity / config.fix_scale, expected.data, equal_nan=True)
    assert np.allclose(sigma / config.fix_scale, expected.err, equal_nan=True)
    assert Data2d(stored, exp=config.exp_para, dtype=float).im.dtype == float


def test_pattern_needs_a_detector_that_fits() -> None:
    with pytest.raises(ConfigurationError, match="exp"):
        Data2d(np.zeros((3, 4)))
    with pytest.raises(ConfigurationError, match=r"shape \(195, 243\)"):
        Data2d(np.zeros((3, 4)), exp=py4xs_detectors()[1].exp_para)
