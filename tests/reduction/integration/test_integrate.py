"""All integrators keep one contract; pyFAI and numpy agree with them."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fabio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import SHAPE, TILTED, frames, pixels, qgrids

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.accumulators import Accumulators
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.geometry import Geometry
from h5xs_bluesky.reduction.integration.compiled import CompiledIntegrator, CompiledSharedIntegrator
from h5xs_bluesky.reduction.integration.integrate import (
    BinnedIntegrator,
    HistogramIntegrator,
    Integrator,
    SharedIntegrator,
)
from h5xs_bluesky.reduction.integration.pixels import Pixels
from h5xs_bluesky.reduction.integration.pyfai import PyFaiIntegrator
from h5xs_bluesky.reduction.qgrid import QGrid

INTEGRATORS = [
    HistogramIntegrator,
    BinnedIntegrator,
    SharedIntegrator,
    CompiledIntegrator,
    CompiledSharedIntegrator,
    PyFaiIntegrator,
]
DTYPES = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", ">i4", ">u2", ">f4"]


@pytest.fixture(params=INTEGRATORS)
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


def plain_pixels(**changes: Any) -> Pixels:
    rng = np.random.default_rng(1)
    values: dict[str, Any] = {
        "q": rng.uniform(0, 1, SHAPE),
        "normalization": rng.uniform(0.5, 2, SHAPE),
        "mask": rng.random(SHAPE) < 0.1,
    }
    return Pixels(**{**values, **changes})


def assert_equal(first: Accumulators, second: Accumulators, *, rtol: float = 1e-12) -> None:
    for name in Accumulators.FIELDS:
        assert np.allclose(getattr(first, name), getattr(second, name), rtol=rtol, atol=1e-12), name


@settings(max_examples=60, deadline=None)
@given(pixels(), qgrids(), frames())
def test_fast_and_plain_integrator_agree(
    pixels: Pixels, qgrid: QGrid, frame: NDArray[np.int32]
) -> None:
    plain = HistogramIntegrator(pixels, qgrid).integrate(frame)
    for kind in INTEGRATORS[1:]:
        found = kind(pixels, qgrid).integrate(frame)
        assert_equal(found, plain, rtol=1e-6 if kind is PyFaiIntegrator else 1e-10)


@pytest.mark.parametrize("kind", [BinnedIntegrator, CompiledIntegrator])
@settings(max_examples=40, deadline=None)
@given(pixels(), qgrids(), frames(), st.integers(1, 5))
def test_sums_are_linear_in_the_counts(
    kind: Any, pixels: Pixels, qgrid: QGrid, frame: NDArray[np.int32], factor: int
) -> None:
    integrator = kind(pixels, qgrid)
    other = np.where(frame < 0, frame, frame[::-1, ::-1].clip(0))
    both = np.where(frame < 0, frame, factor * frame + other)
    one, two, sum_ = (integrator.integrate(each) for each in (frame, other, both))
    for name in ("signal", "variance"):
        expected = factor * getattr(one, name) + getattr(two, name)
        assert np.array_equal(getattr(sum_, name), expected), name
    for name in ("normalization", "normalization_squared", "count"):
        assert np.array_equal(getattr(sum_, name), getattr(one, name)), name


@pytest.mark.parametrize("kind", [BinnedIntegrator, CompiledIntegrator])
@settings(max_examples=40, deadline=None)
@given(pixels(), qgrids(), frames())
def test_what_a_frame_excludes_counts_as_masked_to_the_bit(
    kind: Any, pixels: Pixels, qgrid: QGrid, frame: NDArray[np.int32]
) -> None:
    masked = Pixels(q=pixels.q, normalization=pixels.normalization, mask=pixels.mask | (frame < 0))
    assert np.array_equal(
        kind(pixels, qgrid).integrate(frame).to_array(),
        kind(masked, qgrid).integrate(frame.clip(0)).to_array(),
    )


def test_frame_is_left_as_it_came(kind: Any) -> None:
    frame = np.full(SHAPE, -1, "i4")
    frame.setflags(write=False)
    assert kind(plain_pixels(), QGrid.linear(0, 1, 3)).integrate(frame).count.sum() == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_real_dtype_gives_the_sums_of_its_numbers(kind: Any, dtype: str) -> None:
    pixels = plain_pixels()
    frame = np.random.default_rng(2).integers(0, 100, SHAPE).astype(dtype)
    found = kind(pixels, QGrid.linear(0, 1, 1)).integrate(frame)
    assert found.signal[0] == frame[~pixels.mask].sum(dtype=float)
    assert found.count[0] == (~pixels.mask).sum()


@pytest.mark.parametrize(
    ("dtype", "saturation", "value", "why"),
    [
        ("i4", None, -1, "negative: a gap or a dead pixel"),
        ("i2", None, -2, "negative"),
        ("f4", None, -0.5, "negative"),
        ("f4", None, np.nan, "not a number"),
        ("f4", None, np.inf, "not finite"),
        ("u1", None, 255, "the largest value is a flag"),
        ("u2", None, 65534, "and so is the one below"),
        ("u4", None, 2**32 - 1, "in every width"),
        ("u4", 1000, 1000, "saturated"),
        ("i4", 1000, 5000, "saturated"),
    ],
)
def test_pixel_that_its_value_disqualifies_is_left_out(
    kind: Any, dtype: str, saturation: float | None, value: float, why: str
) -> None:
    pixels = plain_pixels(saturation=saturation)
    frame = np.ones(SHAPE, dtype=dtype)
    row, column = np.argwhere(~pixels.mask)[5]
    frame[row, column] = value
    masked = plain_pixels(saturation=saturation)
    masked.mask[row, column] = True
    qgrid = QGrid.linear(0, 1, 7)
    assert_equal(
        kind(pixels, qgrid).integrate(frame),
        kind(masked, qgrid).integrate(np.ones(SHAPE, dtype=dtype)),
    )


@settings(max_examples=60, deadline=None)
@given(pixels(), qgrids(), frames(), st.randoms(use_true_random=False))
def test_order_of_pixels_does_not_matter(
    pixels: Pixels, qgrid: QGrid, frame: NDArray[np.int32], random: Any
) -> None:
    """To the bit for counts, which are added as integers."""
    order = np.random.default_rng(random.randrange(2**32)).permutation(frame.size)

    def moved(array: NDArray[Any]) -> NDArray[Any]:
        return array.ravel()[order].reshape(array.shape)

    other = Pixels(
        q=moved(pixels.q), normalization=moved(pixels.normalization), mask=moved(pixels.mask)
    )
    one = CompiledIntegrator(pixels, qgrid).integrate(frame)
    two = CompiledIntegrator(other, qgrid).integrate(moved(frame))
    assert np.array_equal(one.signal, two.signal)
    assert np.array_equal(one.count, two.count)
    assert_equal(one, two)


@settings(max_examples=60, deadline=None)
@given(pixels(), qgrids(), frames())
def test_mask_takes_away_and_never_adds(
    pixels: Pixels, qgrid: QGrid, frame: NDArray[np.int32]
) -> None:
    more = Pixels(
        q=pixels.q, normalization=pixels.normalization, mask=pixels.mask | (frame % 3 == 0)
    )
    with_less = CompiledIntegrator(more, qgrid).integrate(frame)
    with_more = CompiledIntegrator(pixels, qgrid).integrate(frame)
    for name in Accumulators.FIELDS:
        assert (getattr(with_less, name) <= getattr(with_more, name) * (1 + 1e-12)).all(), name


def test_counts_are_added_exactly_beyond_what_floats_hold() -> None:
    pixels = Pixels(
        q=np.full((1000, 1000), 0.5), normalization=np.ones((1000, 1000)),
        mask=np.zeros((1000, 1000), bool),
    )  # fmt: skip
    frame = np.full((1000, 1000), 2**32 - 3, "u4")
    frame[0, 0] = 1
    found = CompiledIntegrator(pixels, QGrid.linear(0, 1, 1)).integrate(frame)
    assert int(found.signal[0]) == int(np.float64((2**32 - 3) * 999_999 + 1))


def test_largest_signed_value_is_no_flag(kind: Any) -> None:
    frame = np.full(SHAPE, np.iinfo("i4").max, "i4")
    found = kind(plain_pixels(), QGrid.linear(0, 1, 1)).integrate(frame)
    assert found.count[0] > 0


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (np.zeros((3, 4), "i4"), r"shape \(23, 31\), found \(3, 4\)"),
        (np.zeros((1, *SHAPE), "i4"), "shape"),
        (np.zeros(SHAPE, "c8"), "complex64"),
        (np.zeros(SHAPE, "O"), "object"),
    ],
)
def test_frame_that_does_not_fit_is_refused(kind: Any, frame: NDArray[Any], said: str) -> None:
    with pytest.raises(ReductionError, match=said):
        kind(plain_pixels(), QGrid.linear(0, 1, 3)).integrate(frame)


def test_bin_without_pixels_is_nan(kind: Any) -> None:
    found = kind(plain_pixels(), QGrid.linear(0, 3, 3)).integrate(np.ones(SHAPE, "i4"))
    assert np.isnan(found.intensity()).tolist() == [False, True, True]
    assert np.isnan(found.sigma()).tolist() == [False, True, True]


def test_same_frame_gives_the_same_bits_in_any_thread(kind: Any) -> None:
    integrator: Integrator = kind(plain_pixels(), QGrid.linear(0, 1, 20))
    frame = np.random.default_rng(3).poisson(5, SHAPE).astype("i4")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(integrator.integrate, [frame] * 20))
    first = found[0].to_array()
    assert all(np.array_equal(first, each.to_array()) for each in found)


@pytest.mark.parametrize("dtype", ["u2", "i4", "f4"])
def test_infinite_saturation_excludes_no_count(kind: Any, dtype: str) -> None:
    """Not even the top two values of an unsigned dtype, which are flags by default."""
    frame = np.full(SHAPE, 65535 if dtype == "u2" else 1e5, dtype)
    found = kind(plain_pixels(saturation=np.inf), QGrid.linear(0, 1, 3)).integrate(frame)
    every = kind(plain_pixels(), QGrid.linear(0, 1, 3)).integrate(np.ones(SHAPE, "i4"))
    assert found.count.tolist() == every.count.tolist()
    assert found.signal.tolist() == (every.signal * float(frame.flat[0])).tolist()


def test_results_of_one_frame_do_not_share_memory_with_the_next(kind: Any) -> None:
    integrator = kind(plain_pixels(), QGrid.linear(0, 1, 3))
    first = integrator.integrate(np.ones(SHAPE, "i4"))
    before = first.to_array()
    first.normalization[:] = 0
    again = integrator.integrate(np.ones(SHAPE, "i4"))
    assert np.array_equal(again.to_array(), before)


def test_plain_numpy_histogram_on_a_grid_of_many_widths_agrees(kind: Any) -> None:
    """I and σ on a non-uniform grid, against a histogram written out here."""
    pixels = plain_pixels()
    qgrid = QGrid.from_segments([[0.0, 0.1, 0.01], [0.1, 0.4, 0.03], [0.4, 1.0, 0.2]])
    frame = np.random.default_rng(4).poisson(20, SHAPE).astype("i4")
    good = ~pixels.mask
    counts, _ = np.histogram(pixels.q[good], qgrid.edges, weights=frame[good].astype(float))
    norms, _ = np.histogram(pixels.q[good], qgrid.edges, weights=pixels.normalization[good])
    found = kind(pixels, qgrid).integrate(frame)
    rtol = 1e-6 if kind is PyFaiIntegrator else 1e-12
    assert np.allclose(found.intensity(), counts / norms, rtol=rtol)
    assert np.allclose(found.sigma(), np.sqrt(counts) / norms, rtol=rtol)


def pyfai_result(
    geometry: Geometry, frame: NDArray[Any], mask: NDArray[np.bool_], qgrid: QGrid, **how: Any
) -> Any:
    from pyFAI.detectors import Detector as PyFaiDetector
    from pyFAI.integrator.azimuthal import AzimuthalIntegrator

    detector = PyFaiDetector(*geometry.pixel_size_m, max_shape=geometry.shape, orientation=3)
    integrator = AzimuthalIntegrator(
        geometry.distance_m, geometry.poni1_m, geometry.poni2_m,
        geometry.rot1_rad, geometry.rot2_rad, geometry.rot3_rad,
        detector=detector, wavelength=geometry.wavelength_m,
    )  # fmt: skip
    return integrator.integrate1d(
        frame,
        len(qgrid),
        mask=mask,
        unit="q_A^-1",
        radial_range=(qgrid.edges[0], qgrid.edges[-1]),
        polarization_factor=0.95,
        **how,
    )


def our_result(
    kind: Any, geometry: Geometry, frame: NDArray[Any], mask: NDArray[np.bool_], qgrid: QGrid
) -> Accumulators:
    detector = Detector(extension="_X", data_key="x", model="", geometry=geometry, mask=mask)
    pixels = Pixels.from_detector(detector, polarization=0.95, solid_angle=True)
    found: Accumulators = kind(pixels, qgrid).integrate(frame)
    return found


def assert_agrees_with_pyfai(
    kind: Any,
    geometry: Geometry,
    frame: NDArray[Any],
    mask: NDArray[np.bool_],
    qgrid: QGrid,
    method: str,
) -> None:
    """I and σ agree to 1e-6, but for the end bins, which in pyFAI also take pixels from outside.

    The compiled engines compare q in single precision: of a hundred bins a few hold a pixel more
    or less; those are left out, the pure Python engine needs no such exception.
    """
    found = our_result(kind, geometry, frame, mask, qgrid)
    theirs = pyfai_result(
        geometry, frame, mask | (frame < 0), qgrid,
        variance=frame.astype(float), method=("no", "histogram", method),
    )  # fmt: skip
    inner = (found.count > 0) & (np.arange(len(qgrid)) % (len(qgrid) - 1) > 0)
    same = found.count == theirs.count
    assert (same[inner]).mean() >= (1.0 if method == "python" else 0.95)
    compared = inner & same
    assert compared.sum() > 100
    assert np.allclose(found.intensity()[compared], theirs.intensity[compared], rtol=1e-6, atol=0)
    assert np.allclose(found.sigma()[compared], theirs.sem[compared], rtol=1e-6, atol=0)


ENGINES = pytest.mark.parametrize("method", ["python", "cython"])


@ENGINES
def test_pyfai_agrees_on_a_uniform_grid_for_a_tilted_detector(kind: Any, method: str) -> None:
    q = TILTED.q_map()
    frame = np.random.default_rng(5).poisson(30 * np.exp(-q), TILTED.shape).astype("i4")
    mask = np.random.default_rng(6).random(TILTED.shape) < 0.05
    qgrid = QGrid.linear(2.3, 6.2, 300)
    assert_agrees_with_pyfai(kind, TILTED, frame, mask, qgrid, method)


def real_pattern(folder: Path, name: str) -> tuple[Geometry, NDArray[Any], NDArray[np.bool_]]:
    geometry = Geometry.from_beam_center(
        shape=(1043, 981),
        pixel_size_m=(172e-6, 172e-6),
        distance_m=0.7505,
        beam_center_px=(319.0, 588.0),
        wavelength_m=1.445e-10,
    )
    with np.load(folder / "saxs" / "mask.npz") as file:
        mask = file["mask"]
    return geometry, fabio.open(str(folder / "saxs" / name)).data, mask


@ENGINES
@pytest.mark.parametrize("name", ["agbh.tif", "sample.tif"])
def test_pyfai_agrees_on_a_uniform_grid_for_real_frames(
    kind: Any, h5xs_data: Path, name: str, method: str
) -> None:
    geometry, frame, mask = real_pattern(h5xs_data, name)
    assert_agrees_with_pyfai(kind, geometry, frame, mask, QGrid.linear(0.012, 0.5, 300), method)


def test_pyfais_own_poisson_model_agrees_where_every_pixel_counted(kind: Any) -> None:
    frame = np.random.default_rng(9).poisson(40, TILTED.shape).clip(1).astype("i4")
    mask, qgrid = np.zeros(TILTED.shape, bool), QGrid.linear(2.6, 5.8, 250)
    ours = our_result(kind, TILTED, frame, mask, qgrid)
    theirs = pyfai_result(
        TILTED, frame, mask, qgrid, error_model="poisson", method=("no", "histogram", "python")
    )
    inner = slice(1, -1)
    assert (ours.count[inner] > 0).all()
    assert np.allclose(ours.intensity()[inner], theirs.intensity[inner], rtol=1e-6, atol=0)
    assert np.allclose(ours.sigma()[inner], theirs.sem[inner], rtol=1e-6, atol=0)


def test_pyfais_own_poisson_model_takes_no_variance_below_one() -> None:
    """Why the tests above hand it the variance: at low counts its σ is too large."""
    geometry = TILTED
    frame = np.random.default_rng(7).poisson(0.3, geometry.shape).astype("i4")
    mask = np.zeros(geometry.shape, bool)
    qgrid = QGrid.linear(2.6, 5.8, 50)
    ours = our_result(BinnedIntegrator, geometry, frame, mask, qgrid).sigma()
    theirs = pyfai_result(
        geometry, frame, mask, qgrid, error_model="poisson", method=("no", "histogram", "python")
    ).sem
    assert np.nanmedian(theirs[1:-1] / ours[1:-1]) == pytest.approx(np.sqrt(1 / 0.3), rel=0.1)


def test_sigma_is_the_scatter_of_repeated_frames_at_any_count_rate() -> None:
    """Reported σ² is the empirical variance, and I is unbiased, from 0.02 to 50 counts a pixel."""
    pixels, qgrid = plain_pixels(), QGrid.linear(0, 1, 12)
    integrator = BinnedIntegrator(pixels, qgrid)
    rng = np.random.default_rng(8)
    for rate in (0.02, 0.3, 5.0, 50.0):
        expected = rate * pixels.normalization
        repeats = [integrator.integrate(rng.poisson(expected).astype("i4")) for _ in range(1500)]
        intensity = np.array([each.intensity() for each in repeats])
        variance = np.mean([each.sigma() ** 2 for each in repeats], axis=0)
        error = intensity.std(axis=0) / np.sqrt(len(repeats))
        assert np.abs((intensity.mean(axis=0) - rate) / error).max() < 4, f"biased at {rate}"
        ratio = variance / intensity.var(axis=0)
        assert ratio.mean() == pytest.approx(1, abs=0.04), f"σ at {rate}"
