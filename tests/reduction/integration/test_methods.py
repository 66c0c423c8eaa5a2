"""Splitting, estimators, error models, dark, zingers: one contract, independent references."""

import sys
from itertools import product
from pathlib import Path
from typing import Any

import fabio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse
from strategies import SHAPE, TILTED, frames, half_widths, pixels, qgrids

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.io.geometry_files import read_poni
from h5xs_bluesky.reduction.accumulators import Accumulators
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.geometry import Geometry
from h5xs_bluesky.reduction.integration.compiled import CompiledIntegrator, CompiledSharedIntegrator
from h5xs_bluesky.reduction.integration.integrate import (
    BinnedIntegrator,
    HistogramIntegrator,
    SharedIntegrator,
    make_integrator,
)
from h5xs_bluesky.reduction.integration.method import ERROR_MODELS, ESTIMATORS, Method
from h5xs_bluesky.reduction.integration.pixels import Pixels
from h5xs_bluesky.reduction.integration.splitting import SPLITTING, split_pixels
from h5xs_bluesky.reduction.qgrid import QGrid

METHODS = [Method(estimator=e, error_model=m) for e, m in product(ESTIMATORS, ERROR_MODELS)]
IDS = [f"{m.estimator}-{m.error_model}" for m in METHODS]
GENERAL = [SharedIntegrator, CompiledSharedIntegrator]
methods = pytest.mark.parametrize("method", METHODS, ids=IDS)


def changed(pixels: Pixels, **changes: Any) -> Pixels:
    names = ("q", "normalization", "mask", "saturation", "half_width", "dark", "dark_variance")
    return Pixels(**{**{name: getattr(pixels, name) for name in names}, **changes})


def assert_same(first: Accumulators, second: Accumulators, *, rtol: float = 1e-9) -> None:
    for name in Accumulators.FIELDS:
        one, other = getattr(first, name), getattr(second, name)
        scale = np.nanmax(np.abs(other), initial=1.0)
        assert np.allclose(one, other, rtol=rtol, atol=1e-12 * scale, equal_nan=True), name


@methods
@settings(max_examples=25, deadline=None)
@given(pixels(), qgrids(), frames(), st.booleans())
def test_plain_and_general_integrator_agree(
    method: Method, pixels: Pixels, qgrid: QGrid, frame: NDArray[np.int32], dark: bool
) -> None:
    if dark:
        rng = np.random.default_rng(0)
        pixels = changed(
            pixels, dark=rng.uniform(0, 2, SHAPE), dark_variance=rng.uniform(0, 0.5, SHAPE)
        )
    plain = HistogramIntegrator(pixels, qgrid, method).integrate(frame)
    for kind in GENERAL:
        assert_same(kind(pixels, qgrid, method).integrate(frame), plain)


@methods
@settings(max_examples=25, deadline=None)
@given(pixels(), half_widths(), qgrids(), frames())
def test_compiled_and_sparse_integrator_agree_on_split_pixels(
    method: Method,
    pixels: Pixels,
    half_width: NDArray[np.float64],
    qgrid: QGrid,
    frame: NDArray[np.int32],
) -> None:
    split = changed(pixels, half_width=half_width)
    one, other = (kind(split, qgrid, method).integrate(frame) for kind in GENERAL)
    assert_same(one, other)


@settings(max_examples=25, deadline=None)
@given(pixels(), qgrids(), frames())
def test_common_case_agrees_with_the_general_one(
    pixels: Pixels, qgrid: QGrid, frame: NDArray[np.int32]
) -> None:
    assert_same(
        SharedIntegrator(pixels, qgrid).integrate(frame),
        BinnedIntegrator(pixels, qgrid).integrate(frame),
    )


