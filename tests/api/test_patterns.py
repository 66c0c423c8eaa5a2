"""Patterns and maps of a sample: which frames, what is shown, the check of the beam's centre."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import colors, pyplot
from small_beamline import SAXS, SHAPES, WAXS, run_documents, small_frames

from h5xs_bluesky import h5xs
from h5xs_bluesky.api.frame_choice import chosen_frames
from h5xs_bluesky.api.plots.colours import MASKED
from h5xs_bluesky.api.plots.patterns import calibrant_rings
from h5xs_bluesky.errors import ReductionError, SampleNotFoundError

METHODS: list[Callable[..., Any]] = [
    h5xs.get_d2,
    h5xs.get_qphi,
    h5xs.get_qxy,
    h5xs.show_data,
    h5xs.show_data_qphi,
    h5xs.show_data_qxy,
    h5xs.check_bm_center,
]
FRAMES = [*small_frames(7, seed=2, mean=60.0), *small_frames(1, seed=3, mean=90.0)]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.__name__)
def test_sample_or_frames_that_are_missing_are_named(
    experiment: Path, method: Callable[..., Any]
) -> None:
    dt = h5xs(experiment)
    with pytest.raises(SampleNotFoundError, match=r"'buffer', 'lysozyme'.*found 'tea'"):
        method(dt, "tea")
    with pytest.raises(IndexError, match=r"nothing: expected .* of \['_SAXS', '_WAXS'\]"):
        method(dt, "nothing")


def test_detectors_that_have_frames_are_named(experiment: Path) -> None:
    for path in (experiment.parent / "lysozyme").glob("primary.waxs_image*"):
        path.unlink()
    with pytest.raises(IndexError, match=r"of _FOO, found frames of \['_SAXS'\] alone"):
        h5xs(experiment).get_d2("lysozyme", "_FOO")


@pytest.mark.parametrize(
    ("frn", "header", "expected", "reason"),
    [
        (None, {}, 0, "the first by default"),
        (-1, {}, -1, "the last"),
        (np.int64(3), {}, 3, "numpy's numbers"),
        ("average", {}, "average", "all"),
        ([1, 3], {}, [1, 3], "several"),
        (range(2), {}, [0, 1], "a range"),
        (np.array([2, 5]), {}, [2, 5], "an array"),
        ((4,), {}, 4, "a place in a scan of one dimension"),
        ((1, 2), {"shape": [3, 4]}, 6, "a place in a map, the last index fastest"),
        ((-1, -1), {"shape": [3, 4]}, 11, "counted from the end"),
    ],
)
def test_frames_are_chosen(frn: Any, header: dict[str, Any], expected: Any, reason: str) -> None:
    assert chosen_frames(frn, header, sample="s") == expected


@pytest.mark.parametrize(
    ("frn", "error", "text"),
    [
        ("all", ReductionError, "average"),
        (1.5, ReductionError, "whole number"),
        ([], ReductionError, "empty"),
        ([1.5], ReductionError, "whole number"),
        ((1, 2, 3), ReductionError, "each dimension"),
        ((3, 0), IndexError, "scan of shape"),
    ],
)
def test_frames_that_make_no_sense_are_refused(frn: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        chosen_frames(frn, {"shape": [3, 4]}, sample="s")


def test_place_in_a_map_is_a_frame(play: Callable[..., Path]) -> None:
    frames = small_frames(6, seed=5)
    dt = h5xs(play(run_documents(frames, sample_name="map", shape=[2, 3])))
    assert np.array_equal(dt.get_d2("map", "_SAXS", (1, 1)).data, frames[4][SAXS])
    assert dt.get_d1("map", frn=(1, 1)).label == "map merged, frame 4"
    with pytest.raises(ReductionError, match="one frame"):
        dt.get_d1("map", frn=[0, 1])  # type: ignore[arg-type]


def test_average_is_the_mean_of_the_counts(experiment: Path) -> None:
    dt = h5xs(experiment)
    average = dt.get_d2("lysozyme", "_SAXS", "average")
    stack = np.array([frame[SAXS] for frame in FRAMES])
    assert np.allclose(average.data, stack.mean(axis=0))
    assert (average.exposures == 8).all()
    assert average.label == "lysozyme _SAXS, average of 8 frames"
    some = dt.get_d2("lysozyme", "_SAXS", [0, 7])
    assert np.allclose(some.data, stack[[0, 7]].mean(axis=0))
    assert some.md["frame #"] == [0, 7]
    with pytest.raises(IndexError, match="below 8, found 8"):
        dt.get_d2("lysozyme", "_SAXS", [0, 8])


def test_pixel_is_averaged_over_the_frames_in_which_it_counts(play: Callable[..., Path]) -> None:
    frames = [{key: frame.copy() for key, frame in each.items()} for each in small_frames(3)]
    frames[0][SAXS][5, 5] = -1
    for each in frames:
        each[SAXS][6, 6] = -2
    average = h5xs(play(run_documents(frames))).get_d2("water", "_SAXS", "average")
    assert average.data[5, 5] == (frames[1][SAXS][5, 5] + frames[2][SAXS][5, 5]) / 2
    assert average.exposures[5, 5] == 2
    assert np.isnan(average.data[6, 6])
    assert average.excluded[6, 6]


def test_frames_measured_again_are_not_averaged(play: Callable[..., Path]) -> None:
    frames = small_frames(3)
    path = play(run_documents(frames, seq_nums=[1, 2, 2]))
    average = h5xs(path).get_d2("water", "_WAXS", "average")
    assert np.allclose(average.data, (frames[0][WAXS] + frames[2][WAXS]) / 2)


def test_detectors_and_dtype_may_be_given(experiment: Path) -> None:
    dt = h5xs(experiment)
    found = dt.get_d2("lysozyme", dtype=np.float32, detectors=dt.detectors[:1], client=None)
    assert list(found) == ["_SAXS"]
    assert found["_SAXS"].data.dtype == np.float32


def test_maps_have_the_intensities_of_the_curves(experiment: Path) -> None:
    """Averaged over azimuth a map is the merged curve of the frame, bin by bin."""
    dt = h5xs(experiment)
    curve = dt.get_d1("lysozyme", frn=2)
    shown = dt.get_qphi("lysozyme", 2, dt.qgrid.centers, 24)
    assert shown.plot().get_title() == "lysozyme _SAXS + _WAXS, frame 2"
    pyplot.close("all")
    d, err = shown.flatten("x")
    assert np.allclose(d, curve.data, rtol=1e-9, equal_nan=True)
    assert np.allclose(err, curve.err, rtol=1e-9, equal_nan=True)
    assert np.nansum(np.asarray(dt.get_qxy("lysozyme", 2, 0.02).count)) == sum(
        SHAPES[key][0] * SHAPES[key][1] - 2 * SHAPES[key][1] for key in (SAXS, WAXS)
    )
    with pytest.raises(ReductionError, match="incident_angle_deg"):
        dt.get_qrqn("lysozyme")


def test_pattern_is_shown_with_units_masks_rings_and_a_cursor(experiment: Path) -> None:
    dt = h5xs(experiment)
    axes = dt.show_data("lysozyme", "_SAXS", 1, calibrant="AgBh")
    assert not isinstance(axes, list)
    (image,) = axes.get_images()
    assert image.origin == "upper"
    shown = np.ma.getmaskarray(image.get_array())
    assert shown[10:12].all()
    assert not shown[12:].any()
    assert colors.to_hex(image.get_cmap().get_bad()) == MASKED
    (bar,) = axes.child_axes
    assert bar.get_ylabel() == "counts per pixel"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("column (pixels)", "row (pixels)")
    counts = FRAMES[1][SAXS][20, 30]
    text = axes.format_coord(30.2, 19.8)
    assert text.startswith("column 30, row 20: q = 0.0306 Å⁻¹, φ = 45.0°")
    assert text.endswith(f" {counts} counts")
    assert axes.format_coord(3, 10).endswith("masked")
    assert axes.format_coord(-3, 10) == "column -3, row 10"
    assert axes.get_title() == "lysozyme _SAXS, frame 1"
    pyplot.close("all")


def test_rings_lie_where_the_geometry_has_them(experiment: Path) -> None:
    dt = h5xs(experiment)
    axes = dt.show_data("lysozyme", "_SAXS", showRef=[0.04, 0.06])
    assert not isinstance(axes, list)
    q = dt.detectors[0].geometry.q_map()
    (lines,) = (each for each in axes.collections if each.get_paths())
    for path, ring in zip(lines.get_paths(), (0.04, 0.06), strict=True):
        columns, rows = np.round(path.vertices).astype(int).T
        assert np.abs(q[rows, columns] - ring).max() < 0.0025  # a pixel
    pyplot.close("all")


def test_all_detectors_are_shown_side_by_side_or_in_given_axes(experiment: Path) -> None:
    dt = h5xs(experiment)
    both = dt.show_data("lysozyme", showRef=["AgBH", "w--"], mask_alpha=0.5, logScale=False)
    assert isinstance(both, list)
    assert len(both) == 2
    figure, two = pyplot.subplots(1, 2)
    assert dt.show_data("lysozyme", ax=two, showMask=False)[0] is two[0]  # type: ignore[index]
    with pytest.raises(ReductionError, match="axes for 2 detectors, found 1"):
        dt.show_data("lysozyme", ax=two[0])
    own = dt.show_data("lysozyme", "_WAXS", fig=pyplot.figure())
    assert not isinstance(own, list)
    assert own.figure is not figure
    pyplot.close("all")


def test_zeros_are_the_lowest_colour_and_no_holes(play: Callable[..., Path]) -> None:
    frames = [{SAXS: np.zeros(SHAPES[SAXS], np.int32), WAXS: small_frames(1)[0][WAXS]}]
    axes = h5xs(play(run_documents(frames))).show_data("water", "_SAXS")
    assert not isinstance(axes, list)
    shown = axes.get_images()[0].get_array()
    assert np.ma.getmaskarray(shown).sum() == 2 * 48
    axes.figure.canvas.draw()
    pyplot.close("all")


def test_maps_are_shown_less_a_background_symmetric_and_filled(experiment: Path) -> None:
    dt = h5xs(experiment)
    buffer = dt.get_d2("buffer", frn="average")
    options: dict[str, Any] = {"Nphi": 15, "apply_symmetry": True, "fill_gap": True}
    background = {"_SAXS": buffer["_SAXS"], "_WAXS": buffer["_WAXS"].data}
    both = dt.show_data_qphi("lysozyme", "average", bkg=background, showRef=True, **options)
    assert both.get_title() == "lysozyme _SAXS + _WAXS, average of 8 frames"
    assert both.get_lines(), "the calibrant's rings"
    saxs = dt.show_data_qphi(
        "lysozyme",
        "average",
        Nq=20,
        bkg={"_SAXS": buffer["_SAXS"]},
        logScale=False,
        det_ext="_SAXS",
        **options,
    )
    values = saxs.collections[0].get_array()
    assert values is not None
    assert abs(np.ma.median(values) - ((60 * 7 + 90) / 8 - 20)) < 2
    masked = dt.show_data_qxy("lysozyme", dq=0.005, calibrant="AgBh", det_ext="_WAXS")
    free = dt.show_data_qxy("lysozyme", dq=0.005, useMask=False, det_ext="_WAXS")
    assert masked.get_xlabel() == "qx (Å⁻¹)"
    assert len(masked.patches) >= 1
    holes = [np.ma.getmaskarray(each.collections[0].get_array()).sum() for each in (masked, free)]
    assert holes[1] < holes[0]
    with pytest.raises(ReductionError, match=r"'_SAXS', '_WAXS'.*_XAXS"):
        dt.show_data_qxy("lysozyme", bkg={"_XAXS": buffer["_SAXS"]})
    pyplot.close("all")


def test_calibrants_are_those_of_pyfai_whatever_their_case() -> None:
    assert np.allclose(calibrant_rings("agbh", largest_q=0.33), 2 * np.pi / 58.38 * np.arange(1, 4))
    with pytest.raises(ReductionError, match=r"AgBh.*found 'gold dust'"):
        calibrant_rings("gold dust", largest_q=1.0)


def test_center_is_checked_and_pictured(play: Callable[..., Path]) -> None:
    """On a pattern whose beam hits half a pixel to the right of where the geometry has it."""
    rows, columns = np.indices(SHAPES[SAXS])
    radius = np.hypot(rows - 30.0, columns - 20.5)
    expected = 400 * np.exp(-((radius / 9) ** 2)) + 4
    rng = np.random.default_rng(0)
    frames = [
        {SAXS: rng.poisson(expected).astype(np.int32), WAXS: frame[WAXS]}
        for frame in small_frames(10)
    ]
    dt = h5xs(play(run_documents(frames)))
    found = dt.check_bm_center("water", frn="average", qs=0.003, qe=0.035, qn=16, Ns=3)
    assert abs(found.horizontal.shift_px - 0.5) < 4 * found.horizontal.sigma_px
    assert abs(found.vertical.shift_px) < 4 * found.vertical.sigma_px
    assert found.horizontal.sigma_px < 0.1
    assert found.horizontal.before.p_value < 0.05
    assert str(found).startswith("beam centre at row 30.00, column 20.00")
    axes = pyplot.gcf().axes
    assert axes[0].get_ylabel() == "I (counts per relative solid angle)"
    assert axes[2].get_ylabel() == "difference / σ"
    assert axes[2].get_xlabel() == "q (Å⁻¹)"
    _, own = pyplot.subplots(2, 2)
    dt.check_bm_center("water", qs=0.003, qe=0.035, qn=16, Ns=3, axes=list(own.ravel()))
    assert "column" in own[0, 0].get_title()
    with pytest.raises(ReductionError, match="four axes"):
        dt.check_bm_center("water", qs=0.003, qe=0.035, qn=16, Ns=3, axes=[own[0, 0]])
    pyplot.close("all")
