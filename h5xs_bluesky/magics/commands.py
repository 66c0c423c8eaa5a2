"""The subcommands of ``%h5xs``."""

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from h5xs_bluesky import schema
from h5xs_bluesky.api.data1d import Data1d
from h5xs_bluesky.api.h5exp import h5exp
from h5xs_bluesky.api.h5xs import h5xs
from h5xs_bluesky.api.info import NO_END, describe
from h5xs_bluesky.errors import H5xsError, ReductionError
from h5xs_bluesky.io.experiment import open_for_reading
from h5xs_bluesky.io.known_samples import known_samples
from h5xs_bluesky.io.replace import is_locked
from h5xs_bluesky.magics.arguments import PLOTS
from h5xs_bluesky.magics.reports import Calibrated, Measured, Status
from h5xs_bluesky.magics.target import Target
from h5xs_bluesky.reduction.guinier import Guinier

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from h5xs_bluesky.reduction.chromatography.analyse import Chromatogram

_DPI = 150
_ANY_ENERGY = (0.0, float("inf"))

# A Guinier fit is told with σ(Rg)/Rg up to this, and from q·Rg up to this, if what lies below its
# range is no longer than this part of it: all q are no measure, they may reach to wide angles.
_LARGEST_SIGMA, _LARGEST_START, _MOST_BELOW = 0.2, 1.0, 0.5

logger = logging.getLogger(__name__)


def status(target: Target) -> Status:
    """Tell what runs, and how far it is."""
    live = target.live()
    path = target.experiment()
    counters = {} if live is None else live.status()
    unfinished = [run for run in counters.get("runs", ()) if not run["finished"]]
    return Status(
        experiment=path,
        running=tuple(_name_of(run) for run in unfinished if not run["stopped"]),
        finishing=tuple(_name_of(run) for run in unfinished if run["stopped"]),
        counters=counters,
        samples=tuple(target.open().samples) if path.exists() else (),
    )


def _name_of(run: Mapping[str, Any]) -> str:
    return run["sample"] or "a sample"


def last(target: Target, sample: str | None, *, guinier: bool = False) -> Measured:
    """Tell how a sample came out, by default the one measured last."""
    dt = target.open()
    return _measured(target, dt, target.newest(dt, sample), guinier=guinier)


def plot(target: Target, sample: str | None, group: str | None, save: str | None) -> Any:
    """Draw a sample in a new window, or into a file; gives the axes, or the file's path.

    Where there are no windows, a warning tells how to see it.

    Raises
    ------
    ReductionError
        If it is not known how to draw that.
    """
    dt = target.open()
    if group is None and sample in PLOTS and sample not in dt.samples:
        sample, group = None, sample
    group = group or "frames"
    if group not in PLOTS:
        raise ReductionError(f"expected one of {', '.join(PLOTS)}, found {group!r}")
    name = target.newest(dt, sample)
    if save is None:
        from matplotlib import pyplot as plt

        from h5xs_bluesky.view.window_screen import can_show_windows

        axes = _draw(dt, name, group, plt.figure(layout="constrained"))
        if can_show_windows() or "inline" in plt.get_backend().lower():
            plt.show(block=False)
        else:
            logger.warning("No display, no window: --save FILE writes a picture to look at")
        return axes
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained")
    _draw(dt, name, group, figure)
    path = Path(save).expanduser()
    figure.savefig(path, dpi=_DPI)
    return path


def reduce(target: Target, sample: str | None) -> Measured:
    """Reduce a sample's frames again with the experiment's present configuration, and average.

    Why there is no average, as of a map, is a line of the report.
    """
    dt = target.open(read_only=False)
    name = target.newest(dt, sample)
    target.check_ended(dt, name)
    dt.load_data(samples=name)
    try:
        dt.average_d1s(name)
    except ReductionError as error:
        found = _measured(target, dt, name)
        why = found.average_problem or f"no average: {error}"
        return replace(found, average_problem=why)
    return _measured(target, dt, name)


def calibrate(
    target: Target,
    sample: str | None,
    *,
    calibrant: str,
    energy: float | None,
    tilt: bool,
    dry_run: bool,
) -> Calibrated:
    """Calibrate the detectors from a sample of the experiment."""
    dt = h5exp(target.measured(), read_only=dry_run, roots=target.roots())
    found = dt.recalibrate(
        target.newest(dt, sample),
        energy,
        _ANY_ENERGY,
        calibrant=calibrant,
        tilt=tilt,
        dry_run=dry_run,
    )
    return Calibrated(detectors=found)


