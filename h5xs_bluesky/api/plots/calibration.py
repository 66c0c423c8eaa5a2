"""The picture by which a calibration is judged."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.api.plots.axes import Q_LABEL
from h5xs_bluesky.reduction.calibration.calibrants import Calibrant
from h5xs_bluesky.reduction.calibration.calibrate import Calibration, StandardFrame
from h5xs_bluesky.reduction.calibration.cones import angles, points
from h5xs_bluesky.reduction.orientation import SampleOrientation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MASKED = "#b9c4d6"
_RING = "#7fdbff"
_BEAM = "#7fff00"
_OUTLIER = "#d1495b"
_BINS = 1500
_MOST_NAMED = 12  # rings

Array = NDArray[np.float64]


def plot_calibration(
    found: Calibration,
    frame: StandardFrame,
    *,
    title: str,
    orientation: SampleOrientation | None = None,
) -> "Figure":
    """Draw the frame with its rings, its profile, and how far the points are from the rings.

    Parameters
    ----------
    orientation
        From where the azimuth φ counts, as in maps; by default to the right of the picture.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6.4), layout="constrained")
    axes = figure.subplot_mosaic(
        [["frame", "profile"], ["frame", "residual"]], width_ratios=[1.15, 1.0]
    )
    _draw_frame(axes["frame"], found, frame)
    _draw_profile(axes["profile"], found, frame)
    _draw_residuals(axes["residual"], found, orientation or SampleOrientation())
    row, column = found.beam_center_px
    figure.suptitle(
        f"{title}: {found.calibrant}, distance {found.geometry.distance_m:.5f} m, beam at row "
        f"{row:.2f}, column {column:.2f}; {found.points} points within {found.rms_px:.2f} pixels "
        "(rms)",
        fontsize="medium",
    )
    return figure


def _draw_frame(ax: "Axes", found: Calibration, frame: StandardFrame) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    counts = np.where(frame.valid, frame.counts, np.nan)
    bright = counts[np.isfinite(counts) & (counts > 0)]
    low, high = np.percentile(bright, [2, 99.8]) if bright.size else (1.0, 10.0)
    shown = ax.imshow(
        np.where(counts < low, low, counts),
        norm=LogNorm(low, max(high, 2 * low)),
        cmap=colormaps["inferno"].with_extremes(bad=_MASKED),
        interpolation="nearest",
    )
    figure = ax.get_figure()
    if figure is not None:
        figure.colorbar(shown, ax=ax, extend="both", shrink=0.8, pad=0.02).set_label("counts")
    for ring in found.rings:
        ax.plot(*_circle(found, ring.ring), color=_RING, lw=0.7, ls=(0, (6, 4)))
    handles = [Line2D([], [], color=_RING, lw=1.2, ls="--", label="rings as fitted")]
    (row, column), (rows, columns) = found.beam_center_px, found.geometry.shape
    if 0 <= row < rows and 0 <= column < columns:
        handles += ax.plot(column, row, "+", color=_BEAM, ms=12, mew=1.5, ls="", label="beam")
    ax.set_xlim(-0.5, columns - 0.5)
    ax.set_ylim(rows - 0.5, -0.5)
    ax.set_xlabel("column (pixels)")
    ax.set_ylabel("row (pixels)")
    ax.legend(
        handles=[*handles, Patch(facecolor=_MASKED, edgecolor="gray", label="masked")],
        loc="upper center",
        bbox_to_anchor=(0.5, -0.09),
        ncols=3,
        facecolor="#2b2b38",
        labelcolor="white",
    )


def _circle(found: Calibration, ring: int) -> tuple[Array, Array]:
    """Give columns and rows of a ring."""
    geometry = found.geometry
    chi = np.linspace(-np.pi, np.pi, 721)
    angle = Calibrant.named(found.calibrant).two_theta(geometry.wavelength_m)[ring - 1]
    first, second = points(geometry, np.full(chi.size, angle), chi)
    height, width = geometry.pixel_size_m
    return second / width - 0.5, first / height - 0.5


def _draw_profile(ax: "Axes", found: Calibration, frame: StandardFrame) -> None:
    q = found.geometry.q_map()[frame.valid]
    edges = np.linspace(q.min(), q.max(), _BINS + 1)
    pixels, _ = np.histogram(q, edges)
    total, _ = np.histogram(q, edges, weights=frame.counts[frame.valid])
    with np.errstate(invalid="ignore"):
        mean = np.where(total > 0, total, np.nan) / pixels
    ax.plot((edges[1:] + edges[:-1]) / 2, mean, color="#1f4e79", lw=0.9)
    ax.set_yscale("log")
    _number_rings(ax, found)
    ax.set_xlabel(Q_LABEL)
    ax.set_ylabel("mean counts per pixel")
    ax.grid(alpha=0.25, lw=0.5)


def _number_rings(ax: "Axes", found: Calibration) -> None:
    step = _label_step(found)
    for index, ring in enumerate(found.rings):
        ax.axvline(ring.q_per_angstrom, color=_OUTLIER, lw=0.7, ls="--", zorder=0)
        if index % step == 0:
            ax.annotate(
                str(ring.ring),
                (ring.q_per_angstrom, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
                fontsize="small",
            )


def _label_step(found: Calibration) -> int:
    """Tell every how many rings one is named, so that there is room."""
    return max(1, -(-len(found.rings) // _MOST_NAMED))


def _draw_residuals(ax: "Axes", found: Calibration, orientation: SampleOrientation) -> None:
    from matplotlib import colormaps
    from matplotlib.lines import Line2D

    fit = found.fit
    _, chi = angles(found.geometry, fit.points.first_m, fit.points.second_m)
    degrees = orientation.azimuth_deg(chi)
    colours = colormaps["viridis"](np.linspace(0, 0.9, max(1, len(found.rings))))
    handles, step = [], _label_step(found)
    for index, (colour, ring) in enumerate(zip(colours, found.rings, strict=True)):
        here = fit.used & (fit.points.ring == ring.ring)
        ax.plot(degrees[here], fit.residual_px[here], ".", ms=4, color=colour)
        if index % step == 0:
            label = f"ring {ring.ring}: {ring.relative:+.3%}"
            handles.append(Line2D([], [], marker=".", ls="", color=colour, label=label))
    out = ~fit.used
    if out.any():
        ax.plot(degrees[out], fit.residual_px[out], "x", ms=4, color=_OUTLIER)
        handles.append(
            Line2D([], [], marker="x", ls="", color=_OUTLIER, label=f"{out.sum()} left out")
        )
    ax.axhline(0, color="gray", lw=0.7)
    ax.set_xlim(-180, 180)
    ax.set_xticks(range(-180, 181, 60))
    ax.set_xlabel("azimuth φ (°)")
    ax.set_ylabel("distance from ring (pixels)")
    ax.grid(alpha=0.25, lw=0.5)
    ax.legend(handles=handles, loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize="small")
