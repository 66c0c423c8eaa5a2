"""The methods of `h5xs` that hand out curves and plot them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from h5xs_bluesky import schema
from h5xs_bluesky.api.data1d import Data1d
from h5xs_bluesky.api.experiment import Experiment
from h5xs_bluesky.api.frame_choice import chosen_frames, why_no_average
from h5xs_bluesky.api.plots.axes import axes_or_new, plain_ticks, prepare_axes
from h5xs_bluesky.api.raw import frame_number
from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.similarity import Selection

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class CurveMethods(Experiment):
    """Hand out curves, and plot them."""

    def get_d1(
        self,
        sn: str | None = None,
        group: str = "merged",
        frn: int | tuple[int, ...] | None = None,
    ) -> Data1d:
        """Give one curve of a sample; what is not in memory is read from the file.

        Parameters
        ----------
        sn
            The sample's name; the oldest one by default.
        group
            A detector's extension, ``"merged"``, ``"averaged"`` or ``"subtracted"``.
        frn
            Which frame, of curves per frame; the first by default, −1 for the latest in the file,
            or in memory where a sample was computed and not saved yet; a tuple is its place in the
            scan (`get_d2`).

        Returns
        -------
        Data1d
            I and σ, not divided by the beam; NaN where no pixel tells.

        Raises
        ------
        ReductionError
            If the sample has no such curve yet.
        IndexError
            If it has no such frame.
        """
        name = self._source.resolve(sn)
        header = self.header(name) if isinstance(frn, tuple) and len(frn) > 1 else {}
        number = chosen_frames(frn, header, sample=name)
        if not isinstance(number, int):
            raise ReductionError(
                f"{name}: expected one frame, found {frn!r}: average_d1s() averages curves"
            )
        curves = self.d1s.get(name, {}).get(group)
        if not isinstance(curves, Data1d) and not 0 <= number < len(curves or []):
            with self._source.reading():
                self._memory.load(name)
        curves = self._memory.curves(name, group)
        if isinstance(curves, Data1d):
            return curves
        return curves[frame_number(number, len(curves), sample=f"{name} {group}")]

    def get_selection(self, sn: str | None = None, *, preview: bool = False) -> Selection | None:
        """Give which frames of a sample are averaged, and why others are not.

        Parameters
        ----------
        sn
            The sample.
        preview
            Where no selection was made, as while a run goes on, give what the similarity analysis
            would select now. Nothing is averaged or kept.

        Returns
        -------
        Selection or None
            None where no selection was made, or only its outcome is known (``attrs``). None is made
            of a map's frames, and of what leaves a column not before its end.
        """
        name = self._source.resolve(sn)
        with self._source.reading():
            reduced = self._memory.load(name)
            alike = not (self._source.map_shape(name) or self._source.is_elution(name))
            preview = preview and alike
        if reduced is None or reduced.selection is not None or not preview:
            return None if reduced is None else reduced.selection
        beamline = self._memory.beamline
        return reduced.selected(
            beamline.selection,
            q=beamline.qgrid.centers,
            relative_uncertainty=beamline.monitor_uncertainty,
        )

    def plot_selection(self, sn: str | None = None, ax: "Axes | None" = None) -> "Axes":
        """Plot the p-value of each frame's comparison, and why frames are not averaged.

        Parameters
        ----------
        sn
            The sample.
        ax
            Where; a new figure if there is none.

        Returns
        -------
        Axes
            Where it was drawn.

        Raises
        ------
        ReductionError
            If no selection was made.
        """
        from h5xs_bluesky.api.plots.series import plot_selection

        name = self._source.resolve(sn)
        selection = self.get_selection(name)
        if selection is None:
            shape = self._source.map_shape(name)
            reduced = self._memory.reduced.get(name)
            why = "" if reduced is None else reduced.no_average
            found = why_no_average(shape) if shape else why or "none: call average_d1s() first"
            raise ReductionError(f"{name}: expected a selection of frames, found {found}")
        ax = axes_or_new(ax)
        plot_selection(ax, selection)
        ax.set_title(name)
        return ax

    def plot_d1s(
        self,
        sn: str,
        ax: "Axes | None" = None,
        offset: float = 1.5,
        fontsize: Any = "large",
        show_overlap: bool = False,
        show_subtracted: bool = False,
        show_subtraction: bool = True,
    ) -> "Axes":
        """Plot a sample's curves, and which frames are averaged: grey dotted ones are not.

        Parameters
        ----------
        sn
            The sample's name.
        ax
            Where; a new figure if there is none.
        offset
            Each frame's curve is multiplied by this more often than the one before.
        fontsize
            Of the axes' labels, as matplotlib takes it.
        show_overlap
            Mark the curves of the single detectors where they overlap.
        show_subtracted
            Plot the subtracted curve instead.
        show_subtraction
            With it, what it was subtracted from, and the scaled buffer.

        Returns
        -------
        Axes
            Into which the curves were drawn.

        Raises
        ------
        ReductionError
            If it has no such curves yet.
        """
        from h5xs_bluesky.api.plots import frames

        name = self._source.resolve(sn)
        with self._source.reading():
            self._memory.load(name)
        axes = prepare_axes(ax, fontsize=fontsize)
        axes.set_title(name, fontsize=fontsize)
        if show_subtracted:
            frames.plot_subtraction(axes, self._memory, name, whole=show_subtraction)
        else:
            frames.plot_sample(axes, self._memory, name, offset=offset, overlap=show_overlap)
        plain_ticks(axes)
        return axes

    def compare_d1s(
        self,
        samples: str | Sequence[str] | None = None,
        show_subtracted: bool = True,
        ax: "Axes | None" = None,
        *,
        fontsize: Any = "large",
    ) -> "Axes":
        """Plot the curves of several samples into the same axes.

        Parameters
        ----------
        samples
            All by default; those that have no such curve are left out.
        show_subtracted
            The subtracted curves; otherwise the averages.
        ax
            Where; a new figure if there is none.
        fontsize
            Of the axes' labels, as matplotlib takes it.

        Returns
        -------
        Axes
            Into which the curves were drawn.

        Raises
        ------
        ReductionError
            If none has such a curve.
        """
        from h5xs_bluesky.api.plots import frames

        names = self._source.chosen(samples)
        with self._source.reading():
            for name in names:
                self._memory.load(name)
        group = schema.SUBTRACTED if show_subtracted else schema.AVERAGED
        axes = prepare_axes(ax, fontsize=fontsize)
        frames.plot_comparison(axes, self._memory, names, group)
        plain_ticks(axes)
        return axes