def _draw(dt: h5xs, name: str, group: str, figure: "Figure") -> Any:
    if group == "pattern":
        from h5xs_bluesky.view.windows import rings_for

        figure.set_size_inches(11.0, 5.0)
        return dt.show_data(name, frn=-1, fig=figure, showRef=rings_for(name, dt.detectors))
    if group == "sec":
        from h5xs_bluesky.api.plots.chromatograms import SIZE_INCHES

        figure.set_size_inches(SIZE_INCHES)
        if _chromatogram(dt, name) is None:  # what is stored has the frames that the user gave
            dt.process_sec(name)
        return dt.plot_sec(name, fig=figure).axes
    ax = figure.subplots()
    draw: dict[str, Callable[[], Any]] = {
        "frames": lambda: dt.plot_d1s(name, ax),
        "subtracted": lambda: dt.plot_d1s(name, ax, show_subtracted=True),
        "selection": lambda: dt.plot_selection(name, ax),
        "monitors": lambda: dt.plot_mon(name, ax),
    }
    return draw[group]()


def _measured(target: Target, dt: h5xs, name: str, *, guinier: bool = False) -> Measured:
    (info,) = describe(dt.fn, name, roots=target.roots()).samples
    selection = dt.get_selection(name)
    rejected: Counter[str] = Counter()
    kept = None
    if selection is not None:
        rejected.update(reason for reason in selection.reason if reason)
        kept = selection.kept
    transmission, sigma = _transmission(dt, name, kept, quiet=target.live() is not None)
    with open_for_reading(Path(dt.fn)) as file:
        namesakes = [each.group for each in known_samples(file) if each.name == info.name]
    curves = dt.d1s.get(name, {})
    curve: Any = curves.get(schema.SUBTRACTED, curves.get(schema.AVERAGED))
    why = info.no_average
    is_held = is_locked(Path(dt.fn).parent / name / schema.RUN_LOCK)  # by who writes it
    if guinier and curve is None:
        not_yet = "none yet: its run goes on, or is being finished (%h5xs status)"
        found = why or (not_yet if is_held else f"none: %h5xs reduce {name}")
        raise ReductionError(f"{name}: expected an average to fit, found {found}")
    fit, problem = _guinier(curve) if guinier else (None, "")
    return Measured(
        info=info,
        is_written=info.state == NO_END and is_held,
        namesakes=tuple(group for group in namesakes if group != name),
        rejected=rejected,
        transmission=transmission,
        transmission_sigma=sigma,
        curve=curve,
        average_problem=why,
        chromatogram=_chromatogram(dt, name),
        guinier=fit,
        guinier_problem=problem,
    )


def _chromatogram(dt: h5xs, name: str) -> "Chromatogram | None":
    try:
        return dt.get_sec(name)
    except ReductionError:  # no series, or not analysed
        return None


def _guinier(curve: Data1d) -> tuple[Guinier | None, str]:
    """Fit a curve; gives None and the reason where no fit is worth telling."""
    try:
        fit = curve.guinier()
    except ReductionError as error:
        return None, str(error)
    lowest = float(curve.qgrid[np.isfinite(curve.data)][0])
    low, high = fit.q_range
    if low * fit.rg > _LARGEST_START or low - lowest > _MOST_BELOW * (high - low):
        return None, (
            f"expected a range that begins at low q, found one from {low:.4g} to {high:.4g} Å⁻¹ "
            f"with Rg = {fit.rg:.3g} Å, where the curve begins at {lowest:.4g} Å⁻¹"
        )
    if not fit.rg_sigma <= _LARGEST_SIGMA * fit.rg:
        return None, (
            f"expected σ(Rg) up to {_LARGEST_SIGMA:.0%}, found Rg = {fit.rg:.2g} ± "
            f"{fit.rg_sigma:.2g} Å"
        )
    return fit, ""


def _transmission(dt: h5xs, name: str, kept: Any, *, quiet: bool) -> tuple[float, float]:
    """Give the mean transmission of the frames kept, and its standard uncertainty."""
    try:
        readings = dt.get_mon(name, quiet=quiet)
    except H5xsError:  # no monitors, or no frames: not known
        return np.nan, np.nan
    values, sigma = readings.transmission, readings.transmission_sigma  # type: ignore[union-attr]
    usable = np.isfinite(values)
    if kept is not None and kept.size == usable.size:
        usable &= kept
    if not usable.any():
        return np.nan, np.nan
    number = int(usable.sum())
    return float(values[usable].mean()), float(np.sqrt(np.sum(sigma[usable] ** 2)) / number)
