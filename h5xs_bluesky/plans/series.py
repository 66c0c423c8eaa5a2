"""Plans in which detectors take a series by themselves: a long one, or one while a motor flies."""

from collections.abc import Mapping, Sequence
from typing import Any

from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.protocols import Flyable, Movable
from bluesky.utils import MsgGenerator

from h5xs_bluesky.plans.checking import checked
from h5xs_bluesky.plans.running import SETTLE_S, longest_dead_time_s, measured_run, name_of

STREAM = "primary"
FLUSH_S = 0.25  # how often frames are announced


@checked
def sec_series(
    detectors: Sequence[Flyable],
    sample: str,
    *,
    frames: int = 600,
    exposure_s: float = 0.1,
    shutter: Movable[Any] | None = None,
    changer: Movable[Any] | None = None,
    position: str | None = None,
    settle_s: float = SETTLE_S,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[str]:
    """Take a long series of frames without a pause, as while a column elutes.

    Frames are announced four times in a second, so that they are reduced while the series goes on.
    Between them is the dead time that the slowest detector tells.
    At its end the peak less its own buffer frames is stored; of a series of something else say so
    with ``md={"elution": False}``.

    Parameters
    ----------
    detectors
        Are prepared for the series and kicked off, as those of ophyd-async.
    sample
        Its name.
    frames
        How many to take.
    exposure_s
        Of one frame.
    shutter
        Takes "Open" and "Close"; none where the beam is always there.
    changer
        Is moved to the sample first, as the valve that injects it.
    position
        On the changer; by default the sample's name.
    settle_s
        How long before and behind each edge of the shutter, for monitors that run on their own.
    md
        More for the start document.

    Returns
    -------
    str
        The run's uid.

    Raises
    ------
    PlanError
        If a count or a time makes no sense; when the plan is called.
    """

    def exposures() -> MsgGenerator[None]:
        yield from _series(detectors)

    dead_time_s = yield from longest_dead_time_s(detectors)
    return (
        yield from measured_run(
            detectors,
            exposures,
            sample=sample,
            exposure_s=exposure_s,
            series=frames,
            dead_time_s=dead_time_s,
            start={"plan_name": "sec_series", "num_points": frames, **(md or {})},
            shutter=shutter,
            changer=changer,
            position=position,
            settle_s=settle_s,
        )
    )


@checked
def fly_scan(
    detectors: Sequence[Flyable],
    sample: str,
    motor: Movable[Any],
    start: float,
    stop: float,
    frames: int,
    *,
    exposure_s: float = 0.1,
    shutter: Movable[Any] | None = None,
    changer: Movable[Any] | None = None,
    position: str | None = None,
    settle_s: float = SETTLE_S,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[str]:
    """Take frames one after the other while a motor moves evenly.

    All frames are in one stream; where the motor was is in another, ``<motor>_monitor``. The motor
    is at `start` when the first exposure begins, and at `stop` when the last one ends.

    Parameters
    ----------
    detectors
        Are prepared for the series and kicked off, as those of ophyd-async.
    sample
        Its name.
    motor
        Flies, as those of ophyd-async: takes ``FlyMotorInfo``.
    start
        Where it is when the first exposure begins.
    stop
        Where it is when the last exposure ends.
    frames
        How many to take.
    exposure_s
        Of one frame.
    shutter
        Takes "Open" and "Close"; none where the beam is always there.
    changer
        Is moved to the sample first.
    position
        On the changer; by default the sample's name.
    settle_s
        How long before and behind each edge of the shutter, for monitors that run on their own.
    md
        More for the start document.

    Returns
    -------
    str
        The run's uid.

    Raises
    ------
    PlanError
        If a count or a time makes no sense; when the plan is called.
    """
    document = {
        "plan_name": "fly_scan",
        "motors": [name_of(motor)],
        "num_points": frames,
        "extents": [[start, stop]],
        "hints": {"dimensions": [[[name_of(motor)], f"{name_of(motor)}_monitor"]]},
        **(md or {}),
    }

    def exposures() -> MsgGenerator[None]:
        yield from _series(detectors, motor)

    def plan() -> MsgGenerator[str]:
        from ophyd_async.core import FlyMotorInfo

        dead_time_s = yield from longest_dead_time_s(detectors)
        takes_s = frames * exposure_s + (frames - 1) * dead_time_s
        way = FlyMotorInfo(start_position=start, end_position=stop, time_for_move=takes_s)
        yield from bps.prepare(motor, way, wait=True)
        return (
            yield from measured_run(
                detectors,
                exposures,
                sample=sample,
                exposure_s=exposure_s,
                series=frames,
                dead_time_s=dead_time_s,
                start=document,
                shutter=shutter,
                changer=changer,
                position=position,
                settle_s=settle_s,
            )
        )

    whole = bpp.monitor_during_wrapper(plan(), [motor])  # type: ignore[no-untyped-call]
    return str((yield from whole))


def _series(detectors: Sequence[Any], motor: Any = None) -> MsgGenerator[None]:
    yield from bps.clear_checkpoint()  # a series cannot be taken up in its middle
    flyers = [*detectors] if motor is None else [motor, *detectors]
    yield from bps.declare_stream(*detectors, name=STREAM, collect=True)
    if motor is not None:  # it is at its speed, and at its start, once it is kicked off
        yield from bps.kickoff(motor, wait=True)
    yield from bps.kickoff_all(*detectors, wait=True)
    yield from bps.collect_while_completing(
        flyers, detectors, flush_period=FLUSH_S, stream_name=STREAM
    )
