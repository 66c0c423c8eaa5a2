"""Pictures of a series of frames: the latest curves, all of them, the beam, the selection."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.api.plots.axes import I_LABEL, Q_LABEL, plain_ticks
from h5xs_bluesky.api.plots.colours import (
    MASKED,
    add_colour_bar,
    clipped,
    colour_map,
    colour_range,
    normalisation,
)
from h5xs_bluesky.reduction.similarity import (
    CORMAP,
    DISTANCE,
    EXPLICIT,
    KEPT,
    MISSING,
    SUPERSEDED,
    TRANSMISSION,
    Selection,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

Array = NDArray[np.float64]

FRAME_LABEL = "frame"

_OLDEST, _NEWEST = 0.25, 0.85  # shades of viridis; its yellow is too light on white
_BAND = "black"
_BUFFER_FREE = "tab:red"
_OUTLIERS = 0.002  # of a waterfall's values, at each end
_LEAST_P = 1e-8  # smaller ones are drawn here
_STRIP = 0.05  # of the axes' height
_READINGS = {"incident": "tab:blue", "transmitted": "tab:red"}
_REASONS = {
    KEPT: ("kept", "#21918c", "o"),
    CORMAP: ("shape differs", "#d1495b", "X"),
    DISTANCE: ("too far from the reference", "#8b1e3f", "D"),
    TRANSMISSION: ("beam differs", "#e59500", "s"),
    SUPERSEDED: ("measured again", "#9467bd", "v"),
    MISSING: ("missing", "0.75", "."),
    EXPLICIT: ("by hand", "0.35", "P"),
}


def plot_latest(
    ax: "Axes",
    q: Array,
    frames: Mapping[int, Array],
    *,
    average: Array | None,
    average_label: str,
    subtracted: Array | None = None,
    subtracted_label: str = "",
) -> None:
    """Plot the latest frames, and an average with a band of one σ.

    Parameters
    ----------
    ax
        With logarithmic scales.
    q : (nq,)
        In Å⁻¹.
    frames
        The curves (2, nq), I and σ, by their frames' numbers, oldest first.
    average, subtracted
        The curves (2, nq), I and σ, where there are any.
    """
    from matplotlib import colormaps

    shades = colormaps["viridis"](np.linspace(_OLDEST, _NEWEST, max(1, len(frames)))[::-1])
    for (number, curve), shade in zip(frames.items(), shades, strict=True):
        ax.plot(q, _drawable(curve[0]), color=shade, lw=0.8, label=f"frame {number}")
    if average is not None:
        _plot_band(ax, q, average, colour=_BAND, label=average_label)
    if subtracted is not None:
        _plot_band(ax, q, subtracted, colour=_BUFFER_FREE, label=subtracted_label)
    _fit(ax, q, [*frames.values(), *(each for each in (average,) if each is not None)], subtracted)
    ax.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3)
    plain_ticks(ax)


def plot_waterfall(ax: "Axes", q: Array, frames: Sequence[int], intensity: Array) -> None:
    """Plot the intensities of many frames as colours over q and the frames' numbers.

    Parameters
    ----------
    q : (nq,)
        In Å⁻¹, positive.
    frames
        Their numbers, which increase.
    intensity : (n, nq)
        NaN where a bin has no pixels: grey.
    """
    seen = np.flatnonzero(np.isfinite(intensity).any(axis=0))
    if seen.size:
        q, intensity = q[seen[0] : seen[-1] + 1], intensity[:, seen[0] : seen[-1] + 1]
    limits = colour_range(intensity, log=True, outliers=int(_OUTLIERS * intensity.size))
    mesh = ax.pcolormesh(
        _edges_between(q, logarithmic=True),
        _edges_between(np.asarray(frames, dtype=float)),
        clipped(intensity, np.isfinite(intensity), limits),
        cmap=colour_map(None),
        norm=normalisation(limits, log=True),
        rasterized=True,
    )
    ax.set_facecolor(MASKED)
    ax.set_xscale("log")
    ax.set_xlabel(Q_LABEL)
    ax.set_ylabel(FRAME_LABEL)
    _whole_numbers(ax.yaxis)
    add_colour_bar(ax, mesh, I_LABEL, values=intensity)
    plain_ticks(ax)


def plot_transmission(
    axes: "Sequence[Axes]",
    frames: Sequence[int],
    *,
    incident: Array,
    transmitted: Array,
    rejected: Sequence[int] = (),
) -> None:
    """Plot the transmission of each frame, and the readings of both monitors.

    Parameters
    ----------
    axes
        Two, one above the other.
    frames
        The frames' numbers.
    incident, transmitted : (n,)
        The readings; NaN where they are not known.
    rejected
        Numbers of frames that are not averaged: hollow.
    """
    upper, lower = axes
    x = np.asarray(frames, dtype=float)
    hollow = np.isin(x, np.asarray(rejected, dtype=float))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(incident > 0, transmitted / incident, np.nan)
    _dots(upper, x, ratio, hollow, colour="black", label="")
    upper.set_ylabel("transmitted / incident\n(readings)")
    known = []
    for label, values in (("incident", incident), ("transmitted", transmitted)):
        usual = _median(values)
        if np.isfinite(usual):
            known.append(label)
            _dots(lower, x, values / usual, hollow, colour=_READINGS[label], label=label)
    lower.set_ylabel("reading\n(relative to its median)")
    lower.set_xlabel(FRAME_LABEL)
    _whole_numbers(lower.xaxis)
    for ax, what in ((upper, ratio), (lower, np.concatenate([incident, transmitted]))):
        ax.grid(alpha=0.25, lw=0.5)
        ax.ticklabel_format(axis="y", useOffset=False)
        if not np.isfinite(what).any():
            _tell(ax, "no readings with the frames")
    if known:
        lower.legend(fontsize="small", framealpha=0.9)


def plot_selection(ax: "Axes", selection: Selection) -> None:
    """Plot which frames are averaged: the p-value of each comparison, and why others are not.

    A strip at the bottom has a colour for every frame, also for those that were not compared.

    Parameters
    ----------
    selection
        What the similarity analysis, or the user, selected.
    """
    reasons = np.asarray(selection.reason, dtype=object)
    numbers = np.arange(reasons.size)
    p_value = np.maximum(selection.p_value, _LEAST_P)
    for reason, (label, colour, marker) in _REASONS.items():
        here = reasons == reason
        if not here.any():
            continue
        text = f"{label}: {int(here.sum())}"
        ax.plot(numbers[here], p_value[here], marker, ls="", ms=5, color=colour, label=text)
        _strip(ax, numbers[here], colour)
    if 0 <= selection.reference < reasons.size:
        ax.axvline(selection.reference, color="0.5", ls=":", lw=1.0, zorder=0, label="reference")
    ax.set_yscale("log")
    known = p_value[np.isfinite(p_value)]
    lowest = float(known.min()) if known.size else 0.1
    ax.set_ylim(10 ** (1.2 * min(-2.0, np.log10(lowest))), 2.0)
    if not known.size:
        _tell(ax, "no frames were compared")
    ax.set_xlim(-0.5, max(reasons.size - 0.5, 0.5))
    _whole_numbers(ax.xaxis)
    ax.set_xlabel(FRAME_LABEL)
    below = "\n(10⁻⁸ or less at the bottom)" if lowest <= _LEAST_P else ""
    ax.set_ylabel(f"p-value of agreement with the reference{below}")
    ax.grid(alpha=0.25, lw=0.5)
    ax.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3)


def _plot_band(ax: "Axes", q: Array, curve: Array, *, colour: str, label: str) -> None:
    ax.plot(q, _drawable(curve[0]), color=colour, lw=1.2, label=f"{label} ± σ")
    low, high = curve[0] - curve[1], curve[0] + curve[1]
    ax.fill_between(q, _drawable(low), _drawable(high), color=colour, alpha=0.25, lw=0)


def _drawable(values: Array) -> Array:
    """Give values for a logarithmic scale: NaN where they are not positive."""
    with np.errstate(invalid="ignore"):
        result: Array = np.where(values > 0, values, np.nan)
    return result


def _fit(ax: "Axes", q: Array, curves: Sequence[Array], subtracted: Array | None) -> None:
    """Let the axes show what the curves tell, whatever σ says where there is next to nothing."""
    told = [curve[0][curve[0] > 0] for curve in curves]
    if subtracted is not None:
        told.append(subtracted[0][subtracted[0] > 3 * subtracted[1]])
    values = np.concatenate([each for each in told if each.size] or [np.ones(1)])
    ax.set_ylim(values.min() / 1.5, values.max() * 1.5)
    seen = np.isfinite([curve[0] for curve in curves]).any(axis=0) if curves else np.zeros(0, bool)
    if seen.any():
        ax.set_xlim(q[seen].min() / 1.05, q[seen].max() * 1.05)


def _edges_between(centers: Array, *, logarithmic: bool = False) -> Array:
    """Give edges halfway between centres, and as far beyond the first and the last."""
    values = np.log(centers) if logarithmic else centers
    if values.size == 1:
        edges = np.array([values[0] - 0.5, values[0] + 0.5])
    else:
        half = np.diff(values) / 2
        first, last = values[0] - half[0], values[-1] + half[-1]
        edges = np.concatenate([[first], values[:-1] + half, [last]])
    result: Array = np.exp(edges) if logarithmic else edges
    return result


def _dots(
    ax: "Axes", x: Array, y: Array, hollow: NDArray[np.bool_], *, colour: str, label: str
) -> None:
    ax.plot(x, y, color=colour, lw=0.6, alpha=0.6)
    style: dict[str, Any] = {"ls": "", "marker": "o", "ms": 4, "color": colour}
    ax.plot(x[~hollow], y[~hollow], label=label or None, **style)
    ax.plot(x[hollow], y[hollow], mfc="white", **style)


def _median(values: Array) -> float:
    usable = values[np.isfinite(values) & (values > 0)]
    return float(np.median(usable)) if usable.size else np.nan


def _strip(ax: "Axes", numbers: NDArray[np.int64], colour: str) -> None:
    """Colour a stretch of the strip at the bottom for each frame."""
    ax.broken_barh(
        [(float(number) - 0.5, 1.0) for number in numbers],
        (0.0, _STRIP),
        transform=ax.get_xaxis_transform(),
        color=colour,
        lw=0,
    )


def _whole_numbers(axis: "Axis") -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))


def _tell(ax: "Axes", text: str) -> None:
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color="0.4")
