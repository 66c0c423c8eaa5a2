"""Colours of pictures and maps: their range, and what has none."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.api.plots.axes import plain_ticks
from h5xs_bluesky.errors import ReductionError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Colormap, Normalize

MASKED = "#c7ccd6"  # in none of the usual colour maps
DEFAULT_MAP = "viridis"

_OUTLIERS = 15  # values at each end that the range need not reach
_LEAST_DECADES = 10.0
_BESIDE = (1.03, 0.0, 0.04, 1.0)  # left, bottom, width, height of the axes


def colour_range(
    values: NDArray[Any], clim: Any = "auto", *, log: bool, outliers: int = _OUTLIERS
) -> tuple[float, float]:
    """Give the values that the lowest and the highest colour stand for.

    Parameters
    ----------
    values : ndarray
        What is shown; those that are not finite do not count.
    clim
        Both values, or ``"auto"``: all but some outliers lie between, on a logarithmic scale of
        those above 0.
    log
        Whether the scale is logarithmic.
    outliers
        How many.

    Raises
    ------
    ReductionError
        If `clim` is neither, does not increase, or starts at or below 0 on a logarithmic scale.
    """
    if isinstance(clim, str) and clim == "auto":
        return _automatic(values, log=log, outliers=outliers)
    try:
        low, high = (float(limit) for limit in clim)
    except (TypeError, ValueError) as error:
        raise ReductionError(f"expected clim 'auto' or two numbers, found {clim!r}") from error
    if not low < high or (log and low <= 0):
        scale = "two positive numbers" if log else "two numbers"
        raise ReductionError(f"expected clim as {scale} that increase, found {low:g} and {high:g}")
    return low, high


def _automatic(values: NDArray[Any], *, log: bool, outliers: int) -> tuple[float, float]:
    shown = np.asarray(values, dtype=float)
    shown = np.sort(shown[np.isfinite(shown) & ((shown > 0) | (not log))], axis=None)
    if shown.size == 0:
        return (0.1, 1.0) if log else (0.0, 1.0)
    left_out = min(outliers, (shown.size - 1) // 20)
    low, high = float(shown[left_out]), float(shown[-1 - left_out])
    if log:
        return low, max(high, low * _LEAST_DECADES)
    return low, high if high > low else low + 1.0


def normalisation(limits: tuple[float, float], *, log: bool) -> "Normalize":
    """Give matplotlib's scale of colours; `clipped` values never lie below it."""
    from matplotlib.colors import LogNorm, Normalize

    return LogNorm(*limits) if log else Normalize(*limits)


def clipped(
    values: NDArray[Any], shown: NDArray[np.bool_], limits: tuple[float, float]
) -> NDArray[np.float64]:
    """Give values for matplotlib: NaN where nothing is shown, at least the lowest colour elsewhere.

    On a logarithmic scale matplotlib would take 0, which is a measurement, for a hole.
    """
    result: NDArray[np.float64] = np.where(
        shown, np.maximum(np.asarray(values, dtype=float), limits[0]), np.nan
    )
    return result


def colour_map(name: Any) -> "Colormap":
    """Give a colour map in which what is masked, or has no pixels, is grey."""
    from matplotlib import colormaps
    from matplotlib.colors import Colormap

    chosen = name if isinstance(name, Colormap) else colormaps[name or DEFAULT_MAP]
    return chosen.with_extremes(bad=MASKED)


def add_colour_bar(
    ax: "Axes", shown: "ScalarMappable", label: str, *, values: NDArray[Any]
) -> None:
    """Draw a colour bar beside axes; it has points where values lie beyond its range."""
    low, high = shown.norm.vmin, shown.norm.vmax
    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]
    below, above = bool((finite < low).any()), bool((finite > high).any())
    extend = {(True, True): "both", (True, False): "min", (False, True): "max"}.get(
        (below, above), "neither"
    )
    beside = ax.inset_axes(_BESIDE)
    bar = ax.figure.colorbar(shown, cax=beside, extend=extend)
    bar.set_label(label)
    plain_ticks(beside)
