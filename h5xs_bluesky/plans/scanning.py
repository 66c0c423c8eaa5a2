"""The plan that maps a sample: a frame at each point of a grid."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from bluesky import plan_stubs as bps
from bluesky.protocols import Movable, Readable
from bluesky.utils import MsgGenerator

from h5xs_bluesky.plans.checking import checked
from h5xs_bluesky.plans.running import SETTLE_S, measured_run, name_of


@checked
def map_scan(
    detectors: Sequence[Readable[Any]],
    sample: str,
    slow: Movable[Any],
    slow_start: float,
    slow_stop: float,
    slow_points: int,
    fast: Movable[Any],
    fast_start: float,
    fast_stop: float,
    fast_points: int,
    *,
    exposure_s: float = 0.1,
    shutter: Movable[Any] | None = None,
    changer: Movable[Any] | None = None,
    position: str | None = None,
    settle_s: float = SETTLE_S,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[str]:
    """Take a frame at each point of a grid.

    The fast motor runs from its start to its stop on each line. The start document has the grid's
    ``shape``: `h5xs.get_d2` and others take a point as ``frn=(slow, fast)``.

    Parameters
    ----------
    detectors
        What is triggered and read: detectors, and monitors that are read with them.
    sample
        Its name.
    slow
        The motor that moves from line to line.
    slow_start
        Where the first line is.
    slow_stop
        Where the last line is.
    slow_points
        How many lines.
    fast
        The motor that moves along lines.
    fast_start
        Where a line's first point is.
    fast_stop
        Where a line's last point is.
    fast_points
        How many points on a line.
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
    read = [*detectors, slow, fast]
    start = {
        "plan_name": "map_scan",
        "motors": [name_of(slow), name_of(fast)],
        "shape": [slow_points, fast_points],
        "num_points": slow_points * fast_points,
        "extents": [[slow_start, slow_stop], [fast_start, fast_stop]],
        "snaking": [False, False],
        "hints": {
            "gridding": "rectilinear",
            "dimensions": [[[name_of(slow)], "primary"], [[name_of(fast)], "primary"]],
        },
        **(md or {}),
    }

    def exposures() -> MsgGenerator[None]:
        for line in np.linspace(slow_start, slow_stop, slow_points).tolist():
            for point in np.linspace(fast_start, fast_stop, fast_points).tolist():
                yield from bps.checkpoint()
                yield from bps.mv(slow, line, fast, point)
                yield from bps.trigger_and_read(read)
        yield from bps.checkpoint()  # a pause from now on does not take the last frame again

    return (
        yield from measured_run(
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
    )
