"""The picture of a series behind a column."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.api.data1d import Data1d
from h5xs_bluesky.api.plots.axes import I_LABEL, plain_ticks, prepare_axes
from h5xs_bluesky.api.plots.guinier import plot_guinier
from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.chromatography.analyse import Chromatogram

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TRACE, _RG = "#1f4e79", "#d1495b"
_BUFFER, _SAMPLE = "#9aa5b1", "#edae49"
SIZE_INCHES = (9.0, 7.5)
_ROOM = 1.12  # above the highest point
_TOLD = 3.0  # σ: what the ordinate of the curve has to show


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Elution:
    """What elutes, as far as it is measured.

    Parameters
    ----------
    net, rg, i0 : ndarray, shape (n, 2)
        The integrated intensity less the buffer's, the radius of gyration in Å and the forward
        scattering of each frame, each with its σ; NaN where unknown.
    buffer_frames, sample_frames : ndarray of bool, shape (n,), or None
        Which frames are averaged; None while that is not known.
    """

    net: NDArray[np.float64]
    rg: NDArray[np.float64]
    i0: NDArray[np.float64]
    buffer_frames: NDArray[np.bool_] | None = None
    sample_frames: NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, chromatogram: Chromatogram) -> "Elution":
        """Take them from a series that was analysed."""
        return cls(
            net=chromatogram.net,
            rg=chromatogram.rg,
            i0=chromatogram.i0,
            buffer_frames=chromatogram.buffer_frames,
            sample_frames=chromatogram.sample_frames,
        )


def plot_chromatogram(
    figure: "Figure",
    elution: Elution,
    subtracted: Data1d | None,
    *,
    title: str,
    fontsize: Any = "large",
) -> None:
    """Plot what elutes against frame, the curve of the sample less its buffer, and its Guinier fit.

    Parameters
    ----------
    figure
        Where; empty, of `SIZE_INCHES`.
    elution
        Of the series.
    subtracted
        The average of its sample frames less that of its buffer frames; None: not known yet.
    title
        Above all.
    fontsize
        Of the axes' labels, as matplotlib takes it.
    """
    if subtracted is None:
        ax = figure.subplots()
        plot_elution(ax, elution, fontsize=fontsize)
        ax.set_title(title, fontsize=fontsize)
        return
    axes = figure.subplot_mosaic([["frames", "frames"], ["curve", "guinier"]])
    plot_elution(axes["frames"], elution, fontsize=fontsize)
    axes["frames"].set_title(title, fontsize=fontsize)
    _plot_curve(axes["curve"], subtracted, fontsize=fontsize)
    try:
        plot_guinier(subtracted, subtracted.guinier(), axes["guinier"], fontsize=fontsize)
    except ReductionError:
        axes["guinier"].set_axis_off()
        axes["guinier"].text(0.5, 0.5, "no Guinier region", ha="center", va="center")
    axes["guinier"].set_title("")


def plot_elution(ax: "Axes", elution: Elution, *, fontsize: Any = "large") -> "Axes":
    """Plot I(0) and the integrated intensity against frame, and Rg on an axis of its own.

    Where no frame has an Rg, there is the intensity alone.

    Returns
    -------
    Axes
        Those of Rg; `ax` where there is none.
    """
    frames = np.arange(len(elution.rg))
    ranges = (
        (elution.buffer_frames, _BUFFER, "buffer"),
        (elution.sample_frames, _SAMPLE, "sample"),
    )
    handles = [
        _shade(ax, chosen, colour, name) for chosen, colour, name in ranges if chosen is not None
    ]
    i0, net = elution.i0, elution.net[:, 0]
    fitted = np.isfinite(i0[:, 0])
    scale = _scale(i0[:, 0], net, elution.sample_frames)
    if fitted.any():
        label, ordinate = "∫ I dq, scaled to I(0)", f"I(0){I_LABEL.removeprefix('I')}"
    else:
        label, ordinate = "∫ I dq", f"∫ I dq{I_LABEL.removeprefix('I').removesuffix(')')} · Å⁻¹)"
    if np.isfinite(net).any():
        handles += ax.plot(frames, scale * net, color=_TRACE, lw=1.2, label=label)
    if fitted.any():
        handles.append(_points(ax, frames, i0, fitted, _TRACE, "I(0) ± σ"))
    ax.set_xlabel("frame", fontsize=fontsize)
    ax.set_ylabel(ordinate, fontsize=fontsize)
    ax.set_xlim(0, max(len(frames) - 1, 1))
    _limit(ax, scale * net, i0[fitted, 0])
    right = ax
    if fitted.any():
        right = ax.twinx()
        handles.append(_points(right, frames, elution.rg, fitted, _RG, "Rg ± σ"))
        right.set_ylabel("Rg (Å)", fontsize=fontsize, color=_RG)
        right.tick_params(axis="y", colors=_RG)
        right.set_ylim(0, _largest_rg(elution))
    if handles:
        ax.legend(handles=handles, frameon=False, loc="upper left")
    return right


def _limit(ax: "Axes", net: NDArray[np.float64], i0: NDArray[np.float64]) -> None:
    """Let the ordinate begin at the level of the buffer, but where its noise is all there is."""
    shown = np.concatenate([net, i0])
    highest = float(np.max(shown[np.isfinite(shown)], initial=0.0))
    if i0.size and highest > 0:
        ax.set_ylim(-0.05 * highest, _ROOM * highest)


def _scale(
    i0: NDArray[np.float64], net: NDArray[np.float64], sample: NDArray[np.bool_] | None
) -> float:
    """Give by what the integrated intensity fits I(0) in the sample's frames, or in any."""
    both = known = np.isfinite(i0) & np.isfinite(net)
    if sample is not None and (known & sample).any():
        both = known & sample
    return float(np.sum(i0[both] * net[both]) / np.sum(net[both] ** 2)) if both.any() else 1.0


