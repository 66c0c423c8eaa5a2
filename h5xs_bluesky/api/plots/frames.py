"""Pictures of one sample's curves."""

from collections.abc import Mapping, Sequence
from itertools import combinations, cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky import schema
from h5xs_bluesky.api.data1d import Data1d
from h5xs_bluesky.api.plots.axes import I_LABEL
from h5xs_bluesky.api.workspace import Workspace
from h5xs_bluesky.errors import ReductionError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_KEPT = "#21918c"  # the middle of viridis
_NOT_SELECTED = "not selected"
_LEGEND_LINE = 0.08  # of the axes' height
_MANY = 20  # frames; more are drawn more closely
_DECADES = 3
_COMPARED = {schema.AVERAGED: "Averages", schema.SUBTRACTED: "Buffers subtracted"}
_BRIGHTEST = 0.9  # of viridis; its yellow is too light on white
_MOST_LISTED = 6  # frames that the legend lists one by one
_TOLD = 3.0  # standard deviations
_OVERLAP_MARKS = (("^", "goldenrod"), ("v", "seagreen"), ("<", "firebrick"), (">", "slateblue"))


def plot_frames(
    ax: "Axes",
    frames: Sequence[Data1d],
    *,
    reasons: Sequence[str] | None,
    average: Data1d | None,
    offset: float,
    p_values: NDArray[np.float64] | None = None,
    overlaps: Mapping[str, Sequence[Data1d]] | None = None,
) -> None:
    """Plot the curves of all frames, one above the other, and show which are averaged.

    Of more than 20 frames the curves are spread over three decades at most, the average is drawn
    once, with the first, and a bar tells the frames by their colours.

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
    p_values : (n,)
        Of the comparison of each frame, for the legend; NaN where there was none.
    overlaps
        By extension, the detectors' own curves, to be marked where they overlap.
    """
    from matplotlib import colormaps
    from matplotlib.colors import Normalize

    many = len(frames) > _MANY
    if many:
        offset = min(offset, 10 ** (_DECADES / len(frames)))
    kept = [not reasons or reasons[number] == "" for number in range(len(frames))]
    shade = Normalize(0, max(1, len(frames) - 1) / _BRIGHTEST)
    for number, frame in enumerate(frames):
        scale = offset**number
        if kept[number]:
            colour = colormaps["viridis"](shade(number))
            ax.plot(frame.qgrid, frame.data * scale, color=colour, lw=0.5 if many else 1.0)
        else:
            grey: dict[str, Any] = {"color": "gray", "lw": 1.0, "ls": ":"}
            if many:
                grey = {"color": "0.8", "lw": 0.4, "zorder": 0}
            ax.plot(frame.qgrid, frame.data * scale, **grey)
        if kept[number] and average is not None and not many:
            ax.plot(average.qgrid, average.data * scale, color="gray", lw=1.5, ls="--")
    if many and average is not None:
        ax.plot(average.qgrid, average.data, color="black", lw=1.5, ls="--")
    if many:
        _frame_bar(ax, len(frames))
    _legend(ax, reasons, p_values, frames=len(frames), averaged=average is not None)
    shown = [number for number, averaged in enumerate(kept) if averaged]
    _mark_overlaps(ax, overlaps or {}, frames=shown, offset=offset)
    if offset != 1 and len(frames) > 1:
        ax.yaxis.label.set_text(f"{I_LABEL},\n× {offset:.4g} per frame")


