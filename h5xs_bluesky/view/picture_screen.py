"""Pictures in a folder, for where there is no screen: drawn in a thread of their own."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from h5xs_bluesky.io.replace import replace_whole
from h5xs_bluesky.view.board import Board
from h5xs_bluesky.view.pace import SHARE, Pace
from h5xs_bluesky.view.repeater import Complaints, Repeater
from h5xs_bluesky.view.shown_run import ShownRun
from h5xs_bluesky.view.windows import WindowKind

logger = logging.getLogger(__name__)

PERIOD_S = 5.0  # between two versions of a picture while a run goes on
_LOOK_S = 0.2
_DPI = 100


class PictureScreen:
    """Writes ``<folder>/<window>.png``, each replaced whole, at a run's end and every few seconds.

    Of each series behind a column there is one picture more when it has ended, which stays:
    ``<window>_<group>.png``.

    Parameters
    ----------
    board
        What is shown.
    kinds
        The windows, by name.
    rings
        For patterns.
    folder
        Is made, if it is not there.
    at_end
        Only when a run has ended: while it goes on there are windows.
    """

    def __init__(
        self,
        board: Board,
        kinds: Mapping[str, WindowKind],
        *,
        rings: Any,
        folder: Path,
        at_end: bool = False,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._board, self._kinds, self._rings, self._folder = board, kinds, rings, folder
        self._at_end = at_end
        self._pace = Pace(period_s=0.0)  # of all together
        self._paces = {name: Pace(period_s=PERIOD_S) for name in kinds}
        self._kept: set[str] = set()  # raw runs of which the picture that stays is written
        self._versions: dict[str, tuple[int, ...]] = dict.fromkeys(kinds, ())
        self._turns = dict.fromkeys(kinds, 0)  # when each was drawn, in turns of all
        self._complaints = Complaints()
        self.drawings = dict.fromkeys(kinds, 0)
        self._repeater = Repeater(self._look, "The pictures", period_s=_LOOK_S)
        self._repeater.start()

    def close(self) -> None:
        """Write what is not written yet, and end the thread."""
        self._repeater.close()
        self._write(at_once=True)

    def _look(self) -> None:
        self._write(at_once=False)

    def _keep(self) -> None:
        """Write the pictures that stay, also of series that are not shown any more.

        The picture of the window itself is the same then: the next run may begin before its turn.
        """
        for name, kind in self._kinds.items():
            if not kind.stays:
                continue
            for run in self._board.ended_series(but=self._kept):
                self._kept.add(run.raw_uid)
                self._draw((f"{name}_{Path(run.sample).name}", name), kind, run)

    def _write(self, *, at_once: bool) -> None:
        """Write the pictures that are out of date, one after the other, as far as it is time.

        Those that have waited longest come first: drawing may take longer than there is time for.
        """
        self._keep()
        for name in sorted(self._kinds, key=lambda each: self._turns[each]):
            kind = self._kinds[name]
            if self._repeater.closing and not at_once:
                return  # close() writes the rest
            versions = self._board.versions()
            version = kind.version(versions)
            if version in ((), self._versions[name]):
                continue
            ended = at_once or bool(versions["ended"])
            in_time = not self._at_end and self._pace.ready and self._paces[name].ready
            if ended or in_time:
                self._versions[name] = version
                self._turns[name] = max(self._turns.values()) + 1
                with self._pace.going(share=0.0 if ended else SHARE), self._paces[name].going():
                    run = self._board.shown()
                    if run is not None and self._draw((name,), kind, run):
                        self.drawings[name] += 1

    def _draw(self, names: Sequence[str], kind: WindowKind, run: ShownRun) -> bool:
        """Write a picture under one or several names; tells whether it is there."""
        from matplotlib.figure import Figure

        try:
            figure = Figure(figsize=kind.size_inch, layout="constrained")
            kind.draw(figure, run, self._rings)
            for name in names:
                with replace_whole(self._folder / f"{name}.png") as temporary:
                    figure.savefig(temporary, dpi=_DPI)
        except OSError as error:
            self._complaints.tell("Writing pictures", error)
            return False
        except Exception as error:  # noqa: BLE001 - told, and nobody else's business
            self._complaints.tell(f"The picture {names[-1]!r}", error)
            return False
        return True
