"""What the windows show: the newest run with frames, of bounded size."""

from pathlib import Path

import numpy as np
import pytest
from small_beamline import Documents, run_documents, small_beamline, small_frames

from h5xs_bluesky import h5xs
from h5xs_bluesky.api.processed_documents import ProcessedRun
from h5xs_bluesky.callbacks import LiveReduction
from h5xs_bluesky.reduction.accumulators import Accumulators
from h5xs_bluesky.view import shown_run
from h5xs_bluesky.view.board import Board
from h5xs_bluesky.view.shown_run import LATEST, ShownRun

BEAMLINE = small_beamline()


def processed(sample: str, frames: int, *, stop: bool = True) -> Documents:
    """Documents of a processed run whose frame n has n + 1 counts in each bin, of one pixel."""
    found: Documents = []
    run = ProcessedRun(
        {"uid": f"raw-{sample}"},
        sample=sample,
        beamline=BEAMLINE,
        emit=lambda name, doc: found.append((name, doc)),
    )
    ones = np.ones(len(BEAMLINE.qgrid))
    for number in range(frames):
        sums = Accumulators(
            signal=(number + 1) * ones,
            variance=(number + 1) * ones,
            normalization=ones,
            normalization_squared=ones,
            count=ones,
        )
        run.frame(number, sums, transmitted=800.0 + number, incident=1000.0)
    if stop:
        run.stop()
    return found


def shown_after(*documents: tuple[str, dict[str, object]]) -> ShownRun:
    board = Board()
    for name, doc in documents:
        board(name, doc)
    shown = board.shown()
    assert shown is not None
    return shown


def test_nothing_is_shown_before_the_first_frame() -> None:
    board = Board()
    for name, doc in processed("a", 0):
        board(name, doc)
    assert board.shown() is None
    assert board.versions() == {}


def test_run_before_stays_until_the_first_frame_of_the_next() -> None:
    first, (start, *rest) = processed("a", 2), processed("b", 1)
    assert shown_after(*first, start).sample == "a"
    assert shown_after(*first, start, *rest).sample == "b"


def test_frames_of_an_older_run_do_not_come_back() -> None:
    (start_a, describe_a, *rest_a), b = processed("a", 2), processed("b", 2)
    assert shown_after(start_a, describe_a, rest_a[0], *b, *rest_a[1:]).sample == "b"


def test_run_is_shown_again_when_its_buffer_is_subtracted(tmp_path: Path) -> None:
    """As `measure_with_buffer` does it; the buffer's own average comes after the subtraction."""
    live, board = LiveReduction(BEAMLINE, tmp_path), Board()
    live.subscribe(board)
    for sample, names in (("protein", {"buffer": "after"}), ("after", {})):
        frames = small_frames(4, mean=80.0)
        for name, doc in run_documents(frames, sample_name=sample, **names):
            live(name, doc)
    live.wait(30)
    live.close()
    shown = board.shown()
    assert shown is not None
    assert (shown.sample, shown.ended, shown.buffer) == ("protein", "success", "after")
    assert shown.subtracted is not None
    assert shown.total == 4


def subtracted(sample: str, buffer: str) -> Documents:
    """The documents of a buffer that was subtracted after the run had ended."""
    (start, *_), found = processed(sample, 0), Documents()
    changes = {"uid": f"late-{sample}", "analysis_stage": "subtracted"}
    found.append(("start", {**start[1], **changes}))
    found.append(("descriptor", {"uid": "d", "run_start": f"late-{sample}", "name": "subtracted"}))
    ones = np.ones(len(BEAMLINE.qgrid))
    data = {"q": ones, "I": ones, "sigma": ones, "buffer": buffer}
    found.append(("event", {"descriptor": "d", "data": data}))
    found.append(("stop", {"run_start": f"late-{sample}", "exit_status": "success"}))
    return found


LATE = [
    # runs between the sample and its subtraction, what is shown, why
    (processed("b", 1, stop=False), "a", "the buffer itself is about to end"),
    ([*processed("b", 1), *processed("c", 1)], "a", "what came after has ended"),
    ([*processed("b", 1), *processed("c", 1, stop=False)], "c", "another sample is measured"),
    ([each for n in "bcdef" for each in processed(n, 1)], "f", "only the last runs are kept"),
]


