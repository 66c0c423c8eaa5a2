"""Single curves and patterns, and the pictures of a sample."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import colors, pyplot
from small_beamline import SAXS, small_detector

from h5xs_bluesky import Data1d, Data2d, h5xs
from h5xs_bluesky.api.plots.axes import prepare_axes
from h5xs_bluesky.api.plots.frames import plot_frames
from h5xs_bluesky.errors import ReductionError

LARGE = st.floats(1e-9, 1e9)


def curve(data: list[float], **more: Any) -> Data1d:
    values = np.array(data)
    q = np.linspace(0.01, 0.3, len(data))
    return Data1d(qgrid=q, data=values, err=values / 10, **more)


@given(st.lists(LARGE, min_size=1, max_size=30))
def test_saved_curve_reads_back_to_eight_digits(
    tmp_path_factory: pytest.TempPathFactory, data: list[float]
) -> None:
    path = tmp_path_factory.mktemp("curve") / "curve.dat"
    d1 = curve(data)
    d1.save(path)
    columns = np.loadtxt(path, ndmin=2).T
    for column, values in zip(columns, (d1.qgrid, d1.data, d1.err), strict=True):
        assert np.allclose(column, values, rtol=1e-8, atol=0)


def test_saved_file_tells_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "curve.dat"
    d1 = curve([1.0, 2.0], label="lysozyme averaged", trans=800.0, comments="8 of 10 frames\nµ")
    d1.save(path, footer="# end")
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[:4] == ["# lysozyme averaged", "# trans: 800", "# 8 of 10 frames", "# µ"]
    assert "1/Angstrom" in lines[4]
    assert lines[-1] == "# # end"


@pytest.mark.parametrize(
    ("nz", "rows", "reason"),
    [
        (True, 2, "a bin without pixels is left out, one that counted nothing is kept"),
        (False, 3, "all bins"),
    ],
)
def test_bins_without_pixels_may_be_left_out(
    tmp_path: Path, nz: bool, rows: int, reason: str
) -> None:
    curve([1.0, 0.0, np.nan]).save(tmp_path / "curve.dat", nz)
    assert len(np.loadtxt(tmp_path / "curve.dat")) == rows


@pytest.mark.parametrize("shape", [(3,), (2, 2)])
def test_curve_of_unequal_lengths_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ReductionError, match="one length"):
        Data1d(qgrid=np.zeros(2), data=np.zeros(shape), err=np.zeros(shape))


def test_pattern_that_is_no_picture_is_refused() -> None:
    with pytest.raises(ReductionError, match="shape"):
        Data2d(data=np.zeros(4), detector=small_detector("_SAXS", SAXS, distance_m=0.5))


def test_plotted_curve_is_on_logarithmic_axes_with_units() -> None:
    axes = curve([4.0, 2.0, 1.0], label="water").plot(scale=2.0)
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.get_xlabel() == "q (Å⁻¹)"
    assert axes.get_ylabel() == "I (counts per relative solid angle)"
    assert axes.get_lines()[0].get_ydata().tolist() == [8.0, 4.0, 2.0]
    assert curve([1.0, 1.0]).plot(axes) is axes
    pyplot.close("all")


def test_kept_frames_are_coloured_and_rejected_ones_grey_with_the_reason(experiment: Path) -> None:
    dt = h5xs(experiment)
    dt.average_d1s("lysozyme", selection=[True] * 5 + [False, True, False])
    axes = dt.plot_d1s("lysozyme", offset=2.0)
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["6 of 8 frames kept", "rejected (explicit): frames 5, 7", "average"]
    styles = [line.get_linestyle() for line in axes.get_lines()]
    assert [styles.count(style) for style in ("-", ":", "--")] == [6, 2, 6]
    grey = colors.to_rgb("gray")
    for line in axes.get_lines():
        assert (colors.to_rgb(line.get_color()) == grey) == (line.get_linestyle() != "-")
    second = axes.get_lines()[2].get_ydata()
    assert np.array_equal(second, dt.get_d1("lysozyme", frn=1).data * 2, equal_nan=True)
    assert axes.get_xlabel() == "q (Å⁻¹)"
    assert axes.get_title() == "lysozyme"
    pyplot.close("all")


def test_overlaps_and_subtraction_are_shown_on_request(experiment: Path) -> None:
    dt = h5xs(experiment)
    _, (left, right) = pyplot.subplots(1, 2)
    assert dt.plot_d1s("lysozyme", left, show_overlap=True) is left
    markers = {line.get_marker() for line in left.get_lines()}
    assert {"^", "v"} <= markers
    labels = [text.get_text() for text in left.get_legend().get_texts()]
    assert labels[-2:] == [f"{each}, where detectors overlap" for each in ("_SAXS", "_WAXS")]
    dt.plot_d1s("lysozyme", right, show_subtracted=True)
    labels = [text.get_text() for text in right.get_legend().get_texts()]
    assert sorted(labels) == ["average", "buffer, scaled", "subtracted"]
    with pytest.raises(ReductionError, match="'subtracted'"):
        dt.plot_d1s("buffer", show_subtracted=True)
    pyplot.close("all")


def test_subtracted_curve_near_zero_leaves_the_others_their_room(experiment: Path) -> None:
    dt = h5xs(experiment)
    subtracted = dt.get_d1("lysozyme", "subtracted")
    told = subtracted.data[(subtracted.data > 0) & (subtracted.data > 3 * subtracted.err)]
    axes = dt.plot_d1s("lysozyme", show_subtracted=True)
    low, high = axes.get_ylim()
    assert told.min() / 2 <= low * (1 + 1e-9) < told.min()
    axes.figure.canvas.draw()
    average = dt.get_d1("lysozyme", "averaged")
    box = axes.get_legend().get_window_extent()
    drawn = axes.transData.transform(np.stack([average.qgrid, average.data], axis=-1))
    assert not any(box.contains(*point) for point in drawn)
    assert high > np.nanmax(average.data)
    pyplot.close("all")


def test_overlaps_of_many_frames_lie_on_their_curves() -> None:
    frames = [curve([4.0, 2.0, 1.0]) for _ in range(30)]
    axes = prepare_axes(None)
    overlaps = {"_SAXS": frames, "_WAXS": frames}
    plot_frames(axes, frames, reasons=None, average=None, offset=1.5, overlaps=overlaps)
    last = [line.get_ydata()[0] for line in axes.get_lines() if line.get_marker() == "^"][-1]
    lines = [line.get_ydata()[0] for line in axes.get_lines() if line.get_marker() == "None"]
    assert last == lines[-1]
    pyplot.close("all")


def test_latest_frame_is_that_in_memory_until_it_is_saved(experiment: Path) -> None:
    dt = h5xs(experiment, save_d1=False)
    dt.average_d1s("lysozyme", selection=[True] * 5 + [False] * 3)
    computed = dt.d1s["lysozyme"]["merged"][-1]
    assert dt.get_d1("lysozyme", "merged", -1) is computed
    assert dt.get_d1("lysozyme", "averaged").comments == "average of 5 of 8 frames"
    dt.save_d1s("lysozyme")
    assert dt.get_d1("lysozyme", "merged", -1) is not computed


def test_samples_are_compared(experiment: Path) -> None:
    dt = h5xs(experiment)
    axes = dt.compare_d1s(show_subtracted=False)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["buffer", "lysozyme"]
    assert axes.get_title() == "Averages"
    assert dt.compare_d1s("lysozyme", ax=axes) is axes
    with pytest.raises(ReductionError, match=r"'subtracted'.*buffer.*averaged"):
        dt.compare_d1s(["buffer"])
    with pytest.raises(ReductionError, match="'nothing': \\[\\]"):
        dt.compare_d1s(["nothing"], show_subtracted=False)
    pyplot.close("all")


def test_legend_tells_the_p_values(experiment: Path) -> None:
    dt = h5xs(experiment)
    dt.average_d1s("lysozyme", filter_data=True)
    labels = [text.get_text() for text in dt.plot_d1s("lysozyme").get_legend().get_texts()]
    assert labels[0].startswith("7 of 8 frames kept, p ≥ 0.")
    assert labels[1].startswith("rejected (cormap, p ≤ ")
    assert labels[1].endswith("frame 7")
    pyplot.close("all")


@pytest.mark.parametrize("count", [1, 20, 600])
def test_one_frame_and_hundreds_are_readable(count: int) -> None:
    frames = [curve([4.0, 2.0, 1.0], label=str(number)) for number in range(count)]
    reasons = ["" if number % 3 else "cormap" for number in range(count)]
    reasons[0] = ""
    axes = prepare_axes(None)
    plot_frames(axes, frames, reasons=reasons, average=frames[0], offset=1.5)
    low, high = axes.get_ylim()
    assert high / low < 1e6
    assert len(axes.child_axes) == (count == 600)  # a bar tells the frames
    assert len(axes.get_legend().get_texts()) == (2 if count == 1 else 3)
    axes.figure.canvas.draw()
    pyplot.close("all")
