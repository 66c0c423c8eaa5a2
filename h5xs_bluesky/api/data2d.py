"""One scattering pattern, with the detector that took it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from h5xs_bluesky.api.map2d import TURN_DEG, Map2d
from h5xs_bluesky.config.options import ReductionOptions
from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.integration.pixels import Pixels
from h5xs_bluesky.reduction.maps.sums import MapAxis, add_sums, map_frame

Q_LABEL, PHI_LABEL = "q (Å⁻¹)", "φ (°)"
QX_LABEL, QY_LABEL = "qx (Å⁻¹)", "qy (Å⁻¹)"
QR_LABEL, QN_LABEL = "qr (Å⁻¹)", "qn (Å⁻¹)"

_LABELS = {
    "qphi": (Q_LABEL, PHI_LABEL),
    "qxy": (QX_LABEL, QY_LABEL),
    "qrqn": (QR_LABEL, QN_LABEL),
}
_Coordinates = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(kw_only=True, eq=False)
class Data2d:
    """One frame, or the mean of several.

    Parameters
    ----------
    data : ndarray, shape (H, W)
        The counts as the detector sent them, masked and negative pixels included. Of several
        frames the mean over those that count; NaN where none does.
    detector
        Its geometry.
    label
        Names it in plots.
    md
        Metadata; ``"frame #"`` is its place among the sample's frames.
    exposures
        How many frames the data are the mean of: one number, or one for each pixel.
    reduction
        Which corrections maps get: those of the curves.

    Raises
    ------
    ReductionError
        If the data are no picture.
    """

    data: NDArray[Any]
    detector: Detector
    label: str = ""
    md: dict[str, Any] = field(default_factory=dict)
    exposures: NDArray[np.int64] | int = 1
    reduction: ReductionOptions = field(default_factory=ReductionOptions)

    def __post_init__(self) -> None:
        if np.ndim(self.data) != 2:
            raise ReductionError(
                f"{self.label}: expected a frame (H, W), found shape {np.shape(self.data)}"
            )

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The detector's mask (H, W): True where a pixel is excluded from every frame."""
        return self.detector.mask

    @property
    def excluded(self) -> NDArray[np.bool_]:
        """What counts for nothing (H, W): masked, negative, saturated, not finite."""
        pixels = self.pixels
        bad = pixels.disqualified(self.data)
        return pixels.mask if bad is None else pixels.mask | bad

    @property
    def pixels(self) -> Pixels:
        """What is known of the pixels; computed anew at each use."""
        return Pixels.from_detector(
            self.detector,
            polarization=self.reduction.polarization,
            solid_angle=self.reduction.solid_angle,
        )

    def coordinates(self, kind: str) -> _Coordinates:
        """Give two coordinates of each pixel, (H, W).

        Parameters
        ----------
        kind
            ``"qphi"``: q in Å⁻¹ and φ in degrees from −180; ``"qxy"``: q cos φ and q sin φ;
            ``"qrqn"``: along a surface in grazing incidence and along its normal
            (`SampleOrientation.surface_coordinates`), all in Å⁻¹.

        Returns
        -------
        tuple of ndarray
            Two arrays of the frame's shape (H, W).

        Raises
        ------
        ReductionError
            If the kind is not known, or the detector has no incident angle for ``"qrqn"``.
        """
        if kind not in _LABELS:
            raise ReductionError(f"expected coordinates of {list(_LABELS)}, found {kind!r}")
        geometry, orientation = self.detector.geometry, self.detector.orientation
        q, phi = geometry.q_map(), orientation.azimuth_deg(geometry.chi_map())
        if kind == "qphi":
            return q, phi
        if kind == "qxy":
            return q * np.cos(np.radians(phi)), q * np.sin(np.radians(phi))
        return orientation.surface_coordinates(
            q=q, azimuth_deg=phi, wavelength_m=geometry.wavelength_m
        )

    def to_qphi(self, Nq: int | ArrayLike = 200, Nphi: int | ArrayLike = 60) -> Map2d:  # noqa: N803
        """Give the map in q and φ; see `map_qphi`.

        Parameters
        ----------
        Nq, Nphi
            Numbers of cells, or their centres in Å⁻¹ and degrees.

        Returns
        -------
        Map2d
            Intensities with standard errors; NaN in cells without pixels.
        """
        return map_qphi({self.detector.extension: self}, Nq, Nphi)

    def to_qxy(self, dq: float = 0.01) -> Map2d:
        """Give the map in qx and qy, in cells of `dq` (Å⁻¹).

        Parameters
        ----------
        dq
            Width of a cell in Å⁻¹.

        Returns
        -------
        Map2d
            Intensities with standard errors; NaN in cells without pixels.
        """
        return map_squares({self.detector.extension: self}, "qxy", dq)

    def to_qrqn(self, dq: float = 0.01) -> Map2d:
        """Give the map in qr and qn, in cells of `dq` (Å⁻¹).

        Parameters
        ----------
        dq
            Width of a cell in Å⁻¹.

        Returns
        -------
        Map2d
            Intensities with standard errors; NaN in cells without pixels.
        """
        return map_squares({self.detector.extension: self}, "qrqn", dq)

    def unmasked(self) -> "Data2d":
        """Give the same pattern without the detector's mask.

        Returns
        -------
        Data2d
            In which only pixels that the frame itself disqualifies are left out.
        """
        free = replace(self.detector, mask=np.zeros_like(self.mask))
        return replace(self, detector=free)


