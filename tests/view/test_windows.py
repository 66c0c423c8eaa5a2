"""Each window tells what it shows."""

from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from small_beamline import run_documents, small_frames, write_experiment

from h5xs_bluesky import h5xs
from h5xs_bluesky.view.shown_run import FrameRow, ShownRun
from h5xs_bluesky.view.windows import WINDOWS, rings_for


@pytest.fixture(scope="module")
def patterns(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = write_experiment(tmp_path_factory.mktemp("windows"), run_documents(small_frames(1)))
    return h5xs(path).get_d2("water")


NAMES = [
    # the sample's name, the calibrant, the reason
    ("AgBh", "AgBh", "as pyFAI calls it"),
    ("agbh_2", "AgBh", "capital letters and numbers do not matter"),
    ("lab6 at 12 keV", "LaB6", "one word of several"),
    ("ruLaB6ric", None, "not a word of its own"),
    ("water", None, "no calibrant"),
]


@pytest.mark.parametrize(("name", "calibrant", "reason"), NAMES)
def test_rings_are_those_of_the_calibrant_that_a_sample_is_called_after(
    name: str, calibrant: str | None, reason: str, patterns: Any
) -> None:
    rings = rings_for(name, [pattern.detector for pattern in patterns.values()])
    if calibrant is not None:
        assert rings == calibrant, reason
        return
    for pattern in patterns.values():
        q = pattern.detector.geometry.q_map()
        assert sum(q.min() < ring < q.max() for ring in rings) >= 2, reason


def test_waterfall_tells_that_frames_are_left_out() -> None:
    curve = np.ones((2, 5))
    rows = [
        FrameRow(frame=4 * n, curve=curve, transmitted=np.nan, incident=np.nan) for n in range(3)
    ]
    run = ShownRun(
        raw_uid="", sample="s", name="s", q=np.linspace(0.1, 1, 5), rows=rows, step=4, total=12
    )
    figure = Figure()
    WINDOWS["waterfall"].draw(figure, run, None)
    assert figure.axes[0].get_title() == "s: 12 frames, every 4th frame"


@pytest.mark.parametrize(
    ("window", "message"),
    [("pattern", "no frame was read yet"), ("selection", "no frames are compared yet")],
)
def test_window_without_what_it_needs_tells_so(window: str, message: str) -> None:
    figure = Figure()
    WINDOWS[window].draw(figure, ShownRun(raw_uid="", sample="s", name="s"), None)
    assert [text.get_text() for text in figure.texts] == [message]


def test_legend_of_the_curves_covers_none_of_them() -> None:
    rows = [
        FrameRow(frame=n, curve=np.ones((2, 5)), transmitted=np.nan, incident=np.nan)
        for n in range(5)
    ]
    q = np.linspace(0.1, 1, 5)
    figure = Figure(layout="constrained")
    run = ShownRun(raw_uid="", sample="s", name="s", q=q, rows=rows, total=5)
    run.latest.extend(rows)
    WINDOWS["curves"].draw(figure, run, None)
    figure.draw_without_rendering()
    (ax,) = figure.axes
    legend = ax.get_legend()
    assert legend is not None
    box = legend.get_window_extent()
    assert not box.overlaps(ax.bbox)
    assert box.y0 >= 0, "all of it is in the figure"
    assert not box.overlaps(ax.xaxis.label.get_window_extent())
