"""What the demo promises, and whether it is so."""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky import schema
from h5xs_bluesky.api.data1d import Data1d
from h5xs_bluesky.api.h5xs import h5xs
from h5xs_bluesky.reduction.detector import Detector

RING_SPACING_PER_ANGSTROM = 0.10763  # silver behenate: 2π / 58.38 Å
RINGS = 4
_RING_TOLERANCE = 0.01
_RING_WINDOW_PER_ANGSTROM = 0.012
_DIGEST_BYTES = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One promise.

    Parameters
    ----------
    what, expected, found
        As the user reads them.
    passed
        Whether it is kept.
    """

    what: str
    expected: str
    found: str
    passed: bool


class SentFrames:
    """A callback that notes what every frame looked like when it was sent.

    Parameters
    ----------
    data_keys
        The fields that hold frames.

    Attributes
    ----------
    digests : dict
        ``digests[sample][data key]``: one digest for each frame, in order.
    """

    def __init__(self, data_keys: Collection[str]) -> None:
        self.digests: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        self._data_keys = data_keys
        self._sample = ""

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take a document."""
        if name == "start":
            self._sample = str(doc["sample_name"])
        elif name == "event":
            for key in self._data_keys:
                if key in doc["data"]:
                    self.digests[self._sample][key].append(digest(doc["data"][key]))


def digest(frame: NDArray[Any]) -> str:
    """Give a digest of a frame's dtype, shape and every bit."""
    hashed = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    hashed.update(f"{frame.dtype.str}{frame.shape}".encode())
    hashed.update(np.ascontiguousarray(frame).data)
    return hashed.hexdigest()


def check_frames(
    experiment: h5xs,
    sent: Mapping[str, Mapping[str, Sequence[str]]],
    originals: Mapping[str, Mapping[str, NDArray[Any]]],
) -> list[Check]:
    """Check that every frame is what was sent, and that parts of an exposure add up to it.

    Parameters
    ----------
    experiment
        To read.
    sent
        Digests, as `SentFrames` collects them.
    originals
        For samples and data keys the exposure that was split, where one was.
    """
    equal = total = 0
    wrong: list[str] = []
    for sample, fields in sent.items():
        for detector in experiment.detectors:
            digests = fields.get(detector.data_key, [])
            original = originals.get(sample, {}).get(detector.data_key)
            read, summed = _read_all(experiment, sample, detector, len(digests))
            equal += sum(one == other for one, other in zip(read, digests, strict=True))
            total += len(digests)
            if original is not None:
                valid = original >= 0
                if summed is None or not np.array_equal(summed[valid], original[valid]):
                    wrong.append(sample)
    checks = [
        Check(
            what="frames on disk equal those sent, bit for bit",
            expected=f"{total} frames",
            found=f"{equal} frames",
            passed=equal == total > 0,
        )
    ]
    if originals:
        checks.append(
            Check(
                what="frames add up to the exposures they are parts of",
                expected=f"{len(originals)} exposures",
                found=f"{len(originals) - len(wrong)} exposures",
                passed=not wrong,
            )
        )
    return checks


def _read_all(
    experiment: h5xs, sample: str, detector: Detector, count: int
) -> tuple[list[str], NDArray[np.int64] | None]:
    """Give the digests of a sample's frames as they are on disk, and their sum."""
    digests, summed = [], None
    for number in range(count):
        pattern = experiment.get_d2(sample, detector.extension, number)
        if isinstance(pattern, dict):
            pattern = pattern[detector.extension]
        digests.append(digest(pattern.data))
        summed = pattern.data.astype(np.int64) if summed is None else summed + pattern.data
    return digests, summed


def check_same_bits(path: Path) -> Check:
    """Check that frames reduced anew, offline, give the curves made during the scan."""
    live, offline = (h5xs(path, read_only=True) for _ in range(2))
    live.load_d1s()
    offline.load_data()
    equal = total = 0
    for sample in live.samples:
        names = [*(detector.extension for detector in live.detectors), schema.MERGED]
        for name in names:
            ours, theirs = live.d1s[sample].get(name, []), offline.d1s[sample].get(name, [])
            if isinstance(ours, list) and isinstance(theirs, list):
                total += len(theirs)
                equal += sum(_same(one, other) for one, other in zip(ours, theirs, strict=False))
    return Check(
        what="curves reduced live and offline have the same bits",
        expected=f"{total} curves",
        found=f"{equal} curves",
        passed=equal == total > 0,
    )


