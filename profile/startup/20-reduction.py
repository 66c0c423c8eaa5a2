"""Live reduction: what a beamline with a profile of its own adds."""

from pathlib import Path

from h5xs_bluesky import Beamline
from h5xs_bluesky.callbacks import LiveReduction
from h5xs_bluesky.session import session

PROFILE = Path(__file__).resolve().parents[1]

beamline = session.beamline = Beamline.from_toml(PROFILE / "beamline.toml")
live = session.live = LiveReduction(beamline, session.folder / "experiment")
session.RE.subscribe(live)
session.RE.md["beamline_id"] = beamline.name
session.notes.append(f"live     reduces every run into {live.folder}")