@pytest.mark.parametrize(
    ("engine", "common", "with_dark", "general"),
    [
        ("compiled", CompiledIntegrator, CompiledIntegrator, CompiledSharedIntegrator),
        ("numpy", BinnedIntegrator, SharedIntegrator, SharedIntegrator),
    ],
)
def test_fastest_integrator_that_will_do_is_chosen(
    engine: str, common: type, with_dark: type, general: type
) -> None:
    pixels = Pixels(q=np.ones(SHAPE), normalization=np.ones(SHAPE), mask=np.zeros(SHAPE, bool))
    qgrid = QGrid.linear(0, 1, 3)
    dark = changed(pixels, dark=np.ones(SHAPE))
    boxes = changed(pixels, half_width=np.ones(SHAPE))
    assert isinstance(make_integrator(pixels, qgrid, engine=engine), common)
    assert isinstance(make_integrator(dark, qgrid, engine=engine), with_dark)
    assert isinstance(make_integrator(boxes, qgrid, engine=engine), general)
    for method in METHODS[1:]:
        assert isinstance(make_integrator(pixels, qgrid, method, engine=engine), general)


def test_package_without_the_compiled_loop_says_so_and_works(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "h5xs_bluesky.reduction.integration.compiled", None)
    pixels = Pixels(q=np.ones(SHAPE), normalization=np.ones(SHAPE), mask=np.zeros(SHAPE, bool))
    assert isinstance(make_integrator(pixels, QGrid.linear(0, 2, 3)), BinnedIntegrator)
    assert "Install a C compiler" in caplog.text


def test_grid_may_have_very_many_bins() -> None:
    q = np.linspace(0, 2, SHAPE[0] * SHAPE[1]).reshape(SHAPE)
    pixels = Pixels(q=q, normalization=np.ones(SHAPE), mask=np.zeros(SHAPE, bool))
    qgrid = QGrid.linear(0, 2, 70_000)
    frame = np.random.default_rng(0).poisson(5, SHAPE)
    one, other = (
        make_integrator(pixels, qgrid, engine=engine).integrate(frame)
        for engine in ("compiled", "numpy")
    )
    assert_same(one, other)


@methods
@settings(max_examples=20, deadline=None)
@given(pixels(), half_widths(), qgrids(), frames())
def test_what_a_frame_excludes_counts_as_masked_to_the_bit(
    method: Method,
    pixels: Pixels,
    half_width: NDArray[np.float64],
    qgrid: QGrid,
    frame: NDArray[np.int32],
) -> None:
    split = changed(pixels, half_width=half_width)
    masked = changed(split, mask=split.mask | (frame < 0))
    for kind in GENERAL:
        one = kind(split, qgrid, method).integrate(frame)
        other = kind(masked, qgrid, method).integrate(frame.clip(0))
        assert np.array_equal(one.to_array(), other.to_array(), equal_nan=True)


# Splitting.


@settings(max_examples=60, deadline=None)
@given(pixels(), half_widths(), st.lists(st.floats(0.001, 0.3), min_size=1, max_size=30))
def test_grid_that_covers_all_pixels_counts_each_of_them_once(
    pixels: Pixels, half_width: NDArray[np.float64], widths: list[float]
) -> None:
    inner = np.cumsum([0.0, *widths])
    qgrid = QGrid.from_edges(np.append(inner, max(inner[-1], 1.3) + 0.1))
    shares = split_pixels(pixels.q, half_width, mask=pixels.mask, qgrid=qgrid)
    total = np.bincount(shares.pixel, weights=shares.share, minlength=pixels.q.size)
    assert np.allclose(total, ~pixels.mask.ravel(), rtol=1e-9)
    assert (np.diff(shares.pixel) >= 0).all()
    assert ((shares.share > 0) & (shares.share <= 1)).all()


def test_shares_of_a_pixel_are_the_overlaps_of_its_box() -> None:
    qgrid = QGrid.from_edges([1.0, 2.0, 2.5, 4.0])
    shares = split_pixels(
        np.array([[2.0, 0.9, 4.2, 9.0]]),
        np.array([[1.0, 0.2, 0.4, 0.1]]),
        mask=np.zeros((1, 4), bool),
        qgrid=qgrid,
    )
    found = list(zip(shares.pixel.tolist(), shares.bin.tolist(), shares.share, strict=True))
    assert found == [
        (0, 0, pytest.approx(0.5)), (0, 1, pytest.approx(0.25)), (0, 2, pytest.approx(0.25)),
        (1, 0, pytest.approx(0.25)),  # three quarters lie below the grid
        (2, 2, pytest.approx(0.25)),  # and here above
    ]  # fmt: skip


