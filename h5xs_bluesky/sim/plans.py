"""Plans of the simulated beamline: plain generators of Bluesky's messages."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.utils import MsgGenerator

from h5xs_bluesky.sim.shots import Shot
from h5xs_bluesky.sim.station import Station

FRESH_SPOT_MM = 0.1


def count_sample(
    station: Station,
    shots: Iterator[Shot],
    *,
    frames: int,
    exposure_s: float,
    metadata: Mapping[str, Any],
) -> MsgGenerator[str]:
    """Take frames of a sample, each on a fresh spot of it; the baseline before and after.

    Parameters
    ----------
    station
        Whose devices take part.
    shots
        What the exposures give.
    frames
        How many to take.
    exposure_s
        Of one frame.
    metadata
        For the start document, ``sample_name`` among it.

    Returns
    -------
    str
        The run's uid.
    """
    read = [*station.detectors, *station.monitors, station.motor]
    start = {
        "plan_name": "count_sample",
        "detectors": [device.name for device in station.detectors],
        "motors": [station.motor.name],
        "num_points": frames,
        "exposure_time": exposure_s,
        **metadata,
    }

    station.shutter.load(shots)
    for detector in station.detectors:
        yield from bps.configure(detector, {"exposure_time": exposure_s})
    plan = _take(station, read, frames)
    plan = bpp.run_wrapper(plan, md=start)  # type: ignore[no-untyped-call]
    plan = bpp.stage_wrapper(plan, read)  # type: ignore[no-untyped-call]
    plan = bpp.baseline_wrapper(plan, list(station.baseline))  # type: ignore[no-untyped-call]
    return str((yield from plan))


def _take(station: Station, read: Sequence[Any], frames: int) -> MsgGenerator[None]:
    for number in range(frames):
        yield from bps.checkpoint()
        yield from bps.mv(station.motor, number * FRESH_SPOT_MM)
        yield from bps.abs_set(station.shutter, number, wait=True)
        yield from bps.trigger_and_read(read)
