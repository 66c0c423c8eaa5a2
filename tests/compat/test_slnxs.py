"""Curves in py4xs' form."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from h5xs_bluesky.api.data1d import Data1d as OurData1d
from h5xs_bluesky.compat.py4xs.hdf import h5xs
from h5xs_bluesky.compat.py4xs.slnxs import (
    Data1d,
    filter_by_similarity,
    get_font_size,
    trans_mode,
)
from h5xs_bluesky.errors import ReductionError


def test_modes_have_py4xs_numbers() -> None:
    assert [trans_mode(0), trans_mode(2)] == [trans_mode.external, trans_mode.from_waxs]


def test_curve_may_be_filled_after_it_is_made(tmp_path: Path) -> None:
    curve = Data1d(trans_mode.external)
    curve.qgrid, curve.data, curve.err = np.array([0.1, 0.2]), np.ones(2), np.ones(2)
    curve.label = "made by hand"
    curve.save(tmp_path / "curve.dat")
    assert np.loadtxt(tmp_path / "curve.dat").shape == (2, 3)
    assert replace(curve, trans=2.0).label == "made by hand"
    assert isinstance(curve, OurData1d)
    assert curve.transMode is trans_mode.external


def test_frame_is_averaged_as_load_data_does_it(flow_cell: Path, tmp_path: Path) -> None:
    dt = h5xs(flow_cell, read_only=True)
    dt.load_data(samples="protein")
    with h5py.File(flow_cell) as file:
        for config in dt.detectors:
            frame = file[f"protein/primary/data/{config.data_key}"][2]
            expected = dt.get_d1("protein", config.extension, 2)
            np.save(tmp_path / "frame.npy", frame)
            for image in (frame, str(tmp_path / "frame.npy")):
                curve = Data1d()
                curve.load_from_2D(image, config.exp_para, dt.qgrid, label="one")
                scaled = curve.data / config.fix_scale
                assert np.allclose(scaled, expected.data, equal_nan=True, rtol=1e-12)
                assert np.allclose(curve.err / config.fix_scale, expected.err, equal_nan=True)
                assert curve.label == "one"
    pattern = dt.get_d2("protein", config.extension, 2)
    from_pattern = Data1d()
    from_pattern.load_from_2D(pattern, config.exp_para, dt.qgrid, pre_process=lambda d: d.sum())
    assert np.array_equal(from_pattern.data, curve.data, equal_nan=True)


def test_flat_is_divided_by(flow_cell: Path) -> None:
    dt = h5xs(flow_cell, read_only=True)
    config = dt.det("_WAXS2")
    frame = dt.get_d2("protein", "_WAXS2").data
    plain, flat = Data1d(), Data1d()
    plain.load_from_2D(frame, config.exp_para, dt.qgrid)
    flat.load_from_2D(frame, config.exp_para, dt.qgrid, flat_cor=np.full((243, 195), 2.0))
    assert np.allclose(flat.data, plain.data / 2, equal_nan=True)


def curves(count: int, *, odd: int | None = None) -> list[OurData1d]:
    rng = np.random.default_rng(3)
    q = np.linspace(0.01, 0.3, 200)
    result = []
    for number in range(count):
        truth = 1000 * np.exp(-((q * 25) ** 2) / 3) + 50
        if number == odd:
            truth = truth * (1 + q)
        data = rng.normal(truth, np.sqrt(truth) / 3)
        result.append(OurData1d(qgrid=q, data=data, err=np.sqrt(truth) / 3, label=str(number)))
    return result


def test_curves_that_agree_are_told_from_one_that_does_not() -> None:
    kept, discarded = filter_by_similarity(curves(10, odd=4))
    assert [curve.label for curve in discarded] == ["4"]
    assert len(kept) == 9


def test_equal_curves_are_all_kept() -> None:
    """py4xs rejects some of them: its measure is relative to the worst pair."""
    kept, discarded = filter_by_similarity(curves(10), 0.5, debug="quiet")
    assert (len(kept), discarded) == (10, [])
    assert filter_by_similarity([]) == ([], [])


def test_curves_on_different_grids_are_not_compared() -> None:
    one, other = curves(2)
    other.qgrid = other.qgrid * 2
    with pytest.raises(ReductionError, match="one q-grid"):
        filter_by_similarity([one, other])


@pytest.mark.parametrize(
    ("asked", "given"), [("large", (1, "large")), (0, (0, "medium")), (-9, (-3, "xx-small"))]
)
def test_font_sizes_are_counted_from_the_middle(asked: str | int, given: tuple[int, str]) -> None:
    assert get_font_size(asked) == given
