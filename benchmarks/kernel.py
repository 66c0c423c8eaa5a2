"""The loop over the pixels against pyFAI, the ancestor, and reading the frame once."""

import tempfile
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import ancestor
from benchmarks.setup import (
    BINS,
    COUNTS,
    POLARIZATION,
    SHAPE,
    cores,
    frames,
    grid,
    pixels_of,
    saxs_detector,
)
from benchmarks.timing import Figure, taking_turns
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.integration.integrate import make_integrator
from h5xs_bluesky.reduction.integration.method import Method
from h5xs_bluesky.reduction.qgrid import QGrid

Call = Callable[[], object]
Frames = Iterator[NDArray[Any]]

_FRAMES = 12  # more than the caches hold
_ALGORITHMS = ("csr", "csc", "lut", "histogram")  # of pyFAI, on the CPU


def measure(*, runs: int, budget_s: float, shape: tuple[int, int] = SHAPE) -> list[Figure]:
    """Measure what concerns one frame; `budget_s` is for all of it."""
    with tempfile.TemporaryDirectory() as folder, ancestor.running(Path(folder), shape) as theirs:
        detector, fastest = saxs_detector(shape), _fastest_pyfai(shape)
        figures = _common(detector, theirs, fastest, runs=runs, budget_s=budget_s / 2)
    return [*figures, *_general(detector, fastest, runs=runs, budget_s=budget_s / 2)]


def _common(
    detector: Detector,
    theirs: ancestor.Ancestor | None,
    fastest: str,
    *,
    runs: int,
    budget_s: float,
) -> list[Figure]:
    qgrid, shape = grid(), detector.geometry.shape
    each: Frames = cycle(frames(_FRAMES, shape=shape))
    common = taking_turns(
        {
            "ours": _ours(detector, qgrid, each),
            "pyfai": _pyfai(detector, ("no", fastest), each),
            "ancestor": theirs.load_from_2d if theirs else ancestors_way(detector, qgrid, each),
            "read": lambda: next(each).sum(dtype="i4"),  # no conversion: as fast as memory
        },
        runs=runs,
        budget_s=budget_s,
    )
    conditions = {
        "frame": f"{shape[0]} x {shape[1]} int32, Poisson counts of {COUNTS:g} on average, masked "
        "gaps, not in the caches",
        "bins": f"{BINS} of two widths up to the corners; pyFAI {BINS} of one",
        "work": "weighted, Poisson, I and sigma, negative pixels looked for",
        "cores": f"ours 1; pyFAI its default threads on {cores()}",
        **{f"{name}_ms": 1e3 * float(np.median(taken)) for name, taken in common.items()},
    }
    return [
        Figure(
            key="kernel_vs_pyfai",
            what="times faster than pyFAI's fastest method on the CPU",
            values=common["pyfai"] / common["ours"],
            target=6.0,
            conditions={**conditions, "pyfai": fastest},
        ),
        Figure(
            key="kernel_vs_py4xs",
            what="times faster than the ancestor's load_from_2D",
            values=common["ancestor"] / common["ours"],
            target=100.0,
            conditions={
                **conditions,
                "ancestor": "py4xs itself, in its own process"
                if theirs
                else "not installed: np.histogram in its manner",
            },
        ),
        Figure(
            key="kernel_vs_read",
            what="times as long as adding the frame's pixels up once (numpy's compiled sum)",
            values=common["ours"] / common["read"],
            target=4.0,
            at_least=False,
            conditions=conditions,
        ),
    ]


