"""Where detectors of ophyd-async write: into the folder of the sample that is measured."""

import secrets
from typing import TYPE_CHECKING

from h5xs_bluesky.callbacks.live_reduction import LiveReduction
from h5xs_bluesky.errors import ConfigurationError
from h5xs_bluesky.io.names import safe_name

if TYPE_CHECKING:
    from ophyd_async.core import PathInfo

FOLDER = "detectors"


class SamplePathProvider:
    """Tells detectors of ophyd-async to write into the sample's folder.

    Frames then lie below the experiment's folder, links to them are relative, and the folder can be
    moved as one. A file is named after its data key, with some letters that make it unique.

    A detector that is prepared before its run is open writes into a folder of that name in the
    experiment's own, since which sample it will measure is not known yet.

    Parameters
    ----------
    live
        Makes the folders; it has to be subscribed to the same RunEngine.
    timeout_s
        How long to wait for a sample's folder.

    Examples
    --------
    >>> det = SimBlobDetector(SamplePathProvider(live), name="saxs")  # doctest: +SKIP
    """

    def __init__(self, live: LiveReduction, *, timeout_s: float = 5.0) -> None:
        self._live = live
        self._timeout_s = timeout_s

    def __call__(self, datakey_name: str | None = None) -> "PathInfo":
        """Give a folder, which exists, and a file's name without suffix.

        Raises
        ------
        ConfigurationError
            If no run is open, and the experiment's folder depends on its start document.
        """
        from ophyd_async.core import PathInfo

        folder = self._live.sample_folder(timeout_s=self._timeout_s) or self._live.folder
        if folder is None:
            raise ConfigurationError(
                f"{datakey_name}: expected an open run, found none: its start document is needed "
                "to name the experiment's folder. Prepare detectors after open_run, or give "
                "LiveReduction the folder"
            )
        directory = folder.resolve() / FOLDER
        directory.mkdir(parents=True, exist_ok=True)
        name = f"{safe_name(datakey_name or 'detector')}-{secrets.token_hex(4)}"
        return PathInfo(directory_path=directory, filename=name)