def test_pixel_in_the_beam_ends_at_zero() -> None:
    shares = split_pixels(
        np.array([[0.1]]), np.array([[0.3]]), mask=np.zeros((1, 1), bool),
        qgrid=QGrid.from_edges([0.0, 0.2, 0.5]),
    )  # fmt: skip
    assert shares.share.tolist() == pytest.approx([0.5, 0.5])


def test_boxes_without_width_are_no_splitting() -> None:
    rng = np.random.default_rng(0)
    q, mask = rng.uniform(0, 1, SHAPE), rng.random(SHAPE) < 0.1
    qgrid = QGrid.linear(0.1, 0.9, 17)
    with_boxes = split_pixels(q, np.zeros(SHAPE), mask=mask, qgrid=qgrid)
    without = split_pixels(q, None, mask=mask, qgrid=qgrid)
    assert np.array_equal(with_boxes.pixel, without.pixel)
    assert np.array_equal(with_boxes.bin, without.bin)


def test_half_width_that_is_no_length_is_refused() -> None:
    bad = np.full(SHAPE, np.nan)
    with pytest.raises(ReductionError, match="half widths"):
        split_pixels(np.ones(SHAPE), bad, mask=np.zeros(SHAPE, bool), qgrid=QGrid.linear(0, 1, 2))


def overlap_matrix(pixels: Pixels, qgrid: QGrid) -> NDArray[np.float64]:
    """Shares (bins, pixels), pixel by pixel and bin by bin, as a dense matrix."""
    q, d = pixels.q.ravel(), pixels.half_width.ravel()  # type: ignore[union-attr]
    low, high = np.maximum(q - d, 0), q + d
    edges = qgrid.edges[:, np.newaxis]
    overlap = np.minimum(high, edges[1:]) - np.maximum(low, edges[:-1])
    return overlap.clip(0) / (high - low) * ~pixels.mask.ravel()


@methods
def test_sparse_matrix_reference_agrees_on_a_grid_of_many_widths(method: Method) -> None:
    """I and σ from a matrix made independently, on bins of widths from 0.002 to 0.05."""
    rng = np.random.default_rng(1)
    shape = (60, 50)
    qgrid = QGrid.from_segments([[0.1, 0.2, 0.002], [0.2, 0.5, 0.01], [0.5, 0.9, 0.05]])
    pixels = Pixels(
        q=rng.uniform(0.02, 1, shape),
        normalization=rng.uniform(0.5, 2, shape),
        mask=rng.random(shape) < 0.1,
        half_width=rng.uniform(0.001, 0.02, shape),
    )
    frame = rng.poisson(20 * pixels.normalization).astype("i4")
    matrix = sparse.csr_array(overlap_matrix(pixels, qgrid))
    s, n = frame.ravel().astype(float), pixels.normalization.ravel()
    v = s.copy()
    if method.estimator == "unweighted":
        s, v, n = s / n, v / n**2, np.ones_like(n)
    intensity = (matrix @ s) / (matrix @ n)
    if method.error_model == "azimuthal":
        dense = matrix.toarray()
        variance = (dense**2 * (s - np.outer(intensity, n)) ** 2).sum(axis=1)
    else:
        variance = matrix.multiply(matrix) @ v
    for kind in GENERAL:
        found = kind(pixels, qgrid, method).integrate(frame)
        assert np.allclose(found.intensity(), intensity, rtol=1e-10)
        assert np.allclose(found.sigma(), np.sqrt(variance) / (matrix @ n), rtol=1e-10)


# Agreement with pyFAI.


def pyfai(
    frame: NDArray[Any],
    mask: NDArray[np.bool_],
    qgrid: QGrid,
    *,
    method: tuple[str, str, str],
    weighted: bool = True,
    geometry: Geometry = TILTED,
    **how: Any,
) -> Any:
    from pyFAI.detectors import Detector as PyFaiDetector
    from pyFAI.integrator.azimuthal import AzimuthalIntegrator
    from pyFAI.method_registry import IntegrationMethod

    registered = IntegrationMethod.select_one_available(method, dim=1)

    integrator = AzimuthalIntegrator(
        geometry.distance_m, geometry.poni1_m, geometry.poni2_m,
        geometry.rot1_rad, geometry.rot2_rad, geometry.rot3_rad,
        detector=PyFaiDetector(*geometry.pixel_size_m, max_shape=geometry.shape, orientation=3),
        wavelength=geometry.wavelength_m,
    )  # fmt: skip
    registered.weighted_average = weighted  # of the one object that all calls share
    try:
        return integrator.integrate1d(
            frame,
            len(qgrid),
            mask=mask,
            unit="q_A^-1",
            radial_range=(qgrid.edges[0], qgrid.edges[-1]),
            polarization_factor=0.95,
            method=registered,
            **how,
        )
    finally:
        registered.weighted_average = True


