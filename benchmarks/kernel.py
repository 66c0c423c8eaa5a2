"""The loop over the pixels against pyFAI, the ancestor's way, and reading the frame once."""

from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.setup import BINS, POLARIZATION, SHAPE, frames, grid, pixels_of, saxs_detector
from benchmarks.timing import Figure, taking_turns
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.integrate import make_integrator
from h5xs_bluesky.reduction.method import Method
from h5xs_bluesky.reduction.qgrid import QGrid

Call = Callable[[], object]
Frames = Iterator[NDArray[Any]]

_FRAMES = 12  # more than the caches hold


def measure(*, runs: int, budget_s: float) -> list[Figure]:
    """Measure what concerns one frame; `budget_s` is for all of it."""
    detector, qgrid = saxs_detector(), grid()
    stack = frames(_FRAMES)
    each: Frames = cycle(stack)
    ours = _ours(detector, qgrid, each)
    theirs = _fastest_pyfai(detector, "no", each)
    common = taking_turns(
        {
            "ours": ours,
            "pyfai": theirs,
            "histogram": _ancestor(detector, qgrid, each),
            "read": lambda: next(each).sum(dtype="i4"),  # no conversion: as fast as memory
        },
        runs=runs,
        budget_s=budget_s / 2,
    )
    conditions = {
        "frame": f"{SHAPE[0]} x {SHAPE[1]} int32, new in the caches each time",
        "bins": f"{BINS} of two widths; pyFAI {BINS} of one",
        "ours_ms": 1e3 * float(np.median(common["ours"])),
        "cores": "ours 1, pyFAI its default threads",
    }
    figures = [
        Figure(
            key="kernel_vs_pyfai",
            what="times faster than pyFAI's fastest method on the CPU, weighted, Poisson",
            values=common["pyfai"] / common["ours"],
            target=6.0,
            conditions=conditions,
        ),
        Figure(
            key="kernel_vs_py4xs",
            what="times faster than numpy's histograms in the ancestor's manner",
            values=common["histogram"] / common["ours"],
            target=100.0,
            conditions={**conditions, "stands_in": "np.histogram; the ancestor is not run"},
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
    return [*figures, *_general(detector, qgrid, runs=runs, budget_s=budget_s / 2)]


def _general(detector: Detector, qgrid: QGrid, *, runs: int, budget_s: float) -> list[Figure]:
    stack = frames(_FRAMES)
    counts: Frames = cycle(stack)
    floats: Frames = cycle(stack.astype("f4"))
    azimuthal = Method(estimator="unweighted", error_model="azimuthal")
    cases: dict[str, tuple[Call, Call]] = {
        "unweighted, azimuthal": (
            _ours(detector, qgrid, counts, method=azimuthal),
            _fastest_pyfai(detector, "no", counts, error_model="azimuthal"),
        ),
        "float frames": (
            _ours(detector, qgrid, floats),
            _fastest_pyfai(detector, "no", floats),
        ),
        "with dark": (
            _ours(detector, qgrid, counts, dark=True),
            _fastest_pyfai(detector, "no", counts, dark=np.full(SHAPE, 0.5)),
        ),
        "bounding boxes": (
            _ours(detector, qgrid, counts, splitting="bbox"),
            _pyfai(detector, ("bbox", "csr", "cython"), counts),
        ),
    }
    work = {
        f"{side} {name}": call
        for name, pair in cases.items()
        for side, call in zip(("ours", "pyfai"), pair, strict=True)
    }
    taken = taking_turns(work, runs=runs, budget_s=budget_s)
    ratios = {name: taken[f"pyfai {name}"] / taken[f"ours {name}"] for name in cases}
    boxes = ratios.pop("bounding boxes")
    worst = min(ratios, key=lambda name: float(np.median(ratios[name])))
    medians = {name: float(np.median(values)) for name, values in ratios.items()}
    return [
        Figure(
            key="general_vs_pyfai",
            what="times faster than pyFAI's fastest method on the CPU: the least of the cases",
            values=ratios[worst],
            target=3.0,
            conditions={"cases": medians, "least": worst},
        ),
        Figure(
            key="bbox_vs_pyfai",
            what="times faster than pyFAI's bounding-box CSR",
            values=boxes,
            target=4.0,
            conditions={"ours_ms": 1e3 * float(np.median(taken["ours bounding boxes"]))},
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


def _fastest_pyfai(detector: Detector, splitting: str, each: Frames, **how: Any) -> Call:
    """Give the method of pyFAI that is fastest here, of those that run on the CPU."""
    algorithms = ("csr", "csc", "lut", "histogram")
    calls = {
        name: _pyfai(detector, (splitting, name, "cython"), each, **how) for name in algorithms
    }
    taken = taking_turns(calls, runs=4, budget_s=1.0)
    return calls[min(taken, key=lambda name: float(np.median(taken[name])))]


def _pyfai(detector: Detector, method: tuple[str, str, str], each: Frames, **how: Any) -> Call:
    from pyFAI.detectors import Detector as PyFaiDetector
    from pyFAI.integrator.azimuthal import AzimuthalIntegrator

    geometry = detector.geometry
    integrator = AzimuthalIntegrator(
        geometry.distance_m, geometry.poni1_m, geometry.poni2_m,
        detector=PyFaiDetector(*geometry.pixel_size_m, max_shape=geometry.shape, orientation=3),
        wavelength=geometry.wavelength_m,
    )  # fmt: skip
    options = {"error_model": "poisson", "polarization_factor": POLARIZATION, **how}
    mask = detector.mask.copy()  # on some processors pyFAI takes no read-only array

    def call() -> object:
        return integrator.integrate1d(
            next(each), BINS, mask=mask, unit="q_A^-1", radial_range=(0.01, 1.04),
            method=method, **options,
        )  # fmt: skip

    return call


def _ancestor(detector: Detector, qgrid: QGrid, each: Frames) -> Call:
    """Do what py4xs' `conv_Iq` does for each frame, with numpy's histograms."""
    pixels = pixels_of(detector)

    def call() -> object:
        frame = next(each)
        corrected = frame / pixels.normalization
        good = ~pixels.mask & (frame >= 0)
        q, values = pixels.q[good], corrected[good]
        number, _ = np.histogram(q, bins=qgrid.edges)
        total, _ = np.histogram(q, bins=qgrid.edges, weights=values)
        squares, _ = np.histogram(q, bins=qgrid.edges, weights=values**2)
        mean = total / number
        return mean, np.sqrt(squares / number - mean**2) / np.sqrt(number)

    return call
