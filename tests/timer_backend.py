"""A backend of matplotlib's with windows and timers but no screen: timers fire by `fire_timers`."""

from typing import Any

from matplotlib.backend_bases import FigureManagerBase, NavigationToolbar2, TimerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

running: list["Timer"] = []


class Timer(TimerBase):
    def _timer_start(self) -> None:
        running.append(self)

    def _timer_stop(self) -> None:
        if self in running:
            running.remove(self)


class Manager(FigureManagerBase):
    def __init__(self, canvas: Any, num: int) -> None:
        super().__init__(canvas, num)
        self.toolbar = NavigationToolbar2(canvas)

    def show(self) -> None:
        """There is no screen."""


class FigureCanvas(FigureCanvasAgg):
    manager_class = Manager

    def new_timer(self, *args: Any, **kwargs: Any) -> Timer:
        return Timer(*args, **kwargs)

    def flush_events(self) -> None:
        fire_timers()


FigureManager = Manager


def fire_timers() -> None:
    """What an event loop does."""
    for timer in running:
        timer._on_timer()
