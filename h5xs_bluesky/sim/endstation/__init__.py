"""A simulated endstation: devices of ophyd-async that write files, and what is in their beam."""

try:
    import ophyd_async  # noqa: F401 - asked for here, to tell where it comes from
except ModuleNotFoundError as error:
    reason = f"{error}: pip install 'h5xs_bluesky[beamline]'"
    raise ModuleNotFoundError(reason, name=error.name) from None

from h5xs_bluesky.sim.endstation.devices import Endstation
from h5xs_bluesky.sim.endstation.frame_sources import FrameSource, MeasuredFrames, SimulatedFrames
from h5xs_bluesky.sim.endstation.holders import Holder, standard_holders
from h5xs_bluesky.sim.endstation.ring import StorageRing

__all__ = [
    "Endstation",
    "FrameSource",
    "Holder",
    "MeasuredFrames",
    "SimulatedFrames",
    "StorageRing",
    "standard_holders",
]
