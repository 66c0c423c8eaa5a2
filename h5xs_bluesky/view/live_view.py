"""`LiveView`: windows that follow a live reduction."""

import atexit
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from h5xs_bluesky.api.frame_choice import is_elution
from h5xs_bluesky.callbacks.chromatography import ChromatographyFollower
from h5xs_bluesky.callbacks.documents import Document
from h5xs_bluesky.callbacks.live_reduction import LiveReduction
from h5xs_bluesky.errors import ConfigurationError
from h5xs_bluesky.view.board import Board
from h5xs_bluesky.view.file_reader import FileReader
from h5xs_bluesky.view.picture_screen import PictureScreen
from h5xs_bluesky.view.window_screen import WindowScreen, can_show_windows
from h5xs_bluesky.view.windows import CHROMATOGRAM, WINDOWS, chosen_windows

logger = logging.getLogger(__name__)

DEFAULT_WINDOWS = tuple(name for name in WINDOWS if name != CHROMATOGRAM)

_LAST_RUN_S = 5.0
_NO_WINDOWS = (
    "expected a backend of matplotlib's that has windows, or a folder for pictures, found neither: "
    "choose one with %matplotlib, or give LiveView(..., folder=...)"
)


class LiveView:
    """Shows what is measured while the scan runs, in windows or as pictures in a folder.

    Windows are drawn in the main thread, by the event loop that runs at the prompt, and during a
    scan where the RunEngine has `WhileScanning`. They open once, here, and are never raised. With
    a backend that has no windows, as Agg or a notebook's inline one, there are only the pictures.
    Whatever fails is logged once per kind; scan and reduction notice nothing of it.

    Parameters
    ----------
    live
        The live reduction that is followed, from its next run on.
    windows
        Which: ``"curves"``, ``"waterfall"``, ``"transmission"``, ``"selection"``, ``"pattern"``,
        and ``"chromatogram"`` of series behind a column; by default all but the last.
    folder
        Gets a picture of each, ``<window>.png``, replaced at a run's end and, where there are no
        windows, every 5 s while it goes on.
    rings
        Of the pattern: a calibrant's name, a list of q in Å⁻¹, or () for none; by default those of
        the calibrant that the sample is called after, else q at round values.
    is_series
        Told a processed run's start document, says whether the run is a series behind a column. By
        default those are that are finished as such: of the plan `sec_series`, or with
        ``"elution": True`` in their start document.

    Raises
    ------
    ReductionError
        If a window is not known.
    ConfigurationError
        If the backend has no windows, or they cannot be opened, and no folder is given.

    Examples
    --------
    >>> view = LiveView(live)  # doctest: +SKIP
    >>> RE(plan())  # doctest: +SKIP
    >>> view.close()  # doctest: +SKIP
    """

    def __init__(
        self,
        live: LiveReduction,
        *,
        windows: Sequence[str] = DEFAULT_WINDOWS,
        folder: str | Path | None = None,
        rings: Any = None,
        is_series: Callable[[Mapping[str, Any]], bool] = is_elution,
    ) -> None:
        kinds = chosen_windows(windows)
        self._live = live
        self._board = Board()
        self._screens: list[WindowScreen | PictureScreen] = []
        try:
            if can_show_windows():
                self._screens.append(WindowScreen(self._board, kinds, rings=rings))
        except Exception as error:
            if folder is None:
                raise ConfigurationError(f"{_NO_WINDOWS}: {error}") from error
            logger.warning("There are only pictures, in %s: no window opens: %s", folder, error)
        if folder is None and not self._screens:
            raise ConfigurationError(_NO_WINDOWS)
        if folder is not None:
            at_end = bool(self._screens)
            self._screens.append(
                PictureScreen(self._board, kinds, rings=rings, folder=Path(folder), at_end=at_end)
            )
        self._reader = FileReader(self._board, live, list(kinds.values()))
        self._follower: ChromatographyFollower | None = None
        if CHROMATOGRAM in kinds:
            self._follower = ChromatographyFollower(live.beamline, follows=is_series)
            self._follower.subscribe(self._board)
        self._token: int | None = live.subscribe(self._take)
        atexit.register(self.close)

    def __repr__(self) -> str:
        """Tell what it shows, and where."""
        kind = "windows" if self.has_windows else "pictures"
        names = ", ".join(f"{name} ({number})" for name, number in self.drawings.items())
        state = "" if self._token is not None else "closed; "
        return f"<LiveView: {state}{kind}, drawn so often: {names}>"

    @property
    def drawings(self) -> dict[str, int]:
        """How often each window or picture was drawn."""
        return {
            name: sum(screen.drawings[name] for screen in self._screens)
            for name in self._screens[0].drawings
        }

    @property
    def has_windows(self) -> bool:
        """Whether there are windows, and not pictures alone."""
        return any(isinstance(screen, WindowScreen) for screen in self._screens)

    def close(self) -> None:
        """Follow the live reduction no more; pictures are finished, windows stay as they are."""
        if self._token is None:
            return
        token, self._token = self._token, None
        atexit.unregister(self.close)
        self._live.wait(_LAST_RUN_S)
        self._live.unsubscribe(token)
        if self._follower is not None:
            self._follower.close()
        self._reader.close()
        for screen in self._screens:
            screen.close()

    def _take(self, name: str, doc: Document) -> None:
        """Tell the board, then the follower of series: the board knows their run by then."""
        self._board(name, doc)
        if self._follower is not None:
            self._follower(name, doc)
