"""The methods of `h5xs` that hand out patterns and show them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from h5xs_bluesky.api.data2d import Data2d, map_qphi, map_squares
from h5xs_bluesky.api.experiment import Experiment
from h5xs_bluesky.api.frame_choice import chosen_frames
from h5xs_bluesky.api.map2d import Map2d
from h5xs_bluesky.api.pattern_reading import read_patterns
from h5xs_bluesky.api.settings import DescribesDetector, as_detectors
from h5xs_bluesky.reduction.beam_center import BeamCenter, check_center
from h5xs_bluesky.reduction.detector import Detector

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_Detectors = Sequence[Detector | DescribesDetector] | None


class PatternMethods(Experiment):
    """Hand out patterns and maps, and show them."""

    def get_d2(
        self,
        sn: str | None = None,
        det_ext: str | None = None,
        frn: Any = None,
        dtype: Any = None,
        detectors: _Detectors = None,
        client: object = None,
    ) -> Any:
        """Give one frame of a sample, or the average of several.

        Parameters
        ----------
        sn
            The sample's name; the oldest one by default.
        det_ext
            The detector's extension; None for all that have such frames.
        frn
            Which frame: a number, the first by default, −1 for each detector's latest; a tuple is
            its place in the scan, as in py4xs: (row, column) of a map. A list or range of numbers
            means the average of these, and ``"average"`` that of all which were not measured
            again. Averaged are the counts of each pixel, over the frames in which it counts.
        dtype
            Of the data; as in the file, or float for averages, by default.
        detectors
            Instead of the experiment's.
        client
            Not needed: calls written for py4xs pass one.

        Returns
        -------
        Data2d, or dict of Data2d
            One with `det_ext`, otherwise one for each detector, by its extension.

        Raises
        ------
        IndexError
            If the sample has no such frame, or not of this detector.
        ReductionError
            If `frn` is not understood.
        """
        del client
        name = self._source.resolve(sn)
        beamline = self._memory.beamline
        if detectors is not None:
            beamline = beamline.with_detectors(as_detectors(detectors), beamline.qgrid)
        with self._source.reading():
            header = self.header(name) if isinstance(frn, tuple) and len(frn) > 1 else {}
            patterns = read_patterns(
                self._source.sample(name),
                beamline,
                extension=det_ext or None,
                frames=chosen_frames(frn, header, sample=name),
                roots=self._source.roots,
                read=self._source.storage.read_frame,
            )
        if dtype is not None:
            for pattern in patterns.values():
                pattern.data = pattern.data.astype(dtype)
        return patterns[det_ext] if det_ext else patterns

    def get_qphi(
        self,
        sn: str | None = None,
        frn: Any = None,
        Nq: int | ArrayLike = 200,  # noqa: N803 - the ancestor's names
        Nphi: int | ArrayLike = 60,  # noqa: N803
        *,
        det_ext: str | None = None,
        detectors: _Detectors = None,
    ) -> Map2d:
        """Give a sample's map in q and φ, of all detectors together or of one.

        Intensities are those of the curves: counts over solid angle and the other corrections, on
        the scale of the first detector, with Poisson errors.

        Parameters
        ----------
        sn
            The sample's name; the oldest one by default.
        frn, detectors
            As in `get_d2`.
        Nq, Nphi
            Numbers of cells, or their centres in Å⁻¹ and degrees.
        det_ext
            One detector.

        Returns
        -------
        Map2d
            Intensities with standard errors; NaN in cells without pixels.
        """
        return map_qphi(self._patterns(sn, det_ext, frn, detectors), Nq, Nphi)

    def get_qxy(
        self,
        sn: str | None = None,
        frn: Any = None,
        dq: float = 0.01,
        *,
        det_ext: str | None = None,
        detectors: _Detectors = None,
    ) -> Map2d:
        """Give a sample's map in qx and qy, in cells of `dq` (Å⁻¹); see `get_qphi`.

        Parameters
        ----------
        sn, frn, detectors
            As in `get_d2`.
        dq
            Width of a cell in Å⁻¹.
        det_ext
            One detector.

        Returns
        -------
        Map2d
            Intensities with standard errors; NaN in cells without pixels.
        """
        return map_squares(self._patterns(sn, det_ext, frn, detectors), "qxy", dq)

    def get_qrqn(
        self,
        sn: str | None = None,
        frn: Any = None,
        dq: float = 0.01,
        *,
        det_ext: str | None = None,
        detectors: _Detectors = None,
    ) -> Map2d:
        """Give a sample's map along its surface and along the normal, in cells of `dq` (Å⁻¹).

        For grazing incidence; the detectors' orientations tell the incident angle. See `get_qphi`.

        Parameters
        ----------
        sn, frn, detectors
            As in `get_d2`.
        dq
            Width of a cell in Å⁻¹.
        det_ext
            One detector.

        Returns
        -------
        Map2d
            Intensities with standard errors; NaN in cells without pixels.
        """
        return map_squares(self._patterns(sn, det_ext, frn, detectors), "qrqn", dq)

    def show_data(
        self,
        sn: str | None = None,
        det_ext: str | None = None,
        frn: Any = None,
        ax: "Axes | Sequence[Axes] | None" = None,
        fig: "Figure | None" = None,
        aspect: Any = 1,
        logScale: bool = True,  # noqa: N803 - the ancestor's names
        showMask: bool = True,  # noqa: N803
        mask_alpha: float = 1.0,
        clim: Any = "auto",
        ch_thresh: int = 15,
        showRef: Any = None,  # noqa: N803
        cmap: Any = None,
        detectors: _Detectors = None,
        dtype: Any = None,
        *,
        calibrant: str | None = None,
        colorbar: bool = True,
    ) -> "Axes | list[Axes]":
        """Show a pattern as the detector sees it, with row 0 at the top.

        Parameters
        ----------
        sn
            The sample's name; the oldest one by default.
        det_ext
            One detector; all, side by side, by default.
        frn, detectors, dtype
            As in `get_d2`.
        ax
            Where; for several detectors as many. A new figure if there are none.
        fig
            Make the axes in this figure.
        aspect
            Of the axes, as matplotlib takes it.
        logScale
            Colours on a logarithmic scale.
        showMask
            Masked pixels, and those that the frame disqualifies, are grey.
        mask_alpha
            How opaque the grey is.
        clim
            Lowest and highest counts of the colours; with ``"auto"`` all but `ch_thresh` pixels
            at each end lie between.
        ch_thresh
            How many pixels at each end of the counts the colours may leave out.
        showRef
            py4xs' form: a calibrant's name with a line style, as ``["AgBH", "r:"]``, or a list of
            q in Å⁻¹.
        cmap
            A colour map of matplotlib's.
        calibrant
            One of pyFAI's, as ``"AgBh"``, whose rings are drawn.
        colorbar
            Whether to draw one.

        Returns
        -------
        Axes, or list of Axes
            One, or one for each detector. The cursor tells pixel, q, φ and counts.
        """
        from h5xs_bluesky.api.plots import showing

        patterns = self._patterns(sn, det_ext, frn, detectors, dtype)
        return showing.show_patterns(
            patterns,
            ax=ax,
            fig=fig,
            reference=showRef if calibrant is None else calibrant,
            log=logScale,
            aspect=aspect,
            show_mask=showMask,
            mask_alpha=mask_alpha,
            clim=clim,
            outliers=ch_thresh,
            cmap=cmap,
            colorbar=colorbar,
        )

    def show_data_qxy(
        self,
        sn: str | None = None,
        frn: Any = None,
        ax: "Axes | None" = None,
        dq: float = 0.01,
        bkg: Mapping[str, Any] | None = None,
        logScale: bool = True,  # noqa: N803 - the ancestor's names
        useMask: bool = True,  # noqa: N803
        clim: Any = "auto",
        aspect: Any = 1,
        cmap: Any = None,
        detectors: _Detectors = None,
        dtype: Any = None,
        colorbar: bool = True,
        *,
        det_ext: str | None = None,
        calibrant: str | None = None,
    ) -> "Axes":
        """Show a sample's map in qx and qy, of all detectors together.

        Parameters
        ----------
        sn
            The sample's name; the oldest one by default.
        frn, detectors, dtype
            As in `get_d2`.
        ax
            Where; a new figure if there is none.
        dq
            Width of a cell in Å⁻¹.
        bkg
            By extension, frames to subtract: arrays, or `Data2d`.
        logScale, clim, cmap, colorbar, calibrant
            As in `show_data`; ``clim`` is of intensities.
        useMask
            Leave masked pixels out.
        aspect
            Of the axes, as matplotlib takes it.
        det_ext
            One detector.

        Returns
        -------
        Axes
            The cursor tells qx, qy and the intensity with its standard error.
        """
        from h5xs_bluesky.api.plots import showing

        patterns = self._patterns(sn, det_ext, frn, detectors, dtype)
        shown = showing.less_background(
            patterns, bkg, lambda parts: map_squares(parts, "qxy", dq), use_mask=useMask
        )
        axes = shown.plot(ax, logScale, aspect, colorbar, clim=clim, cmap=cmap)
        showing.finish_map(axes, patterns, calibrant, circles=True)
        return axes

    def show_data_qphi(
        self,
        sn: str | None = None,
        frn: Any = None,
        ax: "Axes | None" = None,
        Nq: int | ArrayLike = 200,  # noqa: N803 - the ancestor's names
        Nphi: int | ArrayLike = 60,  # noqa: N803
        apply_symmetry: bool = False,
        fill_gap: bool = False,
        sc_factor: str | None = None,
        logScale: bool = True,  # noqa: N803
        useMask: bool = True,  # noqa: N803
        clim: Any = "auto",
        showRef: Any = None,  # noqa: N803
        bkg: Mapping[str, Any] | None = None,
        aspect: Any = "auto",
        cmap: Any = None,
        detectors: _Detectors = None,
        dtype: Any = None,
        colorbar: bool = True,
        *,
        det_ext: str | None = None,
        calibrant: str | None = None,
        max_width: int = 5,
    ) -> "Axes":
        """Show a sample's map in q and φ, of all detectors together.

        Parameters
        ----------
        sn
            The sample's name; the oldest one by default.
        Nq, Nphi
            As in `get_qphi`.
        apply_symmetry
            Average every direction with the opposite one (`Map2d.apply_symmetry`).
        fill_gap
            Interpolate across gaps of at most `max_width` cells.
        sc_factor
            Multiply by a power of q, as ``"x2"`` (`Map2d.plot`).
        showRef, calibrant
            Rings, as in `show_data`.
        frn, ax, logScale, useMask, clim, bkg, aspect, cmap, detectors, dtype, colorbar, det_ext
            As in `show_data_qxy`.
        max_width
            Of the widest gap that is filled, in cells.

        Returns
        -------
        Axes
            The cursor tells q, φ and the intensity with its standard error.
        """
        from h5xs_bluesky.api.plots import showing

        patterns = self._patterns(sn, det_ext, frn, detectors, dtype)
        shown = showing.less_background(
            patterns, bkg, lambda parts: map_qphi(parts, Nq, Nphi), use_mask=useMask
        )
        if apply_symmetry:
            shown = shown.apply_symmetry()
        if fill_gap:
            shown = shown.fill_gap(max_width=max_width)
        axes = shown.plot(ax, logScale, aspect, colorbar, sc_factor, clim, cmap=cmap)
        reference = showRef if calibrant is None else calibrant
        showing.finish_map(axes, patterns, reference, circles=False)
        return axes

    def check_bm_center(
        self,
        sn: str | None = None,
        det_ext: str = "_SAXS",
        frn: Any = 0,
        qs: float = 0.005,
        qe: float = 0.05,
        qn: int = 100,
        Ns: int = 9,  # noqa: N803 - the ancestor's name
        *,
        axes: "Sequence[Axes] | None" = None,
        plot: bool = True,
        detectors: _Detectors = None,
    ) -> BeamCenter:
        """Compare cuts on both sides of the beam's centre, and suggest where it is.

        Only isotropic scattering tells: pick a sample and a range of q without a shadow of the
        beam stop. See `check_center` for the statistics.

        Parameters
        ----------
        sn
            The sample's name; the oldest one by default.
        det_ext, frn, detectors
            As in `get_d2`; an average has more counts.
        qs, qe, qn
            Where the cuts begin and end, in Å⁻¹, and their number of points.
        Ns
            A quarter turn is divided by this many; each cut is that wide.
        axes
            Four, for cuts and differences, horizontally, then vertically; a new figure if there
            are none.
        plot
            Whether to draw the picture.

        Returns
        -------
        BeamCenter
            p-values, shifts in pixels with uncertainties, the suggested centre; as text, a
            summary.
        """
        pattern: Data2d = self.get_d2(sn, det_ext, frn, detectors=detectors)
        found = check_center(
            pattern.data,
            pattern.detector,
            q_range=(qs, qe),
            bins=qn,
            sectors=Ns,
            polarization=pattern.reduction.polarization,
            solid_angle=pattern.reduction.solid_angle,
            exposures=pattern.exposures,
        )
        if plot:
            from h5xs_bluesky.api.plots.center import plot_center

            plot_center(found, axes, label=pattern.label)
        return found

    def _patterns(
        self,
        sn: str | None,
        det_ext: str | None,
        frn: Any,
        detectors: _Detectors,
        dtype: Any = None,
    ) -> dict[str, Data2d]:
        found = self.get_d2(sn, det_ext, frn, dtype, detectors)
        return {det_ext: found} if det_ext else dict(found)
