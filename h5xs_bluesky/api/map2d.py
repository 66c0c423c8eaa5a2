"""A map: intensities in the cells of two coordinates."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.maps.fill import fill_gaps
from h5xs_bluesky.reduction.maps.sums import MapAxis, MapSums, add_sums
from h5xs_bluesky.reduction.maps.symmetry import apply_friedel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TURN_DEG = 360.0
WEIGHTED = ("weighted", "err_weighted")


@dataclass(kw_only=True, eq=False)
class Map2d:
    """A map; attributes are named as those of py4xs' ``MatrixWithCoords``.

    Parameters
    ----------
    xc, yc : ndarray, shape (nx,) and (ny,)
        Centres of the cells, increasing.
    d, err : ndarray, shape (ny, nx)
        Mean intensity and its standard error; NaN in cells without pixels. Without `err` it is
        NaN everywhere.
    xc_label, yc_label
        Names of the coordinates, with units.
    label
        Names the map in plots.
    weight : ndarray, shape (ny, nx), optional
        How much a cell weighs where maps are combined: Σ normalisation of its pixels. Without it
        all cells with an intensity weigh the same.
    count : ndarray, shape (ny, nx), optional
        Number of pixels of each cell; 1 where it is not given.
    period
        After which yc repeats: 360 for an azimuth in degrees.

    Raises
    ------
    ReductionError
        If the shapes differ.
    """

    xc: NDArray[np.float64]
    yc: NDArray[np.float64]
    d: NDArray[np.float64]
    err: NDArray[np.float64] | None = None
    xc_label: str = "x"
    yc_label: str = "y"
    label: str = ""
    weight: NDArray[np.float64] | None = None
    count: NDArray[np.float64] | None = None
    period: float | None = None

    def __post_init__(self) -> None:
        shape = (len(self.yc), len(self.xc))
        if self.err is None:
            self.err = np.full(shape, np.nan)
        shapes = {
            name: np.shape(getattr(self, name))
            for name in ("d", "err", "weight", "count")
            if getattr(self, name) is not None
        }
        if set(shapes.values()) != {shape}:
            raise ReductionError(
                f"{self.label or 'map'}: expected arrays of shape {shape}, as yc and xc are long, "
                f"found {shapes}"
            )

    @classmethod
    def from_sums(cls, sums: MapSums, *, x_axis: MapAxis, y_axis: MapAxis, **more: Any) -> "Map2d":
        """Make the map that sums over pixels give.

        Parameters
        ----------
        sums
            Of signal, variance and normalisation in each cell.
        x_axis
            Of the columns.
        y_axis
            Of the rows.
        **more
            Further attributes of the map, such as its labels.

        Returns
        -------
        Map2d
            Means with standard errors; NaN in cells without pixels.
        """
        return cls(
            xc=x_axis.centers,
            yc=y_axis.centers,
            d=sums.mean(),
            err=sums.sem(),
            weight=sums.normalization,
            count=sums.count,
            period=y_axis.period,
            **more,
        )

    @property
    def sums(self) -> MapSums:
        """The sums that have this mean and error; what maps are combined by."""
        return MapSums.from_values(self.d, self._err, normalization=self.weight, count=self.count)

    @property
    def _err(self) -> NDArray[np.float64]:
        return np.full(self.d.shape, np.nan) if self.err is None else self.err

    def copy(self) -> "Map2d":
        """Give a copy that shares no arrays of values.

        Returns
        -------
        Map2d
            The copy.
        """
        weight, count = (None if a is None else a.copy() for a in (self.weight, self.count))
        return replace(self, d=self.d.copy(), err=self._err.copy(), weight=weight, count=count)

    def average(self, datalist: Sequence["Map2d"], weighted: bool = True) -> "Map2d":
        """Average maps of the same cells, this one among them.

        Parameters
        ----------
        datalist
            The others.
        weighted
            Each cell by its pixels' normalisation, as if all were one exposure; otherwise all
            maps that have an intensity there weigh the same.

        Returns
        -------
        Map2d
            A new map of the same cells.

        Raises
        ------
        ReductionError
            If their cells differ.
        """
        maps = [self, *datalist]
        for other in datalist:
            self._same_cells(other)
        if not weighted:
            maps = [replace(each, weight=None) for each in maps]
        return self._with(add_sums([each.sums for each in maps]))

    def merge(self, ds: Sequence["Map2d"]) -> "Map2d":
        """Put maps together, this one among them; each may cover other cells of a common raster.

        Where several have an intensity they are averaged by their normalisation.

        Parameters
        ----------
        ds
            The others.

        Returns
        -------
        Map2d
            A new map that covers the cells of all.

        Raises
        ------
        ReductionError
            If their coordinates are not the same quantities.
        """
        maps = [self, *ds]
        labels = {(each.xc_label, each.yc_label) for each in maps}
        if len(labels) != 1:
            raise ReductionError(f"expected maps in the same coordinates, found {sorted(labels)}")
        xc, yc = (np.unique(np.concatenate([getattr(m, n) for m in maps])) for n in ("xc", "yc"))
        return self._with(add_sums([_placed(each, xc, yc) for each in maps]), xc=xc, yc=yc)

    def bkg_cor(self, dbkg: "Map2d", scale_factor: float = 1.0, in_place: bool = True) -> "Map2d":
        """Subtract a background; standard errors are added in quadrature.

        Parameters
        ----------
        dbkg
            A map of the same cells. A cell without pixels in one of both has none afterwards.
        scale_factor
            Multiplies it before.
        in_place
            Change this map; otherwise a new one is made.

        Returns
        -------
        Map2d
            The difference.

        Raises
        ------
        ReductionError
            If the cells differ, or the factor is not finite.
        """
        self._same_cells(dbkg)
        if not np.isfinite(scale_factor):
            raise ReductionError(f"expected a finite scale_factor, found {scale_factor}")
        result = self if in_place else self.copy()
        result.d = self.d - scale_factor * dbkg.d
        result.err = np.hypot(self._err, scale_factor * np.asarray(dbkg.err))
        return result

    def apply_symmetry(self) -> "Map2d":
        """Average every cell of a (q, φ) map with what lies opposite, φ + 180°.

        Returns
        -------
        Map2d
            A new map of the same cells.

        Raises
        ------
        ReductionError
            If yc is not a full turn in equal steps.
        """
        return self._with(apply_friedel(self.sums, azimuth_deg=self.yc))

    def fill_gap(self, method: str = "linear", *, max_width: int = 5) -> "Map2d":
        """Interpolate across gaps of at most `max_width` cells, along x or y; wider ones stay.

        Filled cells have no pixels: their `count` is 0, and so is their `weight`.

        Parameters
        ----------
        method
            ``"linear"``: there is no other.
        max_width
            Of the widest gap, in cells.

        Returns
        -------
        Map2d
            A new map of the same cells.

        Raises
        ------
        ReductionError
            If the method is not ``"linear"``.
        """
        if method != "linear":
            raise ReductionError(f"expected the method 'linear', found {method!r}")
        d, err, filled = fill_gaps(
            self.d, self._err, max_width=max_width, periodic_rows=self.period is not None
        )
        own = self.sums
        weight = np.where(filled, 0.0, own.normalization)
        return replace(self, d=d, err=err, weight=weight, count=np.where(filled, 0.0, own.count))

    def roi(self, x1: float, x2: float, y1: float, y2: float) -> "Map2d":
        """Give the part whose cells' centres lie within x1 to x2 and y1 to y2.

        Parameters
        ----------
        x1, x2
            From where to where along x, in the unit of `xc`.
        y1, y2
            The same along y, in the unit of `yc`.

        Returns
        -------
        Map2d
            The part, as a new map.

        Raises
        ------
        ReductionError
            If there is none.
        """
        column, row = _within(self.xc, (x1, x2)), _within(self.yc, (y1, y2))
        if not (column.any() and row.any()):
            raise ReductionError(
                f"{self.label or 'map'}: expected a region within {self._extent()}, found "
                f"{self.xc_label} {x1:g} to {x2:g}, {self.yc_label} {y1:g} to {y2:g}"
            )
        part = np.ix_(row, column)
        weight, count = (None if a is None else a[part] for a in (self.weight, self.count))
        return replace(
            self,
            xc=self.xc[column],
            yc=self.yc[row],
            d=self.d[part],
            err=self._err[part],
            weight=weight,
            count=count,
            period=self.period if row.all() else None,
        )

    def val(self, x0: float, y0: float, dx: float, dy: float) -> float:
        """Give the mean intensity in a box (dx, dy) around (x0, y0); NaN where it is empty.

        Parameters
        ----------
        x0, y0
            The centre of the box, in the units of `xc` and `yc`.
        dx, dy
            Its width and height.

        Returns
        -------
        float
            The mean, weighted by the pixels' normalisation.
        """
        box = self.roi(x0 - dx / 2, x0 + dx / 2, y0 - dy / 2, y0 + dy / 2)
        return float(add_sums([box.sums]).summed(0).summed(1).mean()[0, 0])

    def flatten(
        self, axis: str = "x", method: str = "weighted"
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Average over the other coordinate.

        Parameters
        ----------
        axis
            The one that stays, ``"x"`` or ``"y"``.
        method
            ``"weighted"`` by the pixels' normalisation (``"err_weighted"`` is the same);
            ``"simple"``: every cell that has an intensity the same.

        Returns
        -------
        d, err : ndarray
            NaN where all are empty.

        Raises
        ------
        ReductionError
            If axis or method is not known.
        """
        if axis not in ("x", "y"):
            raise ReductionError(f"expected an axis 'x' or 'y', found {axis!r}")
        if method not in (*WEIGHTED, "simple"):
            raise ReductionError(f"expected a method 'weighted' or 'simple', found {method!r}")
        source = replace(self, weight=None) if method == "simple" else self
        sums = source.sums.summed(0 if axis == "x" else 1)
        return sums.mean().ravel(), sums.sem().ravel()

    def line_profile(
        self,
        direction: str,
        xrange: Sequence[float] | None = None,
        yrange: Sequence[float] | None = None,
        plot_data: bool = False,
        ax: "Axes | None" = None,
        **style: Any,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Cut along a direction, averaged across it.

        Parameters
        ----------
        direction
            ``"x"`` or ``"y"``.
        xrange, yrange
            From where to where; everything by default.
        plot_data
            Whether to plot it.
        ax
            Axes to plot into.
        **style
            Further arguments of `matplotlib.axes.Axes.errorbar`.

        Returns
        -------
        coordinate, d, err : ndarray
            Centres of the cells along the cut, mean intensity, standard error.
        """
        xs = (self.xc[0], self.xc[-1]) if xrange is None else xrange
        ys = (self.yc[0], self.yc[-1]) if yrange is None else yrange
        part = self.roi(xs[0], xs[1], ys[0], ys[1])
        d, err = part.flatten(direction)
        along = part.xc if direction == "x" else part.yc
        if plot_data:
            from h5xs_bluesky.api.plots.maps import plot_profile

            label = self.xc_label if direction == "x" else self.yc_label
            plot_profile(ax, along, d, err, x_label=label, **style)
        return along, d, err

    def plot(
        self,
        ax: "Axes | None" = None,
        logScale: bool = False,  # noqa: N803 - the ancestor's name
        aspect: Any = "auto",
        colorbar: bool = True,
        sc_factor: str | None = None,
        clim: Any = "auto",
        nolabel: bool = False,
        **style: Any,
    ) -> "Axes":
        """Show the map; cells without pixels are grey.

        Parameters
        ----------
        ax
            Where; a new figure if there is none.
        logScale
            Colours on a logarithmic scale; what is not positive has the lowest colour.
        aspect
            Of the axes, as matplotlib takes it.
        colorbar
            Whether to draw one.
        sc_factor
            ``"x"``, ``"x2"``, ``"x0.5"``, ``"x1.5"``: multiply by that power of x.
        clim
            Lowest and highest value of the colours; ``"auto"`` for all but a few outliers.
        nolabel
            Without ticks and labels.
        **style
            Further arguments of `matplotlib.axes.Axes.pcolormesh`, such as ``cmap``.

        Returns
        -------
        Axes
            Into which the map was drawn.
        """
        from h5xs_bluesky.api.plots.maps import plot_map

        return plot_map(
            self,
            ax,
            log=logScale,
            aspect=aspect,
            colorbar=colorbar,
            power=sc_factor,
            clim=clim,
            bare=nolabel,
            **style,
        )

    def _with(self, sums: MapSums, **cells: Any) -> "Map2d":
        return replace(
            self,
            d=sums.mean(),
            err=sums.sem(),
            weight=sums.normalization,
            count=sums.count,
            **cells,
        )

    def _same_cells(self, other: "Map2d") -> None:
        for name in ("xc", "yc"):
            one, two = getattr(self, name), getattr(other, name)
            if len(one) != len(two) or not np.allclose(one, two, rtol=1e-9, atol=1e-12):
                raise ReductionError(
                    f"{self.label or 'map'}: expected a map of the same cells, found {len(one)} "
                    f"{name} from {one[0]:g} to {one[-1]:g} and {len(two)} from {two[0]:g} to "
                    f"{two[-1]:g}"
                )

    def _extent(self) -> str:
        return (
            f"{self.xc_label} {self.xc[0]:g} to {self.xc[-1]:g}, "
            f"{self.yc_label} {self.yc[0]:g} to {self.yc[-1]:g}"
        )


def _within(values: NDArray[np.float64], limits: tuple[float, float]) -> NDArray[np.bool_]:
    return np.asarray((values >= min(limits)) & (values <= max(limits)))


def _placed(part: Map2d, xc: NDArray[np.float64], yc: NDArray[np.float64]) -> MapSums:
    """Give a map's sums in a larger raster."""
    place = np.ix_(np.searchsorted(yc, part.yc), np.searchsorted(xc, part.xc))
    own, arrays = part.sums, {}
    for name in MapSums.FIELDS:
        arrays[name] = np.zeros((len(yc), len(xc)))
        arrays[name][place] = getattr(own, name)
    return MapSums(**arrays)
