"""py4xs' ``plot``: patterns of several detectors, as the detectors see them and as maps."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from h5xs_bluesky.api.data2d import Data2d, map_qphi, map_squares
from h5xs_bluesky.api.plots import showing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Patterns = Mapping[str, Data2d]


def show_data(
    d2s: Patterns | Data2d,
    detectors: Any = None,
    ax: "Axes | Sequence[Axes] | None" = None,
    fig: "Figure | None" = None,
    showRef: Any = None,
    logScale: bool = True,
    showMask: bool = True,
    mask_alpha: float = 1.0,
    aspect: Any = 1,
    clim: Any = "auto",
    cmap: Any = None,
    **_: Any,
) -> "Axes | list[Axes]":
    """Show patterns side by side; see `h5xs_bluesky.h5xs.show_data`. `detectors` does nothing."""
    return showing.show_patterns(
        _patterns(d2s),
        ax=ax,
        fig=fig,
        reference=showRef,
        log=logScale,
        aspect=aspect,
        show_mask=showMask,
        mask_alpha=mask_alpha,
        clim=clim,
        cmap=cmap,
    )


def show_data_qxy(
    d2s: Patterns | Data2d,
    detectors: Any = None,
    ax: "Axes | None" = None,
    dq: float = 0.01,
    bkg: Mapping[str, Any] | None = None,
    logScale: bool = True,
    useMask: bool = True,
    clim: Any = "auto",
    aspect: Any = 1,
    cmap: Any = None,
    colorbar: bool = False,
    **_: Any,
) -> "Axes":
    """Show a map in qx and qy; see `h5xs_bluesky.h5xs.show_data_qxy`. `detectors` does nothing."""
    patterns = _patterns(d2s)
    shown = showing.less_background(
        patterns, bkg, lambda parts: map_squares(parts, "qxy", dq), use_mask=useMask
    )
    axes = shown.plot(ax, logScale, aspect, colorbar, clim=clim, cmap=cmap)
    showing.finish_map(axes, patterns, None, circles=True)
    return axes


def show_data_qphi(
    d2s: Patterns | Data2d,
    detectors: Any = None,
    ax: "Axes | None" = None,
    Nq: int | ArrayLike = 200,
    Nphi: int | ArrayLike = 60,
    apply_symmetry: bool = False,
    fill_gap: bool = False,
    sc_factor: str | None = None,
    logScale: bool = True,
    useMask: bool = True,
    clim: Any = "auto",
    bkg: Mapping[str, Any] | None = None,
    aspect: Any = "auto",
    cmap: Any = None,
    colorbar: bool = False,
    **_: Any,
) -> "Axes":
    """Show a map in q and φ; see `h5xs_bluesky.h5xs.show_data_qphi`. `detectors` does nothing."""
    patterns = _patterns(d2s)
    shown = showing.less_background(
        patterns, bkg, lambda parts: map_qphi(parts, Nq, Nphi), use_mask=useMask
    )
    if apply_symmetry:
        shown = shown.apply_symmetry()
    if fill_gap:
        shown = shown.fill_gap()
    axes = shown.plot(ax, logScale, aspect, colorbar, sc_factor, clim, cmap=cmap)
    showing.finish_map(axes, patterns, None, circles=False)
    return axes


def _patterns(d2s: Patterns | Data2d) -> Patterns:
    return {d2s.detector.extension: d2s} if isinstance(d2s, Data2d) else d2s
