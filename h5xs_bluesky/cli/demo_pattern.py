"""The demo's picture of a scattering pattern."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.api.data2d import Data2d
from h5xs_bluesky.cli.demo_checks import RING_SPACING_PER_ANGSTROM

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MASKED = "#b9c4d6"
_RING = "#7fdbff"


def draw_pattern(ax: "Axes", pattern: Data2d, *, largest_q: float) -> None:
    """Draw counts on a logarithmic scale, masked pixels and the first rings."""
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    counts = np.where(pattern.mask | (pattern.data < 0), np.nan, pattern.data.astype(float))
    largest = max(10.0, float(np.nanpercentile(counts, 99.95)))
    colours = colormaps["inferno"].with_extremes(bad=_MASKED)
    shown = ax.imshow(
        np.where(counts == 0, 0.5, counts),
        norm=LogNorm(0.5, largest),
        cmap=colours,
        origin="upper",
        interpolation="nearest",
    )
    figure = ax.get_figure()
    if figure is not None:
        bar = figure.colorbar(shown, ax=ax, extend="both", shrink=0.9, pad=0.02)
        bar.set_label("counts per pixel")
    draw_rings(ax, pattern, largest_q=largest_q)
    ax.set_xlabel("column (pixels)")
    ax.set_ylabel("row (pixels)")
    ax.grid(visible=False)
    handles: list[Any] = [
        Patch(facecolor=_MASKED, edgecolor="gray", label="masked"),
        Line2D([], [], color=_RING, ls="--", label="rings from the geometry"),
    ]
    ax.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.11),
        ncols=2,
        facecolor="#2b2b38",
        labelcolor="white",
    )


def draw_rings(ax: "Axes", pattern: Data2d, *, largest_q: float) -> None:
    """Draw where silver behenate's rings should be: on the left half, to compare with the right."""
    from matplotlib.patheffects import withStroke

    geometry = pattern.detector.geometry
    q = geometry.q_map()
    left = np.where(np.abs(geometry.chi_map()) > np.pi / 2, q, np.nan)
    inside = (left <= largest_q) & ~pattern.mask
    orders = np.unique((left[inside] / RING_SPACING_PER_ANGSTROM).astype(int))
    orders = orders[(orders > 0) & (orders * RING_SPACING_PER_ANGSTROM > q.min())]
    levels = orders * RING_SPACING_PER_ANGSTROM
    lines = ax.contour(left, levels=levels, colors=_RING, linewidths=1.2, linestyles="dashed")
    step = 1 if len(orders) < 8 else 3
    for order, path in list(zip(orders, lines.get_paths(), strict=True))[::step]:
        place = _label_place(np.asarray(path.vertices), pattern.data.shape)
        if place is not None:
            text = ax.text(*place, str(order), color=_RING, ha="center", va="center", fontsize=11)
            text.set_path_effects([withStroke(linewidth=3, foreground="black")])


def _label_place(points: NDArray[np.float64], shape: tuple[int, ...]) -> tuple[float, float] | None:
    """Choose the point (x, y) of a line that is not close to the picture's edge; None if none."""
    size = np.array([shape[1], shape[0]])
    inner = points[((points > 0.04 * size) & (points < 0.96 * size)).all(axis=1)]
    if not len(inner):
        return None
    x, y = inner[len(inner) // 4]
    return float(x), float(y)