def _points(
    ax: "Axes",
    frames: NDArray[np.intp],
    values: NDArray[np.float64],
    shown: NDArray[np.bool_],
    colour: str,
    label: str,
) -> Any:
    return ax.errorbar(
        frames[shown],
        values[shown, 0],
        values[shown, 1],
        fmt="o",
        ms=2.5,
        color=colour,
        elinewidth=0.6,
        label=label,
    )


def _largest_rg(elution: Elution) -> float:
    """Give the end of Rg's axis: all frames that know it well lie below, in the upper half."""
    value, sigma = elution.rg.T
    known = np.isfinite(value) & (sigma < 0.1 * value)
    sample = value[known if elution.sample_frames is None else elution.sample_frames]
    usual = float(np.nanmedian(sample)) if np.isfinite(sample).any() else np.nan
    highest = float(value[known].max()) if known.any() else usual
    return float(1.25 * np.nanmax([highest, 1.4 * usual, 1.0]))


def _shade(ax: "Axes", frames: NDArray[np.bool_], colour: str, name: str) -> Any:
    """Shade frames in a row; a frame reaches half way to its neighbours."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], frames.astype(int), [0]])))
    starts, ends = edges[::2], edges[1::2]
    label = f"{name}, {frames.sum()} frames from {starts[0]} to {ends[-1] - 1}"
    spans = [
        ax.axvspan(start - 0.5, end - 0.5, color=colour, alpha=0.35, lw=0, label=label)
        for start, end in zip(starts, ends, strict=True)
    ]
    return spans[0]


def _plot_curve(ax: "Axes", subtracted: Data1d, *, fontsize: Any) -> None:
    prepare_axes(ax, fontsize=fontsize)
    subtracted.plot(ax, fontsize=fontsize, color=_TRACE, label="sample less buffer")
    told = subtracted.data[subtracted.data > _TOLD * subtracted.err]
    if told.size:
        ax.set_ylim(told.min() / 2, 2 * told.max())
    plain_ticks(ax)
    ax.legend(frameon=False, loc="lower left")
