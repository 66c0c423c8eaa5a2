"""The picture of a check of the beam's centre."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from h5xs_bluesky.api.plots.axes import I_LABEL, Q_LABEL, plain_ticks
from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.beam_center import BeamCenter, CenterShift, Cuts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEGEND = 0.25  # of the height, above the data
_FIRST, _SECOND = "#1f4e79", "#d1495b"
_DIRECTIONS = (
    ("horizontal", "column", "right", "left"),
    ("vertical", "row", "up", "down"),
)


def plot_center(
    found: BeamCenter, axes: Sequence["Axes"] | None = None, *, label: str = ""
) -> list["Axes"]:
    """Show the cuts, and their differences before and after the suggested shift.

    Parameters
    ----------
    found
        What the check found.
    axes
        Four: cuts and differences, horizontally, then vertically; a new figure if there are none.
    label
        Names the pattern.

    Raises
    ------
    ReductionError
        If there are not four.
    """
    if axes is None:
        from matplotlib import pyplot as plt

        figure, grid = plt.subplots(
            2,
            2,
            figsize=(9.5, 6.0),
            sharex="col",
            height_ratios=(2, 1),
            layout="constrained",
        )
        row, column = found.center_px
        figure.suptitle(f"{label}: centre at row {row:.2f}, column {column:.2f}".lstrip(": "))
        axes = [grid[0, 0], grid[1, 0], grid[0, 1], grid[1, 1]]
    if len(axes) != 4:
        raise ReductionError(f"expected four axes, found {len(axes)}")
    for number, (name, what, first, second) in enumerate(_DIRECTIONS):
        shift: CenterShift = getattr(found, name)
        _draw_cuts(axes[2 * number], shift.before, first, second)
        axes[2 * number].set_title(_title(name, what, shift), fontsize="medium")
        _draw_differences(axes[2 * number + 1], shift)
    return list(axes)


def _title(name: str, what: str, shift: CenterShift) -> str:
    if not shift.before.bins:
        return f"{name}\nno bins with counts on both sides"
    text = f"{name}: p = {shift.before.p_value:.2g}"
    if not np.isfinite(shift.shift_px):
        return f"{text}\nno shift can be told from these cuts"
    return f"{text}\n{what} {shift.shift_px:+.2f} ± {shift.sigma_px:.2f} pixels suggested"


def _draw_cuts(ax: "Axes", cuts: Cuts, first: str, second: str) -> None:
    for curve, colour, label in ((cuts.first, _FIRST, first), (cuts.second, _SECOND, second)):
        ax.errorbar(
            cuts.q, *curve, color=colour, marker=".", ms=3, lw=0.8, elinewidth=0.5, label=label
        )
    shown = np.concatenate([cuts.first[0], cuts.second[0]])
    if (shown > 0).any():
        ax.set_yscale("log")
        plain_ticks(ax)
    ax.set_ylabel(I_LABEL, fontsize="small")
    ax.legend(frameon=False)


def _draw_differences(ax: "Axes", shift: CenterShift) -> None:
    """Draw first less second over its σ, as given and shifted."""
    told = np.isfinite(shift.shift_px)
    pairs = [(shift.before, "0.35", "as configured", "o")]
    if told:
        pairs.append((shift.after, "#21918c", f"shifted, p = {shift.after.p_value:.2g}", "."))
    for cuts, colour, label, marker in pairs:
        sigma = np.hypot(cuts.first[1], cuts.second[1])
        usable = sigma > 0
        over = (cuts.first[0] - cuts.second[0])[usable] / sigma[usable]
        ax.plot(
            cuts.q[usable],
            over,
            marker,
            color=colour,
            label=label,
            ms=3 if marker == "o" else 4,
            mfc="none" if marker == "o" else colour,
        )
    ax.axhline(0, color="0.7", lw=0.8, zorder=0)
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + _LEGEND * (high - low))
    ax.set_xlabel(Q_LABEL)
    ax.set_ylabel("difference / σ")
    ax.legend(frameon=False, fontsize="small", ncols=2, loc="upper right")
