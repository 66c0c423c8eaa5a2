"""What the compiled loop does: runs, wide sums, the spread in one pass, any cells, free threads."""

import subprocess
import sys
import threading
import time
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import SHAPE, frames, pixels, qgrids

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.accumulators import Accumulators
from h5xs_bluesky.reduction.integration.cells import CellGrid
from h5xs_bluesky.reduction.integration.compiled import CompiledIntegrator, CompiledSharedIntegrator
from h5xs_bluesky.reduction.integration.integrate import SharedIntegrator, make_integrator
from h5xs_bluesky.reduction.integration.method import ENGINES, Method
from h5xs_bluesky.reduction.integration.pixels import Pixels
from h5xs_bluesky.reduction.integration.runs import MOST_PIXELS, Runs
from h5xs_bluesky.reduction.qgrid import QGrid

INTEGERS = ["u1", "u2", "u4", "i1", "i2", "i4"]
AZIMUTHAL = Method(estimator="unweighted", error_model="azimuthal")


def flat_pixels(shape: tuple[int, int], **changes: Any) -> Pixels:
    """Pixels whose q grows along rows, so that runs are long."""
    rng = np.random.default_rng(0)
    values: dict[str, Any] = {
        "q": np.broadcast_to(np.linspace(0, 1, shape[1]), shape),
        "normalization": rng.uniform(0.5, 2, shape),
        "mask": rng.random(shape) < 0.01,
    }
    return Pixels(**{**values, **changes})


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-1, 3), max_size=50), st.integers(1, 60))
def test_runs_cover_the_pixels_that_are_used_and_no_others(pattern: list[int], repeat: int) -> None:
    index = np.repeat(np.array(pattern, dtype=np.int32), repeat * 50)
    runs = Runs.from_index(index)
    found = np.full(index.size, -1)
    number = 0
    for start, length, count in zip(runs.start, runs.length, runs.runs, strict=True):
        assert 0 < length <= MOST_PIXELS
        before = 0
        for _ in range(count):
            stop = int(runs.stop[number])
            assert stop > before
            assert runs.first[number] == start + before
            assert (found[start + before : start + stop] == -1).all()
            found[start + before : start + stop] = runs.bin[number]
            before, number = stop, number + 1
        assert before == length
    assert number == runs.bin.size
    assert np.array_equal(found, index)
    used = np.flatnonzero(index >= 0).astype(np.uint32)
    assert np.array_equal(runs.bins_of(used), index[used])


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("columns", [1, 5, 1023, 1024, 1025, 3000])
def test_counts_of_any_size_are_added_exactly(dtype: str, columns: int) -> None:
    """Large ones need 64 bits within a run: next to each other, and next to small ones."""
    limits = np.iinfo(dtype)
    rng = np.random.default_rng(1)
    shape = (7, columns)
    frame = rng.integers(0, min(100, limits.max), shape).astype(dtype)
    frame[1] = limits.max - 2
    frame[2, ::3] = limits.max - 2
    if limits.min < 0:
        frame[3, ::2] = limits.min
    parts = flat_pixels(shape, mask=np.zeros(shape, bool))
    qgrid = QGrid.linear(0, 1, 7)
    found = CompiledIntegrator(parts, qgrid).integrate(frame)
    index = qgrid.bin_index(parts.q)
    good = frame.astype(object) >= 0
    expected = [sum(frame.astype(object)[(index == b) & good].tolist()) for b in range(7)]
    assert found.signal.tolist() == [float(value) for value in expected]
    assert found.count.tolist() == [((index == b) & good).sum() for b in range(7)]


def test_any_value_counts_where_nothing_is_left_out() -> None:
    parts = flat_pixels((3, 2000), any_value=True)
    frame = np.random.default_rng(2).integers(-100, 100, (3, 2000)).astype("i4")
    found = CompiledIntegrator(parts, QGrid.linear(0, 1, 1)).integrate(frame)
    assert found.signal[0] == frame[~parts.mask].sum()
    assert found.count[0] == (~parts.mask).sum()


@settings(max_examples=40, deadline=None)
@given(pixels(), qgrids(), st.lists(frames(), min_size=1, max_size=4))
def test_union_of_frames_is_the_frame_of_their_sums(
    pixels: Pixels, qgrid: QGrid, several: list[NDArray[np.int32]]
) -> None:
    """For frames that leave the same pixels out: counts to the bit, as integers add up."""
    out = np.any([frame < 0 for frame in several], axis=0)
    several = [np.where(out, -1, frame) for frame in several]
    integrator = CompiledIntegrator(pixels, qgrid)
    each = [integrator.integrate(frame) for frame in several]
    union = Accumulators(
        **{name: np.array([getattr(a, name) for a in each]) for name in Accumulators.FIELDS}
    ).union()
    total = integrator.integrate(np.where(out, -1, np.sum(several, axis=0)).astype("i4"))
    assert np.array_equal(union.signal, total.signal)
    assert np.array_equal(union.variance, total.variance)
    assert np.array_equal(union.count, total.count * len(several))
    assert np.allclose(union.normalization, total.normalization * len(several), rtol=1e-13)


