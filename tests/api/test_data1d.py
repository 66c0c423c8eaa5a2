"""Arithmetic of curves, and py4xs' methods that combine them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot

from h5xs_bluesky import Data1d
from h5xs_bluesky.errors import FileFormatError, ReductionError

VALUES = st.floats(0.5, 100)


def curve(data: Any, err: Any = 0.1, *, label: str = "a", trans: float = np.nan) -> Data1d:
    values = np.atleast_1d(np.asarray(data, dtype=float))
    return Data1d(
        qgrid=np.linspace(0.01, 0.3, values.size),
        data=values,
        err=np.broadcast_to(np.asarray(err, dtype=float), values.shape).copy(),
        label=label,
        trans=trans,
    )


@given(VALUES, VALUES, st.floats(0.01, 0.05), st.floats(0.01, 0.05))
def test_errors_are_those_of_first_order(x: float, y: float, u: float, v: float) -> None:
    """Compared with the scatter of many draws."""
    rng = np.random.default_rng(0)
    one, other = x * (1 + u * rng.normal(size=4000)), y * (1 + v * rng.normal(size=4000))
    a, b = curve([x], [u * x]), curve([y], [v * y])
    for made, drawn in (
        (a + b, one + other),
        (a - b, one - other),
        (a * b, one * other),
        (a / b, one / other),
        (3 - a, 3 - one),
        (2 / a, 2 / one),
        (-a * 5, -one * 5),
        (a / 4 + 1, one / 4 + 1),
    ):
        assert np.isclose(made.err[0], drawn.std(), rtol=0.08)
        assert np.isclose(made.data[0], drawn.mean(), rtol=0.02, atol=0.02 * max(x, y))


def test_operators_make_new_curves() -> None:
    a, b = curve([4.0, 2.0], trans=3.0), curve([1.0, 1.0], trans=1.5)
    assert (a + b).trans == 4.5
    assert (a - b).trans == 3.0
    assert np.isnan((a * b).trans)
    assert (np.float64(2) * a).data.tolist() == [8.0, 4.0]
    assert a.data.tolist() == [4.0, 2.0]
    assert np.isnan((a / (b * 0)).data).all()
    with pytest.raises(ZeroDivisionError, match="a"):
        a / 0


@pytest.mark.parametrize(
    "combine",
    [
        lambda a, b: a + b,
        lambda a, b: a - b,
        lambda a, b: a * b,
        lambda a, b: a / b,
        lambda a, b: a.avg([b]),
        lambda a, b: a.merge(b),
        lambda a, b: a.bkg_cor(b),
    ],
)
def test_other_grids_are_refused(combine: Callable[[Data1d, Data1d], Data1d]) -> None:
    longer = curve([1.0, 2.0, 3.0], label="b")
    for other in (longer, Data1d(qgrid=np.array([0.01, 0.2]), data=np.ones(2), err=np.ones(2))):
        with pytest.raises(ReductionError, match="same q-grid"):
            combine(curve([1.0, 2.0]), other)


def test_what_is_no_curve_is_refused() -> None:
    with pytest.raises(TypeError, match="a curve or a number"):
        curve([1.0]) + "one"
    with pytest.raises(TypeError):
        "one" - curve([1.0])
    with pytest.raises(TypeError):
        "one" / curve([1.0])


def test_scale_keeps_the_intensity_over_the_beam() -> None:
    d1 = curve([4.0, 2.0], trans=8.0)
    q = d1.qgrid
    d1.overlaps = [{"q_overlap": q, "raw_data1": d1.data, "raw_data2": d1.data}]
    assert d1.scale(0.5) is d1
    assert d1.data.tolist() == [2.0, 1.0]
    assert d1.err.tolist() == [0.05, 0.05]
    assert d1.trans == 4.0
    assert d1.overlaps[0]["raw_data2"].tolist() == [2.0, 1.0]
    assert np.array_equal(d1.overlaps[0]["q_overlap"], q)
    assert d1.comments == "scaled by 0.5"
    for wrong in (0.0, -1.0, np.nan):
        with pytest.raises(ReductionError, match="positive"):
            d1.scale(wrong)


def test_average_tells_of_what() -> None:
    one, other = curve([2.0], trans=1.0, label="a"), curve([4.0], trans=3.0, label="b")
    mean = one.avg([other], plot_data=True)
    assert np.isclose(mean.data[0], 3.0)
    assert np.isclose(mean.err[0], np.sqrt(0.02) / 2)
    assert mean.trans == 2.0
    assert mean.comments == "average of 2 curves: a, b"
    assert [line.get_label() for line in pyplot.gca().get_lines()][:2] == ["a", "b"]
    assert one.avg([]).data.tolist() == [2.0]
    assert np.isclose(one.avg([other], weighted=False).data[0], 2 * (2 / 1 + 4 / 3) / 2)
    pyplot.close("all")


def test_merging_keeps_where_detectors_overlap() -> None:
    first = curve([4.0, 2.0, np.nan], [1.0, 1.0, np.nan])
    second = curve([np.nan, 2.0, 1.0], [np.nan, 1.0, 1.0], label="b")
    merged = first.merge(second, create_new=True)
    assert np.isnan(first.data[2])
    assert merged.data.tolist() == [4.0, 2.0, 1.0]
    assert merged.overlaps[0]["q_overlap"].tolist() == [first.qgrid[1]]
    assert first.merge(second) is first
    assert first.data.tolist() == [4.0, 2.0, 1.0]
    apart = curve([1.0, np.nan]).merge(curve([np.nan, 1.0]))
    assert apart.overlaps == []


def test_background_is_scaled_to_the_beam_with_errors_in_quadrature() -> None:
    sample, buffer = curve([10.0, 5.0], 0.3, trans=2.0), curve([4.0, 4.0], 0.2, trans=4.0)
    less = sample.bkg_cor(buffer, 0.9, plot_data=True)
    assert np.allclose(less.data, [10 - 4 * 0.45, 5 - 4 * 0.45])
    assert np.allclose(less.err, np.hypot(0.3, 0.2 * 0.45))
    assert sample.data.tolist() == [10.0, 5.0]
    assert "less a, times 0.45" in less.comments
    labels = [text.get_text() for text in pyplot.gca().get_legend().get_texts()]
    assert labels == ["a", "a, scaled", "difference"]
    assert sample.bkg_cor(buffer, inplace=True) is sample
    pyplot.close("all")


def test_background_without_any_beam_is_subtracted_as_it_is_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert curve([3.0]).bkg_cor(curve([1.0])).data.tolist() == [2.0]
    assert "no transmitted beam" in caplog.text
    with pytest.raises(ReductionError, match="beam transmitted by the buffer"):
        curve([3.0], trans=1.0).bkg_cor(curve([1.0]))


def test_overlaps_are_subtracted_too_or_checked() -> None:
    q = curve([1.0]).qgrid
    pair = [{"q_overlap": q, "raw_data1": np.array([5.0]), "raw_data2": np.array([6.0])}]
    sample, buffer = curve([5.0], trans=1.0), curve([1.0], trans=1.0)
    sample.overlaps, buffer.overlaps = pair, pair
    assert sample.bkg_cor(buffer, 0.5).overlaps[0]["raw_data2"].tolist() == [3.0]
    buffer.overlaps = []
    assert sample.bkg_cor(buffer).overlaps == pair
    with pytest.raises(ReductionError, match="overlaps"):
        sample.bkg_cor(buffer, check_overlap=True)


def guinier_curve() -> Data1d:
    q = np.linspace(0.005, 0.3, 200)
    counts = np.random.default_rng(0).poisson(2e4 * np.exp(-((q * 20) ** 2) / 3)).astype(float)
    return Data1d(qgrid=q, data=counts / 100, err=np.sqrt(counts) / 100, label="protein")


def test_guinier_is_fitted_and_plotted() -> None:
    d1 = guinier_curve()
    fit = d1.guinier()
    assert abs(fit.rg - 20) < 4 * fit.rg_sigma
    assert abs(fit.i0 - 200) < 4 * fit.i0_sigma
    _, axes = pyplot.subplots()
    i0, rg, (first, last) = d1.plot_Guinier(ax=axes)
    assert (i0, rg) == (fit.i0, fit.rg)
    assert (d1.qgrid[first], d1.qgrid[last - 1]) == fit.q_range
    assert axes.get_xlabel() == "q² (10⁻³ Å⁻²)"
    assert f"Rg = {rg:.2f}" in axes.get_legend().get_texts()[0].get_text()
    fixed = d1.plot_Guinier(0.01, 0.06, fix_qe=True, scale_wabs=2.0, no_plot=True)
    assert abs(fixed[0] - 400) < 5
    pyplot.close("all")


def test_curve_without_a_guinier_region_is_named() -> None:
    with pytest.raises(ReductionError, match="b: expected at least 5 points"):
        curve([1.0, 2.0], label="b").guinier()


def test_saved_curve_is_read_back_with_its_header(tmp_path: Path) -> None:
    d1 = curve([4.0, np.nan, 2.0], label="lysozyme", trans=800.0)
    d1.comments = "one\ntwo"
    d1.save(tmp_path / "c.dat")
    found = Data1d.from_file(tmp_path / "c.dat")
    assert np.allclose(found.qgrid, d1.qgrid[[0, 2]], rtol=1e-8)
    assert (found.label, found.trans, found.comments) == ("lysozyme", 800.0, "one\ntwo")
    with pytest.raises(OSError, match="missing"):
        Data1d.from_file(tmp_path / "missing.dat")
    (tmp_path / "words.dat").write_text("words")
    with pytest.raises(FileFormatError, match=r"words\.dat"):
        Data1d.from_file(tmp_path / "words.dat")


def test_uncertainty_of_the_beam_enters_a_subtraction_and_follows_the_beam() -> None:
    sample, buffer = curve([10.0], 0.3, trans=2.0), curve([4.0], 0.2, trans=4.0)
    sample.trans_sigma, buffer.trans_sigma, buffer.trans_w = 0.02, 0.08, 5.0
    less = sample.bkg_cor(buffer)
    common = 2.0 * np.hypot(0.01, 0.02)  # of the scaled buffer
    assert np.isclose(less.err[0], np.sqrt(0.3**2 + 0.1**2 + common**2))
    doubled = buffer.avg([]).scale(2)
    assert (doubled.trans, doubled.trans_sigma, doubled.trans_w) == (8.0, 0.16, 10.0)
    mean = sample.avg([buffer])
    assert mean.trans == 3.0
    assert np.isclose(mean.trans_sigma, np.hypot(0.02, 0.08) / 2)
    assert np.isnan((sample * buffer).trans_sigma)
    assert (sample * 2).trans_sigma == 0.02


def test_beam_is_given_or_found_in_the_water_peak() -> None:
    q = np.linspace(0.1, 3.0, 59)
    d1 = Data1d(qgrid=q, data=2 + q, err=np.full(59, 0.1), label="water")
    inside = (q > 1.85) & (q < 2.15)
    assert d1.set_trans("external", 50.0).trans == 50.0
    assert np.isnan(d1.trans_sigma)
    d1.set_trans("water")
    assert np.isclose(d1.trans, np.sum(2 + q[inside]))
    assert np.isclose(d1.trans_sigma, 0.1 * np.sqrt(inside.sum()))
    assert d1.trans_e == 50.0
    scaled = d1.set_trans("external", ref_trans=100.0)
    assert scaled is d1
    assert (d1.trans, d1.data[0]) == (100.0, 2 * (2 + q[0]))
    with pytest.raises(ReductionError, match="water peak"):
        curve([1.0, 2.0]).set_trans("water")
    with pytest.raises(ReductionError, match="a: expected a transmitted beam"):
        curve([1.0]).set_trans("external", ref_trans=1.0)
    with pytest.raises(ReductionError, match="transMode"):
        d1.set_trans("guess")