def _same(one: Data1d, other: Data1d) -> bool:
    pairs = ((one.data, other.data), (one.err, other.err))
    return all(mine.tobytes() == theirs.tobytes() for mine, theirs in pairs)


def check_rings(curve: Data1d) -> list[Check]:
    """Check that the first rings of silver behenate are where they belong, within 1 %."""
    checks = []
    for order in range(1, RINGS + 1):
        expected = order * RING_SPACING_PER_ANGSTROM
        found = ring_position(curve, near=expected)
        checks.append(
            Check(
                what=f"silver behenate, ring {order}",
                expected=f"{expected:.4f} Å⁻¹ ± {_RING_TOLERANCE:.0%}",
                found=f"{found:.4f} Å⁻¹ ({found / expected - 1:+.2%})",
                passed=abs(found / expected - 1) <= _RING_TOLERANCE,
            )
        )
    return checks


def ring_position(curve: Data1d, *, near: float) -> float:
    """Find a ring: the centre of gravity of what stands above a straight background.

    Parameters
    ----------
    curve
        Intensities over q.
    near
        Where it should be, in Å⁻¹.

    Returns
    -------
    float
        In Å⁻¹; NaN if nothing stands out there.
    """
    usable = np.isfinite(curve.data) & (np.abs(curve.qgrid - near) <= _RING_WINDOW_PER_ANGSTROM)
    q, intensity = curve.qgrid[usable], curve.data[usable]
    if len(q) < 5:
        return float("nan")
    edges = intensity[:2].mean(), intensity[-2:].mean()
    above = intensity - np.interp(q, [q[0], q[-1]], edges)
    ring = above > above.max() / 4
    if not above.max() > 0:
        return float("nan")
    return float(np.average(q[ring], weights=above[ring]))


@dataclass(frozen=True, kw_only=True, slots=True)
class GuinierFit:
    """A fit of ln I = ln I(0) − q² Rg² / 3.

    Parameters
    ----------
    radius_angstrom, radius_sigma_angstrom
        Rg and its standard uncertainty.
    forward, forward_sigma
        I(0), in the curve's unit, and its standard uncertainty.
    q_range
        Where it was fitted, in Å⁻¹.
    """

    radius_angstrom: float
    radius_sigma_angstrom: float
    forward: float
    forward_sigma: float
    q_range: tuple[float, float]


def fit_guinier(curve: Data1d) -> GuinierFit | None:
    """Let freesas choose the Guinier region of a curve and fit it; None where it finds none.

    Bins at the lowest q whose σ is not known, or whose intensity is not positive, are left out.
    """
    from freesas.autorg import auto_guinier

    usable = np.isfinite(curve.data) & (curve.data > 0) & (curve.err > 0)
    table = np.ascontiguousarray(
        np.column_stack([values[usable] for values in (curve.qgrid, curve.data, curve.err)])
    )
    try:
        fit = auto_guinier(table)
    except Exception:  # noqa: BLE001 - freesas raises various, also bare, errors where it fails
        return None
    if not (np.isfinite(fit.Rg) and fit.Rg > 0):
        return None
    q = table[:, 0]
    return GuinierFit(
        radius_angstrom=float(fit.Rg),
        radius_sigma_angstrom=float(fit.sigma_Rg),
        forward=float(fit.I0),
        forward_sigma=float(fit.sigma_I0),
        q_range=(float(q[fit.start_point]), float(q[fit.end_point - 1])),
    )


def check_guinier(
    fit: GuinierFit | None, *, radius_angstrom: float, tolerance_angstrom: float
) -> Check:
    """Check that the radius of gyration is what it should be."""
    found = "no Guinier region"
    if fit is not None:
        found = f"{fit.radius_angstrom:.1f} ± {fit.radius_sigma_angstrom:.1f} Å"
    return Check(
        what="radius of gyration of sample minus buffer",
        expected=f"{radius_angstrom:.1f} ± {tolerance_angstrom:.1f} Å",
        found=found,
        passed=fit is not None and abs(fit.radius_angstrom - radius_angstrom) <= tolerance_angstrom,
    )
