"""Pictures of maps."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.api.plots.axes import I_LABEL, axes_or_new
from h5xs_bluesky.api.plots.colours import (
    MASKED,
    add_colour_bar,
    clipped,
    colour_map,
    colour_range,
    normalisation,
)
from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.maps.sums import MapAxis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from h5xs_bluesky.api.map2d import Map2d

_FEW_TICKS = 5  # along x, which may be short where the aspect is fixed
_POWERS = {"x": (1.0, "x"), "x2": (2.0, "x²"), "x0.5": (0.5, "√x"), "x1.5": (1.5, "x^1.5")}


def plot_map(
    shown: "Map2d",
    ax: "Axes | None",
    *,
    log: bool,
    aspect: Any,
    colorbar: bool,
    power: str | None,
    clim: Any,
    bare: bool,
    **style: Any,
) -> "Axes":
    """Show a map; see `Map2d.plot`.

    Raises
    ------
    ReductionError
        If the power of x is not known.
    """
    ax = axes_or_new(ax)
    values, label = _scaled(shown, power)
    limits = colour_range(values, clim, log=log)
    mesh = ax.pcolormesh(
        MapAxis.from_centers(shown.xc).edges,
        MapAxis.from_centers(shown.yc).edges,
        clipped(values, np.isfinite(values), limits),
        cmap=colour_map(style.pop("cmap", None)),
        norm=normalisation(limits, log=log),
        rasterized=True,
        **style,
    )
    ax.set_facecolor(MASKED)
    ax.set_aspect(aspect)
    if bare:
        ax.set_xticks([])
        ax.set_yticks([])
    else:
        ax.set_title(shown.label)
        ax.set_xlabel(shown.xc_label)
        ax.set_ylabel(shown.yc_label)
        if aspect != "auto":
            ax.locator_params(axis="x", nbins=_FEW_TICKS)
    if shown.period == 360 and not bare:
        ax.set_yticks(np.arange(-180, 181, 60))
        ax.set_ylim(*MapAxis.from_centers(shown.yc).edges[[0, -1]])
    if colorbar:
        add_colour_bar(ax, mesh, label, values=values)
    ax.format_coord = _Cursor(shown)  # type: ignore[method-assign]
    return ax


def plot_profile(
    ax: "Axes | None",
    coordinate: NDArray[np.float64],
    d: NDArray[np.float64],
    err: NDArray[np.float64],
    *,
    x_label: str,
    **style: Any,
) -> "Axes":
    """Plot a cut through a map, with error bars."""
    ax = axes_or_new(ax)
    ax.errorbar(coordinate, d, err, **{"lw": 1.0, "elinewidth": 0.5, **style})
    ax.set_xlabel(x_label)
    ax.set_ylabel(I_LABEL)
    return ax


def _scaled(shown: "Map2d", power: str | None) -> tuple[NDArray[np.float64], str]:
    if power is None:
        return shown.d, I_LABEL
    if power not in _POWERS:
        raise ReductionError(f"expected sc_factor as one of {list(_POWERS)}, found {power!r}")
    exponent, text = _POWERS[power]
    name, _, unit = shown.xc_label.partition(" ")
    return (
        shown.d * shown.xc**exponent,
        f"I · {text.replace('x', name)} (I as counts, {name} {unit})",
    )


class _Cursor:
    """Tells the coordinates and the intensity under the cursor."""

    def __init__(self, shown: "Map2d") -> None:
        self._shown = shown
        self._x, self._y = MapAxis.from_centers(shown.xc), MapAxis.from_centers(shown.yc)

    def __call__(self, x: float, y: float) -> str:
        shown = self._shown
        text = f"{_named(shown.xc_label, x)}, {_named(shown.yc_label, y)}"
        column, row = int(self._x.index(np.array(x))), int(self._y.index(np.array(y)))
        if column < 0 or row < 0:
            return text
        value, err = shown.d[row, column], np.asarray(shown.err)[row, column]
        return f"{text}: {value:.4g} ± {err:.2g}" if np.isfinite(value) else f"{text}: no pixels"


def _named(label: str, value: float) -> str:
    name, _, unit = label.partition(" ")
    unit = unit.strip("()")
    return f"{name} = {value:.4g}{'' if unit == '°' else ' '}{unit}"
