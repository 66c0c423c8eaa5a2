"""One curve from several detectors."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.accumulators import Accumulators
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.geometry import Geometry

_SAME_SCALE = 1e-6


def merge_detectors(parts: Mapping[str, Accumulators]) -> Accumulators:
    """Add up the sums of several detectors, bin by bin.

    Each detector's scale is in its normalisation already, so that the merged intensity is the
    best estimate from Poisson counts: Σ counts over Σ normalisation of all detectors.

    Parameters
    ----------
    parts
        By extension, of the same frames and q-grid: (nq,) or (n, nq). They are added in the
        order of their names, so that the same parts give the same bits.

    Returns
    -------
    Accumulators
        A frame that is missing in one detector is missing here.

    Raises
    ------
    ReductionError
        If there is nothing to merge, or the shapes differ.
    """
    ordered = [parts[name] for name in sorted(parts)]
    shapes = {part.count.shape for part in ordered}
    if len(shapes) != 1:
        raise ReductionError(f"expected detectors of one shape to merge, found {sorted(shapes)}")
    stacked = {
        name: np.stack([getattr(part, name) for part in ordered]) for name in Accumulators.FIELDS
    }
    return Accumulators(**stacked).union()


def default_scales(geometries: Sequence[Geometry]) -> list[float]:
    """Give the scales of detectors that differ in nothing but where they stand.

    A pixel's counts are proportional to the solid angle that it covers; the scale is that of a
    pixel at the detector's PONI, relative to the first detector's.
    """
    first = geometries[0].solid_angle_at_poni()
    return [geometry.solid_angle_at_poni() / first for geometry in geometries]


def moved_detectors(
    detectors: Sequence[Detector], geometries: Mapping[str, Geometry]
) -> tuple[Detector, ...]:
    """Give detectors with new geometries, and scales that follow from them.

    A scale that is what `default_scales` gives for the old geometries follows the new ones; any
    other was fixed by somebody, and stays.

    Parameters
    ----------
    geometries
        By extension; a detector without one stays where it is.
    """
    moved = [geometries.get(detector.extension, detector.geometry) for detector in detectors]
    old = default_scales([detector.geometry for detector in detectors])
    return tuple(
        replace(
            detector,
            geometry=geometry,
            fix_scale=new if np.isclose(detector.fix_scale, was, rtol=_SAME_SCALE) else scale,
        )
        for detector, geometry, was, new, scale in zip(
            detectors,
            moved,
            old,
            default_scales(moved),
            (detector.fix_scale for detector in detectors),
            strict=True,
        )
    )
