"""Maps as objects: combined, cut, shown."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot
from small_beamline import SAXS, SHAPES, WAXS, small_detector

from h5xs_bluesky import Data2d
from h5xs_bluesky.api.data2d import map_qphi, map_squares
from h5xs_bluesky.api.map2d import Map2d
from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.orientation import SampleOrientation


def small_map(value: float = 4.0, **changes: Any) -> Map2d:
    values: dict[str, Any] = {
        "xc": np.array([0.1, 0.2, 0.3]),
        "yc": np.array([-90.0, 90.0]),
        "d": np.full((2, 3), value),
        "err": np.full((2, 3), 0.5),
        "xc_label": "q (Å⁻¹)",
        "yc_label": "φ (°)",
        "period": 360.0,
    }
    return Map2d(**{**values, **changes})


def pattern(kind: str = SAXS, *, seed: int = 0, mean: float = 20.0, **changes: Any) -> Data2d:
    extension, distance = ("_SAXS", 0.5) if kind == SAXS else ("_WAXS", 0.25)
    detector = small_detector(extension, kind, distance_m=distance)
    frame = np.random.default_rng(seed).poisson(mean, SHAPES[kind]).astype(np.int32)
    return Data2d(
        data=frame, detector=replace(detector, **changes), label=f"s {extension}, frame 0"
    )


def test_average_of_maps_weighs_by_their_pixels() -> None:
    one = small_map(2.0, weight=np.full((2, 3), 1.0))
    other = small_map(6.0, weight=np.full((2, 3), 3.0))
    mean = one.average([other])
    assert np.allclose(mean.d, (2 + 3 * 6) / 4)
    assert np.allclose(mean.err, np.hypot(0.5, 1.5) / 4)
    plain = one.average([other], weighted=False)
    assert np.allclose(plain.d, 4.0)
    assert np.allclose(plain.err, np.hypot(0.5, 0.5) / 2)
    assert np.allclose(one.d, 2.0)


def test_cell_that_one_map_lacks_is_the_others() -> None:
    one, other = small_map(2.0), small_map(6.0)
    one.d[0, 0] = np.nan
    assert one.average([other]).d[0, 0] == 6.0
    one.d[:], other.d[:] = np.nan, np.nan
    assert np.isnan(one.average([other]).d).all()


def test_maps_of_other_regions_are_merged_on_a_common_raster() -> None:
    one, other = small_map(2.0), small_map(6.0, xc=np.array([0.3, 0.4, 0.5]))
    merged = one.merge([other])
    assert merged.xc.tolist() == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert merged.d[0].tolist() == [2.0, 2.0, 4.0, 6.0, 6.0]
    with pytest.raises(ReductionError, match="same coordinates"):
        one.merge([small_map(xc_label="qx")])


def test_background_is_subtracted_with_its_error() -> None:
    less = small_map(10.0).bkg_cor(small_map(4.0), 0.5, in_place=False)
    assert np.allclose(less.d, 8.0)
    assert np.allclose(less.err, np.hypot(0.5, 0.25))
    changed = small_map(10.0)
    assert changed.bkg_cor(small_map(4.0)) is changed
    assert np.allclose(changed.d, 6.0)
    unknown = small_map(10.0).bkg_cor(small_map(4.0, err=None))
    assert np.isnan(np.asarray(unknown.err)).all()


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda m: m.bkg_cor(small_map(xc=np.array([0.1, 0.2, 0.4]))), "same cells"),
        (lambda m: m.bkg_cor(m, np.nan), "finite scale_factor"),
        (lambda m: m.average([small_map(yc=np.array([0.0, 90.0]))]), "same cells"),
        (lambda m: m.roi(5, 6, -180, 180), "expected a region within"),
        (lambda m: m.flatten("z"), "axis"),
        (lambda m: m.flatten("x", "magic"), "method"),
        (lambda m: m.fill_gap("spline"), "'linear'"),
        (lambda m: m.plot(sc_factor="x9"), "sc_factor"),
        (lambda m: m.plot(clim=(2, 1)), "increase"),
        (lambda m: m.plot(clim="most"), "clim"),
        (lambda m: m.plot(logScale=True, clim=(0, 1)), "positive"),
        (lambda m: m.roi(0, 1, 0, 180).apply_symmetry(), "equally|full turn"),
        (lambda m: replace(m, d=np.zeros((3, 2))), "shape"),
    ],
)
def test_what_cannot_be_is_refused(call: Callable[[Map2d], Any], text: str) -> None:
    with pytest.raises(ReductionError, match=text):
        call(small_map())
    pyplot.close("all")


def test_region_profile_and_value() -> None:
    shown = small_map(d=np.arange(6.0).reshape(2, 3), weight=np.array([[1.0] * 3, [3.0] * 3]))
    part = shown.roi(0.15, 0.35, -100, 100)
    assert part.d.tolist() == [[1.0, 2.0], [4.0, 5.0]]
    along, d, err = shown.line_profile("x")
    assert np.allclose(d, (np.arange(3) + 3 * np.arange(3, 6)) / 4)
    assert np.allclose(err, np.hypot(0.5, 1.5) / 4)
    assert along.tolist() == [0.1, 0.2, 0.3]
    simple, _ = shown.flatten("y", "simple")
    assert simple.tolist() == [1.0, 4.0]
    assert shown.val(0.2, 0.0, 0.05, 360.0) == (1 + 3 * 4) / 4
    _, axes = pyplot.subplots()
    shown.line_profile("y", xrange=(0.1, 0.2), plot_data=True, ax=axes)
    assert axes.get_xlabel() == "φ (°)"
    pyplot.close("all")


def test_gaps_are_filled_and_marked_as_without_pixels() -> None:
    shown = small_map()
    shown.d[:, 1], np.asarray(shown.err)[:, 1] = np.nan, np.nan
    filled = shown.fill_gap()
    assert np.allclose(filled.d, 4.0)
    assert np.asarray(filled.count)[:, 1].tolist() == [0, 0]
    assert np.isnan(shown.d[:, 1]).all()


def test_plotted_map_has_units_a_bar_and_a_cursor_and_grey_holes() -> None:
    shown = small_map(d=np.array([[0.0, 1.0, np.nan], [10.0, 100.0, 5.0]]))
    axes = shown.plot(logScale=True, clim=(1, 100))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("q (Å⁻¹)", "φ (°)")
    (bar,) = axes.child_axes
    assert bar.get_ylabel() == "I (counts per relative solid angle)"
    values = axes.collections[0].get_array()
    assert values is not None
    assert values[0].tolist() == [1.0, 1.0, None]  # what counted nothing is no hole
    assert axes.format_coord(0.2, 90) == "q = 0.2 Å⁻¹, φ = 90°: 100 ± 0.5"
    assert axes.format_coord(0.3, -90).endswith("no pixels")
    assert axes.format_coord(0.9, 0) == "q = 0.9 Å⁻¹, φ = 0°"
    bare = shown.plot(nolabel=True, colorbar=False, sc_factor="x2")
    assert bare.get_xlabel() == ""
    scaled = bare.collections[0].get_array()
    assert scaled is not None
    assert np.isclose(scaled[1, 0], 10 * 0.1**2)
    pyplot.close("all")


def test_map_without_any_pixels_is_shown_empty() -> None:
    for log in (True, False):
        axes = small_map(np.nan).plot(logScale=log)
        assert np.ma.getmaskarray(axes.collections[0].get_array()).all()
        axes.figure.canvas.draw()
    pyplot.close("all")


def test_detectors_meet_in_one_map_on_one_scale() -> None:
    both = map_qphi({"_SAXS": pattern(), "_WAXS": pattern(WAXS, mean=80.0)}, 30, 12)
    assert both.d.shape == (12, 30)
    known = np.isfinite(both.d)
    pulls = (both.d - 20)[known] / np.asarray(both.err)[known]
    assert known.mean() > 0.3
    assert abs(np.mean(both.d[known]) - 20) < 1  # both detectors' counts over their scales
    assert np.std(pulls) < 1.6


def test_masked_and_negative_pixels_are_in_no_map() -> None:
    d2 = pattern()
    d2.data[30:34] = -1
    shown = d2.to_qxy(0.01)
    assert np.nansum(np.asarray(shown.count)) == d2.data.size - 6 * 48
    assert np.nanmin(shown.d) >= 0
    free = d2.unmasked().to_qxy(0.01)
    assert np.nansum(np.asarray(free.count)) == d2.data.size - 4 * 48


def test_cells_may_be_given_by_their_centres() -> None:
    shown = pattern().to_qphi(np.linspace(0.02, 0.1, 9), np.linspace(-180, 180, 13))
    assert np.allclose(shown.xc, np.linspace(0.02, 0.1, 9))
    assert np.allclose(shown.yc, np.linspace(-180, 180, 13))
    assert np.isfinite(shown.apply_symmetry().d).any()


def test_grazing_incidence_has_a_map_and_needs_an_angle() -> None:
    d2 = pattern(orientation=SampleOrientation(incident_angle_deg=0.2))
    shown = d2.to_qrqn(0.01)
    assert (shown.xc_label, shown.yc_label) == ("qr (Å⁻¹)", "qn (Å⁻¹)")
    assert np.nansum(np.asarray(shown.count)) == d2.data.size - 2 * 48
    assert shown.yc.max() > -shown.yc.min() * 0.5
    with pytest.raises(ReductionError, match="incident_angle_deg"):
        pattern().to_qrqn()
    with pytest.raises(ReductionError, match="coordinates"):
        pattern().coordinates("polar")


@pytest.mark.parametrize(
    "call", [lambda: map_squares({"_SAXS": pattern()}, "qxy", 0.0), lambda: map_qphi({})]
)
def test_map_of_nothing_is_refused(call: Callable[[], Any]) -> None:
    with pytest.raises(ReductionError, match="expected"):
        call()


def test_detector_keeps_its_orientation() -> None:
    detector = small_detector("_SAXS", SAXS, distance_m=0.5)
    assert isinstance(detector, Detector)
    assert detector.orientation == SampleOrientation()