def comparable(ours: Accumulators, theirs: Any) -> NDArray[np.bool_]:
    """Tell which bins hold the same pixels: pyFAI bins q, and shares pixels, in single precision.

    The end bins are left out, and those that counted nothing, or hold a single pixel.
    """
    inner = np.arange(ours.count.size) % (ours.count.size - 1) > 0
    same = np.isclose(ours.count, theirs.count, rtol=1e-5)
    assert same[inner & (ours.count > 0)].mean() > 0.95
    return inner & same & (ours.count > 1.5) & (ours.signal > 0)


def differences(
    frame: NDArray[Any],
    qgrid: QGrid,
    *,
    method: Method,
    splitting: str,
    engine: tuple[str, str],
    **parts: Any,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the relative differences of I and σ from pyFAI's in the bins that can be compared."""
    detector = Detector(extension="_X", data_key="x", model="", **parts)
    pixels = Pixels.from_detector(
        detector, polarization=0.95, solid_angle=True, splitting=splitting
    )
    ours = make_integrator(pixels, qgrid, method).integrate(frame)
    how: dict[str, Any] = {"error_model": "azimuthal"}
    if method.error_model == "poisson":  # pyFAI's own model takes no variance below 1
        dark_variance = parts.get("dark_variance", np.zeros(frame.shape))
        how = {"variance": frame.astype(float) + dark_variance}
    theirs = pyfai(  # on some processors it takes no read-only arrays, as the detector's are
        frame, parts["mask"], qgrid, method=(splitting, *engine), geometry=detector.geometry,
        weighted=method.estimator == "weighted",
        flat=parts.get("flat"), dark=parts.get("dark"), **how,
    )  # fmt: skip
    same = comparable(ours, theirs)
    return (
        np.abs(ours.intensity()[same] / theirs.intensity[same] - 1),
        np.abs(ours.sigma()[same] / theirs.sem[same] - 1),
    )


@pytest.fixture(scope="module")
def saxs(h5xs_data: Path) -> dict[str, Any]:
    """A real frame of a Pilatus 1M with a flat: geometry, mask, flat, frame."""
    frame = fabio.open(str(h5xs_data / "saxs" / "sample.tif")).data
    with np.load(h5xs_data / "saxs" / "mask.npz") as file:
        mask = file["mask"] | (frame < 0)
    geometry = Geometry.from_beam_center(
        shape=frame.shape,
        pixel_size_m=(172e-6, 172e-6),
        distance_m=0.7505,
        beam_center_px=(319.0, 588.0),
        wavelength_m=1.445e-10,
    )
    flat = np.random.default_rng(0).uniform(0.8, 1.2, frame.shape)
    return {"frame": frame, "mask": mask, "geometry": geometry, "flat": flat}


COMPILED, PYTHON = ("histogram", "cython"), ("csr", "python")
SPARSE = ("csr", "cython")

AGREEMENT = [
    # splitting, estimator, error model, engine, largest difference of I, of σ, what limits it
    ("no", "weighted", "poisson", COMPILED, 1e-6, 1e-6, "nothing"),
    ("no", "unweighted", "poisson", COMPILED, 1e-6, 1e-6, "nothing"),
    ("no", "unweighted", "azimuthal", COMPILED, 1e-6, 1e-6, "nothing"),
    ("no", "weighted", "azimuthal", PYTHON, 5e-6, 5e-6, "this engine's single precision"),
    ("bbox", "weighted", "poisson", SPARSE, 1e-6, 4e-6, "shares in single precision"),
    ("bbox", "unweighted", "poisson", SPARSE, 1e-6, 4e-6, "shares in single precision"),
    ("bbox", "weighted", "azimuthal", SPARSE, 1e-6, 0.05, "pyFAI's formula for azimuthal"),
    ("bbox", "unweighted", "azimuthal", SPARSE, 1e-6, 0.05, "pyFAI's formula for azimuthal"),
]


@pytest.mark.parametrize(
    ("splitting", "estimator", "errors", "engine", "of_i", "of_sigma", "limit"), AGREEMENT
)
def test_pyfai_agrees_on_a_uniform_grid(
    saxs: dict[str, Any],
    splitting: str,
    estimator: str,
    errors: str,
    engine: tuple[str, str],
    of_i: float,
    of_sigma: float,
    limit: str,
) -> None:
    """To 1e-6 but for the exceptions in the table.

    Where pixels weigh differently, pyFAI's compiled engines sum the azimuthal variance in one
    pass, by a recurrence whose result depends on the order of the pixels; its Python engine takes,
    for split pixels, their distance from a mean over bins. Ours is Σ c² (s − I n)² itself, which
    the sparse-matrix reference above confirms.
    """
    intensity, sigma = differences(
        qgrid=QGrid.linear(0.015, 0.45, 300),
        method=Method(estimator=estimator, error_model=errors),
        splitting=splitting,
        engine=engine,
        **saxs,
    )
    assert intensity.size > 280
    assert intensity.max() < of_i, limit
    assert sigma.max() < of_sigma, limit
    assert np.median(intensity) < 1e-6
    if errors == "poisson" or splitting == "no":
        assert np.median(sigma) < 1e-6


def test_pyfais_one_pass_azimuthal_variance_depends_on_the_order_of_pixels(
    saxs: dict[str, Any],
) -> None:
    """Why the table has exceptions: its two engines differ from each other by more."""
    method, qgrid = Method(error_model="azimuthal"), QGrid.linear(0.015, 0.45, 300)
    _, compiled = differences(qgrid=qgrid, method=method, splitting="no", engine=COMPILED, **saxs)
    _, python = differences(qgrid=qgrid, method=method, splitting="no", engine=PYTHON, **saxs)
    assert np.median(compiled) > 1e-3
    assert np.median(python) < 1e-6


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(
    "method", [method for method in METHODS if method != Method(error_model="azimuthal")]
)
def test_pyfai_agrees_for_a_tilted_detector(method: Method, dark: bool) -> None:
    rng = np.random.default_rng(6)
    parts: dict[str, Any] = {
        "geometry": TILTED,
        "mask": rng.random(TILTED.shape) < 0.05,
        "flat": rng.uniform(0.8, 1.2, TILTED.shape),
    }
    counts = 30 * np.exp(-TILTED.q_map() / 5)
    if dark:
        parts["dark"] = rng.uniform(1, 3, TILTED.shape)
        parts["dark_variance"] = parts["dark"] / 10
        counts = counts + parts["dark"]
    intensity, sigma = differences(
        rng.poisson(counts).astype("i4"), QGrid.linear(2.3, 6.2, 200),
        method=method, splitting="no", engine=COMPILED, **parts,
    )  # fmt: skip
    assert intensity.size > 150
    assert max(intensity.max(), sigma.max()) < 1e-6


def test_pyfai_counts_pixels_beyond_the_range_in_the_end_bins() -> None:
    """Why the comparison leaves them out, and why ours do not."""
    frame, mask = np.ones(TILTED.shape, "i4"), np.zeros(TILTED.shape, bool)
    qgrid = QGrid.linear(3.0, 5.0, 100)
    detector = Detector(extension="_X", data_key="x", model="", geometry=TILTED, mask=mask)
    pixels = Pixels.from_detector(detector, polarization=0.95, solid_angle=True, splitting="bbox")
    ours = SharedIntegrator(pixels, qgrid).integrate(frame)
    theirs = pyfai(frame, mask, qgrid, method=("bbox", "csr", "cython"))
    wider = QGrid.linear(2.98, 5.02, 102)
    true = SharedIntegrator(pixels, wider).integrate(frame).count[1:-1]
    assert np.allclose(ours.count, true, rtol=1e-9)
    for end in (0, -1):
        assert theirs.count[end] > 1.05 * true[end]


def test_powder_pattern_of_an_independent_program_is_reproduced(h5xs_data: Path) -> None:
    """Dioptas' pattern of CeO2: bins of 2θ, bounding boxes, negative pixels taken for counts."""
    folder = h5xs_data / "ceo2"
    geometry = read_poni(folder / "ceo2.poni", shape=(1043, 981))
    two_theta, reference = np.loadtxt(folder / "ceo2_reference.xy", unpack=True)
    step = (two_theta[-1] - two_theta[0]) / (two_theta.size - 1)
    edges = np.append(two_theta - step / 2, two_theta[-1] + step / 2).clip(0)
    pixels = Pixels(
        q=np.degrees(geometry.two_theta_map()),
        normalization=geometry.solid_angle_map() * geometry.polarization_map(0.99),
        mask=np.zeros(geometry.shape, bool),
        half_width=np.degrees(geometry.two_theta_half_width_map()),
        any_value=True,
    )
    frame = fabio.open(str(folder / "ceo2.tif")).data[::-1]
    found = make_integrator(pixels, QGrid.from_edges(edges)).integrate(frame).intensity()
    difference = np.abs(found / reference - 1)
    assert np.median(difference) < 1e-5
    assert np.median(difference) < 1e-6, "what was reached"
    assert (difference < 1e-4).mean() > 0.995


# Uncertainties.


@methods
@pytest.mark.parametrize("splitting", SPLITTING)
@pytest.mark.parametrize("rate", [0.02, 0.5, 20.0])
def test_intensity_is_unbiased_and_sigma_is_the_scatter_of_repeats(
    method: Method, splitting: str, rate: float
) -> None:
    """Split pixels correlate neighbouring bins; each bin's own σ is right all the same."""
    rng = np.random.default_rng(8)
    normalization = rng.uniform(0.7, 1.3, SHAPE)
    pixels = Pixels(
        q=rng.uniform(0, 1, SHAPE),
        normalization=normalization,
        mask=np.zeros(SHAPE, bool),
        half_width=rng.uniform(0.005, 0.03, SHAPE) if splitting == "bbox" else None,
        dark=np.full(SHAPE, 0.3),
        dark_variance=np.zeros(SHAPE),
    )
    integrator = make_integrator(pixels, QGrid.linear(0, 1, 6), method)
    expected = rate * normalization + 0.3
    repeats = [integrator.integrate(rng.poisson(expected).astype("i4")) for _ in range(1200)]
    intensity = np.array([each.intensity() for each in repeats])
    variance = np.mean([each.sigma() ** 2 for each in repeats], axis=0)
    error = intensity.std(axis=0) / np.sqrt(len(repeats))
    assert np.abs((intensity.mean(axis=0) - rate) / error).max() < 4
    ratio = variance / intensity.var(axis=0)
    assert ratio.mean() == pytest.approx(1, abs=0.05)


def test_single_pixel_has_no_azimuthal_sigma() -> None:
    """It is not known, rather than 0."""
    pixels = Pixels(
        q=np.array([[0.5, 1.5, 1.6]]), normalization=np.ones((1, 3)), mask=np.zeros((1, 3), bool)
    )
    method = Method(error_model="azimuthal")
    for kind in (HistogramIntegrator, *GENERAL):
        found = kind(pixels, QGrid.linear(0, 2, 2), method).integrate(np.array([[4, 5, 7]]))
        assert found.intensity().tolist() == [4, 6]
        assert np.isnan(found.sigma()).tolist() == [True, False]


def test_flat_that_is_not_positive_masks_its_pixel() -> None:
    flat = np.full(TILTED.shape, 2.0)
    flat[0, :3] = 0.0, -1.0, np.nan
    dark = np.zeros(TILTED.shape)
    dark[1, 1] = np.inf
    detector = Detector(
        extension="_X", data_key="x", model="", geometry=TILTED,
        mask=np.zeros(TILTED.shape, bool), flat=flat, dark=dark,
    )  # fmt: skip
    found = Pixels.from_detector(detector, polarization=None, solid_angle=False)
    assert np.argwhere(found.mask).tolist() == [[0, 0], [0, 1], [0, 2], [1, 1]]
    assert (found.normalization[~found.mask] == 2).all()


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"flat": np.ones((2, 2))}, "flat of shape"),
        ({"dark_variance": np.ones(TILTED.shape)}, "expected a dark with dark_variance"),
    ],
)
def test_corrections_that_do_not_fit_are_refused(changes: dict[str, Any], word: str) -> None:
    with pytest.raises(ReductionError, match=word):
        Detector(
            extension="_X", data_key="x", model="", geometry=TILTED,
            mask=np.zeros(TILTED.shape, bool), **changes,
        )  # fmt: skip


