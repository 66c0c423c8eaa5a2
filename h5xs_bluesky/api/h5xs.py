"""`h5xs`: an experiment's files, and the curves and patterns in them."""

from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
from numpy.typing import ArrayLike

from h5xs_bluesky import schema
from h5xs_bluesky.api.averaging import average_samples
from h5xs_bluesky.api.axes import plain_ticks, prepare_axes
from h5xs_bluesky.api.data1d import Data1d
from h5xs_bluesky.api.data2d import Data2d
from h5xs_bluesky.api.raw import frame_number, read_patterns
from h5xs_bluesky.api.reduce_offline import executor_or_threads, reduce_sample
from h5xs_bluesky.api.settings import read_beamline
from h5xs_bluesky.api.source import ExperimentSource
from h5xs_bluesky.api.stored import Curves, from_reduced
from h5xs_bluesky.api.workspace import Workspace
from h5xs_bluesky.errors import RefusedError
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.qgrid import QGrid

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class h5xs:  # noqa: N801 - the ancestor's name
    """The scattering data of an experiment, sample by sample.

    Every method opens the file, reads, and closes it, so that what a running scan adds is seen;
    between `explicit_open` and `explicit_close` it stays open as `fh5`. A sample `sn` is named by
    its group, or by the name that its scan gave (the newest of that name); None is the oldest. An
    unknown one raises `SampleNotFoundError`, a link out of the folder `RefusedError`.

    Parameters
    ----------
    fn
        The experiment's file.
    exp_setup
        ``[detectors, qgrid]``, instead of those in the file. The q-grid may be an array of centres.
    transField
        The field of the monitor of the transmitted beam, instead of the one in the file.
    save_d1
        Save at once what `load_data` and `average_d1s` compute. Where that cannot be, as while the
        scan runs, a warning is logged.
    have_raw_data
        False for a file that only holds curves: `load_data` refuses.
    read_only
        Never write.
    roots
        Folders outside the experiment's own that links may lead into, such as where an IOC keeps
        the frames. No file is trusted to name them.

    Attributes
    ----------
    samples : list of str
        Their groups, oldest first, when they were last listed.
    d2s : dict
        Empty as yet.

    Raises
    ------
    FileNotFoundError, FileFormatError
        If there is no such file, or it lacks detectors and q-grid and none are given.

    Examples
    --------
    >>> dt = h5xs("experiment/experiment.h5")  # doctest: +SKIP
    >>> dt.average_d1s()  # doctest: +SKIP
    >>> dt.plot_d1s("lysozyme")  # doctest: +SKIP
    """

    def __init__(
        self,
        fn: str | Path,
        exp_setup: Sequence[Any] | None = None,
        transField: str = "",  # noqa: N803 - the ancestor's name
        save_d1: bool = True,
        have_raw_data: bool = True,
        read_only: bool = False,
        *,
        roots: Sequence[str | Path] = (),
    ) -> None:
        self.fn = Path(fn)
        self.save_d1 = save_d1
        self.have_raw_data = have_raw_data
        self.read_only = read_only
        self.samples: list[str] = []
        self.d2s: dict[str, dict[str, Any]] = {}
        self._given = (exp_setup, transField)
        self._source = ExperimentSource(self.fn, roots=[Path(root) for root in roots])
        with self._source.reading() as file:
            self._memory = Workspace(self._source, read_beamline(file, *self._given))
            self.list_samples()

    @property
    def fh5(self) -> h5py.File | None:
        """The file between `explicit_open` and `explicit_close`, otherwise None."""
        return self._source.file

    @property
    def d1s(self) -> dict[str, Curves]:
        """The curves in memory: ``d1s[sample][name]``, a list of `Data1d` where one per frame."""
        return self._memory.d1s

    @property
    def attrs(self) -> dict[str, dict[str, Any]]:
        """What is known of samples in memory: ``selected`` (n,) and ``sc_factor``.

        A changed ``selected`` is the user's selection at the next `average_d1s`.
        """
        return self._memory.attrs

    @property
    def detectors(self) -> list[Detector]:
        """The detectors with which frames are reduced."""
        return list(self._memory.beamline.detectors)

    @property
    def qgrid(self) -> QGrid:
        """The bins of q."""
        return self._memory.beamline.qgrid

    def explicit_open(self) -> None:
        """Open the file and keep it open as `fh5`; nothing happens if it is."""
        self._source.open()

    def explicit_close(self) -> None:
        """Close the file; nothing happens if it is closed."""
        self._source.close()

    def list_samples(self, quiet: bool = False) -> list[str]:
        """Read the names of the samples, oldest first, into `samples`; nothing is printed."""
        self.samples = self._source.names()
        return list(self.samples)

    def header(self, sn: str) -> dict[str, Any]:
        """Give the start document of the scan that measured a sample.

        Raises
        ------
        FileFormatError
            If it is not there, or is no JSON.
        """
        return self._source.header(sn)

    def get_d1(
        self, sn: str | None = None, group: str = "merged", frn: int | None = None
    ) -> Data1d:
        """Give one curve of a sample; what is not in memory is read from the file.

        Parameters
        ----------
        group
            A detector's extension, ``"merged"``, ``"averaged"`` or ``"subtracted"``.
        frn
            Which frame, of curves per frame; the first by default, −1 for the latest in the file.

        Raises
        ------
        ReductionError
            If the sample has no such curve yet.
        IndexError
            If it has no such frame.
        """
        name, number = self._source.resolve(sn), frn or 0
        curves = self.d1s.get(name, {}).get(group)
        if not isinstance(curves, Data1d) and not 0 <= number < len(curves or []):
            with self._source.reading():
                self._memory.load(name)
        curves = self._memory.curves(name, group)
        if isinstance(curves, Data1d):
            return curves
        return curves[frame_number(number, len(curves), sample=name)]

    def get_d2(
        self, sn: str | None = None, det_ext: str | None = None, frn: int | None = None
    ) -> Data2d | dict[str, Data2d]:
        """Give one frame of a sample: of one detector, or of each by its extension.

        Parameters
        ----------
        det_ext
            The detector's extension.
        frn
            Which frame; the first by default, −1 for each detector's latest.

        Raises
        ------
        IndexError
            If the sample has no such frame, or not of this detector.
        """
        name = self._source.resolve(sn)
        with self._source.reading():
            patterns = read_patterns(
                self._source.sample(name),
                self._memory.beamline,
                extension=det_ext or None,
                frn=frn or 0,
                roots=self._source.roots,
            )
        return patterns[det_ext] if det_ext else patterns

    def load_data(
        self,
        update_only: bool = False,
        detectors: Sequence[Detector] | None = None,
        *,
        samples: str | Sequence[str] | None = None,
        executor: Executor | None = None,
        progress: bool = False,
    ) -> None:
        """Reduce the raw frames: a curve for each frame and detector, and the merged ones.

        For the same frames and configuration the result is that of the live reduction, to the
        last bit. An average made from the very same numbers stays; otherwise it is dropped, and
        only the user's own selection of frames is kept for `average_d1s`.

        Parameters
        ----------
        update_only
            Reduce only those samples whose file has fewer frames reduced than measured.
        detectors
            Instead of the experiment's.
        samples
            One or several; all by default. Of all, those without frames are passed over.
        executor
            Runs the reduction; by default threads, one for each processor.
        progress
            Show it on the terminal.

        Raises
        ------
        ReductionError
            If a sample named has no frames of the detectors.
        """
        if not self.have_raw_data:
            raise RefusedError(f"{self.fn}: opened with have_raw_data=False: nothing to reduce")
        memory = self._memory
        with self._source.reading() as file, executor_or_threads(executor) as pool:
            memory.beamline = read_beamline(file, *self._given)
            if detectors is not None:
                memory.beamline = memory.beamline.with_detectors(detectors, self.qgrid)
            integrators = memory.beamline.integrators()
            for name in self._source.chosen(samples):
                reduce_sample(
                    memory,
                    name,
                    integrators,
                    executor=pool,
                    update_only=update_only,
                    required=samples is not None,
                    progress=progress,
                )
                self._save_at_once(name)

    def merge_d1s(self) -> None:
        """Merge the curves of the detectors, frame by frame, of the samples in memory.

        `load_data` has done so; this makes ``"merged"`` anew from the detectors' sums.
        """
        for name, reduced in self._memory.reduced.items():
            merged = from_reduced(reduced, name, qgrid=self.qgrid).curves[schema.MERGED]
            self.d1s[name][schema.MERGED] = merged

    def average_d1s(
        self,
        samples: str | Sequence[str] | None = None,
        update_only: bool = False,
        selection: ArrayLike | None = None,
        filter_data: bool = False,
    ) -> None:
        """Average the frames of samples that agree, and subtract the buffers.

        The user's own selection wins: `selection`, else a changed ``attrs[sample]["selected"]``,
        else the one made before. Without any, the similarity analysis selects. A sample whose
        buffer is averaged anew is subtracted anew.

        Parameters
        ----------
        samples
            One or several; by default all that are reduced.
        update_only
            Leave those alone that have an average.
        selection : (n,) of bool
            For each frame whether it is averaged.
        filter_data
            Let the similarity analysis select, whatever was selected before.

        Raises
        ------
        ReductionError
            If a sample named is not reduced, or no frame of it is kept; the others are averaged.
        """
        with self._source.reading():
            everything = self.list_samples()
            changed, errors = average_samples(
                self._memory,
                self._source.chosen(samples),
                everything=everything,
                selection=selection,
                filter_data=filter_data,
                update_only=update_only,
                required=samples is not None,
            )
            for name in sorted(changed):
                self._save_at_once(name)
        if errors and samples is not None:
            raise errors[0]

    def save_d1s(self, sn: str | None = None) -> None:
        """Replace the processed file of a sample by what is in memory; not if `read_only`.

        Parameters
        ----------
        sn
            The sample; by default all with results that are not saved.

        Raises
        ------
        FileInUseError
            If the run is still being written.
        FileFormatError
            If the sample lies in a file of another origin.
        ReductionError
            If there is nothing to save, or the run has gone on since.
        """
        if self.read_only:
            self._memory.warn_read_only()
            return
        names = sorted(self._memory.unsaved) if sn is None else [self._source.resolve(sn)]
        with self._source.reading():
            for name in names:
                self._memory.save(name)

    def load_d1s(self, sn: str | None = None) -> None:
        """Read processed curves into `d1s`; what was not saved is given up.

        All samples by default; one that has no curves gets an empty entry.

        Raises
        ------
        FileFormatError
            If the curves lie on another q-grid.
        """
        with self._source.reading():
            for name in self._source.chosen(sn):
                self._memory.read(name)

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

        Raises
        ------
        ReductionError
            If it has no such curves yet.
        """
        from h5xs_bluesky.api import plotting

        name = self._source.resolve(sn)
        with self._source.reading():
            self._memory.load(name)
        axes = prepare_axes(ax, fontsize=fontsize)
        axes.set_title(name, fontsize=fontsize)
        if show_subtracted:
            plotting.plot_subtraction(axes, self._memory, name, whole=show_subtraction)
        else:
            plotting.plot_sample(axes, self._memory, name, offset=offset, overlap=show_overlap)
        plain_ticks(axes)
        return axes

    def _save_at_once(self, name: str) -> None:
        if self.save_d1 and not self.read_only:
            self._memory.save_if_possible(name)