@settings(max_examples=40, deadline=None)
@given(pixels(), qgrids(), frames(), st.sampled_from(["poisson", "azimuthal"]))
def test_frames_that_lack_the_same_pixels_differ_in_their_counts_alone(
    pixels: Pixels, qgrid: QGrid, frame: NDArray[np.int32], error_model: str
) -> None:
    """What is remembered of one frame's missing pixels is right for the next, and only for it."""
    method = Method(error_model=error_model)
    integrator = make_integrator(pixels, qgrid, method)
    other = np.where(frame[::-1] < 0, frame[::-1], frame[::-1] + 1)
    for each in (frame, frame, other, np.abs(frame), frame):
        fresh = make_integrator(pixels, qgrid, method).integrate(each)
        again = integrator.integrate(each)
        assert np.array_equal(again.to_array(), fresh.to_array(), equal_nan=True)


def test_frame_that_lacks_nearly_everything_is_reduced() -> None:
    parts = flat_pixels((40, 3000))
    frame = np.full((40, 3000), -1, "i4")
    frame[20, 1000] = 5
    for method in (Method(), AZIMUTHAL, Method(estimator="unweighted")):
        found = make_integrator(parts, QGrid.linear(0, 1, 5), method).integrate(frame)
        assert found.count.sum() == 1
        assert np.nansum(found.intensity()) > 0


def exact_spread(values: list[Fraction]) -> Fraction:
    mean = sum(values, Fraction()) / len(values)
    return sum(((value - mean) ** 2 for value in values), Fraction())


@pytest.mark.parametrize(
    ("low", "high", "hot", "why"),
    [
        (0, 3, None, "low counts"),
        (10**6, 10**6 + 3, None, "a bright bin that hardly varies: squares would cancel"),
        (10**9, 10**9 + 2, None, "a still brighter one"),
        (5, 20, 10**9, "the shift itself is a hot pixel"),
        (7, 8, None, "no variation at all"),
    ],
)
def test_spread_in_one_pass_is_that_of_exact_numbers(
    low: int, high: int, hot: int | None, why: str
) -> None:
    """With a normalisation of 1 the azimuthal variance is that of whole numbers."""
    shape = (20, 30)
    frame = np.random.default_rng(3).integers(low, high, shape).astype("i4")
    if hot is not None:
        frame[0, 0] = hot  # the first pixel of the first bin
    parts = flat_pixels(shape, normalization=np.ones(shape), mask=np.zeros(shape, bool))
    qgrid = QGrid.linear(0, 1, 3)
    index = qgrid.bin_index(parts.q)
    expected = [
        float(exact_spread([Fraction(int(v)) for v in frame[index == b]])) for b in range(3)
    ]
    for method in (AZIMUTHAL, Method(error_model="azimuthal")):
        found = CompiledSharedIntegrator(parts, qgrid, method).integrate(frame)
        assert np.allclose(found.variance, expected, rtol=1e-9, atol=0), why


@pytest.mark.parametrize("scale", [1.0, 1e4, 1e8])
def test_spread_in_one_pass_is_as_right_as_in_two(scale: float) -> None:
    """Bright frames with weights: against two passes in extended precision."""
    rng = np.random.default_rng(4)
    shape = (60, 80)
    parts = flat_pixels(shape)
    frame = rng.normal(scale * parts.normalization, np.sqrt(scale)).clip(0)
    qgrid = QGrid.linear(0, 1, 5)
    index = np.where(parts.mask, -1, qgrid.bin_index(parts.q))
    s, n = frame.astype(np.longdouble), parts.normalization.astype(np.longdouble)
    exact = [
        float(np.sum((s[i] - s[i].sum() / n[i].sum() * n[i]) ** 2))
        for i in (index == b for b in range(5))
    ]
    method = Method(error_model="azimuthal")
    one_pass = CompiledSharedIntegrator(parts, qgrid, method).integrate(frame).variance
    two_passes = SharedIntegrator(parts, qgrid, method).integrate(frame).variance
    error, reference = (np.abs(found / exact - 1).max() for found in (one_pass, two_passes))
    assert error < max(10 * reference, 1e-12)


@pytest.mark.parametrize("method", [Method(), AZIMUTHAL, Method(estimator="unweighted")])
def test_other_threads_run_while_a_frame_is_reduced(method: Method) -> None:
    """Nobody is interrupted for a minute: only who lets go of the interpreter lets others run."""
    integrator = make_integrator(flat_pixels((1000, 1000)), QGrid.linear(0, 1, 50), method)
    frame = np.random.default_rng(7).poisson(5, (1000, 1000)).astype("i4")
    turns, ended = [0], threading.Event()

    def count() -> None:
        while not ended.is_set():
            turns[0] += 1
            time.sleep(0)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(60)
    other = threading.Thread(target=count, daemon=True)
    other.start()
    try:
        before = turns[0]
        for _ in range(100):
            integrator.integrate(frame)
        after = turns[0]
    finally:
        ended.set()
        sys.setswitchinterval(interval)
        other.join()
    assert after > before


