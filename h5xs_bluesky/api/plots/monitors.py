"""Pictures of monitors' readings against the exposures."""

from typing import TYPE_CHECKING

import numpy as np

from h5xs_bluesky.api.monitors import StreamsOverExposures
from h5xs_bluesky.api.plots.axes import axes_or_new
from h5xs_bluesky.reduction.monitors import MonitorReadings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"incident": "tab:blue", "transmitted": "tab:red"}


def plot_monitors(
    sample: str,
    readings: MonitorReadings,
    found: StreamsOverExposures | None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Plot what the monitors read all the time, and during each exposure; each by its maximum.

    Parameters
    ----------
    sample
        For the title.
    readings
        During the exposures.
    found
        The streams, where the monitors run on their own; otherwise frame numbers are the abscissa.
    ax
        Where; a new figure if there is none.

    Returns
    -------
    Axes
    """
    ax = axes_or_new(ax)
    by_time = found is not None and bool(found.streams) and np.isfinite(found.starts_s).any()
    for name, colour in _COLOURS.items():
        mean, sigma = getattr(readings, name), getattr(readings, f"{name}_sigma")
        x, half = np.arange(mean.size, dtype=float), 0.0
        largest = _largest(mean)
        if found is not None and by_time:
            zero, half = float(np.nanmin(found.starts_s)), found.exposure_s / 2
            x = found.starts_s[: mean.size] - zero + half
            x = np.concatenate([x, np.full(mean.size - x.size, np.nan)])
            stream = found.streams.get(name)
            if stream is not None and len(stream):
                largest = _largest(stream.values)
                times = stream.times_s - zero
                ax.plot(times, stream.values / largest, color=colour, lw=0.8, alpha=0.5)
        ax.errorbar(
            x,
            mean / largest,
            sigma / largest,
            xerr=half or None,
            fmt="o",
            ms=3,
            color=colour,
            label=f"{name}, during exposures",
        )
    ax.set_title(sample)
    ax.set_xlabel("time from the first exposure (s)" if by_time else "frame")
    ax.set_ylabel("reading (relative to its largest)")
    ax.legend(framealpha=0.9)
    return ax


def _largest(values: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> float:
    known = values[np.isfinite(values)]
    return float(known.max()) if known.size and known.max() > 0 else 1.0
