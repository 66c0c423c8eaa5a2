"""The demo's pictures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky import schema
from h5xs_bluesky.api.data1d import Data1d
from h5xs_bluesky.api.data2d import Data2d
from h5xs_bluesky.api.h5xs import h5xs
from h5xs_bluesky.api.plots.axes import I_LABEL, Q_LABEL, plain_ticks
from h5xs_bluesky.cli.demo_checks import GuinierFit
from h5xs_bluesky.cli.demo_pattern import draw_pattern
from h5xs_bluesky.reduction.sample import ReducedSample

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OVERVIEW = "overview.png"
PICTURES = ("pattern.png", "frames.png", "average.png", "subtracted.png", OVERVIEW)

_KEPT = "#21918c"
_REJECTED = {"cormap": "#d1495b", "transmission": "#e59500"}
_OTHER = "#7f7f7f"
_WHY = {"cormap": "shape differs", "transmission": "beam differs"}
_SAMPLE, _BUFFER, _SUBTRACTED = "#1f4e79", "#d08c2e", "#8b1e3f"
_STYLE: Any = {
    "axes.grid": True,
    "axes.labelsize": 10,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "figure.dpi": 160,
    "font.size": 9.5,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.5,
    "legend.fontsize": 8.5,
    "legend.framealpha": 0.9,
    "savefig.facecolor": "white",
    "xtick.direction": "in",
    "ytick.direction": "in",
}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Findings:
    """What the pictures show.

    Parameters
    ----------
    patterns
        One frame of the standard, by detector.
    sample, buffer
        Names of the sample that has a background, and of that.
    reduced
        Each sample's reduction.
    curves
        Each sample's curves.
    guinier
        The fit of sample minus buffer, if there is one.
    """

    patterns: Mapping[str, Data2d]
    sample: str
    buffer: str
    reduced: Mapping[str, ReducedSample]
    curves: h5xs
    guinier: GuinierFit | None


def draw_all(findings: Findings, folder: Path) -> list[Path]:
    """Draw the pictures into a folder, replacing older ones.

    Returns
    -------
    list of Path
    """
    import matplotlib as mpl

    mpl.use("Agg")
    drawers: Sequence[Callable[[Findings], Figure]] = (
        _pattern_figure,
        _frames_figure,
        _average_figure,
        _subtracted_figure,
        _overview_figure,
    )
    written = []
    with mpl.rc_context(_STYLE):
        for name, draw in zip(PICTURES, drawers, strict=True):
            figure = draw(findings)
            figure.savefig(folder / name)
            written.append(folder / name)
    return written


def _new_figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _pattern_figure(findings: Findings) -> "Figure":
    count = len(findings.patterns)
    figure = _new_figure(5.6 * count, 5.2)
    axes = figure.subplots(1, count, squeeze=False)[0]
    for ax, (extension, pattern) in zip(axes, findings.patterns.items(), strict=True):
        draw_pattern(ax, pattern, largest_q=float(findings.curves.qgrid.edges[-1]))
        ax.set_title(f"Silver behenate, {extension.lstrip('_')}, one frame")
    return figure


def _frames_figure(findings: Findings) -> "Figure":
    figure = _new_figure(7.2, 6.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2.2, 1])
    draw_frames(upper, findings)
    upper.set_xlabel("")
    draw_ratios(lower, findings)
    return figure


def draw_frames(ax: "Axes", findings: Findings) -> None:
    """Draw the curves of a sample's frames, scaled to one beam; rejected ones by their reason."""
    name = findings.sample
    average = _single(findings.curves, name, schema.AVERAGED)
    reasons = _reasons(findings.reduced[name])
    for frame, reason in _kept_last(findings, name, reasons):
        scale = _scale(average, frame)
        ax.loglog(frame.qgrid, frame.data * scale, **_line(reason))
    ax.loglog(average.qgrid, average.data, color="black", lw=0.9, ls="--")
    ax.set_title(f"Frames of {name!r}, each scaled to the average beam")
    ax.set_xlabel(Q_LABEL)
    ax.set_ylabel(I_LABEL)
    _set_limits(ax, average)
    plain_ticks(ax)
    ax.legend(handles=_frame_handles(reasons), loc="best")


def draw_ratios(ax: "Axes", findings: Findings) -> None:
    """Draw what differs between a sample's frames and their average, in the range compared."""
    name = findings.sample
    average = _single(findings.curves, name, schema.AVERAGED)
    for frame, reason in _kept_last(findings, name, _reasons(findings.reduced[name])):
        ax.semilogx(
            frame.qgrid, frame.data * _scale(average, frame) / average.data, **_line(reason)
        )
    ax.axhline(1, color="black", lw=0.9, ls="--")
    ax.set_ylim(0.5, 1.6)
    plain_ticks(ax)
    ax.set_xlabel(Q_LABEL)
    ax.set_ylabel("I / average")


