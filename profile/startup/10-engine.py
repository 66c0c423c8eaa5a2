"""The RunEngine, with metadata that outlive it, and bluesky's own live table."""

from bluesky import RunEngine
from bluesky.callbacks.best_effort import BestEffortCallback

from h5xs_bluesky.session import MetadataFile, session
from h5xs_bluesky.view import WhileScanning

RE = session.RE = RunEngine(
    MetadataFile(session.folder / "metadata.json"), during_task=WhileScanning()
)
session.abort_when_left()
bec = BestEffortCallback()
bec.disable_plots()  # 60-view.py draws curves
RE.subscribe(bec)
