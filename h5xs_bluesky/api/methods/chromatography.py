"""The methods of `h5xs` for series behind a column (SEC)."""

import logging
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from h5xs_bluesky import schema
from h5xs_bluesky.api.data1d import Data1d
from h5xs_bluesky.api.elutions import analyse_sample, drift_of
from h5xs_bluesky.api.experiment import Experiment
from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.chromatography.analyse import Chromatogram, frame_mask
from h5xs_bluesky.reduction.chromatography.options import ChromatographyOptions
from h5xs_bluesky.reduction.sample import ReducedSample

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)


class ChromatographyMethods(Experiment):
    """Analyse series behind a column, in which some frames are the buffer of the others."""

    def process_sec(
        self,
        sn: str | None = None,
        *,
        buffer_frames: ArrayLike | None = None,
        sample_frames: ArrayLike | None = None,
        options: ChromatographyOptions | None = None,
    ) -> Chromatogram:
        """Find the peak, choose buffer and sample, give Rg and I(0) of every frame.

        The average of the sample's frames becomes the sample's ``"averaged"``, that less the
        buffer's its ``"subtracted"``; both are saved with the chromatogram, and exported as any
        other. A run of the plan `sec_series`, or with ``"elution": True`` in its start document,
        has all that already when it ends; this does it with frames and options of one's own.
        `average_d1s` and `set_trans` repeat it with these; `average_d1s` with a selection, and
        `subtract_buffer`, drop the chromatogram.

        Parameters
        ----------
        sn
            The sample.
        buffer_frames, sample_frames
            Numbers of frames, as in ``range(10, 60)``, or for each frame whether it is meant;
            found automatically where not given.
        options
            How; the defaults of `ChromatographyOptions` otherwise.

        Returns
        -------
        Chromatogram
            Also stored, with the curves.

        Raises
        ------
        ReductionError
            If the sample is not reduced, or there is no peak, no buffer, or no frames with one Rg,
            unless they are given.

        Examples
        --------
        >>> found = dt.process_sec("lysozyme", buffer_frames=range(20, 90))  # doctest: +SKIP
        >>> found.main.position, found.rg[found.sample_frames]  # doctest: +SKIP
        """
        name = self._source.resolve(sn)
        with self._source.reading():
            reduced = self._reduced_series(name)
            frames = len(reduced.superseded)
            given = {"buffer_frames": buffer_frames, "sample_frames": sample_frames}
            try:
                done = analyse_sample(
                    reduced,
                    name=name,
                    beamline=self._memory.beamline,
                    options=options,
                    **{
                        key: None if wanted is None else frame_mask(wanted, frames, name=key)
                        for key, wanted in given.items()
                    },
                )
            except ReductionError as error:
                raise ReductionError(f"{name}: {error}") from error
            self._memory.change(name, done, explicit=True)
            self._save_at_once(name)
        return _told(name, done)

    def get_sec(self, sn: str | None = None) -> Chromatogram:
        """Give what `process_sec` found, from memory or from the file.

        Parameters
        ----------
        sn
            The sample.

        Returns
        -------
        Chromatogram
            Traces, Rg and I(0) by frame, peaks, and the frames that were chosen.

        Raises
        ------
        ReductionError
            If the sample was not analysed, or averaged otherwise since.
        """
        name = self._source.resolve(sn)
        with self._source.reading():
            reduced = self._reduced_series(name)
        if reduced.chromatogram is None:
            raise ReductionError(
                f"{name}: expected a chromatogram, found none: call process_sec() first"
            )
        return reduced.chromatogram

    def plot_sec(
        self, sn: str | None = None, *, fig: "Figure | None" = None, fontsize: Any = "large"
    ) -> "Figure":
        """Plot chromatogram and Rg against frame, and the curve of the peak less the buffer.

        Parameters
        ----------
        sn
            The sample.
        fig
            Where; a new figure if there is none.
        fontsize
            Of the axes' labels, as matplotlib takes it.

        Returns
        -------
        Figure
            Three panels: the chromatogram, the curve, and its Guinier plot.

        Raises
        ------
        ReductionError
            If the sample was not analysed (`process_sec`).
        """
        from matplotlib import pyplot as plt

        from h5xs_bluesky.api.plots.chromatograms import SIZE_INCHES, Elution, plot_chromatogram

        name = self._source.resolve(sn)
        chromatogram = self.get_sec(name)
        subtracted = self._memory.curves(name, schema.SUBTRACTED)
        (curve,) = [subtracted] if isinstance(subtracted, Data1d) else subtracted
        if fig is None:
            fig = plt.figure(figsize=SIZE_INCHES, layout="constrained")
        elution = Elution.of(chromatogram)
        plot_chromatogram(fig, elution, curve, title=name, fontsize=fontsize)
        return fig

    def _reduced_series(self, name: str) -> ReducedSample:
        reduced = self._memory.load(name)
        if reduced is None:
            raise ReductionError(
                f"{name}: expected reduced frames, found {sorted(self.d1s[name]) or 'no curves'}: "
                "call load_data() first"
            )
        return reduced


def _told(name: str, done: ReducedSample) -> Chromatogram:
    """Give the chromatogram; what a reader should know of it is logged."""
    chromatogram = done.chromatogram
    if chromatogram is None:
        raise RuntimeError(f"{name}: expected a chromatogram")
    drift = drift_of(done)
    if drift:
        logger.warning("%s: %s", name, drift)
    return chromatogram
