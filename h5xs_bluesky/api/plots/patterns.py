"""Pictures of scattering patterns as the detector sees them, and rings of calibrants."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.api.data2d import Data2d
from h5xs_bluesky.api.plots.axes import axes_or_new
from h5xs_bluesky.api.plots.colours import (
    MASKED,
    add_colour_bar,
    clipped,
    colour_map,
    colour_range,
    normalisation,
)
from h5xs_bluesky.errors import ReductionError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RING_STYLE = "r:"

_ACROSS = 300  # points along a picture's side, of which rings are drawn
_MOST_RINGS = 40


def show_pattern(
    pattern: Data2d,
    ax: "Axes | None" = None,
    *,
    log: bool = True,
    aspect: Any = 1,
    show_mask: bool = True,
    mask_alpha: float = 1.0,
    clim: Any = "auto",
    outliers: int = 15,
    cmap: Any = None,
    rings: Sequence[float] = (),
    ring_style: str = RING_STYLE,
    ring_labels: bool = False,
    colorbar: bool = True,
) -> "Axes":
    """Show the counts of a frame.

    Masked pixels, and those that the frame itself disqualifies, are grey. Row 0 is at the top.

    Parameters
    ----------
    pattern
        The frame.
    ax
        Where; a new figure if there is none.
    log
        Colours on a logarithmic scale; pixels that counted nothing have the lowest colour.
    aspect
        Of the axes, as matplotlib takes it.
    show_mask
        Whether masked pixels are grey; otherwise their counts are shown, as far as they are.
    mask_alpha
        How opaque that grey is, from 0 to 1.
    clim, outliers
        As in `colour_range`.
    cmap
        A colour map of matplotlib's.
    rings
        Draw lines of these q, in Å⁻¹, and the beam's centre.
    ring_style
        Colour and line style of them, as matplotlib's short form.
    ring_labels
        Whether to write q upon them.
    colorbar
        Whether to draw one.

    Returns
    -------
    Axes
        Its cursor tells column, row, q, φ and counts.
    """
    ax = axes_or_new(ax)
    excluded = pattern.excluded
    counts = np.asarray(pattern.data, dtype=float)
    seen = np.isfinite(counts) & (counts >= 0)
    limits = colour_range(counts[~excluded], clim, log=log, outliers=outliers)
    see_through = show_mask and mask_alpha < 1
    shown = ax.imshow(
        clipped(counts, seen if see_through or not show_mask else ~excluded, limits),
        cmap=colour_map(cmap),
        norm=normalisation(limits, log=log),
        origin="upper",
        interpolation="nearest",
        aspect=aspect,
    )
    if see_through:
        _lay_over(ax, excluded, mask_alpha)
    ax.set_xlabel("column (pixels)")
    ax.set_ylabel("row (pixels)")
    ax.set_title(pattern.label)
    if colorbar:
        several = np.max(pattern.exposures) > 1
        label = "mean counts per pixel and frame" if several else "counts per pixel"
        add_colour_bar(ax, shown, label, values=counts[~excluded])
    q, phi = pattern.coordinates("qphi")
    draw_rings(ax, q, rings, style=ring_style, labels=ring_labels)
    ax.format_coord = _Cursor(pattern, q, phi)  # type: ignore[method-assign]
    return ax


def calibrant_rings(name: str, *, largest_q: float) -> list[float]:
    """Give the rings of one of pyFAI's calibrants up to `largest_q`, in Å⁻¹.

    Parameters
    ----------
    name
        As ``"AgBh"``; capital letters do not matter.

    Raises
    ------
    ReductionError
        If pyFAI does not know it.
    """
    from pyFAI.calibrant import ALL_CALIBRANTS, get_calibrant

    known = {each.lower(): each for each in ALL_CALIBRANTS.keys()}  # noqa: SIM118 - no mapping
    if name.lower() not in known:
        raise ReductionError(
            f"expected one of pyFAI's calibrants {sorted(known.values())}, found {name!r}"
        )
    positions = [2 * np.pi / float(d) for d in get_calibrant(known[name.lower()]).dspacing]
    return [q for q in positions if q <= largest_q]


def draw_rings(
    ax: "Axes",
    q: NDArray[np.float64],
    rings: Sequence[float],
    *,
    style: str = RING_STYLE,
    labels: bool = False,
) -> None:
    """Draw lines of constant q over a picture of these pixels, and where the beam hits it."""
    inside = sorted({ring for ring in rings if q.min() < ring < q.max()})[:_MOST_RINGS]
    if not inside:
        return
    colour, line = _style(style)
    rows, columns = (_spread(size) for size in q.shape)
    coarse = q[np.ix_(rows, columns)]
    drawn = ax.contour(
        columns, rows, coarse, levels=inside, colors=colour, linewidths=0.9, linestyles=line
    )
    if labels:
        ax.clabel(drawn, fmt="%.3g", fontsize="x-small")
    row, column = np.unravel_index(np.argmin(q), q.shape)
    if 0 < row < q.shape[0] - 1 and 0 < column < q.shape[1] - 1:
        ax.plot([column], [row], "+", color=colour, ms=8)


def draw_ring_lines(ax: "Axes", rings: Sequence[float], *, style: str = RING_STYLE) -> None:
    """Draw rings into a map whose x is q, within its limits."""
    colour, line = _style(style)
    low, high = ax.get_xlim()
    for ring in rings:
        if low < ring < high:
            ax.axvline(ring, color=colour, ls=line, lw=0.9)


def draw_ring_circles(ax: "Axes", rings: Sequence[float], *, style: str = RING_STYLE) -> None:
    """Draw rings into a map in qx and qy, within its limits."""
    from matplotlib.patches import Circle

    colour, line = _style(style)
    limits = ax.get_xlim(), ax.get_ylim()
    reach = max(np.hypot(x, y) for x in limits[0] for y in limits[1])
    for ring in rings:
        if ring < reach:
            ax.add_patch(Circle((0, 0), ring, fill=False, color=colour, ls=line, lw=0.9))
    ax.set_xlim(limits[0])
    ax.set_ylim(limits[1])


def _style(text: str) -> tuple[str, str]:
    """Take matplotlib's short form apart into colour and line style."""
    line = next((each for each in ("--", "-.", ":", "-") if each in text), ":")
    return text.replace(line, "") or RING_STYLE[0], line


def _spread(size: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, size - 1, min(size, _ACROSS)).round().astype(np.int64))


def _lay_over(ax: "Axes", excluded: NDArray[np.bool_], alpha: float) -> None:
    from matplotlib.colors import ListedColormap

    layer = np.where(excluded, 1.0, np.nan)
    ax.imshow(layer, cmap=ListedColormap([MASKED]), alpha=alpha, origin="upper", aspect="equal")


class _Cursor:
    """Tells the pixel, q, φ and the counts under the cursor."""

    def __init__(self, pattern: Data2d, q: NDArray[np.float64], phi: NDArray[np.float64]) -> None:
        self._pattern, self._q, self._phi = pattern, q, phi

    def __call__(self, x: float, y: float) -> str:
        column, row = round(x), round(y)
        rows, columns = self._q.shape
        if not (0 <= row < rows and 0 <= column < columns):
            return f"column {column}, row {row}"
        q, phi = self._q[row, column], self._phi[row, column]
        counts = self._pattern.data[row, column]
        masked = ", masked" if self._pattern.mask[row, column] else ""
        return (
            f"column {column}, row {row}: q = {q:.4f} Å⁻¹, φ = {phi:.1f}°, "
            f"{counts:g} counts{masked}"
        )
