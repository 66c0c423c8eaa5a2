"""`h5xs` under py4xs' names, on files in py4xs' layout."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from h5xs_bluesky import QGrid
from h5xs_bluesky.compat.py4xs.hdf import (
    create_linked_files,
    find_field,
    h5_file_access,
    h5exp,
    h5xs,
    lsh5,
)
from h5xs_bluesky.compat.py4xs.slnxs import trans_mode
from h5xs_bluesky.config import ReductionOptions
from h5xs_bluesky.errors import FileFormatError, RefusedError, SampleNotFoundError
from h5xs_bluesky.sim.py4xs_files import py4xs_detectors, py4xs_qgrid

MONITOR = "em2_sum_all_mean_value"


def test_file_is_opened_under_each_spelling(flow_cell: Path) -> None:
    dt = h5xs(flow_cell)
    for opened in (dt.explict_open_h5, dt.explicit_open_h5, dt.explicit_open):
        opened()
        assert lsh5(dt.fh5, top_only=True, silent=True) == ["buffer", "protein"]
        dt.explicit_close_h5()
        assert not dt.fh5


def test_arguments_of_py4xs_are_taken(flow_cell: Path) -> None:
    dt = h5xs(flow_cell, None, MONITOR, True, True, True)
    dt.load_data(False, None, -1, False, False, "quiet", 1, 1024, np.int32)
    dt.load_data(update_only=False, N=4, debug=True, samples="buffer")
    dt.average_d1s(None, False, None, True, "quiet")
    dt.average_d1s("protein", selection=[True] * 4 + [False] * 4, debug=True)
    dt.save_d1s("protein", debug=True)
    assert dt.d1s["protein"]["averaged"].comments.startswith("average of 4 of 8")
    assert dt.transField == MONITOR
    assert dt.det_name == {"_SAXS": "pil1M_image", "_WAXS2": "pilW2_image"}


def test_grid_is_an_array_and_may_be_replaced(flow_cell: Path) -> None:
    dt = h5xs(flow_cell, read_only=True)
    assert np.array_equal(dt.qgrid, py4xs_qgrid())
    dt.qgrid = np.linspace(0.02, 2.4, 100)
    dt.load_data(samples="buffer")
    assert dt.get_d1("buffer").qgrid.size == dt.qgrid.size == 100
    dt.qgrid = QGrid.logarithmic(0.02, 2.4, 50)
    dt.load_data(samples="buffer")
    assert np.array_equal(dt.get_d1("buffer").qgrid, dt.qgrid)


def test_detectors_may_be_changed_before_they_are_used(flow_cell: Path) -> None:
    dt = h5xs(flow_cell, read_only=True)
    dt.load_data(samples="buffer")
    before = dt.get_d1("buffer", "_SAXS").data
    dt.det("_SAXS").fix_scale = 2.0
    dt.det("_WAXS2").exp_para.mask.map[...] = True
    dt.load_data(samples="buffer")
    assert np.allclose(dt.get_d1("buffer", "_SAXS").data, before / 2, equal_nan=True)
    assert not np.isfinite(dt.get_d1("buffer", "_WAXS2").data).any()
    assert dt.det("_WAXS1") is None
    assert dt.read_detectors().size == py4xs_qgrid().size
    assert dt.det("_SAXS").fix_scale == 1.0


def test_detectors_may_be_given_in_py4xs_form(flow_cell: Path) -> None:
    own = h5xs(flow_cell, read_only=True)
    own.load_data(samples="buffer")
    with h5py.File(flow_cell, "r+") as file:
        del file.attrs["detectors"], file.attrs["qgrid"]
    dt = h5xs(flow_cell, exp_setup=[py4xs_detectors(), py4xs_qgrid()], read_only=True)
    dt.load_data(samples="buffer")
    assert np.array_equal(dt.get_d1("buffer").data, own.get_d1("buffer").data, equal_nan=True)
    dt.detectors = py4xs_detectors()[:1]
    dt.load_data(samples="buffer")
    assert set(dt.d1s["buffer"]) == {"_SAXS", "merged"}


def test_open_scales_follow_from_the_solid_angles(flow_cell: Path) -> None:
    detectors = py4xs_detectors()
    scales = [detector.fix_scale for detector in detectors]
    for detector in detectors:
        detector.fix_scale = None
    dt = h5xs(flow_cell, [detectors, py4xs_qgrid()], read_only=True)
    dt.load_data(samples="buffer")
    used = [detector.fix_scale for detector in dt._memory.beamline.detectors]
    assert used == pytest.approx(scales)


@pytest.mark.parametrize(
    ("given", "expected", "reason"),
    [
        (None, 1.0, "py4xs takes a horizontally polarised beam for granted"),
        (ReductionOptions(), None, "what the user says wins"),
    ],
)
def test_beam_of_an_ancestor_s_file_is_polarised(
    flow_cell: Path, given: Any, expected: float | None, reason: str
) -> None:
    dt = h5xs(flow_cell, read_only=True, reduction=given)
    assert dt._memory.beamline.reduction.polarization == expected, reason


def test_monitors_of_an_ancestor_s_file_are_named_as_at_lix(flow_cell: Path) -> None:
    for given in (None, [py4xs_detectors(), py4xs_qgrid()]):
        monitors = h5xs(flow_cell, given, read_only=True)._memory.beamline.monitors
        assert monitors is not None
        assert (monitors.incident, monitors.transmitted) == (MONITOR.replace("em2", "em1"), MONITOR)


def test_fields_and_attributes_are_looked_up(flow_cell: Path) -> None:
    dt = h5xs(flow_cell)
    assert dt.dshape("pil1M_image", sn="protein") == (8, 195, 243)
    assert dt.dshape(MONITOR, "timestamps") == (8,)
    assert dt.dset(MONITOR, sn="protein", get_path=True) == f"protein/primary/data/{MONITOR}"
    assert dt.dset(MONITOR, return_reference=False).shape == (8,)
    dt.explicit_open()
    assert isinstance(dt.dset("pil1M_image"), h5py.Dataset)
    assert find_field(dt.fh5, MONITOR) == {"buffer": "primary", "protein": "primary"}
    dt.explicit_close()
    assert dt.get_h5_attr("/", "trans") == f"0,{MONITOR}"
    with pytest.raises(SampleNotFoundError, match=r"protein.*'em9'"):
        dt.dset("em9", sn="protein")
    with pytest.raises(SampleNotFoundError, match="water"):
        dt.dshape(MONITOR, sn="water")
    with pytest.raises(ValueError, match="data_type"):
        dt.dshape(MONITOR, "times")


def test_writing_into_the_open_file_is_refused(flow_cell: Path) -> None:
    dt = h5xs(flow_cell)
    dt.enable_write(False)
    with pytest.raises(RefusedError, match="save_d1s"):
        dt.enable_write(True)


def test_classes_may_extend_it_as_they_do_in_py4xs(flow_cell: Path) -> None:
    class Own(h5xs):
        @h5_file_access
        def first_time(self, sn: str) -> float:
            assert self.fh5 is not None
            return float(self.fh5[f"{sn}/primary/time"][0])

    dt = Own(flow_cell)
    assert dt.first_time("buffer") < dt.first_time("protein")
    assert not dt.fh5
    with pytest.raises(KeyError):
        dt.first_time("water")
    assert not dt.fh5, "closed after an error, too"


def test_contents_of_a_file_are_shown(flow_cell: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with h5py.File(flow_cell) as file:
        assert lsh5(file, silent=True) == ["buffer", "protein"]
        assert capsys.readouterr().out == ""
        lsh5(file["protein"], print_attrs=False)
        shown = capsys.readouterr().out
        lsh5(file, top_only=True)
        assert capsys.readouterr().out == "['buffer', 'protein']\n"
        lsh5(file)
        assert "sample_name" in capsys.readouterr().out
    assert shown.splitlines()[:2] == [" primary", "= data"]
    assert f"== {MONITOR}" in shown.splitlines()


def test_samples_of_several_files_are_shown_in_one(
    flow_cell: Path, sec: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "more"
    folder.mkdir()
    sec.rename(folder / "sec.h5")
    create_linked_files(tmp_path / "all.h5", [flow_cell, folder / "sec.h5"])
    dt = h5xs(tmp_path / "all.h5", read_only=True)
    assert sorted(dt.samples) == ["buffer", "column", "protein"]
    dt.load_data(samples="buffer")
    single = h5xs(flow_cell, read_only=True)
    single.load_data(samples="buffer")
    assert np.array_equal(dt.get_d1("buffer").data, single.get_d1("buffer").data, equal_nan=True)


def test_files_that_do_not_fit_together_are_not_linked(
    flow_cell: Path, sec: Path, tmp_path: Path
) -> None:
    with pytest.raises(FileFormatError, match="'buffer' in an earlier one"):
        create_linked_files(tmp_path / "all.h5", [flow_cell, flow_cell])
    with h5py.File(sec, "r+") as file:
        file.attrs["qgrid"] = [0.1, 0.2]
    with pytest.raises(FileFormatError, match="same 'qgrid'"):
        create_linked_files(tmp_path / "all.h5", [flow_cell, sec])
    assert not (tmp_path / "all.h5").exists()


def monitors_in_streams_of_their_own(path: Path) -> None:
    """As LiX's fly scans have them; the incident monitor's clock is five seconds late."""
    with h5py.File(path, "r+") as file:
        for sample in file.values():
            begin = sample["primary/time"][0]
            for name, late_s in (("em1", 5.0), ("em2", 0.0)):
                field = MONITOR.replace("em2", name)
                level = sample[f"primary/data/{field}"][()].mean()
                for kind in ("data", "timestamps"):
                    del sample[f"primary/{kind}/{field}"]
                times = begin + np.arange(-3, 12, 0.02)
                open_shutter = (times >= begin) & (times < begin + 8)
                stream = sample.create_group(f"{name}_monitor")
                stream["time"] = times + late_s
                stream[f"data/{field}"] = np.where(open_shutter, level, 1.0)
                stream[f"timestamps/{field}"] = times + late_s


def test_monitors_in_streams_of_their_own_are_integrated(flow_cell: Path) -> None:
    expected = h5xs(flow_cell, read_only=True).get_mon("protein", ts_pos_in_frame="start")
    monitors_in_streams_of_their_own(flow_cell)
    dt = h5xs(flow_cell, read_only=True)
    found = dt.get_mon(sn="protein", trigger="sol", debug=True)
    assert np.allclose(found.transmission[:-1], np.nanmean(expected.transmission), rtol=2e-3)
    assert np.allclose(found.transmitted[:-1], np.nanmean(expected.transmitted), rtol=2e-3)
    assert np.array_equal(dt.d0s["protein"]["transmitted"], found.transmitted)


def test_water_peak_tells_the_beam_where_py4xs_took_it(flow_cell: Path) -> None:
    with h5py.File(flow_cell, "r+") as file:
        file.attrs["trans"] = "2,"
    dt = h5xs(flow_cell, read_only=True)
    dt.load_data(samples="protein")
    one = dt.get_d1("protein")
    peak = (one.qgrid > 1.85) & (one.qgrid < 2.15)
    assert one.trans == one.trans_w == pytest.approx(one.data[peak].sum())
    assert dt.transField == ""


def test_beam_is_chosen_in_py4xs_terms(flow_cell: Path) -> None:
    dt = h5xs(flow_cell, read_only=True)
    dt.load_data(N=1)
    monitor = dt.get_d1("protein").trans
    dt.set_trans(trans_mode.from_waxs, debug="quiet")
    assert dt.get_d1("protein").trans == dt.get_d1("protein").trans_w != monitor
    dt.set_trans(transMode=trans_mode.external, calc_water_peak=True, trigger="sol")
    assert dt.get_d1("protein").trans == monitor


def test_detectors_are_exchanged_through_a_file_of_their_own(
    flow_cell: Path, tmp_path: Path
) -> None:
    h5exp(tmp_path / "exp.h5", [py4xs_detectors(), py4xs_qgrid()])
    exp = h5exp(tmp_path / "exp.h5")
    dt = h5xs(flow_cell, [exp.detectors, exp.qgrid], read_only=True)
    own = h5xs(flow_cell, read_only=True)
    for each in (dt, own):
        each.load_data(samples="buffer")
    assert np.array_equal(dt.get_d1("buffer").data, own.get_d1("buffer").data, equal_nan=True)
    assert np.array_equal(exp.read_detectors(), py4xs_qgrid())


def test_curves_are_exported_with_py4xs_arguments(flow_cell: Path, tmp_path: Path) -> None:
    dt = h5xs(flow_cell, read_only=True)
    dt.load_data()
    dt.average_d1s()
    files = dt.export_d1s("protein", f"{tmp_path}/", False, debug=True)
    assert [file.name for file in files] == ["protein_a.dat"]
    assert np.loadtxt(files[0]).shape[1] == 3
