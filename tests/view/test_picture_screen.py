"""Pictures in a folder: which of them has its turn."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_beamline import small_beamline

from h5xs_bluesky.api.processed_documents import ProcessedRun
from h5xs_bluesky.reduction.accumulators import Accumulators
from h5xs_bluesky.view import picture_screen
from h5xs_bluesky.view.board import Board
from h5xs_bluesky.view.picture_screen import PictureScreen
from h5xs_bluesky.view.windows import chosen_windows

NAMES = ("curves", "waterfall", "transmission")


class TimeForOne:
    """A pace that lets one picture be drawn, and no more until it is told so."""

    ready = True

    @contextmanager
    def going(self, **_: Any) -> Iterator[None]:
        self.ready = False
        yield


class Always(TimeForOne):
    @contextmanager
    def going(self, **_: Any) -> Iterator[None]:
        yield


def test_all_pictures_have_their_turn_where_there_is_time_for_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_screen, "_LOOK_S", 1e6)  # the test looks
    beamline, board = small_beamline(), Board()
    screen = PictureScreen(board, chosen_windows(NAMES), rings=(), folder=tmp_path)
    pace = TimeForOne()
    monkeypatch.setattr(screen, "_pace", pace)
    monkeypatch.setattr(screen, "_paces", {name: Always() for name in NAMES})
    run = ProcessedRun({"uid": "raw"}, sample="water", beamline=beamline, emit=board)
    ones = np.ones(len(beamline.qgrid))
    sums = Accumulators.from_array(np.stack([ones] * len(Accumulators.FIELDS)))
    for number in range(2 * len(NAMES)):
        run.frame(number, sums, transmitted=800.0, incident=1000.0)
        pace.ready = True
        screen._write(at_once=False)
    assert screen.drawings == dict.fromkeys(NAMES, 2)
    screen.close()