@pytest.mark.parametrize(("between", "sample", "reason"), LATE)
def test_subtraction_that_comes_late_does_not_hide_what_is_measured(
    between: Documents, sample: str, reason: str
) -> None:
    shown = shown_after(*processed("a", 2), *between, *subtracted("a", "b"))
    assert shown.sample == sample, reason


def test_next_sample_is_shown_after_a_subtraction_that_came_late() -> None:
    start, *rest = processed("c", 1)
    late = [*processed("b", 1), start, *subtracted("a", "b")]
    assert shown_after(*processed("a", 2), *late).sample == "a"
    assert shown_after(*processed("a", 2), *late, *rest).sample == "c"


def test_mean_of_all_frames_is_their_union() -> None:
    shown = shown_after(*processed("a", 3))
    assert shown.mean is not None
    assert np.allclose(shown.mean[0], 2.0)  # of 1, 2 and 3 counts
    assert np.allclose(shown.mean[1], np.sqrt(6) / 3)


def test_bins_without_pixels_and_missing_frames_do_not_count() -> None:
    documents = processed("a", 3)
    events = [doc["data"] for name, doc in documents if name == "event"]
    events[0]["I"], events[0]["sigma"] = np.full((2, len(BEAMLINE.qgrid)), np.nan)
    for each in events:
        each["I"] = each["I"].copy()
        each["I"][0] = np.nan
    shown = shown_after(*documents)
    assert shown.mean is not None
    assert np.isnan(shown.mean[:, 0]).all()
    assert np.allclose(shown.mean[0, 1:], 2.5)
    assert shown.total == 3


@pytest.mark.parametrize(
    ("frames", "step", "numbers", "reason"),
    [
        (8, 1, list(range(8)), "all of them fit"),
        (9, 2, [0, 2, 4, 6, 8], "one more than fits: every second"),
        (20, 4, [0, 4, 8, 12, 16], "thinned out twice, evenly from the beginning"),
    ],
)
def test_of_many_frames_every_second_or_fourth_stays(
    frames: int, step: int, numbers: list[int], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shown_run, "MOST_ROWS", 8)
    shown = shown_after(*processed("a", frames))
    assert (shown.step, [row.frame for row in shown.rows]) == (step, numbers), reason
    assert [row.frame for row in shown.latest] == list(range(frames))[-LATEST:]
    assert shown.total == frames


def test_copy_does_not_change_with_later_frames() -> None:
    board, documents = Board(), processed("a", 4, stop=False)
    for name, doc in documents[:4]:
        board(name, doc)
    before = board.shown()
    assert before is not None
    mean = before.mean
    for name, doc in documents[4:]:
        board(name, doc)
    assert (before.total, len(before.rows), len(before.latest)) == (2, 2, 2)
    assert np.array_equal(before.mean, mean)


def test_what_was_read_for_another_run_is_dropped() -> None:
    board = Board()
    for name, doc in processed("a", 1):
        board(name, doc)
    board.put("raw-other", patterns={})
    assert "patterns" not in board.versions()
    board.put("raw-a", patterns={})
    assert board.versions()["patterns"] == 1


def test_results_of_a_live_run_are_those_of_the_files(tmp_path: object) -> None:
    board = Board()
    live = LiveReduction(BEAMLINE, tmp_path)  # type: ignore[arg-type]
    live.subscribe(board)
    for sample, buffer in (("buffer", {}), ("protein", {"buffer": "buffer"})):
        documents = run_documents(small_frames(4, mean=80.0), sample_name=sample, **buffer)
        for name, doc in documents:
            live(name, doc)
    live.wait(30)
    live.close()
    shown, dt = board.shown(), h5xs(f"{tmp_path}/experiment.h5")
    assert shown is not None
    assert (shown.sample, shown.ended, shown.buffer) == ("protein", "success", "buffer")
    for curve, group in ((shown.averaged, "averaged"), (shown.subtracted, "subtracted")):
        assert curve is not None
        assert np.array_equal(curve[0], dt.get_d1("protein", group).data, equal_nan=True)
    assert shown.kept is not None
    assert shown.kept.tolist() == dt.attrs["protein"]["selected"].tolist()