def test_first_frame_of_a_scan_loads_nothing() -> None:
    """What reduces is there once the integrator is: no module comes with the first frame."""
    code = """
import sys
import numpy as np
from h5xs_bluesky.reduction.integration.integrate import make_integrator
from h5xs_bluesky.reduction.integration.method import Method
from h5xs_bluesky.reduction.integration.pixels import Pixels
from h5xs_bluesky.reduction.qgrid import QGrid
shape = (50, 60)
pixels = Pixels(q=np.ones(shape), normalization=np.ones(shape), mask=np.zeros(shape, bool))
kinds = [Method(), Method(error_model="azimuthal"), Method(dezinger=5.0)]
made = [make_integrator(pixels, QGrid.linear(0, 2, 5), method) for method in kinds]
before = set(sys.modules)
for integrator in made:
    for dtype in ("u1", "u2", "u4", "i2", "i4", "f4"):
        integrator.integrate(np.ones(shape, dtype)).curve()
print(sorted(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class TestCells:
    """Any bin for any pixel, as maps need it."""

    shape = (50, 60)
    cells = 7 * 13

    def grid(self) -> CellGrid:
        index = np.random.default_rng(5).integers(-1, self.cells, self.shape)
        return CellGrid(index, self.cells)

    @pytest.mark.parametrize("engine", ENGINES)
    @pytest.mark.parametrize("estimator", ["weighted", "unweighted"])
    def test_sums_are_those_of_a_loop_written_out(self, engine: str, estimator: str) -> None:
        grid, parts = self.grid(), flat_pixels(self.shape)
        frame = np.random.default_rng(6).poisson(4, self.shape).astype("i4")
        frame[3, 4] = -1
        method = Method(estimator=estimator)
        found = make_integrator(parts, grid, method, engine=engine).integrate(frame)
        expected = np.zeros((5, self.cells))
        for cell, counts, norm, masked in zip(
            grid.index.flat, frame.flat, parts.normalization.flat, parts.mask.flat, strict=True
        ):
            if cell >= 0 and counts >= 0 and not masked:
                whole = estimator == "weighted"
                c, w = (1, norm) if whole else (1 / norm, 1)
                expected[:, cell] += c * counts, c**2 * counts, w, w**2, 1
        assert np.allclose(found.to_array(), expected, rtol=1e-6 if engine == "pyfai" else 1e-12)

    def test_more_cells_than_sixteen_bits_can_number(self) -> None:
        cells = 200_000
        index = np.arange(3000).reshape(self.shape) * 60
        parts = flat_pixels(self.shape, mask=np.zeros(self.shape, bool))
        found = make_integrator(parts, CellGrid(index, cells)).integrate(np.ones(self.shape, "u2"))
        assert found.count.shape == (cells,)
        assert np.array_equal(np.flatnonzero(found.count), index.ravel())

    def test_pixels_are_not_split_over_cells(self) -> None:
        parts = flat_pixels(self.shape, half_width=np.ones(self.shape))
        with pytest.raises(ReductionError, match="not split"):
            make_integrator(parts, self.grid())

    @pytest.mark.parametrize(
        ("index", "cells", "said"),
        [
            (np.zeros((2, 3)), 4, "whole numbers"),
            (np.int64(3), 4, "whole numbers"),
            (np.full((2, 3), 4), 4, "below 4"),
            (np.full((2, 3), -1), 0, "at least one"),
        ],
    )
    def test_index_that_is_none_is_refused(
        self, index: NDArray[Any], cells: int, said: str
    ) -> None:
        with pytest.raises(ReductionError, match=said):
            CellGrid(index, cells)

    def test_pixels_of_another_detector_are_refused(self) -> None:
        with pytest.raises(ReductionError, match=r"\(50, 60\).*found \(23, 31\)"):
            make_integrator(flat_pixels(SHAPE), self.grid())


@pytest.mark.parametrize(
    ("method", "split"),
    [
        (Method(error_model="azimuthal"), False),
        (AZIMUTHAL, True),
        (Method(dezinger=5.0), False),
    ],
)
def test_what_pyfai_does_otherwise_is_refused(method: Method, split: bool) -> None:
    half_width = np.full(SHAPE, 0.01) if split else None
    with pytest.raises(ReductionError, match="choose another engine"):
        make_integrator(
            flat_pixels(SHAPE, half_width=half_width), QGrid.linear(0, 1, 3), method, engine="pyfai"
        )


def test_engine_that_is_not_known_is_refused() -> None:
    with pytest.raises(ReductionError, match=r"'compiled'.*found 'gpu'"):
        make_integrator(flat_pixels(SHAPE), QGrid.linear(0, 1, 3), engine="gpu")
