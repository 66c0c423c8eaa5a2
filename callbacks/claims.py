"""Folders of runs: claimed as soon as a run is heard of, however long the queue of frames is."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from h5xs_bluesky.callbacks.configurations import Configuration, Configurations
from h5xs_bluesky.callbacks.documents import Document
from h5xs_bluesky.callbacks.status import RunStatus
from h5xs_bluesky.io.run_files import RunFolder


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """Where a run is written, and what holds for it.

    Parameters
    ----------
    experiment
        The experiment's folder.
    configuration
        The run's.
    folder
        The run's own folder, claimed.
    name
        The sample's name, as the start document has it.
    """

    experiment: Path
    configuration: Configuration
    folder: RunFolder
    name: str


class Claims:
    """Claims the folders of runs, in a thread of its own, in the order of their start documents.

    Detectors ask for a sample's folder in the RunEngine's thread: it is not to wait until the
    frames of the runs before are written.
    """

    def __init__(self, configurations: Configurations) -> None:
        self._configurations = configurations
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="h5xs-claims")
        self._claims: dict[str, Future[Claim]] = {}

    def begin(self, status: RunStatus, start: Document) -> None:
        """Claim a folder; the status tells once it is there, or cannot be."""
        try:
            self._claims[status.uid] = self._thread.submit(self._claim, status, start)
        except RuntimeError:  # the interpreter is ending: `result` does it
            status.placed.set()

    def result(self, status: RunStatus, start: Document) -> Claim:
        """Wait for the claim of a run.

        Raises
        ------
        OSError
            If no folder can be made.
        """
        claim = self._claims.pop(status.uid, None)
        return self._claim(status, start) if claim is None else claim.result()

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    def _claim(self, status: RunStatus, start: Document) -> Claim:
        try:
            experiment, configuration = self._configurations.for_run(start, status)
            beamline = configuration.beamline
            uid = str(start["uid"])
            scan_id = start.get("scan_id")
            name = beamline.sample_name(start)
            if name is None:
                name = f"scan_{scan_id}" if scan_id is not None else f"run_{uid[:8]}"
                status.warn(
                    f"expected the sample's name under {beamline.sample_name_key!r} in the start "
                    f"document, found none: it is called {name}"
                )
            folder = RunFolder.claim(experiment, name=name, scan_id=scan_id, uid=uid)
            status.sample, status.folder = folder.sample, str(folder.path)
            return Claim(
                experiment=experiment, configuration=configuration, folder=folder, name=name
            )
        finally:
            status.placed.set()
