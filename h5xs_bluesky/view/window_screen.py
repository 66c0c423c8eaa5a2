"""Windows on a screen, or in a notebook: drawn in the main thread when it has time."""

import logging
import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.backend_bases import NavigationToolbar2

from h5xs_bluesky.view.board import Board
from h5xs_bluesky.view.pace import SHARE, Pace
from h5xs_bluesky.view.repeater import Complaints
from h5xs_bluesky.view.windows import WindowKind, draw_message

if TYPE_CHECKING:
    from matplotlib.backend_bases import FigureManagerBase

logger = logging.getLogger(__name__)

PERIOD_S = 0.2  # between updates
_AT_REST = 0.5  # what is left to others, if the run has ended, of the time a drawing took
_WAITING = "waiting for the first frame"

# Those that may have to be drawn while a plan runs.
open_screens: "weakref.WeakSet[WindowScreen]" = weakref.WeakSet()


def can_show_windows() -> bool:
    """Tell whether matplotlib's backend shows figures by itself."""
    from matplotlib.backends.registry import BackendFilter, backend_registry

    name = mpl.get_backend().lower()
    without = backend_registry.list_builtin(BackendFilter.NON_INTERACTIVE)  # type: ignore[no-untyped-call]
    return name not in {each.lower() for each in without} and "inline" not in name


class _Window:
    """One window. Where its user has zoomed in, it stays so."""

    def __init__(self, name: str, kind: WindowKind) -> None:
        from matplotlib import pyplot as plt

        self.kind = kind
        self.version: tuple[int, ...] = ()
        self.drawings = 0
        self.turn = 0  # when it was drawn, in turns of all windows
        self.closed = False
        self.held = False  # by a mouse button
        # Not pyplot's: what the user plots never lands in it, and plt.close("all") leaves it.
        self.manager: FigureManagerBase = plt.new_figure_manager(  # type: ignore[no-untyped-call]
            0, figsize=kind.size_inch, layout="constrained"
        )
        self.manager.set_window_title(f"h5xs {name}")
        self.figure = self.manager.canvas.figure
        self._limits: list[tuple[Any, Any]] = []
        for event, handler in (
            ("close_event", self._on_close),
            ("button_press_event", self._on_press),
            ("button_release_event", self._on_release),
        ):
            self.figure.canvas.mpl_connect(event, handler)

    def draw(self, run: Any, rings: Any) -> None:
        """Draw a run, or that there is none."""
        chosen = self._limits_that_were_chosen()
        self.figure.clear()
        try:
            if run is None:
                draw_message(self.figure, _WAITING)
            else:
                self.kind.draw(self.figure, run, rings)
        except Exception:
            self.figure.clear()
            draw_message(self.figure, "could not be drawn: see the log")
            raise
        finally:
            self._limits = [(ax.get_xlim(), ax.get_ylim()) for ax in self.figure.axes]
            self._apply(chosen)
            self.drawings += 1
            self.figure.canvas.draw()

    def _apply(self, chosen: Sequence[Any]) -> None:
        """Set the limits that the user chose; the home button leads back to those as drawn."""
        if not any(chosen):
            return
        toolbar = self.manager.toolbar
        if isinstance(toolbar, NavigationToolbar2):
            toolbar.push_current()
        for ax, limits in zip(self.figure.axes, chosen, strict=False):
            if limits is not None:
                ax.set_xlim(limits[0])
                ax.set_ylim(limits[1])
        if isinstance(toolbar, NavigationToolbar2):
            toolbar.push_current()

    def _limits_that_were_chosen(self) -> list[Any]:
        now = [(ax.get_xlim(), ax.get_ylim()) for ax in self.figure.axes]
        if len(now) != len(self._limits):
            return []
        return [None if own == drawn else own for own, drawn in zip(now, self._limits, strict=True)]

    def _on_close(self, _: Any) -> None:
        self.closed = True

    def _on_press(self, _: Any) -> None:
        self.held = True

    def _on_release(self, _: Any) -> None:
        self.held = False


class WindowScreen:
    """Windows that are drawn by timers of matplotlib's, or by `tick`, always in the main thread.

    At most five updates per second are drawn, one window at a time and the one first that has
    waited longest; after each, four times as long as it took is left to others.

    Parameters
    ----------
    board
        What is shown.
    kinds
        The windows, by name.
    rings
        For patterns.
    """

    def __init__(self, board: Board, kinds: Mapping[str, WindowKind], *, rings: Any) -> None:
        from matplotlib import pyplot as plt

        self._board, self._rings = board, rings
        self._turn = 0
        self._pace = Pace(period_s=PERIOD_S)
        self._complaints = Complaints()
        plt.install_repl_displayhook()  # IPython's prompt runs the windows' event loop
        self.windows = {name: _Window(name, kind) for name, kind in kinds.items()}
        with mpl.rc_context({"figure.raise_window": False}):
            for window in self.windows.values():
                window.draw(None, rings)
                window.manager.show()
        self._timers = [
            window.figure.canvas.new_timer(int(PERIOD_S * 1000), [(self.tick, (), {})])
            for window in self.windows.values()
        ]
        for timer in self._timers:
            timer.start()
        open_screens.add(self)

    @property
    def drawings(self) -> dict[str, int]:
        """How often each window was drawn."""
        return {name: window.drawings for name, window in self.windows.items()}

    def tick(self) -> bool:
        """Draw the window that has waited longest, if it is time; never raises.

        Returns
        -------
        bool
            True: matplotlib's timers go on.
        """
        if threading.current_thread() is threading.main_thread() and self._pace.ready:
            versions = self._board.versions()
            late = {
                name: window
                for name, window in self.windows.items()
                if not (window.closed or window.held)
                and window.kind.version(versions) not in ((), window.version)
            }
            if late:
                name = min(late, key=lambda each: late[each].turn)
                self._turn += 1
                late[name].turn = self._turn
                with self._pace.going(share=_AT_REST if versions["ended"] else SHARE):
                    self._draw(name, late[name], versions)
        return True

    def flush(self) -> None:
        """Let windows answer the user, while something else holds up their event loop."""
        for window in self.windows.values():
            if not window.closed:
                window.figure.canvas.flush_events()

    def close(self) -> None:
        """Stop drawing; the windows stay until their user closes them."""
        open_screens.discard(self)
        for timer in self._timers:
            timer.stop()

    def _draw(self, name: str, window: _Window, versions: Mapping[str, int]) -> None:
        window.version = window.kind.version(versions)
        try:
            window.draw(self._board.shown(), self._rings)
        except Exception as error:  # noqa: BLE001 - told, and nobody else's business
            self._complaints.tell(f"The window {name!r}", error)
