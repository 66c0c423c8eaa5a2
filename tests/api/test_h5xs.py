"""Reading an experiment back: samples, headers, frames and curves."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from small_beamline import SAXS, run_documents, small_beamline, small_frames

from h5xs_bluesky import Data1d, Data2d, h5xs
from h5xs_bluesky.errors import (
    FileFormatError,
    FileInUseError,
    ReductionError,
    RefusedError,
    SampleNotFoundError,
)


def test_samples_are_listed_oldest_first(experiment: Path) -> None:
    assert h5xs(experiment).samples == ["buffer", "lysozyme", "nothing"]


def test_header_is_the_start_document(experiment: Path) -> None:
    header = h5xs(experiment).header("lysozyme")
    assert (header["sample_name"], header["scan_id"]) == ("lysozyme", 2)


def test_sample_is_also_found_by_the_name_its_scan_gave(play: Callable[..., Path]) -> None:
    dt = h5xs(play(run_documents(small_frames(2), sample_name="../a/b")))
    assert dt.samples != ["../a/b"]
    assert dt.header("../a/b")["sample_name"] == "../a/b"


def test_slash_says_that_a_group_is_meant(play: Callable[..., Path]) -> None:
    dt = h5xs(play(*(run_documents(small_frames(n), sample_name="a") for n in (1, 2))))
    dt.load_d1s()
    second = dt.samples[1]
    lengths = {name: len(dt.get_mon(name).transmission) for name in ("a", "/a", "/" + second)}
    assert lengths == {"a": 1, "/a": 1, "/" + second: 2}
    assert dt.get_d1("/a").label == dt.get_d1("a").label


@pytest.mark.parametrize("name", ["lysozim", "", "/", "/lysozim", "lysozyme/primary", ".."])
def test_unknown_sample_is_an_error_that_lists_the_known_ones(experiment: Path, name: str) -> None:
    dt = h5xs(experiment)
    for call in (dt.header, dt.get_d1, dt.get_d2, dt.load_d1s, dt.plot_d1s, dt.save_d1s):
        with pytest.raises(SampleNotFoundError, match=r"\['buffer', 'lysozyme', 'nothing'\]"):
            call(name)


def test_file_is_open_only_between_explicit_open_and_close(experiment: Path) -> None:
    dt = h5xs(experiment)
    assert dt.fh5 is None
    dt.header("buffer")
    assert dt.fh5 is None
    file = dt.explicit_open()
    assert isinstance(file, h5py.File)
    assert dt.fh5 is file
    dt.header("buffer")
    assert dt.explicit_open() is file
    assert "buffer" in file
    dt.explicit_close()
    assert dt.fh5 is None
    assert not file


def test_file_is_opened_and_closed_under_the_ancestors_names(experiment: Path) -> None:
    dt = h5xs(experiment)
    for opened in (dt.explict_open_h5, dt.explicit_open_h5):
        assert opened() is dt.fh5
        assert dt.fh5
        dt.explicit_close_h5()
        assert dt.fh5 is None


def test_what_the_user_keeps_beside_a_samples_curves_stays(experiment: Path) -> None:
    dt = h5xs(experiment)
    assert dt.d2s == {}
    dt.load_d1s()
    assert dt.d2s == {name: {} for name in dt.samples}
    dt.d2s["lysozyme"]["map"] = 1
    dt.load_data(samples="lysozyme")
    dt.average_d1s("lysozyme")
    dt.load_d1s("lysozyme")
    assert dt.d2s["lysozyme"] == {"map": 1}


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.h5"):
        h5xs(tmp_path / "nothing.h5")


def test_run_that_comes_later_is_seen_by_the_same_object(
    experiment: Path, play: Callable[..., Path]
) -> None:
    dt = h5xs(experiment)
    play(run_documents(small_frames(3), sample_name="late"))
    assert len(dt.get_d1("late", frn=2).data) == 25
    assert dt.list_samples() == dt.samples == ["buffer", "lysozyme", "nothing", "late"]


def test_frame_comes_back_bit_for_bit(experiment: Path) -> None:
    dt = h5xs(experiment)
    sent = small_frames(7, seed=2, mean=60.0)
    d2 = dt.get_d2("lysozyme", "_SAXS", 3)
    assert isinstance(d2, Data2d)
    assert np.array_equal(d2.data, sent[3][SAXS])
    assert d2.md["frame #"] == 3
    assert d2.detector.extension == "_SAXS"
    assert d2.mask.sum() == 2 * 48
    both = dt.get_d2("lysozyme", frn=-1)
    assert isinstance(both, dict)
    assert sorted(both) == ["_SAXS", "_WAXS"]


@pytest.mark.parametrize(
    ("extension", "frn", "reason"),
    [
        ("_SAXS", 8, "the run has frames 0 to 7"),
        ("_SAXS", -9, "nor so many from the end"),
        ("_XAXS", 0, "no such detector"),
    ],
)
def test_frame_that_is_not_there_is_an_error(
    experiment: Path, extension: str, frn: int, reason: str
) -> None:
    with pytest.raises(IndexError, match="lysozyme"):
        h5xs(experiment).get_d2("lysozyme", extension, frn)


def test_curves_of_every_kind_are_given(experiment: Path) -> None:
    dt = h5xs(experiment)
    for group in ("merged", "_SAXS", "_WAXS", "averaged", "subtracted"):
        d1 = dt.get_d1("lysozyme", group)
        assert isinstance(d1, Data1d)
        assert np.array_equal(d1.qgrid, dt.qgrid.centers)
        assert d1.trans == 800.0
    assert len(dt.d1s["lysozyme"]["merged"]) == 8
    assert dt.get_d1(group="averaged").label == "buffer averaged"
    assert dt.get_d1("lysozyme", frn=-1).label == "lysozyme merged, frame 7"


def test_curve_or_frame_that_is_not_there_is_an_error(experiment: Path) -> None:
    dt = h5xs(experiment)
    with pytest.raises(IndexError, match=r"lysozyme merged: .* below 8, found 8"):
        dt.get_d1("lysozyme", frn=8)
    with pytest.raises(ReductionError, match="'subtracted'"):
        dt.get_d1("buffer", "subtracted")
    with pytest.raises(ReductionError, match="load_data"):
        dt.get_d1("nothing")


def test_rows_so_far_are_read_while_the_scan_runs(running: Callable[[int], Path]) -> None:
    dt = h5xs(running(2))
    first = dt.get_d1("water", frn=1)
    with pytest.raises(IndexError):
        dt.get_d1("water", frn=2)
    running(5)
    assert np.array_equal(dt.get_d1("water", frn=1).data, first.data, equal_nan=True)
    assert np.isfinite(dt.get_d1("water", frn=4).data).any()
    assert np.isfinite(dt.get_d1("water", frn=-1).data).any()
    assert isinstance(dt.get_d2("water", "_SAXS", -1), Data2d)
    dt.load_d1s("water")
    assert len(dt.d1s["water"]["merged"]) == 5


def test_frames_so_far_are_reduced_while_the_scan_runs_and_nothing_is_written(
    running: Callable[[int], Path],
) -> None:
    dt = h5xs(running(4))
    live = np.array([d1.data for d1 in curves(dt, "water")])
    dt.load_data()
    assert np.array_equal(np.array([d1.data for d1 in curves(dt, "water")]), live, equal_nan=True)
    dt.average_d1s("water")
    assert dt.get_d1("water", "averaged").comments == "average of 4 of 4 frames"
    with pytest.raises(FileInUseError):
        dt.save_d1s("water")


def curves(dt: h5xs, sample: str) -> list[Data1d]:
    dt.get_d1(sample)
    merged = dt.d1s[sample]["merged"]
    assert isinstance(merged, list)
    return merged


def test_average_of_a_run_that_has_gone_on_since_is_not_saved(
    running: Callable[[int], Path],
) -> None:
    dt = h5xs(running(3))
    dt.average_d1s("water", selection=[True, True, False])
    running(7)
    with pytest.raises(ReductionError, match="at most the 3 frames to be saved, found 6"):
        dt.save_d1s("water")
    dt.load_d1s("water")
    assert dt.get_d1("water", "averaged").comments == "average of 6 of 6 frames"


def test_given_detectors_and_grid_win_over_the_file(experiment: Path) -> None:
    beamline = small_beamline()
    centers = np.linspace(0.03, 0.25, 12)
    dt = h5xs(experiment, [beamline.detectors[:1], centers], read_only=True)
    assert [d.extension for d in dt.detectors] == ["_SAXS"]
    with pytest.raises(FileFormatError, match="load_data"):
        dt.get_d1("lysozyme")
    dt.load_data(samples="lysozyme")
    assert np.array_equal(dt.get_d1("lysozyme").qgrid, centers)
    assert sorted(dt.d1s["lysozyme"]) == ["_SAXS", "merged"]


def test_given_field_of_the_monitor_wins_over_the_file(experiment: Path) -> None:
    dt = h5xs(experiment, transField="em1", read_only=True)
    dt.load_data(samples="lysozyme")
    assert dt.get_d1("lysozyme").trans == 1000.0


def test_file_without_detectors_needs_them_given(experiment: Path) -> None:
    with h5py.File(experiment, "r+") as file:
        del file.attrs["detectors"]
    with pytest.raises(FileFormatError, match="detectors"):
        h5xs(experiment)
    beamline = small_beamline()
    dt = h5xs(experiment, [beamline.detectors, beamline.qgrid])
    assert np.isfinite(dt.get_d1("lysozyme").data).any()


def test_curves_of_an_ancestor_s_file_are_read(tmp_path: Path) -> None:
    beamline = small_beamline()
    path = tmp_path / "lix.h5"
    per_frame = np.random.default_rng(0).random((3, 2, 25))
    with h5py.File(path, "w") as file:
        file.attrs["trans"] = "0,em2_sum"
        sample = file.create_group("lysozyme")
        sample.attrs["start"] = '{"uid": "x", "time": 1.0}'
        processed = sample.create_group("processed")
        processed.attrs["selected"] = [True, True, False]
        processed["merged"] = per_frame
        processed["merged"].attrs["trans"] = [5.0, 6.0, 7.0]
        processed["averaged"] = per_frame[0]
        processed.create_group("qphi")["d"] = np.zeros((4, 4))
    dt = h5xs(path, [beamline.detectors, beamline.qgrid])
    dt.load_d1s()
    assert sorted(dt.d1s["lysozyme"]) == ["averaged", "merged"]
    assert dt.get_d1("lysozyme", frn=2).trans == 7.0
    assert np.array_equal(dt.get_d1("lysozyme", frn=1).data, per_frame[1, 0])
    assert np.array_equal(dt.get_d1("lysozyme", "averaged").err, per_frame[0, 1])
    assert dt.attrs["lysozyme"]["selected"].tolist() == [True, True, False]
    labels = [text.get_text() for text in dt.plot_d1s("lysozyme").get_legend().get_texts()]
    assert "rejected (not selected): frame 2" in labels
    with pytest.raises(ReductionError, match="load_data"):
        dt.average_d1s("lysozyme")


@pytest.mark.parametrize(
    ("file", "member", "reason"),
    [
        ("experiment.h5", "lysozyme", "a sample elsewhere"),
        ("lysozyme/run.h5", "lysozyme/reduction", "sums elsewhere"),
        ("lysozyme/processed.h5", "reduction/_SAXS", "a part of them elsewhere"),
        ("lysozyme/processed.h5", "processed/merged", "a part of the curves elsewhere"),
    ],
)
def test_curves_behind_a_link_that_leaves_the_folder_are_refused(
    experiment: Path, tmp_path_factory: pytest.TempPathFactory, file: str, member: str, reason: str
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret.h5"
    shutil.copy(experiment.parent / "lysozyme" / "processed.h5", outside)
    relink(experiment.parent / file, member, outside, "/")
    with pytest.raises(RefusedError, match="outside"):
        h5xs(experiment).load_d1s("lysozyme")


@pytest.mark.parametrize("field", [SAXS, "em2"])
def test_raw_data_behind_a_link_that_leaves_the_folder_are_refused(
    experiment: Path, tmp_path_factory: pytest.TempPathFactory, field: str
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret.h5"
    shutil.copy(experiment.parent / "lysozyme" / f"primary.{SAXS}.h5", outside)
    dt = h5xs(experiment, read_only=True)
    relink(
        experiment.parent / "lysozyme" / "run.h5", f"lysozyme/primary/data/{field}", outside, "data"
    )
    with pytest.raises(RefusedError, match="outside"):
        dt.load_data()


def relink(path: Path, member: str, target: Path, inside: str) -> None:
    with h5py.File(path, "r+") as file:
        del file[member]
        file[member] = h5py.ExternalLink(str(target), inside)


def test_files_of_a_read_only_object_stay_as_they_are(experiment: Path) -> None:
    def state() -> dict[str, Any]:
        files = (p for p in experiment.parent.rglob("*") if p.is_file())
        return {str(p): (p.stat().st_mtime_ns, p.stat().st_ino, p.read_bytes()) for p in files}

    before = state()
    dt = h5xs(experiment, read_only=True)
    dt.load_data()
    dt.average_d1s("lysozyme", selection=[True] * 2 + [False] * 6)
    dt.save_d1s()
    dt.save_d1s("lysozyme")
    dt.plot_d1s("lysozyme")
    dt.load_d1s()
    assert state() == before


def test_curves_of_one_s_own_stay_until_the_sample_is_loaded_again(experiment: Path) -> None:
    dt = h5xs(experiment)
    dt.load_d1s()
    own = dt.get_d1("lysozyme", "averaged")
    dt.d1s["lysozyme"]["mine"] = own
    dt.plot_d1s("lysozyme")
    dt.average_d1s("lysozyme")
    assert dt.get_d1("lysozyme", "mine") is own
    dt.load_d1s("lysozyme")
    assert "mine" not in dt.d1s["lysozyme"]
