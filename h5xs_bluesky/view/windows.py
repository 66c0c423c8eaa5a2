"""The windows: what each of them draws, and when it has to be drawn anew."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from h5xs_bluesky import schema
from h5xs_bluesky.api.data1d import Data1d
from h5xs_bluesky.api.plots.axes import prepare_axes
from h5xs_bluesky.api.plots.chromatograms import SIZE_INCHES, Elution, plot_chromatogram
from h5xs_bluesky.api.plots.series import (
    plot_latest,
    plot_selection,
    plot_transmission,
    plot_waterfall,
)
from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.view.shown_run import (
    FRAMES,
    PATTERNS,
    READINGS,
    RESULTS,
    SELECTION,
    SERIES,
    ShownRun,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHROMATOGRAM = "chromatogram"

_TITLE_SIZE = "medium"
_CIRCLES = 5
_LINE = 100  # characters of small print across a picture
_WORD = re.compile(r"[A-Za-z0-9]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowKind:
    """One kind of window.

    Parameters
    ----------
    draw
        Draws a run into an empty figure; is told which rings to draw.
    topics
        What makes it out of date.
    size_inch
        Width and height.
    needs
        Until this has changed once in a run there is nothing to be drawn of it.
    stays
        Whether the picture of each series that has ended is kept.
    """

    draw: Callable[["Figure", ShownRun, Any], None]
    topics: Sequence[str]
    size_inch: tuple[float, float] = (6.4, 4.8)
    needs: str = "run"
    stays: bool = False

    def version(self, versions: Mapping[str, int]) -> tuple[int, ...]:
        """Give what differs once the window is out of date; nothing to be drawn is ()."""
        if self.needs not in versions:
            return ()
        return tuple(versions.get(topic, 0) for topic in ("run", *self.topics))


def draw_curves(figure: "Figure", run: ShownRun, rings: Any = None) -> None:
    """Draw the latest frames, and the average: of all frames, until the run's own is there."""
    del rings
    ax = prepare_axes(figure.subplots())
    average, label = run.mean, f"mean of all {run.total} frames"
    if run.averaged is not None and run.kept is not None:
        average, label = run.averaged, f"average of {run.kept.sum()} of {run.kept.size} frames"
    own = run.buffer == run.sample  # of a series behind a column
    plot_latest(
        ax,
        run.q,
        {row.frame: row.curve for row in run.latest},
        average=average,
        average_label=label,
        subtracted=run.subtracted,
        subtracted_label=f"less {'its buffer frames' if own else run.buffer}",
    )
    ax.set_title(_title(run), fontsize=_TITLE_SIZE)


def draw_waterfall(figure: "Figure", run: ShownRun, rings: Any = None) -> None:
    """Draw all frames as an image over q."""
    del rings
    ax = figure.subplots()
    usable = run.q > 0
    intensity = np.stack([row.curve[0][usable] for row in run.rows])
    plot_waterfall(ax, run.q[usable], [row.frame for row in run.rows], intensity)
    every = f", every {run.step}th frame" if run.step > 1 else ""
    ax.set_title(f"{_title(run)}{every}", fontsize=_TITLE_SIZE)


def draw_transmission(figure: "Figure", run: ShownRun, rings: Any = None) -> None:
    """Draw the transmission of each frame."""
    del rings
    axes = figure.subplots(2, 1, sharex=True)
    plot_transmission(
        axes,
        [row.frame for row in run.rows],
        incident=run.beam("incident"),
        transmitted=run.beam("transmitted"),
        rejected=() if run.kept is None else np.flatnonzero(~run.kept).tolist(),
    )
    axes[0].set_title(_title(run), fontsize=_TITLE_SIZE)


def draw_selection(figure: "Figure", run: ShownRun, rings: Any = None) -> None:
    """Draw which frames are kept, or would be if the run ended now."""
    del rings
    if run.selection is None:
        draw_message(figure, "no frames are compared" + ("" if run.ended else " yet"))
        return
    ax = figure.subplots()
    plot_selection(ax, run.selection)
    kept, frames = int(run.selection.kept.sum()), run.selection.kept.size
    final = run.kept is not None and np.array_equal(run.kept, run.selection.kept)
    state = "kept" if final else "would be kept"
    ax.set_title(f"{run.name}: {kept} of {frames} frames {state}", fontsize=_TITLE_SIZE)


