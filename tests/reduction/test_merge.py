"""Scales of detectors that were moved."""

from dataclasses import replace

import pytest
from small_beamline import small_beamline

from h5xs_bluesky.reduction.merge import default_scales, moved_detectors


def test_scale_that_followed_the_distance_follows_the_new_one() -> None:
    saxs, waxs = small_beamline().detectors
    assert [saxs.fix_scale, waxs.fix_scale] == default_scales([saxs.geometry, waxs.geometry])
    new = replace(waxs.geometry, distance_m=waxs.geometry.distance_m * 2)
    after = moved_detectors([saxs, waxs], {"_WAXS": new})
    assert after[0].geometry == saxs.geometry
    assert after[1].geometry == new
    assert after[1].fix_scale == pytest.approx(waxs.fix_scale / 4, rel=1e-12)


def test_scales_are_relative_to_the_first_detector() -> None:
    saxs, waxs = small_beamline().detectors
    new = replace(saxs.geometry, distance_m=saxs.geometry.distance_m * 2)
    after = moved_detectors([saxs, waxs], {"_SAXS": new})
    assert after[0].fix_scale == 1.0
    assert after[1].fix_scale == pytest.approx(waxs.fix_scale * 4, rel=1e-12)


def test_scale_that_was_fixed_stays() -> None:
    saxs, waxs = small_beamline().detectors
    fixed = replace(waxs, fix_scale=4.001)
    new = replace(waxs.geometry, distance_m=1.0)
    assert moved_detectors([saxs, fixed], {"_WAXS": new})[1].fix_scale == 4.001
