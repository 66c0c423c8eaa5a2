"""Frames in polar coordinates, and which pixels are trusted."""

import numpy as np
import pytest
from small_standard import place, standard_frame

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.calibration.polar import PolarMap, valid_pixels


def test_cells_hold_every_valid_pixel_once() -> None:
    frame, mask = standard_frame(place())
    polar = PolarMap.of(frame.astype(float), ~mask, place(), sectors=24)
    assert polar.pixels.sum() == (~mask).sum()
    total = np.nansum(polar.counts * polar.pixels)
    assert total == pytest.approx(frame[~mask].sum(), rel=1e-9)


def test_sectors_cover_only_the_part_of_the_circle_that_has_pixels() -> None:
    beside = place(center_px=(-400.0, 150.0))
    ones = np.ones(beside.shape)
    polar = PolarMap.of(ones, ones > 0, beside, sectors=24)
    assert 24 <= polar.chi_rad.size <= 26
    assert np.ptp(polar.chi_rad) < 0.8


def test_no_valid_pixel_is_told() -> None:
    nothing = np.zeros(place().shape)
    with pytest.raises(ReductionError, match="all masked"):
        PolarMap.of(nothing, nothing > 0, place(), sectors=24)


def test_hot_pixels_are_left_out_and_rings_are_not() -> None:
    rng = np.random.default_rng(0)
    frame = rng.poisson(20, (60, 80))
    frame[:, 40] = 400  # a ring one pixel wide
    frame[10, 10] = frame[20, 20] = frame[20, 21] = 500
    valid = valid_pixels(frame, np.zeros(frame.shape, bool))
    assert valid[:, 40].all()
    assert not valid[10, 10]
    assert not valid[20, 20:22].any()
    assert valid.mean() > 0.998


def test_masked_negative_and_undefined_pixels_are_left_out() -> None:
    frame = np.full((8, 9), 5.0)
    frame[2, 3], frame[4, 5] = -1, np.nan
    mask = np.zeros(frame.shape, bool)
    mask[6, 7] = True
    valid = valid_pixels(frame, mask)
    assert sorted(map(tuple, np.argwhere(~valid).tolist())) == [(2, 3), (4, 5), (6, 7)]