def map_qphi(
    patterns: Mapping[str, Data2d],
    Nq: int | ArrayLike = 200,  # noqa: N803 - the ancestor's names
    Nphi: int | ArrayLike = 60,  # noqa: N803
) -> Map2d:
    """Give the map in q and φ of one or several detectors.

    Parameters
    ----------
    patterns
        By extension.
    Nq, Nphi
        Numbers of cells, from the lowest to the highest q and around a full turn from −180°; or
        the centres of the cells, in Å⁻¹ and degrees.
    """
    places = _places(patterns, "qphi")
    q_axis = _axis(Nq, [q for q, _ in places.values()])
    if isinstance(Nphi, int | np.integer):
        phi_axis = MapAxis.linear(-TURN_DEG / 2, TURN_DEG / 2, int(Nphi), period=TURN_DEG)
    else:
        phi_axis = MapAxis.from_centers(Nphi, period=TURN_DEG)
    return _map(patterns, places, "qphi", q_axis, phi_axis)


def map_squares(patterns: Mapping[str, Data2d], kind: str, dq: float = 0.01) -> Map2d:
    """Give the map of one or several detectors in qx and qy, or qr and qn.

    Parameters
    ----------
    patterns
        By extension.
    kind
        ``"qxy"`` or ``"qrqn"``.
    dq
        Width of a cell in Å⁻¹; the cells' edges are multiples of it.

    Raises
    ------
    ReductionError
        If `dq` is not positive.
    """
    if not dq > 0:
        raise ReductionError(f"expected a positive dq, found {dq}")
    places = _places(patterns, kind)
    axes = []
    for part in (0, 1):
        low = np.floor(min(place[part].min() for place in places.values()) / dq)
        high = np.ceil(max(place[part].max() for place in places.values()) / dq)
        axes.append(MapAxis.linear(low * dq, high * dq, int(high - low)))
    return _map(patterns, places, kind, axes[0], axes[1])


def _places(patterns: Mapping[str, Data2d], kind: str) -> dict[str, _Coordinates]:
    if not patterns:
        raise ReductionError("expected patterns to map, found none")
    return {extension: pattern.coordinates(kind) for extension, pattern in patterns.items()}


def _axis(cells: int | ArrayLike, values: list[NDArray[np.float64]]) -> MapAxis:
    if not isinstance(cells, int | np.integer):
        return MapAxis.from_centers(cells)
    low, high = min(each.min() for each in values), max(each.max() for each in values)
    return MapAxis.linear(float(low), float(np.nextafter(high, np.inf)), int(cells))


def _map(
    patterns: Mapping[str, Data2d],
    places: Mapping[str, _Coordinates],
    kind: str,
    x_axis: MapAxis,
    y_axis: MapAxis,
) -> Map2d:
    parts = [
        map_frame(
            pattern.data,
            pattern.pixels,
            x=places[extension][0],
            y=places[extension][1],
            x_axis=x_axis,
            y_axis=y_axis,
            exposures=pattern.exposures,
        )
        for extension, pattern in patterns.items()
    ]
    x_label, y_label = _LABELS[kind]
    return Map2d.from_sums(
        add_sums(parts),
        x_axis=x_axis,
        y_axis=y_axis,
        xc_label=x_label,
        yc_label=y_label,
        label=label_of(patterns),
    )


def label_of(patterns: Mapping[str, Data2d]) -> str:
    """Give what patterns of several detectors are to be called together."""
    first = next(iter(patterns.values()))
    label = str(first.md.get("title", first.label))
    if len(patterns) == 1:
        return label
    return label.replace(f" {first.detector.extension},", f" {' + '.join(patterns)},")