# Zingers.


def ring_pixels(shape: tuple[int, int] = (300, 300)) -> Pixels:
    rng = np.random.default_rng(3)
    row, column = np.indices(shape)
    return Pixels(
        q=np.hypot(row - 150, column - 150) / 150,
        normalization=rng.uniform(0.8, 1.2, shape),
        mask=rng.random(shape) < 0.02,
    )


@pytest.mark.parametrize("rate", [0.02, 0.3, 2.0, 50.0])
def test_dezingering_takes_zingers_and_leaves_the_rest(rate: float) -> None:
    """At 6 standard deviations I is changed by less than a tenth of its σ where there are none."""
    rng = np.random.default_rng(4)
    pixels, qgrid = ring_pixels(), QGrid.linear(0.05, 1.3, 25)
    frame = rng.poisson(rate * pixels.normalization).astype("i4")
    plain = SharedIntegrator(pixels, qgrid).integrate(frame)
    cleaner = SharedIntegrator(pixels, qgrid, Method(dezinger=6.0))
    clean = cleaner.integrate(frame)
    assert (plain.count - clean.count).sum() <= 2
    change = np.abs(clean.intensity() - plain.intensity()) / plain.sigma()
    assert np.nanmax(change) < 0.1
    struck = frame.copy()
    where = rng.random(frame.shape) < 0.001
    struck[where] += rng.integers(200, 5000, where.sum())
    found = cleaner.integrate(struck)
    hit = np.abs(found.intensity() - plain.intensity()) / plain.sigma()
    assert np.nanmax(hit) < 1.0
    without = SharedIntegrator(pixels, qgrid).integrate(struck)
    assert np.nanmax(np.abs(without.intensity() - plain.intensity()) / plain.sigma()) > 10


