"""The demo's scans: a RunEngine measures the samples while their frames are reduced."""

import logging
import signal
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from h5xs_bluesky.errors import H5xsError

if TYPE_CHECKING:
    from h5xs_bluesky.callbacks.live_reduction import LiveReduction
    from h5xs_bluesky.cli.demo_checks import SentFrames
    from h5xs_bluesky.sim.beamline import SimulatedBeamline

_WAIT_S = 120.0


def measure(
    setup: "SimulatedBeamline", folder: Path, *, frames: int, sent: "SentFrames", console: Console
) -> dict[str, Any]:
    """Measure all samples, with live reduction and a bar for each.

    Parameters
    ----------
    setup
        The beamline and its samples.
    folder
        Of the experiment.
    frames
        Of each sample.
    sent
        Is shown all documents, too.
    console
        Shows the progress.

    Returns
    -------
    dict
        The final status of the reduction.

    Raises
    ------
    KeyboardInterrupt
        If the user interrupts: the run is aborted, and what was measured is reduced.
    H5xsError
        If the reduction does not come to its end.
    """
    from bluesky import RunEngine
    from bluesky.utils import RunEngineInterrupted

    from h5xs_bluesky.callbacks.live_reduction import LiveReduction
    from h5xs_bluesky.sim.plans import count_sample
    from h5xs_bluesky.sim.station import Station

    with console.status("Preparing the reduction"):
        station = Station.from_beamline(setup.beamline)
        live = LiveReduction(setup.beamline, folder)
    engine = RunEngine({}, context_managers=[PauseOnInterrupt])
    names = [sample.name for sample in setup.samples]
    try:
        with ScanProgress(names, frames=frames, live=live, console=console) as progress:
            for callback in (sent, live, progress):
                engine.subscribe(callback)  # type: ignore[no-untyped-call]
            for sample in setup.samples:
                plan = count_sample(
                    station,
                    sample.shots(frames),
                    frames=frames,
                    exposure_s=sample.frame_s(frames),
                    metadata=sample.metadata,
                )
                engine(plan)
            if not live.wait(_WAIT_S):
                raise H5xsError(f"the reduction did not come to its end within {_WAIT_S:g} s")
    except RunEngineInterrupted as error:
        logging.getLogger("bluesky").setLevel(logging.CRITICAL)  # it logs an abort as an error
        engine.abort("interrupted by the user")  # type: ignore[no-untyped-call]
        raise KeyboardInterrupt from error
    finally:
        live.close()
    return live.status()


class PauseOnInterrupt:
    """While a plan runs, one Ctrl-C pauses it at once, where bluesky's own handler wants two.

    Parameters
    ----------
    engine
        The RunEngine.
    """

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._before: Any = None

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGINT, self._pause)

    def __exit__(self, *exception: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _pause(self, *signal_and_frame: object) -> None:
        threading.Thread(target=self._engine.request_pause, daemon=True).start()


class ScanProgress:
    """A callback that shows how far the scans are, and how far their reduction.

    Parameters
    ----------
    samples
        Their names, in order.
    frames
        Events of each.
    live
        Whose status is shown.
    console
        Where.
    """

    def __init__(
        self, samples: Sequence[str], *, frames: int, live: "LiveReduction", console: Console
    ) -> None:
        self._live = live
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}", style="dim"),
            TimeElapsedColumn(),
            console=console,
        )
        self._tasks = {
            name: self._bars.add_task(name, total=frames, state="", start=False) for name in samples
        }
        self._sample = ""
        self._descriptor = ""

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._show_reduction()
        self._bars.stop()

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take a document."""
        if name == "start":
            self._sample = str(doc["sample_name"])
            self._bars.start_task(self._tasks[self._sample])
        elif name == "descriptor" and doc["name"] == "primary":
            self._descriptor = doc["uid"]
        elif name == "event" and doc["descriptor"] == self._descriptor:
            self._bars.advance(self._tasks[self._sample])
            self._show_reduction()

    def _show_reduction(self) -> None:
        for run in self._live.status()["runs"]:
            if run["sample"] in self._tasks:
                state = f"images: {run['acknowledged']} on disk, {run['reduced']} reduced"
                self._bars.update(self._tasks[run["sample"]], state=state)
