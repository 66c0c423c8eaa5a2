"""Axes for curves."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Q_LABEL = "q (Å⁻¹)"
I_LABEL = "I (counts per relative solid angle)"

_MANY_DECADES = 3e3


def axes_or_new(ax: "Axes | None") -> "Axes":
    """Give axes, those of a new figure if there are none."""
    if ax is not None:
        return ax
    from matplotlib import pyplot as plt

    return plt.subplots(layout="constrained")[1]


def prepare_axes(ax: "Axes | None", *, fontsize: Any = "large") -> "Axes":
    """Give axes, new ones if there are none: logarithmic, labelled with quantities and units."""
    ax = axes_or_new(ax)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel(Q_LABEL, fontsize=fontsize)
    ax.set_ylabel(I_LABEL, fontsize=fontsize)
    return ax


def plain_ticks(ax: "Axes") -> None:
    """Label 1, 2 and 5 of each decade as plain numbers; whole decades only where there are many."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for axis, scale, (low, high) in (
        (ax.xaxis, ax.get_xscale(), ax.get_xlim()),
        (ax.yaxis, ax.get_yscale(), ax.get_ylim()),
    ):
        if scale == "log":
            wide = high / low > _MANY_DECADES
            axis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())