def _frame_bar(ax: "Axes", frames: int) -> None:
    """Draw a bar that tells the frames by their colours."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    shades = ListedColormap(colormaps["viridis"](np.linspace(0, _BRIGHTEST, 256)))
    bar = ax.figure.colorbar(
        ScalarMappable(Normalize(0, frames - 1), shades), cax=ax.inset_axes((1.02, 0.0, 0.03, 1.0))
    )
    bar.set_label("frame")


def _legend(
    ax: "Axes",
    reasons: Sequence[str] | None,
    p_values: NDArray[np.float64] | None,
    *,
    frames: int,
    averaged: bool,
) -> None:
    """List what the lines mean, one entry for each reason, with the p-values of comparisons."""
    from matplotlib.lines import Line2D

    known = np.full(frames, np.nan) if p_values is None else p_values
    text = f"{frames} frame{'s' if frames != 1 else ''}"
    if reasons is not None:
        kept = [number for number, reason in enumerate(reasons) if not reason]
        text = f"{len(kept)} of {text} kept{_probability(known[kept], 'least')}"
    handles = [Line2D([], [], color=_KEPT, label=text)]
    reasons = reasons or []
    for reason in dict.fromkeys(reason for reason in reasons if reason):
        numbers = [number for number, other in enumerate(reasons) if other == reason]
        why = f"{reason}{_probability(known[numbers], 'largest')}"
        label = f"rejected ({why}): {_frames(numbers)}"
        colour, line = ("0.7", "-") if frames > _MANY else ("gray", ":")
        handles.append(Line2D([], [], color=colour, ls=line, label=label))
    if averaged:
        colour = "black" if frames > _MANY else "gray"
        handles.append(Line2D([], [], color=colour, ls="--", lw=1.5, label="average"))
    _place_legend(ax, handles)


def _place_legend(ax: "Axes", handles: Sequence[Any]) -> None:
    """Put a legend above the curves, with room for it."""
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * (high / low) ** (_LEGEND_LINE * (len(handles) + 1)))
    ax.legend(handles=handles, loc="upper right", fontsize="small")


def _probability(p_values: NDArray[np.float64], which: str) -> str:
    """Give the least or the largest p-value; nothing where none is known."""
    known = p_values[np.isfinite(p_values)]
    if not known.size:
        return ""
    return f", p ≥ {known.min():.2g}" if which == "least" else f", p ≤ {known.max():.1g}"


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
    reasons, p_values = None, None
    if reduced is not None and reduced.selection is not None:
        reasons = list(reduced.selection.reason)
        p_values = reduced.selection.p_value
    elif selected is not None and len(selected) == len(frames):
        reasons = ["" if kept else _NOT_SELECTED for kept in selected]
    averages = _list(workspace.d1s[name].get(schema.AVERAGED, []))
    average = averages[0] if averages else None
    overlaps = None
    if overlap and reduced is not None:
        overlaps = {each: _list(workspace.curves(name, each)) for each in reduced.detectors}
    plot_frames(
        ax,
        frames,
        reasons=reasons,
        average=average,
        offset=offset,
        p_values=p_values,
        overlaps=overlaps,
    )


def _list(curves: Data1d | list[Data1d]) -> list[Data1d]:
    return [curves] if isinstance(curves, Data1d) else curves


def _mark_overlaps(
    ax: "Axes",
    detectors: Mapping[str, Sequence[Data1d]],
    *,
    frames: Sequence[int],
    offset: float,
) -> None:
    """Mark, for some frames, the curves of each two detectors where both have pixels."""
    marks = dict(zip(detectors, cycle(_OVERLAP_MARKS), strict=False))
    named: dict[str, Any] = {}
    for number in frames:
        for pair in combinations(detectors, 2):
            both = np.all([np.isfinite(detectors[each][number].data) for each in pair], axis=0)
            if not both.any():
                continue
            for each in pair:
                one, (marker, colour) = detectors[each][number], marks[each]
                (named[each],) = ax.plot(
                    *(one.qgrid[both], one.data[both] * offset**number),
                    ls="",
                    marker=marker,
                    color=colour,
                    ms=3,
                    label=f"{each}, where detectors overlap",
                )
    legend = ax.get_legend()
    if named and legend is not None:
        shown = [*legend.legend_handles, *(named[each] for each in detectors if each in named)]
        _place_legend(ax, shown)


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
        if reduced is not None and reduced.chromatogram is not None:
            buffer = "its buffer frames"
        average.plot(ax, color="tab:blue", label="average")
        scaled = average.data - subtracted.data
        ax.plot(average.qgrid, scaled, color="tab:gray", ls="--", label=f"{buffer}, scaled")
    subtracted.plot(ax, color="tab:red", label="subtracted")
    _fit_ordinate(ax, subtracted)
    _place_legend(ax, ax.get_legend_handles_labels()[0])


def _fit_ordinate(ax: "Axes", curve: Data1d) -> None:
    """Let the ordinate begin below what a curve tells, not where an error bar ends near zero."""
    told = curve.data[(curve.data > 0) & (curve.data > _TOLD * curve.err)]
    if told.size:
        ax.set_ylim(bottom=max(ax.get_ylim()[0], told.min() / 2))


def plot_comparison(ax: "Axes", workspace: Workspace, names: Sequence[str], group: str) -> None:
    """Plot one curve of each sample.

    Parameters
    ----------
    names
        The samples, as far as they have this curve.
    group
        ``"averaged"`` or ``"subtracted"``.

    Raises
    ------
    ReductionError
        If none has it.
    """
    from matplotlib import colormaps

    having = [name for name in names if group in workspace.d1s[name]]
    if not having:
        known = {name: sorted(workspace.d1s[name]) for name in names}
        raise ReductionError(
            f"expected a curve {group!r} of at least one sample, found {known}: average_d1s() "
            "makes averages, and differences where a buffer is assigned"
        )
    shades = colormaps["viridis"](np.linspace(0, _BRIGHTEST, len(having)))
    for name, shade in zip(having, shades, strict=True):
        curve = _list(workspace.curves(name, group))[0]
        curve.plot(ax, color=shade, label=name)
    ax.set_title(_COMPARED.get(group, group))
    if len(having) > _MANY:
        ax.legend(ncols=3, fontsize="x-small", frameon=False, loc="lower left")
