"""Whether the beam's centre is where the geometry says: cuts on both sides of it, compared."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.center_fit import (
    FEWEST_BINS,
    UNKNOWN,
    FitData,
    Side,
    fit_shift,
    usable_bins,
)
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.geometry import Geometry
from h5xs_bluesky.reduction.integration.pixels import Pixels
from h5xs_bluesky.reduction.maps.sums import MapAxis, map_frame
from h5xs_bluesky.reduction.orientation import SampleOrientation
from h5xs_bluesky.reduction.similarity import run_probability

HORIZONTAL, VERTICAL = "horizontal", "vertical"

_AZIMUTHS = {HORIZONTAL: (0.0, 180.0), VERTICAL: (90.0, -90.0)}
_MOST_ROUNDS = 8
_DONE_PX = 0.02
_MOST_PX = 15.0  # further off, the cuts have nothing to do with each other


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Cuts:
    """Two cuts from the centre outwards, in opposite directions.

    Parameters
    ----------
    q : ndarray, shape (nq,)
        In Å⁻¹.
    first, second : ndarray, shape (2, nq)
        I and σ to the right and to the left, or upwards and downwards; NaN without pixels.
    bins
        Where both have pixels and one of them counted something.
    longest_run
        Bins in a row in which the difference has the same sign.
    p_value
        Probability of so long a run, or a longer one, where the cuts differ by noise alone; NaN if
        there are fewer than 10 bins.
    """

    q: NDArray[np.float64]
    first: NDArray[np.float64]
    second: NDArray[np.float64]
    bins: int
    longest_run: int
    p_value: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CenterShift:
    """How far the centre is off in one direction.

    Parameters
    ----------
    before, after
        The cuts about the centre as given, and about the suggested one.
    shift_px, sigma_px
        To be added to the centre's column (horizontal) or row (vertical), and its standard
        uncertainty; NaN where the cuts do not tell.
    chi2_reduced
        Of the fit: about 1 where both cuts are the same curve. Where it is larger, the cuts differ
        in other ways, too, and the uncertainty is larger by its root.
    """

    before: Cuts
    after: Cuts
    shift_px: float
    sigma_px: float
    chi2_reduced: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class BeamCenter:
    """What a pattern says about the centre of its beam.

    Parameters
    ----------
    center_px
        Row and column where the geometry has it; a whole number is the middle of a pixel.
    horizontal, vertical
        The shifts in column and in row.
    """

    center_px: tuple[float, float]
    horizontal: CenterShift
    vertical: CenterShift

    @property
    def suggested_px(self) -> tuple[float, float]:
        """Row and column, shifted; a direction that the cuts do not tell stays as it is."""
        row, column = self.center_px
        shifts = (self.vertical.shift_px, self.horizontal.shift_px)
        down, right = (shift if np.isfinite(shift) else 0.0 for shift in shifts)
        return row + down, column + right

    def __str__(self) -> str:
        """Tell the findings in three lines."""
        row, column = self.center_px
        lines = [f"beam centre at row {row:.2f}, column {column:.2f}"]
        for name, what, found in (
            (HORIZONTAL, "column", self.horizontal),
            (VERTICAL, "row", self.vertical),
        ):
            lines.append(f"{name}: {_told(what, found)}")
        return "\n".join(lines)


def _told(what: str, found: CenterShift) -> str:
    """Tell what two cuts say about a shift; in words where they say nothing."""
    if not found.before.bins:
        return "no bins with counts on both sides: nothing can be told"
    compared = (
        f"{_probability(found.before)} (longest run {found.before.longest_run} of "
        f"{found.before.bins})"
    )
    if not np.isfinite(found.shift_px):
        return f"{compared}; no shift of the {what} can be told from these cuts"
    return (
        f"{compared}; shift of the {what} {found.shift_px:+.3f} ± {found.sigma_px:.3f} pixels, "
        f"then {_probability(found.after)}; χ²/n = {found.chi2_reduced:.2f}"
    )


def _probability(cuts: Cuts) -> str:
    return f"p = {cuts.p_value:.3g}" if np.isfinite(cuts.p_value) else "too few bins for p"


def beam_center_px(geometry: Geometry) -> tuple[float, float]:
    """Give the row and the column where the direct beam meets the detector's plane.

    Raises
    ------
    ReductionError
        If it does not.
    """
    if max(abs(geometry.rot1_rad), abs(geometry.rot2_rad)) >= np.pi / 2:
        raise ReductionError("expected a detector that the beam meets, found one turned away")
    tan1, tan2 = np.tan(geometry.rot1_rad), np.tan(geometry.rot2_rad)
    offset1 = geometry.distance_m * tan2 / np.cos(geometry.rot1_rad)
    offset2 = -geometry.distance_m * tan1
    return (
        float((geometry.poni1_m + offset1) / geometry.pixel_size_m[0] - 0.5),
        float((geometry.poni2_m + offset2) / geometry.pixel_size_m[1] - 0.5),
    )


def check_center(
    frame: NDArray[Any],
    detector: Detector,
    *,
    q_range: tuple[float, float],
    bins: int,
    sectors: int,
    polarization: float | None,
    solid_angle: bool,
    exposures: NDArray[np.int64] | int = 1,
) -> BeamCenter:
    """Compare cuts on both sides of the beam's centre, horizontally and vertically.

    The signs of their difference are tested by the longest run (Franke et al., Nature Methods 12
    (2015) 419). The shift follows from least squares: one smooth curve, a cubic spline in q, is
    fitted to both cuts, each moved by the q that the shift means for it, and χ² is smallest for
    the shift; it grows by 1 at one standard uncertainty.

    Parameters
    ----------
    frame : ndarray, shape (H, W)
        Counts, of several frames their mean.
    detector
        Its geometry is in question.
    q_range
        Where the cuts begin and end, in Å⁻¹.
    bins
        Of each cut.
    sectors
        A quarter turn is divided by this many; each cut is one of them wide.
    polarization, solid_angle
        Corrections, as in `Pixels.from_detector`.
    exposures
        How many frames the frame is the mean of, one number or one per pixel.

    Raises
    ------
    ReductionError
        If there are no bins, sectors or range.
    """
    if bins < FEWEST_BINS or sectors < 1 or not 0 <= q_range[0] < q_range[1]:
        raise ReductionError(
            f"expected at least {FEWEST_BINS} bins in a range of q that increases, and at least "
            f"one sector in a quarter turn, found {bins}, {q_range} and {sectors}"
        )
    pixels = Pixels.from_detector(detector, polarization=polarization, solid_angle=solid_angle)
    cut = partial(
        _cut,
        frame,
        pixels,
        q_axis=MapAxis.linear(*q_range, bins),
        width_deg=90.0 / sectors,
        exposures=exposures,
    )
    sides = before = cut(detector.geometry)
    found = dict.fromkeys(before, UNKNOWN)
    shift = dict.fromkeys(before, 0.0)
    for _ in range(_MOST_ROUNDS):
        steps = {name: fit_shift(sides[name]) for name in shift}
        for name, (step, sigma, chi2) in steps.items():
            lost = not np.isfinite(step) or abs(shift[name] + step) > _MOST_PX
            shift[name] = 0.0 if lost else shift[name] + step
            found[name] = UNKNOWN if lost else (shift[name], sigma, chi2)
        sides = cut(_moved(detector.geometry, shift[VERTICAL], shift[HORIZONTAL]))
        if all(not np.isfinite(step) or abs(step) < _DONE_PX for step, _, _ in steps.values()):
            break
    shifts = {
        name: CenterShift(
            before=_compared(before[name]),
            after=_compared(sides[name]),
            shift_px=found[name][0],
            sigma_px=found[name][1],
            chi2_reduced=found[name][2],
        )
        for name in shift
    }
    return BeamCenter(
        center_px=beam_center_px(detector.geometry),
        horizontal=shifts[HORIZONTAL],
        vertical=shifts[VERTICAL],
    )


def _moved(geometry: Geometry, rows: float, columns: float) -> Geometry:
    return replace(
        geometry,
        poni1_m=geometry.poni1_m + rows * geometry.pixel_size_m[0],
        poni2_m=geometry.poni2_m + columns * geometry.pixel_size_m[1],
    )


def _cut(
    frame: NDArray[Any],
    pixels: Pixels,
    geometry: Geometry,
    *,
    q_axis: MapAxis,
    width_deg: float,
    exposures: NDArray[np.int64] | int,
) -> dict[str, tuple[Side, Side]]:
    """Cut to all four sides of a geometry's centre."""
    q, azimuth = geometry.q_map(), SampleOrientation().azimuth_deg(geometry.chi_map())
    whole = MapAxis.linear(0, 1, 1)
    number = np.broadcast_to(exposures, q.shape)
    cuts = {}
    for name, middles in _AZIMUTHS.items():
        # Moving the centre is moving the pixels the other way.
        growth = -np.gradient(q, axis=1 if name == HORIZONTAL else 0)
        sides = []
        for middle in middles:
            off = np.abs((azimuth - middle + 180) % 360 - 180)
            here = (off <= width_deg / 2) & (q >= q_axis.edges[0]) & (q < q_axis.edges[-1])
            own = _only(pixels, here)
            into = partial(map_frame, x=q[here], y=np.zeros(own.shape), x_axis=q_axis, y_axis=whole)
            sums = into(frame[here], own, exposures=number[here])
            bad = own.disqualified(frame[here])
            plain = Pixels(
                q=own.q,
                normalization=np.ones(own.shape),
                mask=own.mask if bad is None else own.mask | bad,
                any_value=True,
            )
            mean_q, q_per_px = (into(each[here], plain).mean()[0] for each in (q, growth))
            sides.append(Side(bins=q_axis.centers, q=mean_q, q_per_px=q_per_px, sums=sums))
        cuts[name] = (sides[0], sides[1])
    return cuts


def _only(pixels: Pixels, where: NDArray[np.bool_]) -> Pixels:
    """Give some of the pixels, as a list."""
    arrays = {
        name: getattr(pixels, name)[where]
        for name in ("q", "normalization", "mask", "dark", "dark_variance")
        if getattr(pixels, name) is not None
    }
    return replace(pixels, half_width=None, **arrays)


def _compared(sides: tuple[Side, Side]) -> Cuts:
    from freesas.cormap import measure_longest

    first, second = (np.stack([side.sums.mean()[0], side.sums.sem()[0]]) for side in sides)
    bins, longest, p_value = int(usable_bins(sides).sum()), 0, np.nan
    data = FitData.of(sides)
    if data is not None:
        # Pixels of the same bin have not quite the same q on both sides.
        ahead, behind = np.split(data.curves - data.fitted(0.0), 2)
        longest = int(measure_longest(np.ascontiguousarray(ahead - behind)))
        p_value = run_probability(bins, longest)
    return Cuts(
        q=sides[0].bins,
        first=first,
        second=second,
        bins=bins,
        longest_run=longest,
        p_value=p_value,
    )