def draw_pattern(figure: "Figure", run: ShownRun, rings: Any = None) -> None:
    """Draw the latest frame of each detector, with rings: a calibrant's, or q at round values."""
    from h5xs_bluesky.api.plots.showing import show_patterns

    if not run.patterns:
        draw_message(figure, "no frame was read yet")
        return
    if rings is None:
        rings = rings_for(run.name, [pattern.detector for pattern in run.patterns.values()])
    show_patterns(run.patterns, ax=None, fig=figure, reference=rings, ring_labels=True)
    for ax in figure.axes:
        ax.set_title(ax.get_title(), fontsize=_TITLE_SIZE)


def draw_chromatogram(figure: "Figure", run: ShownRun, rings: Any = None) -> None:
    """Draw Rg and I(0) of a series against frame; in the end the peak less the buffer as well."""
    del rings
    found, curve = run.series.result, None
    if found is not None:
        curve = Data1d(
            qgrid=np.asarray(found["q"]),
            data=np.asarray(found["I"]),
            err=np.asarray(found["sigma"]),
            label=run.name,
        )
    elution = Elution(
        net=run.series.values("net"),
        rg=run.series.values("rg"),
        i0=run.series.values("i0"),
        **{
            name: None if found is None else np.asarray(found[name], dtype=bool)
            for name in (schema.BUFFER_FRAMES, schema.SAMPLE_FRAMES)
        },
    )
    plot_chromatogram(figure, elution, curve, title=_title(run), fontsize=_TITLE_SIZE)
    if run.series.problem:
        text = fill(run.series.problem, _LINE)
        figure.supxlabel(text, fontsize="small", color="0.4")


def draw_message(figure: "Figure", text: str) -> None:
    """Write what there is to wait for."""
    figure.text(0.5, 0.5, text, ha="center", va="center", color="0.4")


def rings_for(sample: str, detectors: Iterable[Detector]) -> Any:
    """Give the rings of the calibrant that a sample is called after, else q at round values."""
    from matplotlib.ticker import MaxNLocator
    from pyFAI.calibrant import ALL_CALIBRANTS

    known = {each.lower(): each for each in ALL_CALIBRANTS.keys()}  # noqa: SIM118 - no mapping
    for word in _WORD.findall(sample):
        if word.lower() in known:
            return known[word.lower()]
    circles = set()
    for detector in detectors:
        q = detector.geometry.q_map()
        low, high = float(q.min()), float(q.max())
        ticks = MaxNLocator(_CIRCLES).tick_values(low, high)
        circles |= {float(tick) for tick in ticks if low < tick < high}
    return sorted(circles)


WINDOWS: Mapping[str, WindowKind] = {
    "curves": WindowKind(draw=draw_curves, topics=(FRAMES, RESULTS)),
    "waterfall": WindowKind(draw=draw_waterfall, topics=(FRAMES,)),
    "transmission": WindowKind(draw=draw_transmission, topics=(FRAMES, RESULTS, READINGS)),
    "selection": WindowKind(draw=draw_selection, topics=(SELECTION, RESULTS)),
    "pattern": WindowKind(draw=draw_pattern, topics=(PATTERNS,), size_inch=(11.0, 5.0)),
    CHROMATOGRAM: WindowKind(
        draw=draw_chromatogram, topics=(SERIES,), size_inch=SIZE_INCHES, needs=SERIES, stays=True
    ),
}


def chosen_windows(names: Sequence[str]) -> dict[str, WindowKind]:
    """Give kinds of windows by name.

    Raises
    ------
    ReductionError
        If one is not known, or there is none.
    """
    unknown = [name for name in names if name not in WINDOWS]
    if unknown or not names:
        raise ReductionError(
            f"expected windows among {sorted(WINDOWS)}, found {unknown or 'an empty list'}"
        )
    return {name: WINDOWS[name] for name in names}


def _title(run: ShownRun) -> str:
    state = {"": "", "success": ", finished"}.get(run.ended, f", {run.ended}")
    return f"{run.name}: {run.total} frame{'s' if run.total != 1 else ''}{state}"