def _average_figure(findings: Findings) -> "Figure":
    figure = _new_figure(7.2, 6.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2.2, 1])
    draw_averages(upper, findings)
    upper.set_xlabel("")
    name = findings.sample
    average = _single(findings.curves, name, schema.AVERAGED)
    first = findings.curves.get_d1(name, schema.MERGED, int(np.flatnonzero(_kept(findings))[0]))
    for curve, label, colour in (
        (first, "one frame", _OTHER),
        (average, f"average of {int(_kept(findings).sum())}", _SAMPLE),
    ):
        lower.loglog(curve.qgrid, 100 * curve.err / curve.data, color=colour, label=label)
    lower.set_xlabel(Q_LABEL)
    plain_ticks(lower)
    lower.set_ylabel(f"σ / I of {name!r} (%)")
    lower.legend()
    return figure


def draw_averages(ax: "Axes", findings: Findings) -> None:
    """Draw sample and buffer with bands of ± 3 σ."""
    for name, colour in ((findings.sample, _SAMPLE), (findings.buffer, _BUFFER)):
        reduced = findings.reduced[name]
        kept = 0 if reduced.selection is None else int(reduced.selection.kept.sum())
        curve = _single(findings.curves, name, schema.AVERAGED)
        label = f"{name}: {kept} of {len(reduced.superseded)} frames"
        draw_band(ax, curve, colour=colour, label=label, sigmas=3)
    ax.set_title("Averages of the frames kept, with ± 3 σ")
    plain_ticks(ax)
    ax.set_xlabel(Q_LABEL)
    ax.set_ylabel(I_LABEL)
    ax.legend()


def draw_band(ax: "Axes", curve: Data1d, *, colour: str, label: str, sigmas: int) -> None:
    """Draw a curve with a band of some σ, on logarithmic axes."""
    low, high = curve.data - sigmas * curve.err, curve.data + sigmas * curve.err
    ax.fill_between(curve.qgrid, low, high, color=colour, alpha=0.3, lw=0)
    ax.loglog(curve.qgrid, curve.data, color=colour, lw=1.0, label=label)


def _subtracted_figure(findings: Findings) -> "Figure":
    figure = _new_figure(7.2, 5.6)
    draw_subtraction(figure.subplots(), findings)
    return figure


def draw_subtraction(ax: "Axes", findings: Findings) -> None:
    """Draw sample minus buffer with ± σ, and its Guinier plot inside."""
    curve = _single(findings.curves, findings.sample, schema.SUBTRACTED)
    shown = _significant(curve)
    style: dict[str, Any] = {"fmt": ".", "ms": 3.5, "elinewidth": 0.8, "color": _SUBTRACTED}
    ax.errorbar(curve.qgrid[shown], curve.data[shown], curve.err[shown], **style)
    ax.set_xscale("log")
    ax.set_yscale("log")
    largest = float(curve.data[shown].max())
    ax.set_ylim(largest * 2e-4, largest * 3)
    ax.set_xlim(float(curve.qgrid[shown].min()) * 0.9, float(curve.qgrid[shown].max()) * 1.1)
    plain_ticks(ax)
    ax.set_title(f"{findings.sample!r} minus {findings.buffer!r}, ± σ")
    ax.set_xlabel(Q_LABEL)
    ax.set_ylabel(I_LABEL)
    if findings.guinier is not None:
        inset = ax.inset_axes((0.12, 0.11, 0.33, 0.4))
        draw_guinier(inset, curve, findings.guinier)


def draw_guinier(ax: "Axes", curve: Data1d, fit: GuinierFit) -> None:
    """Draw ln I over q² with the line fitted, and what it says."""
    low, high = fit.q_range
    wide = (curve.qgrid <= high * 1.25) & (curve.data > 0)
    fitted = wide & (curve.qgrid >= low) & (curve.qgrid <= high)
    for chosen, colour in ((wide & ~fitted, _OTHER), (fitted, _SUBTRACTED)):
        q2, log_i = curve.qgrid[chosen] ** 2, np.log(curve.data[chosen])
        sigma = curve.err[chosen] / curve.data[chosen]
        ax.errorbar(q2 * 1e3, log_i, sigma, fmt=".", ms=3, elinewidth=0.7, color=colour)
    line = np.array([0.0, high**2])
    ax.plot(line * 1e3, np.log(fit.forward) - line * fit.radius_angstrom**2 / 3, "k-", lw=1)
    lowest, highest = np.log(curve.data[fitted].min()), np.log(fit.forward)
    ax.set_ylim(lowest - 0.6 * (highest - lowest), highest + 0.2 * (highest - lowest))
    ax.set_xlabel("q² (10⁻³ Å⁻²)", fontsize=8, labelpad=1)
    ax.set_ylabel("ln I", fontsize=8, labelpad=1)
    ax.tick_params(labelsize=7.5)
    ax.set_title(
        f"Rg = {fit.radius_angstrom:.1f} ± {fit.radius_sigma_angstrom:.1f} Å",
        fontsize=9,
        fontweight="normal",
    )


