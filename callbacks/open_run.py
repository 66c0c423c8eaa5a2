"""One run between its start and its end, as the writer thread sees it."""

from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path

from h5xs_bluesky import schema
from h5xs_bluesky.callbacks.announcements import Announcements
from h5xs_bluesky.callbacks.documents import Document
from h5xs_bluesky.callbacks.early import EarlyDocuments
from h5xs_bluesky.callbacks.external_reader import Arrival
from h5xs_bluesky.callbacks.raw_writer import RawWriter
from h5xs_bluesky.callbacks.reducer import RunReducer
from h5xs_bluesky.callbacks.rows import EVENT, RowJoiner
from h5xs_bluesky.callbacks.status import RunStatus
from h5xs_bluesky.errors import H5xsError
from h5xs_bluesky.io.experiment import add_sample
from h5xs_bluesky.io.external import AllowedFolders


@dataclass(kw_only=True, slots=True)
class OpenRun:
    """One run on its way through the writer thread.

    `awaited` counts, by field, the events in files of other writers that are neither found nor
    given up; what was found before its event came waits in `early`, documents that came before
    those that they refer to in `held`.
    """

    experiment: Path
    status: RunStatus
    writer: RawWriter
    reducer: RunReducer
    announcements: Announcements
    folders: AllowedFolders
    rows: RowJoiner = field(default_factory=RowJoiner)
    awaited: Counter[str] = field(default_factory=Counter)
    early: deque[Arrival] = field(default_factory=deque)
    held: EarlyDocuments = field(default_factory=EarlyDocuments)
    stop_size: int | None = None
    linked: bool = False

    def link(self) -> None:
        """Show the run in the experiment; where that fails, the next occasion tries again."""
        if self.linked:
            return
        try:
            add_sample(self.experiment, self.writer.folder.sample)
            self.linked = True
        except (H5xsError, OSError) as error:
            self.status.fail(f"{self.experiment / schema.EXPERIMENT_FILE}: {error}")

    def expect(self, descriptor: Document) -> None:
        """Tell the rows of the reduced stream what to wait for."""
        beamline = self.reducer.configuration.beamline
        if descriptor.get("name", schema.PRIMARY) != beamline.stream:
            return
        keys = descriptor["data_keys"]
        elsewhere = {name for name, key in keys.items() if key.get("external")}
        events = self.writer.contents.streams[beamline.stream].rows.events_make_rows
        self.rows.expect((beamline.fields & elsewhere) | ({EVENT} if events else set()))
