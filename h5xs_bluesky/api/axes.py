"""Axes for curves."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Q_LABEL = "q (Å⁻¹)"
I_LABEL = "I (counts per relative solid angle)"


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
