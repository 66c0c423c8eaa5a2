"""What all plans have in common: the sample, the run, and the shutter around the exposures."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.utils import MsgGenerator

from h5xs_bluesky.plans.pausing import CLOSED, OPEN, PausedShutter

EXPOSURE = "exposure_time"  # what devices are configured by
_DEAD_TIME = "get_trigger_deadtime"
SETTLE_S = 0.2  # what monitors need before and behind an edge of the shutter


def measured_run(
    detectors: Sequence[Any],
    exposures: Callable[[], MsgGenerator[Any]],
    *,
    sample: str,
    exposure_s: float,
    start: Mapping[str, Any],
    series: int = 1,
    dead_time_s: float = 0.0,
    shutter: Any = None,
    changer: Any = None,
    position: str | None = None,
    settle_s: float = SETTLE_S,
    also: Sequence[Any] = (),
) -> MsgGenerator[str]:
    """Take a run of exposures with the shutter open for them.

    Before and behind each edge of the shutter there is time for monitors that run on their own:
    they see it open, and cover the first exposure and the last.

    Parameters
    ----------
    detectors
        Are staged.
    exposures
        Gives the plan that takes them, once the shutter is open.
    sample
        Its name.
    exposure_s
        Of a frame.
    start
        For the start document; what it says wins.
    series
        How many frames detectors take by themselves, once they are told.
    dead_time_s
        Between the frames of a series.
    shutter
        Takes ``"Open"`` and ``"Close"``; none where the beam is always there.
    changer, position
        What takes the name of a position, and the position; by default the sample's name.
    settle_s
        How long before and behind each edge of the shutter.
    also
        Is staged, too.

    Returns
    -------
    str
        The run's uid.
    """
    md = {
        "sample_name": sample,
        "exposure_time": exposure_s,
        "detectors": [detector.name for detector in detectors],
        **start,
    }

    def run() -> MsgGenerator[None]:
        yield from set_exposure(detectors, exposure_s, frames=series, dead_time_s=dead_time_s)
        yield from exposing(exposures, shutter=shutter, settle_s=settle_s)

    if shutter is not None:  # it may have been left open: no beam while the sample is moved,
        yield from bps.mv(shutter, CLOSED)  # and monitors have to see it open
    if changer is not None:
        yield from bps.mv(changer, sample if position is None else position)
    plan = bpp.run_wrapper(run(), md=md)  # type: ignore[no-untyped-call]
    plan = bpp.stage_wrapper(plan, [*detectors, *also])  # type: ignore[no-untyped-call]
    return str((yield from plan))


def exposing(
    exposures: Callable[[], MsgGenerator[Any]], *, shutter: Any, settle_s: float
) -> MsgGenerator[None]:
    """Open the shutter for exposures; it is closed in a pause, and in the end whatever happens."""
    if shutter is None:
        yield from exposures()
        return
    paused = PausedShutter(shutter, settle_s)

    def opened() -> MsgGenerator[None]:
        yield from bps.sleep(settle_s)
        paused.exposing = True
        yield from bps.mv(shutter, OPEN)
        yield from bps.sleep(settle_s)
        yield from exposures()
        yield from bps.sleep(settle_s)

    def closed() -> MsgGenerator[None]:
        paused.exposing = False
        yield from bps.mv(shutter, CLOSED)

    yield from bpp.finalize_wrapper(paused.opened_again(opened()), closed)  # type: ignore[no-untyped-call]


def longest_dead_time_s(detectors: Sequence[Any]) -> MsgGenerator[float]:
    """Give what the slowest of some detectors needs between two frames; 0 where none tells.

    Detectors of ophyd-async know it, but leave the period of a series as it was unless it is told.
    """
    asked = [each.get_trigger_deadtime for each in detectors if hasattr(each, _DEAD_TIME)]
    if not asked:
        return 0.0
    told = yield from bps.wait_for(asked)
    return float(max(dead_time_s or 0.0 for _, dead_time_s in (each.result() for each in told)))


def set_exposure(
    devices: Sequence[Any], exposure_s: float, *, frames: int = 1, dead_time_s: float = 0.0
) -> MsgGenerator[None]:
    """Tell devices how long an exposure is; in an open run, so that files go where they belong.

    Detectors of ophyd-async are prepared for so many frames; devices that are configured by
    ``exposure_time`` get that; of ophyd's area detectors ``cam.acquire_time`` is set. All others
    keep what they have.
    """
    for device in devices:
        if hasattr(device, "prepare"):
            from ophyd_async.core import TriggerInfo

            info = TriggerInfo(number_of_events=frames, livetime=exposure_s, deadtime=dead_time_s)
            yield from bps.prepare(device, info, wait=True)
        elif _is_configured_by(device, EXPOSURE):
            yield from bps.configure(device, {EXPOSURE: exposure_s})
        elif hasattr(device, "cam") and hasattr(device.cam, "acquire_time"):
            yield from bps.mv(device.cam.acquire_time, exposure_s)


def _is_configured_by(device: Any, key: str) -> bool:
    """Tell whether `configure` takes this; devices of ophyd all have it, and list what it takes."""
    return hasattr(device, "configure") and key in getattr(device, "configuration_attrs", [key])


def name_of(device: Any) -> str:
    """Give a device's name, which bluesky's protocols of moving and flying do not promise."""
    return str(device.name)
