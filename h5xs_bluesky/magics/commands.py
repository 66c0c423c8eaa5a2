"""The subcommands of ``%h5xs``."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from h5xs_bluesky import schema
from h5xs_bluesky.api.h5exp import h5exp
from h5xs_bluesky.api.h5xs import h5xs
from h5xs_bluesky.api.info import describe
from h5xs_bluesky.errors import H5xsError, ReductionError
from h5xs_bluesky.magics.arguments import PLOTS
from h5xs_bluesky.magics.reports import Calibrated, Measured, Status
from h5xs_bluesky.magics.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

_DPI = 150
_ANY_ENERGY = (0.0, float("inf"))


def status(session: Session) -> Status:
    """Tell what runs, and how far it is."""
    live = session.live()
    path = session.experiment()
    counters = {} if live is None else live.status()
    going_on = [run for run in counters.get("runs", ()) if not run["finished"]]
    return Status(
        experiment=path,
        running=tuple(run["sample"] or "a sample" for run in going_on),
        counters=counters,
        samples=tuple(session.open().samples) if path.exists() else (),
    )


def last(session: Session, sample: str | None, *, guinier: bool = False) -> Measured:
    """Tell how a sample came out, by default the one measured last."""
    dt = session.open()
    return _measured(session, dt, session.newest(dt, sample), guinier=guinier)


def plot(session: Session, sample: str | None, group: str | None, save: str | None) -> Any:
    """Draw a sample in a new window, or into a file; gives the axes, or the file's path.

    Raises
    ------
    ReductionError
        If it is not known how to draw that.
    """
    dt = session.open()
    if group is None and sample in PLOTS and sample not in dt.samples:
        sample, group = None, sample
    group = group or "frames"
    if group not in PLOTS:
        raise ReductionError(f"expected one of {', '.join(PLOTS)}, found {group!r}")
    name = session.newest(dt, sample)
    if save is None:
        from matplotlib import pyplot as plt

        axes = _draw(dt, name, group, plt.figure(layout="constrained"))
        plt.show(block=False)
        return axes
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained")
    _draw(dt, name, group, figure)
    path = Path(save).expanduser()
    figure.savefig(path, dpi=_DPI)
    return path


def reduce(session: Session, sample: str | None) -> Measured:
    """Reduce a sample's frames again with the experiment's present configuration, and average."""
    dt = session.open(read_only=False)
    name = session.newest(dt, sample)
    session.check_ended(dt, name)
    dt.load_data(samples=name)
    dt.average_d1s(name)
    return _measured(session, dt, name)


def calibrate(
    session: Session,
    sample: str | None,
    *,
    calibrant: str,
    energy: float | None,
    tilt: bool,
    dry_run: bool,
) -> Calibrated:
    """Calibrate the detectors from a sample of the experiment."""
    dt = h5exp(session.measured(), read_only=dry_run, roots=session.roots())
    found = dt.recalibrate(
        session.newest(dt, sample),
        energy,
        _ANY_ENERGY,
        calibrant=calibrant,
        tilt=tilt,
        dry_run=dry_run,
    )
    return Calibrated(detectors=found)


def _draw(dt: h5xs, name: str, group: str, figure: "Figure") -> Any:
    if group == "pattern":
        figure.set_size_inches(11.0, 5.0)
        return dt.show_data(name, frn=-1, fig=figure)
    ax = figure.subplots()
    draw: dict[str, Callable[[], Any]] = {
        "frames": lambda: dt.plot_d1s(name, ax),
        "subtracted": lambda: dt.plot_d1s(name, ax, show_subtracted=True),
        "selection": lambda: dt.plot_selection(name, ax),
        "monitors": lambda: dt.plot_mon(name, ax),
    }
    return draw[group]()


def _measured(session: Session, dt: h5xs, name: str, *, guinier: bool = False) -> Measured:
    (info,) = describe(dt.fn, name, roots=session.roots()).samples
    selection = dt.get_selection(name)
    rejected: Counter[str] = Counter()
    kept = None
    if selection is not None:
        rejected.update(reason for reason in selection.reason if reason)
        kept = selection.kept
    transmission, sigma = _transmission(dt, name, kept)
    curves = dt.d1s.get(name, {})
    curve: Any = curves.get(schema.SUBTRACTED, curves.get(schema.AVERAGED))
    if guinier and curve is None:
        raise ReductionError(f"{name}: expected an average to fit, found none: %h5xs reduce {name}")
    return Measured(
        info=info,
        rejected=rejected,
        transmission=transmission,
        transmission_sigma=sigma,
        curve=curve,
        guinier=curve.guinier() if guinier else None,
    )


def _transmission(dt: h5xs, name: str, kept: Any) -> tuple[float, float]:
    """Give the mean transmission of the frames kept, and its standard uncertainty."""
    try:
        readings = dt.get_mon(name)
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
