"""Pictures of one sample's curves."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from h5xs_bluesky.api.data1d import Data1d
from h5xs_bluesky.reduction.similarity import Selection

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Q_LABEL = "q (Å⁻¹)"
I_LABEL = "I (counts per relative solid angle)"
_MOST_LISTED = 6  # frames that the legend lists one by one


def prepare_axes(ax: "Axes | None", *, fontsize: Any = "large") -> "Axes":
    """Give axes, new ones if there are none: logarithmic, labelled with quantities and units."""
    if ax is None:
        from matplotlib import pyplot as plt

        _, ax = plt.subplots(layout="constrained")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel(Q_LABEL, fontsize=fontsize)
    ax.set_ylabel(I_LABEL, fontsize=fontsize)
    return ax


def plot_frames(
    ax: "Axes",
    frames: Sequence[Data1d],
    *,
    selection: Selection | None,
    average: Data1d | None,
    offset: float,
) -> None:
    """Plot the curves of all frames, one above the other, and show which are averaged.

    Parameters
    ----------
    frames
        One curve each.
    selection
        Kept frames are coloured, the others grey and dotted, their reasons in the legend. None
        where no selection was made: all are coloured.
    average
        Dashed, beside each frame that went into it.
    offset
        Each frame's curve is multiplied by this more often than the one before.
    """
    from matplotlib import colormaps

    kept = np.ones(len(frames), bool) if selection is None else selection.kept
    reasons = [""] * len(frames) if selection is None else list(selection.reason)
    colours = iter(colormaps["viridis"](np.linspace(0, 0.9, max(1, int(kept.sum())))))
    for number, frame in enumerate(frames):
        scale = offset**number
        if kept[number]:
            ax.plot(frame.qgrid, frame.data * scale, color=next(colours), lw=1.0)
        else:
            ax.plot(frame.qgrid, frame.data * scale, color="gray", lw=1.0, ls=":")
        if kept[number] and average is not None:
            ax.plot(average.qgrid, average.data * scale, color="gray", lw=1.5, ls="--")
    _legend(ax, reasons, selected=selection is not None, averaged=average is not None)
    if offset != 1 and len(frames) > 1:
        ax.set_ylabel(f"{ax.get_ylabel()}, × {offset:g} per frame", fontsize="large")


def _legend(ax: "Axes", reasons: Sequence[str], *, selected: bool, averaged: bool) -> None:
    """List what the lines mean, one entry for each reason."""
    from matplotlib.lines import Line2D

    kept = reasons.count("")
    text = f"{kept} of {len(reasons)} frames kept" if selected else f"{kept} frames"
    handles = [Line2D([], [], color=(0.13, 0.57, 0.55), label=text)]
    for reason in dict.fromkeys(reason for reason in reasons if reason):
        numbers = [number for number, other in enumerate(reasons) if other == reason]
        label = f"rejected ({reason}): {_frames(numbers)}"
        handles.append(Line2D([], [], color="gray", ls=":", label=label))
    if averaged:
        handles.append(Line2D([], [], color="gray", ls="--", lw=1.5, label="average"))
    ax.legend(handles=handles, loc="best", fontsize="small")


def _frames(numbers: Sequence[int]) -> str:
    if len(numbers) > _MOST_LISTED:
        return f"{len(numbers)} frames"
    return ("frame " if len(numbers) == 1 else "frames ") + ", ".join(map(str, numbers))


def plot_overlaps(
    ax: "Axes", detectors: Mapping[str, Sequence[Data1d]], *, frames: Sequence[int], offset: float
) -> None:
    """Mark, for some frames, the curves of each two detectors where both have pixels."""
    for number in frames:
        for first, second in combinations(detectors.values(), 2):
            one, other = first[number], second[number]
            both = np.isfinite(one.data) & np.isfinite(other.data)
            scale = offset**number
            ax.plot(one.qgrid[both], one.data[both] * scale, "^", color="goldenrod", ms=3)
            ax.plot(other.qgrid[both], other.data[both] * scale, "v", color="seagreen", ms=3)


def plot_subtraction(
    ax: "Axes", subtracted: Data1d, *, average: Data1d | None, buffer: str
) -> None:
    """Plot a subtracted curve and, given the average, what it was subtracted from."""
    if average is not None:
        average.plot(ax, color="tab:blue", label="average")
        scaled = average.data - subtracted.data
        ax.plot(average.qgrid, scaled, color="tab:gray", ls="--", label=f"{buffer}, scaled")
    subtracted.plot(ax, color="tab:red", label="subtracted")
