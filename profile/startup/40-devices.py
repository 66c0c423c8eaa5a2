"""The devices: simulated ones, which write files as real ones do. A beamline puts its own here.

A complete one for EPICS: docs/how-to/real-devices.md.
"""

from h5xs_bluesky.callbacks import SamplePathProvider
from h5xs_bluesky.session import session
from h5xs_bluesky.sim.endstation import Endstation

endstation = session.endstation = Endstation.from_beamline(
    session.beamline, path_provider=SamplePathProvider(session.live)
)
saxs, waxs, em1, em2 = endstation.saxs, endstation.waxs, endstation.em1, endstation.em2
shutter, changer, stage, energy = (
    endstation.shutter,
    endstation.changer,
    endstation.stage,
    endstation.energy,
)
session.RE.preprocessors.append(endstation.supplemental_data())
session.notes.append(f"devices  {', '.join(device.name for device in endstation.devices)}")
session.notes.append(f"samples  {', '.join(endstation.source.holders)}")
