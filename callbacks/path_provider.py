"""Where detectors of ophyd-async write: into the folder of the sample that is measured."""

import re
import secrets
from collections.abc import Mapping
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from h5xs_bluesky.callbacks.live_reduction import LiveReduction
from h5xs_bluesky.errors import ConfigurationError
from h5xs_bluesky.io.names import safe_name

if TYPE_CHECKING:
    from ophyd_async.core import PathInfo

FOLDER = "detectors"
_WINDOWS = re.compile(r"[A-Za-z]:|.*\\")


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
    mounts
        The names that the detector's machine has for folders of this one, where they differ:
        ``{"/data": "X:/"}``, or with backslashes.

    Examples
    --------
    >>> det = SimBlobDetector(SamplePathProvider(live), name="saxs")  # doctest: +SKIP
    """

    def __init__(
        self,
        live: LiveReduction,
        *,
        timeout_s: float = 5.0,
        mounts: Mapping[str | Path, str] | None = None,
    ) -> None:
        self._live = live
        self._timeout_s = timeout_s
        self._mounts = {
            Path(here).resolve(): _theirs(there) for here, there in (mounts or {}).items()
        }

    def __call__(self, datakey_name: str | None = None) -> "PathInfo":
        """Give a folder, which exists, and a file's name without suffix.

        Raises
        ------
        ConfigurationError
            If no run is open, and the experiment's folder depends on its start document; or if
            it is in none of the `mounts`.
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
        return PathInfo(
            directory_path=self._as_mounted(directory),
            filename=name,
            directory_uri=f"file://localhost{directory.as_posix()}/",  # as we, and Tiled, see it
        )

    def _as_mounted(self, directory: Path) -> PurePath:
        """Give a folder as the detector's machine sees it."""
        if not self._mounts:
            return directory
        inside = [here for here in self._mounts if directory.is_relative_to(here)]
        if not inside:
            raise ConfigurationError(
                f"expected a folder in one of the mounts {', '.join(map(str, self._mounts))}, "
                f"found {directory}: tell SamplePathProvider where the detector's machine has it"
            )
        here = max(inside, key=lambda path: len(path.parts))
        return self._mounts[here] / directory.relative_to(here)


def _theirs(path: str) -> PurePath:
    """Take a path of Windows, or of POSIX, for what it is.

    Raises
    ------
    ConfigurationError
        If it is not absolute.
    """
    theirs = PureWindowsPath(path) if _WINDOWS.match(path) else PurePosixPath(path)
    if not theirs.is_absolute():
        raise ConfigurationError(
            f"mounts: expected an absolute path on the detector's machine, as /data or X:\\, found "
            f"{path!r}"
        )
    return theirs
