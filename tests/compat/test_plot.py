"""py4xs' maps and pictures."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from h5xs_bluesky.compat.py4xs.data2d import MatrixWithCoords
from h5xs_bluesky.compat.py4xs.hdf import h5xs
from h5xs_bluesky.compat.py4xs.plot import show_data, show_data_qphi, show_data_qxy


def test_map_may_be_filled_after_it_is_made() -> None:
    one = MatrixWithCoords()
    one.xc, one.yc, one.d = np.arange(3.0), np.arange(2.0), np.arange(6.0).reshape(2, 3)
    assert one.val(1, 0.5, 2, 1) == 2.5
    two = one.copy()
    two.d = two.d + 2
    assert np.array_equal(one.average([two]).d, one.d + 1)
    assert np.array_equal(one.flatten("x")[0], [1.5, 2.5, 3.5])
    assert np.isnan(one.merge([two]).err).all()
    assert one.roi(0.5, 2, 0, 1).d.shape == (2, 2)
    assert np.array_equal(two.bkg_cor(one).d, np.full((2, 3), 2.0))


def test_patterns_of_several_detectors_are_shown(flow_cell: Path) -> None:
    dt = h5xs(flow_cell, read_only=True)
    d2s = dt.get_d2("protein")
    axes = show_data(d2s, dt.detectors, showRef=["AgBH", "r:"])
    assert len(axes) == 2
    assert show_data(d2s["_SAXS"], logScale=False) is not None
    for shown in (
        show_data_qxy(d2s, dt.detectors, dq=0.02, colorbar=True),
        show_data_qphi(d2s, dt.detectors, Nq=50, Nphi=36, apply_symmetry=True, fill_gap=True),
        dt.show_data("protein", "_SAXS", detectors=dt.detectors[:1]),
        dt.show_data_qphi("protein", frn=1, Nphi=36),
    ):
        assert "protein" in shown.get_title()
    assert show_data_qxy(d2s["_SAXS"], bkg={"_SAXS": d2s["_SAXS"].data}) is not None
    plt.close("all")