def _overview_figure(findings: Findings) -> "Figure":
    figure = _new_figure(11.6, 9.2)
    (pattern, frames), (average, subtracted) = figure.subplots(2, 2)
    first = next(iter(findings.patterns.values()))
    draw_pattern(pattern, first, largest_q=float(findings.curves.qgrid.edges[-1]))
    pattern.set_title("Silver behenate: one frame and its rings")
    draw_frames(frames, findings)
    draw_averages(average, findings)
    draw_subtraction(subtracted, findings)
    for ax, letter in zip((pattern, frames, average, subtracted), "abcd", strict=True):
        ax.set_title(f"{letter}  {ax.get_title()}", loc="left")
        ax.set_title("")
    return figure


def _single(curves: h5xs, sample: str, group: str) -> Data1d:
    return curves.get_d1(sample, group)


def _scale(average: Data1d, frame: Data1d) -> float:
    """Bring a frame to the average's beam, where both are known."""
    ratio = average.trans / frame.trans
    return ratio if np.isfinite(ratio) else 1.0


def _kept(findings: Findings) -> NDArray[np.bool_]:
    return np.array([not reason for reason in _reasons(findings.reduced[findings.sample])])


def _reasons(reduced: ReducedSample) -> tuple[str, ...]:
    if reduced.selection is None:
        return ("",) * len(reduced.superseded)
    return reduced.selection.reason


def _kept_last(findings: Findings, name: str, reasons: Sequence[str]) -> list[tuple[Data1d, str]]:
    """Give each frame's curve and why it is rejected, kept ones last so that they lie on top."""
    frames = [
        (findings.curves.get_d1(name, schema.MERGED, number), reason)
        for number, reason in enumerate(reasons)
    ]
    return sorted(frames, key=lambda frame: frame[1] == "")


def _line(reason: str) -> dict[str, Any]:
    if not reason:
        return {"color": _KEPT, "lw": 0.9, "alpha": 0.8}
    return {"color": _REJECTED.get(reason, _OTHER), "lw": 1.2}


def _frame_handles(reasons: Sequence[str]) -> list[Any]:
    from matplotlib.lines import Line2D

    kept = reasons.count("")
    handles = [Line2D([], [], label=f"kept: {kept} of {len(reasons)}", **_line(""))]
    for reason in dict.fromkeys(reason for reason in reasons if reason):
        numbers = [number for number, other in enumerate(reasons) if other == reason]
        label = f"rejected, {_WHY.get(reason, reason)} ({reason}): {name_frames(numbers)}"
        handles.append(Line2D([], [], label=label, **_line(reason)))
    handles.append(Line2D([], [], color="black", lw=0.9, ls="--", label="average of those kept"))
    return handles


def name_frames(numbers: Sequence[int]) -> str:
    """Name frames in few words: ``frames 3, 7–9``.

    Examples
    --------
    >>> name_frames([3, 7, 8, 9])
    'frames 3, 7–9'
    """
    runs = []
    for _, group in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        runs.append(f"{run[0]}" if len(run) == 1 else f"{run[0]}–{run[-1]}")
    return ("frame " if len(numbers) == 1 else "frames ") + ", ".join(runs)


def _set_limits(ax: "Axes", average: Data1d) -> None:
    """Leave out the noise of the outermost bins."""
    positive = average.data[np.isfinite(average.data) & (average.data > 0)]
    ax.set_ylim(float(positive.min()) / 5, float(positive.max()) * 3)


def _significant(curve: Data1d) -> NDArray[np.bool_]:
    """Tell the bins up to the q from which on noise prevails; those below 0 cannot be drawn."""
    known = np.flatnonzero(np.isfinite(curve.data) & (curve.err > 0))
    ratio = curve.data[known] / curve.err[known]
    near = np.lib.stride_tricks.sliding_window_view(np.pad(ratio, 3, mode="edge"), 7)
    strong = known[np.median(near, axis=1) > 2]
    last = strong.max() if strong.size else known.max(initial=0)
    shown: NDArray[np.bool_] = (np.arange(len(curve.data)) <= last) & (curve.data > 0)
    return shown
