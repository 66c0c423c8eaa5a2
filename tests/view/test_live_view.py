"""Windows follow a scan, in the main thread, and never disturb it."""

import importlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import timer_backend
from bluesky import RunEngine
from bluesky import plan_stubs as bps
from matplotlib.image import imread
from pictures import is_drawn
from small_beamline import Documents, run_documents, small_beamline, small_frames
from small_monitors import METADATA, add_readings, own_streams

from h5xs_bluesky.callbacks import LiveReduction
from h5xs_bluesky.errors import ConfigurationError, ReductionError
from h5xs_bluesky.sim.beamline import simulated_beamline
from h5xs_bluesky.sim.plans import count_sample
from h5xs_bluesky.sim.station import Station
from h5xs_bluesky.view import LiveView, WhileScanning, file_reader, picture_screen, window_screen
from h5xs_bluesky.view.window_screen import WindowScreen
from h5xs_bluesky.view.windows import WINDOWS, WindowKind

ALL = set(WINDOWS) - {"chromatogram"}


@pytest.fixture
def windows() -> Iterator[Any]:
    """A backend with windows and timers; gives its module."""
    before = mpl.get_backend()
    plt.switch_backend("module://timer_backend")
    yield importlib.import_module("timer_backend")
    plt.switch_backend(before)
    timer_backend.running.clear()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No rests between drawings or readings."""
    for module in (window_screen, picture_screen, file_reader):
        monkeypatch.setattr(module, "PERIOD_S", 0.0)
    monkeypatch.setattr(window_screen, "SHARE", 0.0)
    monkeypatch.setattr(window_screen, "_AT_REST", 0.0)
    monkeypatch.setattr(file_reader, "_SHARE", 0.0)
    monkeypatch.setattr(file_reader, "_LOOK_S", 0.01)


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveReduction]:
    live = LiveReduction(small_beamline(), tmp_path / "experiment")
    yield live
    live.close()


def send(live: LiveReduction, frames: int = 4, **start: Any) -> None:
    for name, doc in run_documents(small_frames(frames, mean=80.0), **start):
        live(name, doc)
    assert live.wait(30)


def until(happens: Callable[[], object], *, each: Callable[[], object] = lambda: None) -> None:
    end = time.monotonic() + 20
    while not happens():
        assert time.monotonic() < end, "it did not happen within 20 s"
        each()
        time.sleep(0.01)


def screen_of(view: LiveView) -> WindowScreen:
    (screen,) = (each for each in view._screens if isinstance(each, WindowScreen))
    return screen


def texts(view: LiveView, name: str) -> str:
    figure = screen_of(view).windows[name].figure
    return " ".join(text.get_text() for text in figure.findobj(mpl.text.Text))


def test_pictures_are_written_by_the_runs_end(live: LiveReduction, tmp_path: Path) -> None:
    view = LiveView(live, folder=tmp_path / "pictures")
    send(live)
    view.close()
    made = {path.stem: imread(path) for path in (tmp_path / "pictures").iterdir()}
    assert set(made) == ALL, "and no temporary file is left"
    for name, picture in made.items():
        assert is_drawn(picture), name


def test_pictures_are_replaced_at_most_every_few_seconds(
    live: LiveReduction, tmp_path: Path
) -> None:
    view = LiveView(live, windows=["curves"], folder=tmp_path / "pictures")
    *documents, stop = run_documents(small_frames(6))
    for number, (name, doc) in enumerate(documents):
        live(name, doc)
        if number == 4:
            until(lambda: view.drawings["curves"] == 1)
    assert live.wait(30)
    time.sleep(0.5)
    assert view.drawings == {"curves": 1}
    live(*stop)
    until(lambda: view.drawings["curves"] > 1)
    view.close()


@pytest.mark.usefixtures("quick")
def test_windows_are_drawn_by_timers_until_nothing_is_new(
    live: LiveReduction, windows: Any
) -> None:
    view = LiveView(live)
    assert view.drawings == dict.fromkeys(ALL, 1), "they tell that they wait"
    assert "waiting for the first frame" in texts(view, "curves")
    send(live, 5)

    def is_finished() -> bool:
        return "kept" in texts(view, "selection") and "frame 4" in texts(view, "pattern")

    until(is_finished, each=windows.fire_timers)
    for _ in range(10):
        windows.fire_timers()
    before = dict(view.drawings)
    for _ in range(20):
        windows.fire_timers()
    assert view.drawings == before
    assert "average of 5 of 5 frames" in texts(view, "curves")
    assert "water: 5 frames, finished" in texts(view, "waterfall")
    view.close()
    assert windows.running == []


def test_at_most_five_updates_per_second_are_drawn(live: LiveReduction, windows: Any) -> None:
    view = LiveView(live, windows=["transmission", "curves"])
    *documents, stop = run_documents(small_frames(60))
    began, before = time.monotonic(), sum(view.drawings.values())
    for name, doc in documents:
        live(name, doc)
        windows.fire_timers()
        time.sleep(0.01)
    most = (time.monotonic() - began) / window_screen.PERIOD_S + 1
    assert 1 <= sum(view.drawings.values()) - before <= most
    live(*stop)
    view.close()


@pytest.mark.usefixtures("quick")
def test_windows_follow_while_the_run_engine_holds_up_the_main_thread(
    tmp_path: Path, windows: Any
) -> None:
    setup = simulated_beamline(tmp_path)
    live = LiveReduction(setup.beamline, tmp_path / "experiment")
    view = LiveView(live, windows=["curves", "transmission"])
    engine, station = RunEngine(during_task=WhileScanning()), Station.from_beamline(setup.beamline)
    engine.subscribe(live)
    threads: set[threading.Thread] = set()
    for window in screen_of(view).windows.values():
        window.figure.canvas.mpl_connect(
            "draw_event", lambda _: threads.add(threading.current_thread())
        )
    drawn: list[int] = []

    def plan() -> Any:
        sample = setup.samples[0]
        yield from count_sample(
            station, sample.shots(3), frames=3, exposure_s=1.0, metadata=sample.metadata
        )
        yield from bps.sleep(1.0)
        drawn.append(view.drawings["curves"])

    engine(plan())
    assert drawn[0] > 1, "before the plan had ended"
    assert threads == {threading.main_thread()}
    view.close()
    live.close()


@pytest.mark.usefixtures("quick")
def test_window_that_fails_is_logged_once_and_harms_nobody(
    live: LiveReduction,
    windows: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("injected")

    kinds = {**WINDOWS, "waterfall": WindowKind(draw=broken, topics=("frames",))}
    monkeypatch.setattr("h5xs_bluesky.view.windows.WINDOWS", kinds)
    view = LiveView(live, windows=["curves", "waterfall"])
    with caplog.at_level(logging.ERROR):
        for sample in ("a", "b"):
            send(live, sample_name=sample)
            until(
                lambda sample=sample: f"{sample}: 4 frames, finished" in texts(view, "curves"),
                each=windows.fire_timers,
            )
            until(lambda: "see the log" in texts(view, "waterfall"), each=windows.fire_timers)
    view.close()
    status = live.status()
    assert (status["reduced"], status["failed"], status["last_error"]) == (16, 0, "")
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "The window 'waterfall' failed" in caplog.text
    assert "injected" in caplog.text


def test_picture_that_fails_is_logged_once_and_the_others_are_written(
    live: LiveReduction,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("injected")

    kinds = {**WINDOWS, "pattern": WindowKind(draw=broken, topics=("frames",))}
    monkeypatch.setattr("h5xs_bluesky.view.windows.WINDOWS", kinds)
    view = LiveView(live, windows=["curves", "pattern"], folder=tmp_path / "pictures")
    send(live)
    view.close()
    assert {path.stem for path in (tmp_path / "pictures").iterdir()} == {"curves"}
    assert caplog.text.count("The picture 'pattern' failed") == 1


@pytest.mark.usefixtures("quick")
def test_files_that_cannot_be_read_leave_the_other_windows_alone(
    live: LiveReduction,
    windows: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise OSError("injected")

    monkeypatch.setattr("h5xs_bluesky.api.methods.patterns.read_patterns", broken)
    view = LiveView(live, windows=["selection", "pattern"])
    send(live)
    until(lambda: "kept" in texts(view, "selection"), each=windows.fire_timers)
    view.close()
    assert "no frame was read yet" in texts(view, "pattern")
    assert "Reading the patterns of water failed" in caplog.text
    assert live.status()["last_error"] == ""


@pytest.mark.usefixtures("quick")
def test_selection_is_shown_before_the_run_has_ended(live: LiveReduction, windows: Any) -> None:
    view = LiveView(live, windows=["selection"])
    *documents, stop = run_documents(small_frames(5, mean=80.0))
    for name, doc in documents:
        live(name, doc)
    until(
        lambda: "water: 5 of 5 frames would be kept" in texts(view, "selection"),
        each=windows.fire_timers,
    )
    live(*stop)
    until(lambda: "water: 5 of 5 frames kept" in texts(view, "selection"), each=windows.fire_timers)
    view.close()


@pytest.mark.usefixtures("quick")
def test_zoom_of_the_user_stays_until_the_home_button(live: LiveReduction, windows: Any) -> None:
    view = LiveView(live, windows=["transmission"])
    window = screen_of(view).windows["transmission"]
    toolbar = window.manager.toolbar

    def measure(sample: str, frames: int) -> None:
        send(live, frames, sample_name=sample)
        until(
            lambda: f"{sample}: {frames} frames, finished" in texts(view, "transmission"),
            each=windows.fire_timers,
        )

    measure("first", 4)
    toolbar.push_current()
    window.figure.axes[0].set_xlim(0.5, 1.5)
    toolbar.push_current()
    measure("second", 5)
    assert window.figure.axes[0].get_xlim() == (0.5, 1.5)
    toolbar.home()
    low, high = window.figure.axes[0].get_xlim()
    assert (low < 0, 4 < high < 5) == (True, True)
    measure("third", 20)
    assert window.figure.axes[0].get_xlim()[1] > 19
    view.close()


@pytest.mark.usefixtures("quick")
def test_window_is_left_alone_while_a_button_of_the_mouse_is_down(
    live: LiveReduction, windows: Any
) -> None:
    view = LiveView(live, windows=["transmission"])
    canvas = screen_of(view).windows["transmission"].figure.canvas
    for event, drawings in (("button_press_event", 1), ("button_release_event", 2)):
        canvas.callbacks.process(event, mpl.backend_bases.MouseEvent(event, canvas, 9, 9, 1))
        if drawings == 1:
            send(live)
        for _ in range(5):
            windows.fire_timers()
        assert min(view.drawings["transmission"], 2) == drawings
    view.close()


@pytest.mark.usefixtures("quick")
def test_window_that_is_closed_stays_closed(live: LiveReduction, windows: Any) -> None:
    view = LiveView(live, windows=["curves", "transmission"])
    screen = screen_of(view)
    canvas = screen.windows["curves"].figure.canvas
    canvas.callbacks.process("close_event", mpl.backend_bases.CloseEvent("close_event", canvas))
    send(live)
    until(lambda: view.drawings["transmission"] > 1, each=windows.fire_timers)
    assert view.drawings["curves"] == 1
    view.close()


def test_users_own_plots_never_land_in_a_window(live: LiveReduction, windows: Any) -> None:
    del windows
    view = LiveView(live)
    figures = {window.figure for window in screen_of(view).windows.values()}
    assert plt.gcf() not in figures
    plt.close("all")
    view.close()


@pytest.mark.alone
def test_scan_is_not_slowed(tmp_path: Path) -> None:
    """In pairs, with and without pictures; the median of what a call of the callback takes."""
    documents = run_documents(small_frames(40))

    def calls_s(folder: Path, *, view: bool) -> float:
        live = LiveReduction(small_beamline(), folder)
        windows = ["curves", "selection"]
        shown = LiveView(live, windows=windows, folder=folder / "pictures") if view else None
        took = []
        for name, doc in documents:
            began = time.perf_counter()
            live(name, doc)
            took.append(time.perf_counter() - began)
            time.sleep(0.005)
        if shown is not None:
            shown.close()
        live.close()
        return float(np.median(took))

    with_view, without = [], []
    for pair in range(2):
        without.append(calls_s(tmp_path / f"without-{pair}", view=False))
        with_view.append(calls_s(tmp_path / f"with-{pair}", view=True))
    assert np.median(with_view) < 2 * np.median(without) + 0.002, (with_view, without)


def test_closing_twice_is_no_error_and_ends_the_following(
    live: LiveReduction, tmp_path: Path
) -> None:
    view = LiveView(live, folder=tmp_path / "pictures")
    view.close()
    view.close()
    send(live)
    assert view.drawings == dict.fromkeys(ALL, 0)


REFUSED: list[tuple[dict[str, Any], type[Exception], str, str]] = [
    # arguments, error, what it says, reason
    ({}, ConfigurationError, "or a folder for pictures", "Agg has no windows"),
    ({"windows": ["curvs"], "folder": "."}, ReductionError, "curvs", "no window of this name"),
    ({"windows": [], "folder": "."}, ReductionError, "empty list", "nothing to show"),
]


@pytest.mark.parametrize(("arguments", "error", "said", "reason"), REFUSED)
def test_view_is_refused(
    arguments: dict[str, Any],
    error: type[Exception],
    said: str,
    reason: str,
    live: LiveReduction,
) -> None:
    plt.switch_backend("agg")
    with pytest.raises(error) as told:
        LiveView(live, **arguments)
    assert said in str(told.value), reason


def test_windows_that_cannot_be_opened_leave_the_pictures(
    live: LiveReduction,
    tmp_path: Path,
    windows: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def no_screen(*_: Any, **__: Any) -> None:
        raise RuntimeError("no display name")

    monkeypatch.setattr(windows.Manager, "__init__", no_screen)
    with pytest.raises(ConfigurationError, match=r"found neither.*no display name"):
        LiveView(live)
    view = LiveView(live, windows=["curves"], folder=tmp_path / "pictures")
    assert "There are only pictures" in caplog.text
    send(live)
    view.close()
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["curves.png"]


def test_beside_windows_pictures_are_written_at_the_end_only(
    live: LiveReduction, tmp_path: Path, windows: Any
) -> None:
    del windows
    view = LiveView(live, windows=["curves"], folder=tmp_path / "pictures")
    *documents, stop = run_documents(small_frames(3))
    for name, doc in documents:
        live(name, doc)
    assert live.wait(30)
    time.sleep(0.5)
    assert list((tmp_path / "pictures").iterdir()) == []
    live(*stop)
    until(lambda: (tmp_path / "pictures" / "curves.png").exists())
    view.close()


def test_run_of_a_beamline_without_monitors_is_shown(tmp_path: Path) -> None:
    live = LiveReduction(small_beamline(monitors=None), tmp_path / "experiment")
    windows = ["transmission", "selection"]
    view = LiveView(live, windows=windows, folder=tmp_path / "pictures")
    for name, doc in run_documents(small_frames(3), monitors={}):
        live(name, doc)
    view.close()
    live.close()
    assert {path.stem for path in (tmp_path / "pictures").iterdir()} == set(windows)


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Give our own."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.name.startswith("h5xs_bluesky")
    ]


def with_own_monitors(frames: Any, **start: Any) -> Documents:
    documents = run_documents(frames, monitors={}, exposure_time=0.5, **start)
    times = np.arange(100.5, 102.0 + len(frames), 0.05)  # frames begin at 101, 102, ... s
    for stream, value in (("em1", 1000.0), ("em2", 800.0)):
        values = np.full(times.size, value)
        documents = add_readings(documents, f"{stream}_monitor", stream, times=times, values=values)
    return documents


@pytest.mark.usefixtures("quick")
def test_looking_at_the_selection_subtracts_nothing_and_warns_of_nothing(
    tmp_path: Path, windows: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """While the run goes on its monitors are not known, those of its buffer are."""
    live = LiveReduction(
        small_beamline(monitors=own_streams(), metadata=METADATA), tmp_path / "experiment"
    )
    view = LiveView(live, windows=["selection"])
    for document in with_own_monitors(small_frames(3, seed=1), sample_name="before"):
        live(*document)
    documents = with_own_monitors(
        small_frames(3, seed=2, mean=80.0), sample_name="protein", buffer="before"
    )
    for document in documents[:5]:  # without the monitors
        live(*document)
    until(
        lambda: "protein: 3 of 3 frames would be kept" in texts(view, "selection"),
        each=windows.fire_timers,
    )
    for document in documents[5:]:
        live(*document)
    assert live.wait(30)
    view.close()
    live.close()
    assert warnings_in(caplog) == []
    assert live.status()["runs"][-1]["warnings"] == []


@pytest.mark.usefixtures("quick")
def test_map_is_shown_without_a_selection_and_without_a_complaint(
    live: LiveReduction, windows: Any, caplog: pytest.LogCaptureFixture
) -> None:
    view = LiveView(live, windows=["selection", "pattern"])
    send(live, 6, sample_name="film", shape=[2, 3])
    until(lambda: "frame 5" in texts(view, "pattern"), each=windows.fire_timers)
    until(
        lambda: texts(view, "selection").strip() == "no frames are compared",
        each=windows.fire_timers,
    )
    view.close()
    assert warnings_in(caplog) == []


@pytest.mark.usefixtures("quick")
def test_expected_error_of_a_reading_is_told_in_one_line(
    live: LiveReduction,
    windows: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ReductionError("injected")

    monkeypatch.setattr("h5xs_bluesky.api.methods.patterns.read_patterns", broken)
    view = LiveView(live, windows=["selection", "pattern"])
    send(live)
    until(lambda: "kept" in texts(view, "selection"), each=windows.fire_timers)
    view.close()
    told = [r for r in caplog.records if r.name == "h5xs_bluesky.view.repeater"]
    assert [(r.levelno, r.exc_info) for r in told] == [(logging.WARNING, None)]


def test_monitors_that_do_not_cover_the_frames_are_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    live = LiveReduction(
        small_beamline(monitors=own_streams(), metadata=METADATA), tmp_path / "experiment"
    )
    view = LiveView(live, windows=["transmission"], folder=tmp_path / "pictures")
    documents = run_documents(small_frames(2, mean=80.0), monitors={}, exposure_time=0.5)
    for stream in ("em1", "em2"):
        documents = add_readings(
            documents, f"{stream}_monitor", stream, times=[1.0, 2.0], values=[5.0, 5.0]
        )
    for document in documents:
        live(*document)
    view.close()
    live.close()
    told = warnings_in(caplog)
    assert len(told) == len({text.split("stream ")[-1] for text in told}) > 0


def test_live_reduction_and_its_view_tell_what_they_are(
    live: LiveReduction, tmp_path: Path
) -> None:
    view = LiveView(live, windows=["curves"], folder=tmp_path / "pictures")
    assert repr(view) == "<LiveView: pictures, drawn so often: curves (0)>"
    for document in run_documents(small_frames(2))[:-1]:
        live(*document)
    assert live.wait(30)
    told = "runs going on: 1; frames: 4 received, 4 reduced, 0 failed"
    assert repr(live) == f"<LiveReduction into {tmp_path / 'experiment'}: {told}>"
    view.close()
    live.close()
    assert "closed" in repr(view)
    assert "closed; frames: 4 received" in repr(live)


def test_monitors_that_run_on_their_own_are_shown_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, Any] = {}

    def keep(axes: Any, frames: Any, **arrays: Any) -> None:
        drawn.update(arrays)

    monkeypatch.setattr("h5xs_bluesky.view.windows.plot_transmission", keep)
    documents = with_own_monitors(small_frames(2, mean=80.0))
    live = LiveReduction(
        small_beamline(monitors=own_streams(), metadata=METADATA), tmp_path / "experiment"
    )
    view = LiveView(live, windows=["transmission"], folder=tmp_path / "pictures")
    for name, doc in documents:
        live(name, doc)
    view.close()
    live.close()
    assert drawn["incident"] == pytest.approx([1000.0, 1000.0])
    assert drawn["transmitted"] == pytest.approx([800.0, 800.0])
