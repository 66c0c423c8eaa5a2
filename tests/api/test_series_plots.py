"""Pictures of a series show the numbers they are given."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray
from small_beamline import run_documents, small_beamline, small_frames

from h5xs_bluesky import h5xs
from h5xs_bluesky.api.plots.axes import prepare_axes
from h5xs_bluesky.api.plots.series import (
    plot_latest,
    plot_selection,
    plot_transmission,
    plot_waterfall,
)
from h5xs_bluesky.callbacks import LiveReduction
from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.similarity import Selection

Q = np.geomspace(0.01, 1.0, 20)


def curve(level: float) -> NDArray[np.float64]:
    return np.stack([np.full(Q.size, level), np.full(Q.size, level / 10)])


def labels_of(ax: plt.Axes) -> list[str]:
    legend = ax.get_legend()
    assert legend is not None
    return [text.get_text() for text in legend.get_texts()]


def test_average_is_drawn_with_a_band_of_one_sigma() -> None:
    ax = prepare_axes(Figure().add_subplot())
    plot_latest(ax, Q, {3: curve(10.0), 4: curve(11.0)}, average=curve(10.5), average_label="mean")
    assert labels_of(ax) == ["frame 3", "frame 4", "mean ± σ"]
    (band,) = ax.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((9.45, 11.55))


def test_frames_without_an_average_are_drawn() -> None:
    ax = prepare_axes(Figure().add_subplot())
    plot_latest(ax, Q, {0: np.full((2, Q.size), np.nan)}, average=None, average_label="")
    assert labels_of(ax) == ["frame 0"], "also one in which nothing is known"


def test_waterfall_has_a_row_for_each_frame_and_leaves_empty_ends_away() -> None:
    intensity = np.outer([1.0, 2.0, 4.0], Q**-1)
    intensity[:, :3] = np.nan
    ax = Figure().add_subplot()
    plot_waterfall(ax, Q, [0, 2, 4], intensity)
    (mesh,) = ax.collections
    assert mesh.get_array().shape == (3, Q.size - 3)
    corners = mesh.get_coordinates()
    assert corners[:, 0, 1].tolist() == [-1.0, 1.0, 3.0, 5.0]
    assert corners[0, 0, 0] == pytest.approx(np.sqrt(Q[2] * Q[3]))


def test_single_frame_has_a_waterfall() -> None:
    ax = Figure().add_subplot()
    plot_waterfall(ax, Q, [0], curve(3.0)[:1])
    (mesh,) = ax.collections
    assert mesh.get_coordinates()[:, 0, 1].tolist() == [-0.5, 0.5]


def test_transmission_is_the_ratio_of_the_readings() -> None:
    axes = Figure().subplots(2, 1)
    incident, transmitted = np.array([1000.0, 1000.0, 0.0]), np.array([800.0, 900.0, 5.0])
    plot_transmission(axes, [0, 1, 2], incident=incident, transmitted=transmitted, rejected=[1])
    line, kept, rejected = axes[0].lines
    assert line.get_ydata().tolist() == pytest.approx([0.8, 0.9, np.nan], nan_ok=True)
    assert kept.get_xdata().tolist() == [0, 2]
    assert rejected.get_ydata().tolist() == pytest.approx([0.9])


def test_readings_that_are_not_known_are_told() -> None:
    axes = Figure().subplots(2, 1)
    nothing = np.full(3, np.nan)
    plot_transmission(axes, [0, 1, 2], incident=nothing, transmitted=nothing)
    assert all(ax.texts[0].get_text() == "no readings with the frames" for ax in axes)


def test_selection_counts_the_frames_of_each_reason() -> None:
    reasons = ("", "", "cormap", "transmission", "superseded", "missing", "explicit", "distance")
    selection = Selection(
        kept=np.array([not reason for reason in reasons]),
        reference=0,
        p_value=np.array([np.nan, 0.5, 1e-30, *[np.nan] * 4, 0.2]),
        longest_run=np.zeros(8, int),
        distance=np.full(8, np.nan),
        reason=reasons,
    )
    ax = Figure().add_subplot()
    plot_selection(ax, selection)
    assert labels_of(ax) == [
        *("kept: 2", "shape differs: 1", "too far from the reference: 1", "beam differs: 1"),
        *("measured again: 1", "missing: 1", "by hand: 1", "reference"),
    ]
    differs = next(line for line in ax.lines if line.get_label().startswith("shape"))
    assert differs.get_ydata().tolist() == [1e-8], "smaller ones stand at the bottom"
    assert "10⁻⁸ or less at the bottom" in ax.get_ylabel()
    assert sum(len(strip.get_paths()) for strip in ax.collections) == 8


def test_selection_without_tiny_p_values_tells_nothing_of_the_bottom() -> None:
    selection = Selection(
        kept=np.ones(2, bool),
        reference=0,
        p_value=np.array([np.nan, 0.5]),
        longest_run=np.zeros(2, int),
        distance=np.full(2, np.nan),
        reason=("", ""),
    )
    ax = Figure().add_subplot()
    plot_selection(ax, selection)
    assert ax.get_ylabel() == "p-value of agreement with the reference"


def test_selection_of_a_sample_is_the_stored_one(experiment: Path) -> None:
    dt = h5xs(experiment)
    selection = dt.get_selection("lysozyme")
    assert selection is not None
    dt.load_d1s("lysozyme")
    assert selection.kept.tolist() == dt.attrs["lysozyme"]["selected"].tolist()
    ax = dt.plot_selection("lysozyme", Figure().add_subplot())
    assert f"kept: {selection.kept.sum()}" in labels_of(ax)
    own = dt.plot_selection("lysozyme")
    assert own.get_title() == "lysozyme"
    plt.close(own.figure)


def test_preview_is_the_selection_that_would_be_made_and_keeps_nothing(tmp_path: Path) -> None:
    frames = [*small_frames(7, seed=2, mean=60.0), *small_frames(1, seed=3, mean=90.0)]
    live = LiveReduction(small_beamline(), tmp_path)
    documents = run_documents(frames, sample_name="lysozyme")
    for document in documents[:-1]:
        live(*document)
    assert live.wait(30)
    dt = h5xs(tmp_path / "experiment.h5", read_only=True)
    assert dt.get_selection("lysozyme") is None
    preview = dt.get_selection("lysozyme", preview=True)
    assert "averaged" not in dt.d1s["lysozyme"]
    live(*documents[-1])
    live.close()
    found = dt.get_selection("lysozyme")
    assert preview.reason == found.reason
    assert not found.kept.all()


def test_sample_without_a_selection_is_told(experiment: Path) -> None:
    dt = h5xs(experiment)
    assert dt.get_selection("nothing") is None
    with pytest.raises(ReductionError, match="nothing: expected a selection of frames, found none"):
        dt.plot_selection("nothing")


def test_monitors_of_a_sample_are_plotted(experiment: Path) -> None:
    dt = h5xs(experiment)
    ax = dt.plot_mon("lysozyme", Figure().add_subplot())
    assert ax.get_title() == "lysozyme"
    with pytest.raises(ReductionError, match="nothing: expected frames"):
        dt.plot_mon("nothing", ax)


def test_rings_have_their_q_written_upon_them(experiment: Path) -> None:
    from h5xs_bluesky.api.plots.patterns import show_pattern

    pattern = h5xs(experiment).get_d2("lysozyme", "_SAXS")
    for labels, expected in ((False, []), (True, ["0.03", "0.05"])):
        figure = Figure()
        show_pattern(pattern, figure.add_subplot(), rings=[0.03, 0.05], ring_labels=labels)
        found = {text.get_text() for text in figure.axes[0].texts}
        assert sorted(found) == expected