def _general(detector: Detector, fastest: str, *, runs: int, budget_s: float) -> list[Figure]:
    qgrid, shape = grid(), detector.geometry.shape
    stack = frames(_FRAMES, shape=shape)
    counts: Frames = cycle(stack)
    floats: Frames = cycle(stack.astype("f4"))
    methods = [
        Method(estimator=estimator, error_model=model)
        for estimator, model in (
            ("weighted", "azimuthal"),
            ("unweighted", "poisson"),
            ("unweighted", "azimuthal"),
        )
    ]
    cases: dict[str, tuple[Call, Call]] = {
        f"{method.estimator}, {method.error_model}": (
            _ours(detector, qgrid, counts, method=method),
            _pyfai(detector, ("no", fastest), counts, method=method),
        )
        for method in methods
    }
    cases["float frames"] = (
        _ours(detector, qgrid, floats),
        _pyfai(detector, ("no", fastest), floats),
    )
    cases["with dark"] = (
        _ours(detector, qgrid, counts, dark=True),
        _pyfai(detector, ("no", fastest), counts, dark=np.full(shape, 0.5)),
    )
    cases["bounding boxes"] = (
        _ours(detector, qgrid, counts, splitting="bbox"),
        _pyfai(detector, ("bbox", "csr"), counts),
    )
    work = {
        f"{side} {name}": call
        for name, pair in cases.items()
        for side, call in zip(("ours", "pyfai"), pair, strict=True)
    }
    taken = taking_turns(work, runs=runs, budget_s=budget_s)
    ratios = {name: taken[f"pyfai {name}"] / taken[f"ours {name}"] for name in cases}
    boxes = ratios.pop("bounding boxes")
    worst = min(ratios, key=lambda name: float(np.median(ratios[name])))
    conditions = {f"{name}_ms": 1e3 * float(np.median(each)) for name, each in taken.items()}
    medians = {name: float(np.median(values)) for name, values in ratios.items()}
    return [
        Figure(
            key="general_vs_pyfai",
            what="times faster than pyFAI's fastest method on the CPU: the least of the cases",
            values=ratios[worst],
            target=3.0,
            conditions={**conditions, "cases": medians, "least": worst, "pyfai": fastest},
        ),
        Figure(
            key="bbox_vs_pyfai",
            what="times faster than pyFAI's bounding-box CSR",
            values=boxes,
            target=4.0,
            conditions=conditions,
        ),
    ]


def _ours(
    detector: Detector,
    qgrid: QGrid,
    each: Frames,
    *,
    method: Method | None = None,
    splitting: str = "no",
    dark: bool = False,
) -> Call:
    pixels = pixels_of(detector, splitting=splitting, dark=dark)
    integrator = make_integrator(pixels, qgrid, method)

    def call() -> object:
        found = integrator.integrate(next(each))
        return found.intensity(), found.sigma()

    return call


def _fastest_pyfai(shape: tuple[int, int]) -> str:
    """Give the algorithm of pyFAI that is fastest here, of those that run on the CPU."""
    each: Frames = cycle(frames(2, shape=shape))
    calls = {name: _pyfai(saxs_detector(shape), ("no", name), each) for name in _ALGORITHMS}
    taken = taking_turns(calls, runs=5, budget_s=1.0)
    return min(taken, key=lambda name: float(np.median(taken[name])))


def _pyfai(
    detector: Detector,
    algorithm: tuple[str, str],
    each: Frames,
    *,
    method: Method | None = None,
    dark: NDArray[np.float64] | None = None,
) -> Call:
    from pyFAI.detectors import Detector as PyFaiDetector
    from pyFAI.integrator.azimuthal import AzimuthalIntegrator
    from pyFAI.method_registry import IntegrationMethod

    geometry, edges = detector.geometry, grid().edges
    method = Method() if method is None else method
    integrator = AzimuthalIntegrator(
        geometry.distance_m, geometry.poni1_m, geometry.poni2_m,
        detector=PyFaiDetector(*geometry.pixel_size_m, max_shape=geometry.shape, orientation=3),
        wavelength=geometry.wavelength_m,
    )  # fmt: skip
    selected = IntegrationMethod.select_one_available((*algorithm, "cython"), dim=1)
    if method.estimator == "unweighted":
        selected = selected.unweighted
    integrator.detector.mask = detector.mask.copy()  # it would look at one handed over each time

    def call() -> object:
        return integrator.integrate1d(
            next(each), BINS, dark=dark, dummy=-1.0, delta_dummy=0.5, unit="q_A^-1",
            radial_range=(edges[0], edges[-1]), error_model=method.error_model,
            polarization_factor=POLARIZATION, method=selected,
        )  # fmt: skip

    return call


def ancestors_way(
    detector: Detector, qgrid: QGrid, each: Frames
) -> Callable[[], tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Do what py4xs' `conv_Iq` does for each frame, with numpy's histograms."""
    pixels = pixels_of(detector)

    def call() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        frame = next(each)
        corrected = frame / pixels.normalization
        good = ~pixels.mask & (frame >= 0)
        q, values = pixels.q[good], corrected[good]
        number, _ = np.histogram(q, bins=qgrid.edges)
        total, _ = np.histogram(q, bins=qgrid.edges, weights=values)
        squares, _ = np.histogram(q, bins=qgrid.edges, weights=values**2)
        with np.errstate(invalid="ignore", divide="ignore"):  # bins without pixels
            mean = total / number
            return mean, np.sqrt(squares / number - mean**2) / np.sqrt(number)

    return call
