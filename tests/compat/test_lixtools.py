"""lixtools' classes for solution scattering."""

from pathlib import Path

import numpy as np
import pytest

from h5xs_bluesky.compat.lixtools.hdf import h5sol_HPLC, h5sol_HT
from h5xs_bluesky.compat.py4xs.slnxs import trans_mode
from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.sim.samples import PROTEIN

RG = PROTEIN.guinier_radius_angstrom


def test_samples_are_processed_with_their_buffers(flow_cell: Path, tmp_path: Path) -> None:
    dt = h5sol_HT(flow_cell)
    dt.assign_buffer({"protein": "buffer"})
    assert dt.buffer_list == {"protein": ["buffer"]}
    dt.process(filter_data=True, N=1, debug="quiet")
    assert dt.get_d1("protein", "subtracted").guinier(0.015).rg == pytest.approx(RG, abs=1)
    dt.attrs["protein"]["selected"] = [True] * 4 + [False] * 4
    dt.average_samples(samples="protein")
    assert dt.attrs["protein"]["selected"].sum() == 4
    dt.change_buffer("protein", ["buffer"])
    dt.plot_sample("protein", show_subtracted=True)
    dt.update_h5()
    dt.export_txt("protein", f"{tmp_path}/")
    assert np.loadtxt(tmp_path / "protein_s.dat").shape[1] == 3


def test_series_behind_a_column_is_its_own_buffer(sec: Path) -> None:
    dt = h5sol_HPLC(sec)
    dt.process()
    trans = [d1.trans for d1 in dt.d1s["column"]["merged"]]
    assert np.ptp(trans) < 1e-9 * trans[0]
    before = dt.get_chromatogram()
    assert dt.subtract_buffer("0-12") is None
    chromatogram = dt.get_chromatogram(q_ranges=[[0.02, 0.05], [0.1, 0.2]])
    assert chromatogram.shape == (2, 48)
    assert before.shape == (1, 48)
    assert 26 <= chromatogram[0].argmax() <= 28
    assert np.abs(chromatogram[0, :12]).max() < 0.02 * chromatogram[0].max()
    dt.plot_d1s("column")
    assert len(dt.d1s["column"]["subtracted"]) == 48, "one's own curves stay"
    peak = dt.subtract_buffer(range(12), range(25, 30), sc_factor=1.0)
    assert peak is not None
    assert peak.guinier(0.015).rg == pytest.approx(RG, abs=1)


@pytest.mark.parametrize("mode", [trans_mode.from_waxs, trans_mode.external])
def test_such_a_series_is_analysed_whatever_tells_the_beam(sec: Path, mode: trans_mode) -> None:
    """The detectors, the WAXS among them, the q-grid and the water peak are LiX's."""
    dt = h5sol_HPLC(sec)
    dt.load_data()
    dt.set_trans(mode)
    found = dt.process_sec()
    assert found.main is not None
    assert found.main.position == pytest.approx(27, abs=0.2)
    assert np.flatnonzero(found.buffer_frames)[-1] < 12
    sample = found.rg[found.sample_frames]
    assert abs(np.average(sample[:, 0], weights=sample[:, 1] ** -2) - RG) < 1
    assert dt.get_d1("column", "subtracted").guinier(0.015).rg == pytest.approx(RG, abs=1)
    dt.subtract_buffer("0-8")
    assert isinstance(dt.d1s["column"]["subtracted"], list), "lixtools' own way still works"
    np.testing.assert_array_equal(h5sol_HPLC(sec).get_sec().rg, found.rg)


def test_frames_without_a_known_beam_are_not_normalised(sec: Path) -> None:
    dt = h5sol_HPLC(sec)
    dt.load_data()
    for d1 in dt.d1s["column"]["merged"][:3]:
        d1.trans = np.nan
    with pytest.raises(ReductionError, match=r"column.*3 of 48.*set_trans"):
        dt.normalize_int()
