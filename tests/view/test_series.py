"""Series behind a column, as a window shows them while they are measured."""

from pathlib import Path

import numpy as np
import pytest
from bluesky import RunEngine
from matplotlib.figure import Figure
from matplotlib.image import imread
from measured_column import FRAMES, MeasuredColumn
from pictures import is_drawn
from small_beamline import run_documents, small_beamline, small_frames

from h5xs_bluesky.api.plots.chromatograms import Elution, plot_elution
from h5xs_bluesky.callbacks import LiveReduction
from h5xs_bluesky.sim.chromatography import sec_beamline
from h5xs_bluesky.sim.plans import count_sample
from h5xs_bluesky.sim.station import Station
from h5xs_bluesky.view import WINDOWS, LiveView
from h5xs_bluesky.view.shown_run import ShownRun

CHROMATOGRAM = WINDOWS["chromatogram"]


def shown(column: MeasuredColumn, frames: int, *, ended: bool = False) -> ShownRun:
    """What the windows know of the series after so many frames."""
    run = ShownRun(raw_uid="", sample="column", name="column", total=frames)
    for _, data in column.events("primary")[:frames]:
        run.take_of_series("primary", data)
    for _, data in column.events("subtracted") if ended else ():
        run.take_of_series("subtracted", data)
    return run


def drawn(run: ShownRun) -> Figure:
    figure = Figure(figsize=CHROMATOGRAM.size_inch, layout="constrained")
    CHROMATOGRAM.draw(figure, run, None)
    figure.draw_without_rendering()
    return figure


def test_radii_are_drawn_while_the_series_goes_on(column: MeasuredColumn) -> None:
    half = int(column.protein.argmax()) + 3
    run = shown(column, half)
    elution, radii = drawn(run).axes
    assert elution.get_title() == f"column: {half} frames"
    expected = np.array([data["rg"] for _, data in column.events("primary")[:half]])
    known = np.isfinite(expected)
    assert known.sum() > 5
    (points,) = radii.containers
    np.testing.assert_array_equal(points[0].get_xydata()[:, 0], np.flatnonzero(known))
    np.testing.assert_array_equal(points[0].get_xydata()[:, 1], expected[known])


@pytest.mark.parametrize("frames", [0, 1, 12])
def test_series_without_any_radius_yet_is_drawn(column: MeasuredColumn, frames: int) -> None:
    (elution,) = drawn(shown(column, frames)).axes
    legend = elution.get_legend()
    texts = [] if legend is None else [text.get_text() for text in legend.get_texts()]
    assert texts == ([] if frames < 8 else ["∫ I dq"]), "nothing else is there"
    assert "∫ I dq" in elution.get_ylabel()


def test_in_the_end_ranges_and_curve_are_those_of_the_analysis(column: MeasuredColumn) -> None:
    found = column.follower.chromatogram
    assert found is not None
    elution, curve, guinier, _ = drawn(shown(column, FRAMES, ended=True)).axes
    legend = elution.get_legend()
    assert legend is not None
    texts = [text.get_text() for text in legend.get_texts()]
    for name, frames in (("buffer", found.buffer_frames), ("sample", found.sample_frames)):
        first, *_, last = np.flatnonzero(frames)
        assert f"{name}, {frames.sum()} frames from {first} to {last}" in texts
    assert curve.get_xscale() == "log"
    assert guinier.get_xlabel() == "q² (10⁻³ Å⁻²)"


def test_the_trace_lies_on_the_forward_scattering(column: MeasuredColumn) -> None:
    """Near the peak, where all that elutes is the protein."""
    run = shown(column, FRAMES, ended=True)
    elution = drawn(run).axes[0]
    trace = elution.lines[0].get_ydata()
    top = column.protein > 0.5
    np.testing.assert_allclose(trace[top], run.series.values("i0")[top, 0], rtol=0.05)


def test_a_series_is_followed_and_its_picture_written(tmp_path: Path) -> None:
    setup = sec_beamline(tmp_path)
    live, pictures = LiveReduction(setup.beamline, tmp_path / "experiment"), tmp_path / "pictures"
    view = LiveView(live, windows=["chromatogram"], folder=pictures)
    engine, series, frames = RunEngine(), setup.samples[0], 120
    engine.subscribe(live)
    engine(
        count_sample(
            Station.from_beamline(setup.beamline),
            series.shots(frames),
            frames=frames,
            exposure_s=series.frame_s(frames),
            metadata=series.metadata,
        )
    )
    view.close()
    live.close()
    run = view._board.shown()
    assert run is not None
    assert [point["frame"] for point in run.series.points] == list(range(frames))
    assert run.series.result is not None
    assert is_drawn(imread(pictures / "chromatogram.png"))


def test_picture_of_every_series_stays(tmp_path: Path) -> None:
    """However fast the next one follows; one in which nothing elutes says so."""
    live, pictures = LiveReduction(small_beamline(), tmp_path / "experiment"), tmp_path / "pictures"
    view = LiveView(live, windows=list(WINDOWS), folder=pictures)
    for sample in ("one", "two", "one"):
        for name, doc in run_documents(small_frames(10), sample_name=sample, elution=True):
            live(name, doc)
    assert live.wait(30)
    groups = [run["sample"] for run in live.status()["runs"]]
    view.close()
    live.close()
    kept = {path.stem.removeprefix("chromatogram_") for path in pictures.glob("chromatogram_*")}
    assert kept == set(groups)
    assert len(kept) == 3
    assert is_drawn(imread(pictures / "chromatogram.png"))
    run = view._board.shown()
    assert run is not None
    assert "expected a peak in the series, found none" in run.series.problem
    assert "found none" in drawn(run).get_supxlabel()


def test_noise_is_not_cut_off_where_nothing_elutes() -> None:
    rng = np.random.default_rng(0)
    nothing = np.full((50, 2), np.nan)
    net = np.stack([rng.normal(0, 1e-3, 50), np.full(50, 1e-3)], 1)
    ax = Figure().subplots()
    assert plot_elution(ax, Elution(net=net, rg=nothing, i0=nothing)) is ax
    low, high = ax.get_ylim()
    assert low < net[:, 0].min()
    assert high > net[:, 0].max()


def test_other_runs_are_not_analysed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    live, pictures = LiveReduction(small_beamline(), tmp_path / "experiment"), tmp_path / "pictures"
    view = LiveView(live, windows=list(WINDOWS), folder=pictures)
    for name, doc in run_documents(small_frames(20)):
        live(name, doc)
    view.close()
    live.close()
    names = {path.stem for path in pictures.iterdir()}
    assert names == set(WINDOWS) - {"chromatogram"}
    assert "The series is not analysed" not in caplog.text
