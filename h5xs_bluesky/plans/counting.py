"""Plans that count: a sample, a sample between its buffers, a standard."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.protocols import Movable, Readable
from bluesky.utils import MsgGenerator

from h5xs_bluesky import schema
from h5xs_bluesky.plans.checking import checked
from h5xs_bluesky.plans.running import SETTLE_S, measured_run, name_of

BEFORE, AFTER = "_buffer_before", "_buffer_after"


@checked
def count_sample(
    detectors: Sequence[Readable[Any]],
    sample: str,
    *,
    frames: int = 10,
    exposure_s: float = 0.2,
    shutter: Movable[Any] | None = None,
    changer: Movable[Any] | None = None,
    position: str | None = None,
    motor: Movable[Any] | None = None,
    step_mm: float = 0.1,
    settle_s: float = SETTLE_S,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[str]:
    """Take frames of a sample, an event each.

    Parameters
    ----------
    detectors
        What is triggered and read: detectors, and monitors that are read with them.
    sample
        Its name.
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
    motor
        Moves the sample before each frame but the first, so that each sees a fresh spot; at the end
        of the run, also of one that fails, it returns to where it was.
    step_mm
        From one spot to the next.
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
    read = [*detectors] if motor is None else [*detectors, motor]
    start = {
        "plan_name": "count_sample",
        "num_points": frames,
        "num_intervals": frames - 1,
        **({} if motor is None else {"motors": [name_of(motor)]}),
        **(md or {}),
    }

    def exposures() -> MsgGenerator[None]:
        for number in range(frames):
            yield from bps.checkpoint()
            if motor is not None and number:
                yield from bps.mvr(motor, step_mm)
            yield from bps.trigger_and_read(read)
        yield from bps.checkpoint()  # a pause from now on does not take the last frame again

    plan = measured_run(
        detectors,
        exposures,
        sample=sample,
        exposure_s=exposure_s,
        start=start,
        shutter=shutter,
        changer=changer,
        position=position,
        settle_s=settle_s,
    )
    if motor is not None:
        plan = bpp.reset_positions_wrapper(plan, [motor])  # type: ignore[no-untyped-call]
    return str((yield from plan))


@checked
def measure_with_buffer(
    detectors: Sequence[Readable[Any]],
    sample: str,
    buffer: str,
    *,
    frames: int = 10,
    exposure_s: float = 0.2,
    again: bool = True,
    buffer_key: str = "buffer",
    shutter: Movable[Any] | None = None,
    changer: Movable[Any] | None = None,
    position: str | None = None,
    motor: Movable[Any] | None = None,
    step_mm: float = 0.1,
    settle_s: float = SETTLE_S,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[list[str]]:
    """Measure a sample between two measurements of its buffer, a run each.

    The buffer's runs are called after the sample, ``<sample>_buffer_before`` and
    ``<sample>_buffer_after``, and the sample's start document names both: so they are subtracted as
    soon as the last of them is averaged, and no others: the three start documents have the same
    ``h5xs_measurement``.

    Parameters
    ----------
    detectors
        What is triggered and read: detectors, and monitors that are read with them.
    sample
        Its name.
    buffer
        The buffer's position on the changer.
    frames
        How many to take in each run.
    exposure_s
        Of one frame.
    again
        Measure the buffer after the sample, too.
    buffer_key
        Where the start document names the buffers, as the beamline's configuration says under
        ``[metadata]``.
    shutter
        Takes "Open" and "Close"; none where the beam is always there.
    changer
        Is moved to buffer and sample; without one they are taken to flow in by themselves.
    position
        The sample's on the changer; by default its name.
    motor
        Moves the sample before each frame but the first; at the end of each run it returns to where
        it was.
    step_mm
        From one spot to the next.
    settle_s
        How long before and behind each edge of the shutter, for monitors that run on their own.
    md
        More for all start documents.

    Returns
    -------
    list of str
        The runs' uids.

    Raises
    ------
    PlanError
        If a count or a time makes no sense; when the plan is called.
    """
    names = [sample + end for end in ((BEFORE, AFTER) if again else (BEFORE,))]
    together = {schema.MEASUREMENT: str(uuid.uuid4())}  # their names may come again
    order = [names[0], sample, *names[1:]]
    uids = []
    for name in order:
        own = {buffer_key: names if again else names[0]} if name == sample else {}
        uid = yield from count_sample(
            detectors,
            name,
            frames=frames,
            exposure_s=exposure_s,
            shutter=shutter,
            changer=changer,
            position=position if name == sample else buffer,
            motor=motor,
            step_mm=step_mm,
            settle_s=settle_s,
            md={"plan_name": "measure_with_buffer", **own, **together, **(md or {})},
        )
        uids.append(uid)
    return uids


@checked
def calibrate(
    detectors: Sequence[Readable[Any]],
    standard: str = "agbh",
    *,
    frames: int = 5,
    exposure_s: float = 0.2,
    shutter: Movable[Any] | None = None,
    changer: Movable[Any] | None = None,
    position: str | None = None,
    settle_s: float = SETTLE_S,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[str]:
    """Take frames of a standard, from which `h5xs calibrate` finds where the detectors stand.

    Parameters
    ----------
    detectors
        What is triggered and read: detectors, and monitors that are read with them.
    standard
        The standard's name.
    frames
        How many to take.
    exposure_s
        Of one frame.
    shutter
        Takes "Open" and "Close"; none where the beam is always there.
    changer
        Is moved to the standard first.
    position
        On the changer; by default the standard's name.
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
    return (
        yield from count_sample(
            detectors,
            standard,
            frames=frames,
            exposure_s=exposure_s,
            shutter=shutter,
            changer=changer,
            position=position,
            settle_s=settle_s,
            md={"plan_name": "calibrate", "purpose": "calibration", **(md or {})},
        )
    )
