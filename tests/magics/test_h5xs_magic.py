"""``%h5xs`` in a real shell: short texts, values, and errors of one line."""

import shutil
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from matplotlib.image import imread
from measured_column import FRAMES, MeasuredColumn
from pictures import is_drawn
from small_beamline import run_documents, small_beamline, small_frames, write_experiment
from traitlets.config import Config

from h5xs_bluesky import h5xs
from h5xs_bluesky.callbacks import LiveReduction
from h5xs_bluesky.callbacks.finish import average_run
from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.guinier import Guinier

Magic = Callable[[str], Any]


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    shell.run_line_magic("load_ext", "h5xs_bluesky")
    yield shell
    InteractiveShell.clear_instance()


@pytest.fixture
def magic(shell: InteractiveShell) -> Magic:
    return lambda line: shell.run_line_magic("h5xs", line)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Buffer and protein, one frame of which had another beam."""
    buffer = run_documents(small_frames(4, seed=1), sample_name="buffer")
    frames = small_frames(6, seed=2, mean=80.0)
    odd = run_documents(frames, sample_name="protein", buffer="buffer")
    odd[4][1]["data"]["em2"] = 1.0
    return write_experiment(tmp_path_factory.mktemp("experiment"), buffer, odd)


@pytest.fixture
def live(shell: InteractiveShell, tmp_path: Path) -> Iterator[LiveReduction]:
    live = LiveReduction(small_beamline(), tmp_path / "live")
    shell.user_ns["live"] = live
    yield live
    live.close()


def test_status_tells_what_runs_and_what_is_known(live: LiveReduction, magic: Magic) -> None:
    assert repr(magic("status")).startswith("nothing is being measured; ")
    *documents, stop = run_documents(small_frames(3))
    for name, doc in documents:
        live(name, doc)
    live.wait(30)
    status = magic("status")
    assert status.running == ("water",)
    assert (status.counters["reduced"], status.samples) == (6, ("water",))
    assert repr(status).splitlines()[0].startswith("measuring water; ")
    assert "6 received, 6 acknowledged, 6 reduced; 0 on their way" in repr(status)
    live(*stop)
    live.wait(30)
    assert magic("status").running == ()


def test_run_that_has_ended_is_finishing_until_it_is_averaged(
    live: LiveReduction, magic: Magic, monkeypatch: pytest.MonkeyPatch
) -> None:
    averaging, go_on = threading.Event(), threading.Event()

    def slow(*arguments: Any, **named: Any) -> Any:
        averaging.set()
        assert go_on.wait(30)
        return average_run(*arguments, **named)

    monkeypatch.setattr("h5xs_bluesky.callbacks.finish.average_run", slow)
    for document in run_documents(small_frames(3)):
        live(*document)
    assert averaging.wait(30)
    status = magic("status")
    assert (status.running, status.finishing) == ((), ("water",))
    assert repr(status).startswith("finishing water; ")
    with pytest.raises(UsageError, match="found none yet: its run goes on, or is being finished"):
        magic("last -g")
    go_on.set()
    live.wait(30)
    assert repr(magic("status")).startswith("nothing is being measured; ")


def test_run_whose_writer_died_does_not_go_on(magic: Magic, tmp_path: Path) -> None:
    """While it is written, another process sees that it goes on."""
    code = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from small_beamline import run_documents, small_beamline, small_frames\n"
        "from h5xs_bluesky.callbacks import LiveReduction\n"
        f"live = LiveReduction(small_beamline(), Path({str(tmp_path)!r}))\n"
        "for document in run_documents(small_frames(3))[:-1]:\n"
        "    live(*document)\n"
        "live.wait(30)\n"
        "print('written', flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        magic(f"use {tmp_path}")
        assert repr(magic("last")).startswith("water: 3 frames, 3 reduced, goes on")
        writer.kill()
    told = "cut short: its writer died, or its disk was full (h5xs repair makes all readable)"
    assert repr(magic("last")).splitlines()[0] == f"water: 3 frames, 3 reduced, {told}"


def test_last_gives_frames_kept_and_transmission(magic: Magic, experiment: Path) -> None:
    magic(f"use {experiment}")
    last = magic("last")
    dt = h5xs(experiment)
    dt.load_d1s("protein")
    assert (last.sample, last.frames) == ("protein", 6)
    assert last.kept == dt.attrs["protein"]["selected"].sum() == 5
    assert last.rejected == {"transmission": 1}
    assert last.transmission == pytest.approx(0.8)
    assert 0 < last.transmission_sigma < 0.001
    assert np.array_equal(last.curve.data, dt.get_d1("protein", "subtracted").data, equal_nan=True)
    assert "kept: 5; rejected: 1 transmission" in repr(last)
    assert "buffer: buffer, subtracted" in repr(last)
    assert magic("last buffer").frames == 4
    assert magic("last buffer").info.buffer == ""


def test_result_can_be_assigned(shell: InteractiveShell, experiment: Path) -> None:
    shell.run_cell(f"%h5xs use {experiment}\nr = %h5xs last buffer").raise_error()
    assert shell.user_ns["r"].kept == 4


def guinier_frames(count: int, *, rg: float) -> list[Any]:
    """Frames of a particle of this radius of gyration, in Å."""
    rng = np.random.default_rng(3)
    means = {
        detector.data_key: 1e4 * np.exp(-((detector.geometry.q_map() * rg) ** 2) / 3)
        for detector in small_beamline().detectors
    }
    return [
        {key: rng.poisson(mean).astype(np.int32) for key, mean in means.items()}
        for _ in range(count)
    ]


def test_guinier_fit_is_that_of_the_curve(magic: Magic, tmp_path: Path) -> None:
    path = write_experiment(tmp_path, run_documents(guinier_frames(4, rg=27.0)))
    magic(f"use {path.parent}")
    last = magic("last water --guinier")
    assert last.guinier == h5xs(path).get_d1("water", "averaged").guinier()
    assert last.guinier.rg == pytest.approx(27.0, rel=0.05)
    assert repr(last).splitlines()[-1].startswith("Rg = ")


def fitted(**values: Any) -> Guinier:
    usual: dict[str, Any] = {"rg": 20.0, "rg_sigma": 0.1, "i0": 1.0, "i0_sigma": 0.1}
    return Guinier(
        **{**usual, "first": 0, "last": 9, "q_range": (0.03, 0.06), "quality": 1.0, **values}
    )


POOR_FITS = [
    (fitted(), "", "good"),
    (fitted(rg_sigma=4.1), "σ(Rg) up to 20%", "more than a fifth"),
    (fitted(rg_sigma=np.inf), "σ(Rg) up to 20%", "next to nothing is known"),
    (fitted(rg=5.0, q_range=(0.1, 0.2)), "begins at low q", "in the middle of the curve"),
    (fitted(rg=40.0, q_range=(0.03, 0.05)), "begins at low q", "q·Rg is 1.2 there"),
    (fitted(rg=2.4, q_range=(0.045, 0.05)), "begins at low q", "more lies below than in it"),
    (ReductionError("no region\nat all"), "no region", "none was found"),
]


@pytest.mark.parametrize(("found", "said", "reason"), POOR_FITS)
def test_poor_guinier_fit_is_a_line_of_the_report(
    found: Any,
    said: str,
    reason: str,
    magic: Magic,
    experiment: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fit(*_: Any) -> Any:
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr("h5xs_bluesky.api.data1d.Data1d.guinier", fit)
    magic(f"use {experiment}")
    last = magic("last protein --guinier")
    assert (last.guinier is None) == bool(said), reason
    assert last.kept == 5, "the rest is told"
    if said:
        assert "no Guinier fit: " in repr(last)
        assert said in repr(last)


def test_newest_is_the_sample_and_not_its_buffers(magic: Magic, tmp_path: Path) -> None:
    """As after `measure_with_buffer`, twice."""
    runs = []
    for number in range(2):
        together = {"h5xs_measurement": f"m{number}"}
        for name in ("p_before", "p", "p_after"):
            own = {"buffer": ["p_before", "p_after"]} if name == "p" else {}
            frames = small_frames(2 + number)
            runs.append(run_documents(frames, sample_name=name, **own, **together))
    magic(f"use {write_experiment(tmp_path, *runs)}")
    last = magic("last")
    assert (last.info.name, last.frames) == ("p", 3)
    assert magic("last p").sample == last.sample != "p", "the newest of the name"
    assert last.namesakes == ("p",)
    assert "also called p: /p" in repr(last)
    first = magic("last /p")
    assert (first.sample, first.frames, first.namesakes) == ("p", 2, (last.sample,))
    assert magic("last /" + last.sample).sample == last.sample
    with pytest.raises(UsageError, match="found '/nobody'"):
        magic("last /nobody")
    assert magic("last p_after").frames == 3
    assert magic("plot subtracted").get_title() == last.sample


def test_map_is_reported_without_an_average(
    magic: Magic, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = run_documents(small_frames(6), sample_name="film", shape=[2, 3])
    magic(f"use {write_experiment(tmp_path, run)}")
    for line in ("last", "reduce film"):
        told = repr(magic(line)).splitlines()
        assert told[:2] == [
            "film: 6 frames, 6 reduced, ended",
            "no average of a map of 2 × 3 places, whose frames differ",
        ]
    for line in ("plot film selection", "last --guinier"):
        with pytest.raises(UsageError, match="found no average of a map of 2 × 3 places"):
            magic(line)
    assert not [record for record in caplog.records if record.name.startswith("h5xs_bluesky")]


def test_reduce_tells_why_there_is_no_average(magic: Magic, tmp_path: Path) -> None:
    documents = run_documents(small_frames(4), sample_name="edge")
    for number, (_, doc) in enumerate(documents[2:-1]):
        doc["data"]["em2"] = 1000.0 if number % 2 else 700.0
    magic(f"use {write_experiment(tmp_path, documents)}")
    told = "no average: edge: expected at least one of 4 frames to be kept, found none: 4 transmi"
    assert told in repr(magic("reduce"))


def test_names_with_spaces_stand_in_quotes(
    shell: InteractiveShell, magic: Magic, tmp_path: Path
) -> None:
    folder = tmp_path / "my data"
    write_experiment(folder, run_documents(small_frames(2), sample_name="my protein 5 mg/ml"))
    magic(f"use '{folder}'")
    assert magic('last "my protein 5 mg/ml"').frames == 2
    assert magic("last 'my protein 5 mg_ml'").frames == 2
    picture = tmp_path / "my file.png"
    assert magic(f'plot frames -o "{picture}"') == picture
    assert is_drawn(imread(picture))
    complete = next(iter(magic_completions(shell, "%h5xs last ")))
    assert magic(f"last {complete}").frames == 2


def magic_completions(shell: InteractiveShell, line: str) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        return list(shell.complete("", line)[1])


def test_buffer_alone_is_the_newest(magic: Magic, tmp_path: Path) -> None:
    runs = [
        run_documents(small_frames(2), sample_name=name, buffer=buffer)
        for name, buffer in (("a", "b"), ("b", "a"))
    ]
    magic(f"use {write_experiment(tmp_path, *runs)}")
    assert magic("last").sample == "b"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("", "the newest sample's frames"),
        ("protein subtracted", "a sample, and what of it"),
        ("selection", "what, of the newest sample"),
        ("buffer monitors", "readings"),
        ("buffer pattern", "both detectors"),
    ],
)
def test_plot_is_saved(
    arguments: str, reason: str, magic: Magic, experiment: Path, tmp_path: Path
) -> None:
    magic(f"use {experiment}")
    path = magic(f"plot {arguments} --save {tmp_path / 'plot.png'}")
    assert path == tmp_path / "plot.png"
    assert is_drawn(imread(path)), reason


def test_series_behind_a_column_is_told_and_plotted_as_it_is_stored(
    magic: Magic, column: MeasuredColumn, tmp_path: Path
) -> None:
    experiment = shutil.copytree(column.file.parent, tmp_path / "experiment") / "experiment.h5"
    magic(f"use {experiment}")
    h5xs(experiment).process_sec("column", buffer_frames=range(5, 25))
    last = magic("last column")
    sample = np.flatnonzero(last.chromatogram.sample_frames)
    peak = last.chromatogram.main.position
    assert repr(last).splitlines()[1:3] == [
        f"kept: {sample.size} of the peak at frame {peak:.1f}, from {sample[0]} to {sample[-1]}",
        "buffer: 20 of its own frames, from 5 to 24, subtracted",
    ]
    axes = magic("plot column sec")
    legend = [text.get_text() for text in axes[0].get_legend().get_texts()]
    assert legend[0] == "buffer, 20 frames from 5 to 24"
    assert is_drawn(imread(magic(f"plot column sec --save {tmp_path / 'plot.png'}")))
    assert h5xs(experiment).get_sec("column").buffer_given


def test_series_that_is_not_stored_as_such_is_analysed_for_a_plot_and_not_saved(
    magic: Magic, column: MeasuredColumn, tmp_path: Path
) -> None:
    experiment = shutil.copytree(column.file.parent, tmp_path / "experiment") / "experiment.h5"
    h5xs(experiment).average_d1s("column", selection=np.arange(FRAMES) < 20)
    magic(f"use {experiment}")
    assert is_drawn(imread(magic(f"plot column sec --save {tmp_path / 'plot.png'}")))
    with pytest.raises(ReductionError, match="expected a chromatogram, found none"):
        h5xs(experiment).get_sec("column")


def test_series_in_which_nothing_elutes_says_so(magic: Magic, tmp_path: Path) -> None:
    run = run_documents(small_frames(30), sample_name="blank", plan_name="sec_series")
    magic(f"use {write_experiment(tmp_path, run)}")
    for line in ("last", "reduce blank"):
        last = magic(line)
        assert last.curve is None
        told = repr(last).splitlines()
        assert told[0] == "blank: 30 frames, 30 reduced, ended"
        assert told[1].startswith("no average of a series behind a column: expected a peak")
        assert "process_sec(…, buffer_frames=…, sample_frames=…)" in told[1]
    with pytest.raises(UsageError, match="no average of a series behind a column"):
        magic("last --guinier")


def test_plot_gives_axes(magic: Magic, experiment: Path, caplog: pytest.LogCaptureFixture) -> None:
    import matplotlib.pyplot as plt

    magic(f"use {experiment}")
    axes = magic("plot protein")
    assert axes.get_title() == "protein"
    assert axes.figure.number in plt.get_fignums()
    assert "--save FILE" in caplog.text, "Agg shows nothing"
    plt.close(axes.figure)


def test_reduce_makes_the_same_again(magic: Magic, tmp_path: Path) -> None:
    path = write_experiment(tmp_path, run_documents(small_frames(4)))
    before = h5xs(path).get_d1("water", "averaged").data
    magic(f"use {path}")
    assert magic("reduce").kept == 4
    assert np.array_equal(h5xs(path).get_d1("water", "averaged").data, before, equal_nan=True)


def test_calibration_without_rings_is_told_in_one_line(magic: Magic, experiment: Path) -> None:
    magic(f"use {experiment}")
    with pytest.raises(UsageError, match="rings of AgBh, found 0") as told:
        magic("calibrate protein --dry-run")
    assert "\n" not in str(told.value)


def test_what_is_measured_is_not_reduced_meanwhile(live: LiveReduction, magic: Magic) -> None:
    for name, doc in run_documents(small_frames(2))[:-1]:
        live(name, doc)
    live.wait(30)
    with pytest.raises(UsageError, match="water is being measured"):
        magic("reduce")


def test_live_reduction_is_found_by_name_or_because_it_is_the_only_one(
    shell: InteractiveShell, live: LiveReduction, magic: Magic, tmp_path: Path
) -> None:
    shell.user_ns["other"] = LiveReduction(small_beamline(), tmp_path / "other")
    assert magic("status").experiment == tmp_path / "live" / "experiment.h5"
    del shell.user_ns["live"]
    assert magic("status").experiment == tmp_path / "other" / "experiment.h5"
    shell.user_ns["another"] = live
    with pytest.raises(UsageError, match="found another, other: call one 'live'"):
        magic("status")
    shell.user_ns["other"].close()


def test_chosen_experiment_wins_until_it_is_given_up(
    live: LiveReduction, magic: Magic, experiment: Path
) -> None:
    magic(f"use {experiment}")
    assert magic("status").samples == ("buffer", "protein")
    magic("use")
    assert magic("status").experiment.parent == live.folder


MISTAKES = [
    ("last", "found neither: %h5xs use FILE", "nothing to work on"),
    ("status", "found neither: %h5xs use FILE", "nothing to work on"),
    ("use /nowhere/at.h5", "/nowhere/at.h5", "no such file"),
    ("frobnicate", "invalid choice: 'frobnicate'", "no such subcommand"),
    ("last one two", "unrecognized arguments: two", "too much"),
    ("last Peter's", "expected every quote closed, found last Peter's", "no second quote"),
    ("calibrate --energy high", "invalid float value", "no number"),
]


@pytest.mark.parametrize(("line", "said", "reason"), MISTAKES)
def test_mistake_is_told_in_one_line_without_a_traceback(
    line: str,
    said: str,
    reason: str,
    shell: InteractiveShell,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert not shell.run_cell(f"%h5xs {line}").success
    told = capsys.readouterr()
    lines = (told.out + told.err).strip().splitlines()
    assert len(lines) == 1, reason
    assert lines[0].startswith("UsageError: ")
    assert said in lines[0]


def test_mistakes_in_an_experiment_name_what_exists(magic: Magic, experiment: Path) -> None:
    magic(f"use {experiment}")
    with pytest.raises(UsageError, match=r"samples \['buffer', 'protein'\], found 'nobody'"):
        magic("last nobody")
    with pytest.raises(UsageError, match="one of frames, subtracted"):
        magic("plot protein nonsense")
    with pytest.raises(UsageError, match="expected a curve 'subtracted'"):
        magic("plot buffer subtracted")


def test_nothing_measured_yet_is_told(live: LiveReduction, magic: Magic) -> None:
    assert magic("status").samples == ()
    with pytest.raises(UsageError, match="nothing was measured yet"):
        magic("last")


def test_help_lists_every_subcommand(magic: Magic) -> None:
    for line in ("", "help"):
        text = repr(magic(line))
        for name in ("status", "last", "plot", "reduce", "calibrate", "use", "help"):
            assert f"%h5xs {name}" in text


@pytest.mark.filterwarnings("ignore:`Completer.complete` is pending:PendingDeprecationWarning")
def test_words_are_completed(shell: InteractiveShell, magic: Magic, experiment: Path) -> None:
    magic(f"use {experiment}")
    assert shell.complete("sta", "%h5xs sta")[1] == ["status"]
    assert shell.complete("pro", "%h5xs last pro")[1] == ["protein"]
    assert set(shell.complete("", "%h5xs plot ")[1]) > {"buffer", "protein", "selection"}
