"""What only the files tell, read at most once a second: patterns, frames kept, the beam."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from h5xs_bluesky import schema
from h5xs_bluesky.view.board import Board
from h5xs_bluesky.view.pace import Pace
from h5xs_bluesky.view.repeater import Complaints, Repeater
from h5xs_bluesky.view.shown_run import FRAMES, PATTERNS, READINGS, RESULTS, SELECTION, ShownRun
from h5xs_bluesky.view.windows import WindowKind

if TYPE_CHECKING:
    from h5xs_bluesky.api.h5xs import h5xs
    from h5xs_bluesky.callbacks.live_reduction import LiveReduction
    from h5xs_bluesky.config import Beamline

PERIOD_S = 1.0
_SHARE = 10.0  # rests ten times as long as reading took
_LOOK_S = 0.1
_MOST_TRIES = 3  # of what cannot be read, until there is news


class FileReader:
    """Reads the shown run's files in a thread of its own, through `h5xs`, and tells the board.

    Parameters
    ----------
    board
        Whose run is read, and where it is put.
    live
        Knows the run's folder, and which folders may be read.
    kinds
        The windows that are shown.
    """

    def __init__(self, board: Board, live: "LiveReduction", kinds: Sequence[WindowKind]) -> None:
        topics = {topic for kind in kinds for topic in kind.topics}
        self._board, self._live = board, live
        self._readings = {
            name: read
            for name, topic, read in (
                ("patterns", PATTERNS, _patterns),
                ("selection", SELECTION, _selection),
                ("readings", READINGS, _readings),
            )
            if topic in topics and (topic != READINGS or _run_on_their_own(live.beamline))
        }
        self._pace = Pace(period_s=PERIOD_S)
        self._complaints = Complaints()
        self._opened: tuple[str, h5xs] | None = None
        self._read: tuple[int, ...] = ()
        self._tries = 0
        self._repeater: Repeater | None = None
        if self._readings:
            self._repeater = Repeater(self.look, "Reading the run's files", period_s=_LOOK_S)
            self._repeater.start()

    def close(self) -> None:
        """End the thread, once the shown run's last state is read."""
        if self._repeater is not None:
            self._repeater.close()
            self._repeater = None
            self.look(at_once=True)

    def look(self, *, at_once: bool = False) -> None:
        """Read what has changed, if it is time."""
        versions = self._board.versions()
        state = tuple(versions.get(topic, 0) for topic in ("run", FRAMES, RESULTS))
        if not versions or state == self._read or not (at_once or self._pace.ready):
            return
        run = self._board.shown()
        status = None if run is None else self._status_of(run.raw_uid)
        if run is None or status is None:
            return
        if run.ended and not (status["finished"] or at_once):  # its files are about to be complete
            return
        wanted = [name for name in self._readings if run.ended or name != "readings"]
        with self._pace.going(share=_SHARE):
            found = self._found(run, wanted, Path(status["folder"]).parent / schema.EXPERIMENT_FILE)
            self._board.put(run.raw_uid, **found)
        self._tries = 0 if len(found) == len(wanted) else self._tries + 1
        if self._tries % _MOST_TRIES == 0:
            self._read = state

    def _found(self, run: ShownRun, wanted: Sequence[str], path: Path) -> dict[str, Any]:
        """Read what is wanted of a run; what cannot be read is told, and left out."""
        found: dict[str, Any] = {}
        for name in wanted:
            try:
                found[name] = self._readings[name](self._open(run.raw_uid, path), run)
            except Exception as error:  # noqa: BLE001 - told, and nobody else's business
                self._complaints.tell(f"Reading the {name} of {run.sample}", error)
        return found

    def _status_of(self, raw_uid: str) -> dict[str, Any] | None:
        for run in self._live.status()["runs"]:
            if run["uid"] == raw_uid and run["folder"]:
                return dict(run)
        return None

    def _open(self, raw_uid: str, path: Path) -> "h5xs":
        """Give the experiment; anew for each run, whose detectors may have been calibrated."""
        from h5xs_bluesky.api.h5xs import h5xs

        if self._opened is None or self._opened[0] != raw_uid:
            roots = self._live.beamline.roots
            self._opened = (
                raw_uid,
                h5xs(path, read_only=True, roots=[*roots.permanent, *roots.allowed]),
            )
        return self._opened[1]


def _run_on_their_own(beamline: "Beamline") -> bool:
    return beamline.monitors is not None and beamline.monitors.asynchronous is not None


def _patterns(dt: "h5xs", run: ShownRun) -> Any:
    return dt.get_d2(run.sample, frn=-1)


def _selection(dt: "h5xs", run: ShownRun) -> Any:
    """Give the run's selection, or what it would be of the frames so far."""
    return dt.get_selection(run.sample, preview=True)


def _readings(dt: "h5xs", run: ShownRun) -> Any:
    """Give what monitors read that run on their own: it is complete when the run has ended.

    What is not known, the reduction has told.
    """
    return dt.get_mon(run.sample, quiet=True)
