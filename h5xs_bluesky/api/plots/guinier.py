"""The picture of a Guinier fit."""

from typing import TYPE_CHECKING, Any

import numpy as np

from h5xs_bluesky.api.data1d import Data1d
from h5xs_bluesky.api.plots.axes import I_LABEL, axes_or_new
from h5xs_bluesky.reduction.guinier import Guinier

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Q2_LABEL = "q² (10⁻³ Å⁻²)"

_SHOWN = 1.6  # of the fitted range's end in q²
_MARGIN = 1.3  # above and below the law
_DATA, _FIT = "#1f4e79", "#d1495b"


def plot_guinier(
    d1: Data1d, fit: Guinier, ax: "Axes | None" = None, *, factor: float = 1.0, fontsize: Any
) -> "Axes":
    """Plot I on a logarithmic scale over q², and the fit in its range.

    Parameters
    ----------
    d1, fit
        The curve and its fit.
    ax
        Where; a new figure if there is none.
    factor
        Multiplies I.
    fontsize
        Of the axes' labels, as matplotlib takes it.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    ax = axes_or_new(ax)
    low, high = (1e3 * q**2 for q in fit.q_range)
    x = 1e3 * d1.qgrid**2
    shown = (x <= _SHOWN * high) & (d1.data > 0)
    inside = np.zeros(x.shape, bool)
    inside[fit.first : fit.last + 1] = True
    for part, fill in ((shown & ~inside, "white"), (shown & inside, _DATA)):
        ax.errorbar(
            x[part],
            d1.data[part] * factor,
            d1.err[part] * factor,
            fmt="o",
            ms=4,
            color=_DATA,
            mfc=fill,
            elinewidth=0.7,
        )
    text = (
        f"Rg = {fit.rg:.2f} ± {fit.rg_sigma:.2f} Å\n"
        f"I₀ = {fit.i0 * factor:.4g} ± {fit.i0_sigma * factor:.2g}\n"
        f"q·Rg from {fit.q_range[0] * fit.rg:.2f} to {fit.q_range[1] * fit.rg:.2f}"
    )
    for ends, line, label in (((low, high), "-", text), ((0, low), ":", None)):
        along = np.array(ends)
        law = fit.i0 * factor * np.exp(-(along / 1e3) * fit.rg**2 / 3)
        ax.plot(along, law, line, color=_FIT, label=label, lw=1.6)
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_xlim(0, _SHOWN * high)
    end = fit.i0 * np.exp(-_SHOWN * fit.q_range[1] ** 2 * fit.rg**2 / 3)
    ax.set_ylim(end * factor / _MARGIN, fit.i0 * factor * _MARGIN)
    ax.set_xlabel(Q2_LABEL, fontsize=fontsize)
    ax.set_ylabel(I_LABEL, fontsize=fontsize)
    ax.set_title(d1.label, fontsize=fontsize)
    ax.legend(frameon=False)
    return ax
