"""Live reduction: the three lines that a beamline with a profile of its own adds, and no more."""

from pathlib import Path

from h5xs_bluesky import Beamline
from h5xs_bluesky.callbacks import LiveReduction
from h5xs_bluesky.session import session

PROFILE = Path(__file__).resolve().parents[1]

beamline = session.beamline = Beamline.from_toml(PROFILE / "beamline.toml")
live = session.live = LiveReduction(beamline, session.folder / "experiment")
session.RE.subscribe(live)
session.notes.append(f"live     reduces every run into {live.folder}")
