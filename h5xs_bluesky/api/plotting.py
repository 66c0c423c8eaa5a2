"""Pictures of one sample's curves."""

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from h5xs_bluesky import schema
from h5xs_bluesky.api.axes import I_LABEL
from h5xs_bluesky.api.data1d import Data1d
from h5xs_bluesky.api.workspace import Workspace

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_KEPT = "#21918c"  # the middle of viridis
_NOT_SELECTED = "not selected"
_LEGEND_LINE = 0.08  # of the axes' height
_MOST_LISTED = 6  # frames that the legend lists one by one


def plot_frames(
    ax: "Axes",
    frames: Sequence[Data1d],
    *,
    reasons: Sequence[str] | None,
    average: Data1d | None,
    offset: float,
) -> None:
    """Plot the curves of all frames, one above the other, and show which are averaged.

    Parameters
    ----------
    frames
        One curve each.
    reasons
        Why each frame is not averaged, "" for those that are: these are coloured, the others grey
        and dotted, with their reasons in the legend. None where no selection was made.
    average
        Dashed, beside each frame that went into it.
    offset
        Each frame's curve is multiplied by this more often than the one before.
    """
    from matplotlib import colormaps

    kept = [not reasons or reasons[number] == "" for number in range(len(frames))]
    colours = iter(colormaps["viridis"](np.linspace(0, 0.9, max(1, sum(kept)))))
    for number, frame in enumerate(frames):
        scale = offset**number
        if kept[number]:
            ax.plot(frame.qgrid, frame.data * scale, color=next(colours), lw=1.0)
        else:
            ax.plot(frame.qgrid, frame.data * scale, color="gray", lw=1.0, ls=":")
        if kept[number] and average is not None:
            ax.plot(average.qgrid, average.data * scale, color="gray", lw=1.5, ls="--")
    _legend(ax, reasons, frames=len(frames), averaged=average is not None)
    if offset != 1 and len(frames) > 1:
        ax.yaxis.label.set_text(f"{I_LABEL}, × {offset:g} per frame")


def _legend(ax: "Axes", reasons: Sequence[str] | None, *, frames: int, averaged: bool) -> None:
    """List what the lines mean, one entry for each reason."""
    from matplotlib.lines import Line2D

    text = f"{frames} frames" if reasons is None else f"{reasons.count('')} of {frames} frames kept"
    handles = [Line2D([], [], color=_KEPT, label=text)]
    reasons = reasons or []
    for reason in dict.fromkeys(reason for reason in reasons if reason):
        numbers = [number for number, other in enumerate(reasons) if other == reason]
        label = f"rejected ({reason}): {_frames(numbers)}"
        handles.append(Line2D([], [], color="gray", ls=":", label=label))
    if averaged:
        handles.append(Line2D([], [], color="gray", ls="--", lw=1.5, label="average"))
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * (high / low) ** (_LEGEND_LINE * (len(handles) + 1)))
    ax.legend(handles=handles, loc="upper right", fontsize="small")


def _frames(numbers: Sequence[int]) -> str:
    if len(numbers) > _MOST_LISTED:
        return f"{len(numbers)} frames"
    return ("frame " if len(numbers) == 1 else "frames ") + ", ".join(map(str, numbers))


def plot_sample(
    ax: "Axes", workspace: Workspace, name: str, *, offset: float, overlap: bool
) -> None:
    """Plot the merged curves of a sample's frames, and their average where there is one.

    Parameters
    ----------
    overlap
        Whether to mark the detectors' own curves where they overlap.

    Raises
    ------
    ReductionError
        If its frames are not reduced.
    """
    frames = _list(workspace.curves(name, schema.MERGED))
    reduced, selected = workspace.reduced.get(name), workspace.attrs[name].get(schema.SELECTED)
    reasons = None
    if reduced is not None and reduced.selection is not None:
        reasons = list(reduced.selection.reason)
    elif selected is not None and len(selected) == len(frames):
        reasons = ["" if kept else _NOT_SELECTED for kept in selected]
    averages = _list(workspace.d1s[name].get(schema.AVERAGED, []))
    average = averages[0] if averages else None
    plot_frames(ax, frames, reasons=reasons, average=average, offset=offset)
    if overlap and reduced is not None:
        detectors = [_list(workspace.curves(name, extension)) for extension in reduced.detectors]
        kept = [i for i in range(len(frames)) if not reasons or reasons[i] == ""]
        _mark_overlaps(ax, detectors, frames=kept, offset=offset)


def _list(curves: Data1d | list[Data1d]) -> list[Data1d]:
    return [curves] if isinstance(curves, Data1d) else curves


def _mark_overlaps(
    ax: "Axes", detectors: Sequence[Sequence[Data1d]], *, frames: Sequence[int], offset: float
) -> None:
    """Mark, for some frames, the curves of each two detectors where both have pixels."""
    for number in frames:
        for first, second in combinations(detectors, 2):
            one, other = first[number], second[number]
            both = np.isfinite(one.data) & np.isfinite(other.data)
            scale = offset**number
            ax.plot(one.qgrid[both], one.data[both] * scale, "^", color="goldenrod", ms=3)
            ax.plot(other.qgrid[both], other.data[both] * scale, "v", color="seagreen", ms=3)


def plot_subtraction(ax: "Axes", workspace: Workspace, name: str, *, whole: bool) -> None:
    """Plot a sample's subtracted curve and, with `whole`, what was subtracted from what.

    Raises
    ------
    ReductionError
        If nothing was subtracted.
    """
    subtracted = _list(workspace.curves(name, schema.SUBTRACTED))[0]
    if whole:
        average = _list(workspace.curves(name, schema.AVERAGED))[0]
        reduced = workspace.reduced.get(name)
        subtraction = None if reduced is None else reduced.subtraction
        buffer = "buffer" if subtraction is None else subtraction.buffer
        average.plot(ax, color="tab:blue", label="average")
        scaled = average.data - subtracted.data
        ax.plot(average.qgrid, scaled, color="tab:gray", ls="--", label=f"{buffer}, scaled")
    subtracted.plot(ax, color="tab:red", label="subtracted")
