"""Runs behind a column: what is stored of them when they end, and when they are averaged again."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from measured_column import FRAMES, column_documents
from small_beamline import Documents, run_documents, small_frames, write_experiment
from typer.testing import CliRunner

from h5xs_bluesky import h5xs
from h5xs_bluesky.api.info import describe
from h5xs_bluesky.api.verify import verify
from h5xs_bluesky.callbacks import ChromatographyFollower, LiveReduction
from h5xs_bluesky.catalogs import from_catalog
from h5xs_bluesky.cli import app
from h5xs_bluesky.config import Beamline, MetadataSource
from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.io.experiment import open_for_reading
from h5xs_bluesky.io.processed import read_reduced, write_processed
from h5xs_bluesky.io.provenance import Provenance, read_provenance
from h5xs_bluesky.reduction.sample import ReducedSample
from h5xs_bluesky.sim.chromatography import COLUMN, sec_beamline

NO_AVERAGE = "no average of a series behind a column: "


class Column:
    """The simulated column: its frames, taken once, and runs of some of them."""

    def __init__(self, folder: Path) -> None:
        setup = sec_beamline(folder)
        source = MetadataSource(source="start", key="buffer")
        metadata = {**setup.beamline.metadata, "buffer": source}
        self.beamline: Beamline = replace(setup.beamline, metadata=metadata)
        self.shots = list(setup.samples[0].shots(FRAMES))
        self.radius_angstrom, self.tolerance_angstrom = setup.guinier_radius_angstrom

    def play(self, folder: Path, *runs: Documents, **options: Any) -> dict[str, Any]:
        """Measure runs one after the other; gives the status of the last."""
        live = LiveReduction(self.beamline, folder)
        try:
            for callback in options.get("callbacks", ()):
                live.subscribe(callback)
            for run in runs:
                for name, doc in run:
                    live(name, doc)
                assert live.wait(60)
            status: dict[str, Any] = live.status()["runs"][-1]
        finally:
            live.close()
        return status

    def buffer(self, **changes: Any) -> Documents:
        """A run of what flows before anything elutes."""
        start = {"sample_name": "buffer", "elution": None, **changes}
        return column_documents(self.shots[: FRAMES // 6], **start)


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Column:
    return Column(tmp_path_factory.mktemp("setup"))


@pytest.fixture
def experiment(behind: Column, tmp_path: Path) -> Path:
    """Where the whole series was measured."""
    status = behind.play(tmp_path / "experiment", column_documents(behind.shots))
    assert (status["errors"], status["warnings"]) == ([], [])
    return tmp_path / "experiment" / "experiment.h5"


def stored(experiment: Path, sample: str = "column") -> ReducedSample:
    with open_for_reading(experiment) as file:
        found = read_reduced(file[sample], roots=[experiment.parent])
    assert found is not None
    return found


def assert_same(one: ReducedSample, other: ReducedSample) -> None:
    """To the last bit, all that is made from the frames."""
    assert one.average is not None
    assert other.average is not None
    assert one.subtraction is not None
    assert other.subtraction is not None
    assert one.chromatogram is not None
    assert other.chromatogram is not None
    sums = [each.average.accumulators.to_array() for each in (one, other)]  # type: ignore[union-attr]
    np.testing.assert_array_equal(*sums)
    assert one.average.trans == other.average.trans
    np.testing.assert_array_equal(one.subtraction.curve, other.subtraction.curve)
    for name in ("intensity", "rg", "i0", "buffer_frames", "sample_frames", "peaks", "options"):
        pair = [getattr(each.chromatogram, name) for each in (one, other)]
        np.testing.assert_array_equal(*pair)


def verified(experiment: Path) -> dict[str, tuple[str, dict[str, float]]]:
    return {each.sample: (each.outcome, each.differences) for each in verify(experiment)}


def test_run_is_finished_as_process_sec_does_it(behind: Column, experiment: Path) -> None:
    live = stored(experiment)
    assert live.chromatogram is not None
    protein = COLUMN.amounts(FRAMES)[:, 2]
    assert live.average is not None
    assert protein[live.average.kept].min() > 0.4
    assert verified(experiment) == {"column": ("identical", {})}
    dt = h5xs(experiment)
    fit = dt.get_d1("column", "subtracted").guinier()
    assert abs(fit.rg - behind.radius_angstrom) < behind.tolerance_angstrom
    dt.process_sec("column")
    assert_same(stored(experiment), live)


def test_documents_have_what_is_stored(behind: Column, tmp_path: Path) -> None:
    documents: list[tuple[str, dict[str, Any]]] = []
    follower = ChromatographyFollower(behind.beamline)
    behind.play(
        tmp_path,
        column_documents(behind.shots),
        callbacks=(lambda name, doc: documents.append((name, doc)), follower),
    )
    follower.close()
    streams = {doc["uid"]: doc["name"] for name, doc in documents if name == "descriptor"}
    found = {streams[doc["descriptor"]]: doc["data"] for name, doc in documents if name == "event"}
    sample = stored(tmp_path / "experiment.h5")
    assert sample.average is not None
    assert sample.subtraction is not None
    np.testing.assert_array_equal(found["averaged"]["kept"], sample.average.kept)
    np.testing.assert_array_equal(found["subtracted"]["I"], sample.subtraction.curve[0])
    assert found["subtracted"]["buffer"] == "column"
    assert documents[0][1]["elution"] is True
    assert follower.chromatogram is not None
    assert sample.chromatogram is not None
    for name in ("intensity", "rg", "buffer_frames", "sample_frames"):
        followed = getattr(follower.chromatogram, name)
        np.testing.assert_array_equal(followed, getattr(sample.chromatogram, name))


def test_series_of_the_plan_is_an_elution_unless_it_says_no(behind: Column, tmp_path: Path) -> None:
    said = {"plan_name": "sec_series"}
    for sample, elution in (("yes", None), ("no", False)):
        run = column_documents(behind.shots, sample_name=sample, elution=elution, **said)
        behind.play(tmp_path, run)
    file = tmp_path / "experiment.h5"
    assert stored(file, "yes").chromatogram is not None
    assert stored(file, "no").chromatogram is None
    assert verified(file) == dict.fromkeys(("yes", "no"), ("identical", {}))


def as_before(experiment: Path) -> None:
    """Average all frames that agree, as a version did that knew nothing of columns."""
    dt = h5xs(experiment, read_only=True)
    beamline = dt._memory.beamline
    options = {"q": beamline.qgrid.centers, "relative_uncertainty": beamline.monitor_uncertainty}
    wrong = stored(experiment).averaged(beamline.selection, **options)
    with open_for_reading(experiment) as file:
        known = read_provenance(file["column"], roots=[experiment.parent])
    assert known is not None
    provenance = Provenance(frames=known.frames, averaging=beamline.averaging_process())
    path = experiment.parent / "column" / "processed.h5"
    write_processed(path, wrong, provenance=provenance)
    assert stored(experiment).subtraction is None


@pytest.mark.parametrize("reduce", [False, True])
def test_what_was_averaged_without_regard_to_the_column_is_mended(
    reduce: bool, experiment: Path
) -> None:
    live = stored(experiment)
    as_before(experiment)
    assert verified(experiment)["column"] == ("identical", {}), "it is told how it was made"
    dt = h5xs(experiment)
    if reduce:
        dt.load_data()
    dt.average_d1s()
    assert_same(stored(experiment), live)
    assert verified(experiment)["column"] == ("identical", {})


def test_frames_that_were_given_are_given_again(experiment: Path) -> None:
    dt = h5xs(experiment)
    dt.process_sec(buffer_frames=range(5, 25))
    own = stored(experiment)
    dt.average_d1s("column")
    assert_same(stored(experiment), own)
    detectors = dt.detectors
    changed = replace(detectors[0], fix_scale=2.0)
    dt.load_data(detectors=[changed])
    assert stored(experiment).average is None
    dt.average_d1s("column")
    again = stored(experiment)
    assert again.chromatogram is not None
    assert again.chromatogram.buffer_given
    assert np.flatnonzero(again.chromatogram.buffer_frames).tolist() == list(range(5, 25))
    assert verified(experiment)["column"] == ("identical", {})
    dt.average_d1s("column", filter_data=True)
    found = stored(experiment).chromatogram
    assert found is not None
    assert not found.buffer_given, "as if nothing had been given"


def test_frames_of_ones_own_are_averaged_and_stay(experiment: Path) -> None:
    dt = h5xs(experiment)
    chosen = np.arange(FRAMES) < 20
    dt.average_d1s("column", selection=chosen)
    for _ in range(2):
        own = stored(experiment)
        assert own.average is not None
        assert own.average.kept.tolist() == chosen.tolist()
        assert (own.chromatogram, own.subtraction) == (None, None)
        assert verified(experiment)["column"] == ("identical", {})
        dt.average_d1s("column")
    dt.average_d1s("column", filter_data=True)
    assert stored(experiment).chromatogram is not None


def test_another_beam_is_analysed_again(experiment: Path) -> None:
    before = stored(experiment).chromatogram
    h5xs(experiment).set_trans("water", "column", q_start=0.15, q_end=0.24)
    found = stored(experiment)
    assert found.trans_mode == "water"
    assert found.chromatogram is not None
    assert before is not None
    assert found.chromatogram.beam != before.beam
    assert verified(experiment)["column"] == ("identical", {})


@pytest.mark.parametrize("first", ["buffer", "column"])
def test_own_buffer_wins_over_one_that_is_named(first: str, behind: Column, tmp_path: Path) -> None:
    runs = {"buffer": behind.buffer(), "column": column_documents(behind.shots, buffer="buffer")}
    for name in sorted(runs, key=lambda each: each != first):
        status = behind.play(tmp_path, runs[name])
        assert status["errors"] == []
        assert not any("not averaged yet" in told for told in status["warnings"])
    file = tmp_path / "experiment.h5"

    def own() -> bool:
        subtraction = stored(file).subtraction
        return subtraction is not None and subtraction.buffer == "column"

    assert own()
    dt = h5xs(file)
    dt.average_d1s("buffer")
    dt.average_d1s()
    dt.subtract_buffer()
    assert own()
    assert verified(file)["column"] == ("identical", {})
    dt.subtract_buffer("column")
    assert not own(), "it was asked for by its name"


def test_run_from_a_store_is_finished_alike(behind: Column, tmp_path: Path) -> None:
    """Its buffer, which it names and which is not taken, is not asked for."""
    live = tmp_path / "live"
    behind.play(live, column_documents(behind.shots, buffer="buffer"))
    (found,) = from_catalog(live, None, tmp_path / "again", behind.beamline)
    assert (found.outcome, found.reason) == ("reduced", "")
    again = tmp_path / "again" / "experiment.h5"
    assert_same(stored(again), stored(live / "experiment.h5"))
    assert verified(again)["column"] == ("identical", {})


@pytest.mark.parametrize("first", ["other", "column"])
def test_average_of_a_peak_is_nobodys_buffer(first: str, behind: Column, tmp_path: Path) -> None:
    runs = {
        "other": behind.buffer(sample_name="other", buffer="column"),
        "column": column_documents(behind.shots),
    }
    for name in sorted(runs, key=lambda each: each != first):
        status = behind.play(tmp_path, runs[name])
    if first == "column":
        assert "found 'column', a series behind a column" in status["errors"][0]
    file = tmp_path / "experiment.h5"
    assert stored(file, "other").average is not None
    assert stored(file, "other").subtraction is None
    dt = h5xs(file)
    with pytest.raises(ReductionError, match="found 'column', a series behind a column"):
        dt.subtract_buffer("other")
    dt.average_d1s("column", selection=np.arange(FRAMES) < 20)
    assert stored(file, "other").subtraction is not None, "these frames are its buffer"


def test_frames_measured_again_do_not_count_twice(behind: Column, tmp_path: Path) -> None:
    """A plan that was paused at the top of the peak took five frames again."""
    top = int(COLUMN.amounts(FRAMES)[:, 2].argmax())
    shots = [*behind.shots[: top + 2], *behind.shots[top - 3 :]]
    numbers = [*range(1, top + 3), *range(top - 2, FRAMES + 1)]
    behind.play(tmp_path, column_documents(shots, seq_nums=numbers))
    file = tmp_path / "experiment.h5"
    sample = stored(file)
    assert sample.superseded.sum() == 5
    assert sample.average is not None
    assert sample.chromatogram is not None
    assert not (sample.average.kept & sample.superseded).any()
    assert not (sample.chromatogram.buffer_frames & sample.superseded).any()
    assert verified(file)["column"] == ("identical", {})


STOPPED = [
    (0.95, "", "the peak is over"),
    (0.25, "expected a peak in the series, found none", "nothing has eluted yet"),
    (0.01, "expected a series of at least 3 frames", "it had hardly begun"),
]


@pytest.mark.parametrize(("part", "problem", "why"), STOPPED)
def test_series_that_was_stopped_is_analysed_as_far_as_it_is(
    part: float, problem: str, why: str, behind: Column, tmp_path: Path
) -> None:
    *documents, (_, stop) = column_documents(behind.shots[: max(1, int(part * FRAMES))])
    aborted = {**stop, "exit_status": "abort", "reason": "by hand"}
    status = behind.play(tmp_path, [*documents, ("stop", aborted)])
    file = tmp_path / "experiment.h5"
    assert (stored(file).average is None) == bool(problem), why
    assert problem in stored(file).no_average
    assert status["errors"] == []
    assert status["warnings"] == ([stored(file).no_average] if problem else [])
    assert verified(file)["column"] == ("identical", {})


@pytest.fixture
def blank(tmp_path: Path) -> Path:
    """A run behind a column in which nothing elutes, as it is stored by the live reduction."""
    run = run_documents(small_frames(30), sample_name="blank", plan_name="sec_series")
    return write_experiment(tmp_path, run)


def test_where_nothing_elutes_there_is_no_average_and_the_reason_is_told(blank: Path) -> None:
    sample = stored(blank, "blank")
    assert (sample.average, sample.selection, sample.subtraction) == (None, None, None)
    assert sample.no_average.startswith(NO_AVERAGE)
    assert "process_sec" in sample.no_average
    (info,) = describe(blank).samples
    assert (info.averaged, info.no_average) == (0, sample.no_average)
    shown = CliRunner().invoke(app, ["info", str(blank)]).stdout
    assert f"blank: {sample.no_average}" in shown.splitlines()
    assert verified(blank)["blank"] == ("identical", {})
    dt = h5xs(blank)
    assert dt.get_selection("blank", preview=True) is None
    for ask in (lambda: dt.average_d1s("blank"), lambda: dt.plot_selection("blank")):
        with pytest.raises(ReductionError, match=NO_AVERAGE):
            ask()
    assert stored(blank, "blank").no_average == sample.no_average


def test_reason_goes_with_an_average_of_ones_own_frames(blank: Path) -> None:
    dt = h5xs(blank)
    dt.process_sec("blank", buffer_frames=range(10), sample_frames=range(12, 20))
    for _ in range(2):
        sample = stored(blank, "blank")
        assert sample.no_average == ""
        assert sample.average is not None
        assert np.flatnonzero(sample.average.kept).tolist() == list(range(12, 20))
        assert sample.subtraction is not None
        dt.average_d1s("blank")
    assert describe(blank).samples[0].no_average == ""
