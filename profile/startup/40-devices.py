"""The devices: simulated ones, which write files as real ones do. A beamline puts its own here."""

from h5xs_bluesky.callbacks import SamplePathProvider
from h5xs_bluesky.session import session
from h5xs_bluesky.sim.endstation import Endstation

endstation = session.endstation = Endstation.from_beamline(
    session.beamline, session.folder, path_provider=SamplePathProvider(session.live)
)