def test_dezingering_spares_a_bin_whose_intensity_varies() -> None:
    """A wide bin on a steep profile, and a textured ring, are wider than counting statistics."""
    rng = np.random.default_rng(5)
    pixels = ring_pixels()
    row, column = np.indices(pixels.shape)
    texture = 1 + 0.8 * np.cos(2 * np.arctan2(row - 150, column - 150))
    frame = rng.poisson(1000 * texture * pixels.normalization).astype("i4")
    qgrid = QGrid.linear(0.1, 1.0, 5)
    plain = SharedIntegrator(pixels, qgrid).integrate(frame)
    clean = SharedIntegrator(pixels, qgrid, Method(dezinger=6.0)).integrate(frame)
    assert np.array_equal(plain.count, clean.count)


def test_plain_integrator_takes_the_same_zingers() -> None:
    rng = np.random.default_rng(6)
    pixels, qgrid = ring_pixels(), QGrid.linear(0.05, 1.3, 25)
    frame = rng.poisson(3 * pixels.normalization).astype("i4")
    frame[rng.random(frame.shape) < 0.01] = 400
    frame[rng.random(frame.shape) < 0.01] = -1
    method = Method(dezinger=5.0)
    one = SharedIntegrator(pixels, qgrid, method).integrate(frame)
    assert_same(one, HistogramIntegrator(pixels, qgrid, method).integrate(frame))
    assert_same(one, CompiledSharedIntegrator(pixels, qgrid, method).integrate(frame))
    assert one.signal.sum() < 0.9 * SharedIntegrator(pixels, qgrid).integrate(frame).signal.sum()


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"estimator": "median"}, "estimator"),
        ({"error_model": "none"}, "error_model"),
        ({"dezinger": 0.0}, "positive dezinger"),
    ],
)
def test_method_that_is_not_known_is_refused(values: dict[str, Any], word: str) -> None:
    with pytest.raises(ReductionError, match=word):
        Method(**values)
