"""The methods of `h5xs` that make curves from frames, and averages from curves."""

from collections.abc import Sequence
from concurrent.futures import Executor
from numbers import Real
from typing import cast

from numpy.typing import ArrayLike

from h5xs_bluesky import schema
from h5xs_bluesky.api.averaging import average_samples
from h5xs_bluesky.api.experiment import Experiment
from h5xs_bluesky.api.reduce_offline import executor_or_threads, reduce_sample
from h5xs_bluesky.api.settings import DescribesDetector, as_detectors
from h5xs_bluesky.api.stored import from_reduced
from h5xs_bluesky.errors import ReductionError, RefusedError
from h5xs_bluesky.reduction.detector import Detector


class ReductionMethods(Experiment):
    """Reduce, average, save and load."""

    def load_data(
        self,
        update_only: bool = False,
        detectors: Sequence[Detector | DescribesDetector] | None = None,
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
            Runs the reduction; by default threads, one for each processor. Processes should be
            started with ``spawn`` or ``forkserver``: what forks a process with threads may hang.
        progress
            Show it on the terminal.

        Raises
        ------
        ReductionError
            If a sample named has no frames of the detectors.
        RefusedError
            If the samples are read from a server.
        """
        self._source.need_files("load_data()")
        if not self.have_raw_data:
            raise RefusedError(
                f"{self._source.name}: opened with have_raw_data=False: nothing to reduce"
            )
        memory = self._memory
        with self._source.reading() as file, executor_or_threads(executor) as pool:
            memory.beamline = self._read_beamline(file)
            if detectors is not None:
                memory.beamline = memory.beamline.with_detectors(
                    as_detectors(detectors), memory.beamline.qgrid
                )
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

        Raises
        ------
        ReductionError
            If no sample in memory has such sums.
        """
        if not self._memory.reduced:
            raise ReductionError(
                "expected samples in memory that were reduced here, found "
                f"{sorted(self.d1s) or 'none'}: call load_d1s() or load_data() first"
            )
        for name, reduced in self._memory.reduced.items():
            stored = from_reduced(
                reduced,
                name,
                qgrid=self._memory.beamline.qgrid,
                relative_uncertainty=self._memory.beamline.monitor_uncertainty,
            )
            self.d1s[name][schema.MERGED] = stored.curves[schema.MERGED]

    def average_d1s(
        self,
        samples: str | Sequence[str] | None = None,
        update_only: bool = False,
        selection: ArrayLike | None = None,
        filter_data: bool = False,
        max_distance: float | None = None,
    ) -> None:
        """Average the frames of samples that agree, and subtract the buffers.

        The user's own selection wins: `selection`, else a changed ``attrs[sample]["selected"]``,
        else the one made before. Without any, the similarity analysis selects. A sample whose
        buffer is averaged anew is subtracted anew. The frames of a map, a scan whose start document
        has a ``shape`` of two axes or more, are of different places: they are averaged only where
        the user selects some, or `filter_data` or `max_distance` let the analysis select.

        A run behind a column is averaged over its peak less its own buffer frames, as when it
        ended: with the options and frames that `process_sec` was given, unless `filter_data` is
        set. `selection` averages other frames, and drops the chromatogram. Where it cannot be
        analysed, it has no average.

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
        max_distance
            With it the similarity analysis selects, and also rejects frames further than this from
            the reference: the distance is the reduced χ² of the difference, about 1 for frames
            that agree. It is a limit of one's own and not a probability, as py4xs' distance is
            one; the configuration's ``max_distance`` by default.

        Raises
        ------
        ReductionError
            If a sample named is not reduced, is a map, a series behind a column that cannot be
            analysed, or no frame of it is kept; the others are averaged.
            If `max_distance` is no positive number, as where a call written for py4xs has its
            `debug` there.
        """
        if max_distance is not None:
            _check_distance(max_distance)
        with self._source.reading():
            everything = self.list_samples()
            changed, errors = average_samples(
                self._memory,
                self._source.chosen(samples),
                everything=everything,
                selection=selection,
                filter_data=filter_data or max_distance is not None,
                update_only=update_only,
                required=samples is not None,
                max_distance=max_distance,
            )
            for name in sorted(changed):
                self._save_at_once(name)
        if errors and samples is not None:
            raise errors[0]

    def save_d1s(self, sn: str | None = None) -> None:
        """Replace the processed file of a sample by what is in memory; not if `read_only`.

        Results for a sample in a file of another origin go into a sidecar, ``<name>.processed.h5``
        beside it: the file itself is only read.

        Parameters
        ----------
        sn
            The sample; by default all with results that are not saved.

        Raises
        ------
        FileInUseError
            If the run is still being written.
        ReductionError
            If there is nothing to save, or the run has gone on since.
        RefusedError
            If the samples are read from a server.
        """
        self._source.need_files("save_d1s()")
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

        Parameters
        ----------
        sn
            The sample's name; all by default.

        Raises
        ------
        FileFormatError
            If the curves lie on another q-grid.
        """
        with self._source.reading():
            for name in self._source.chosen(sn):
                self._memory.read(name)


def _check_distance(max_distance: object) -> None:
    """Refuse what is no distance: py4xs' fifth argument is `debug`."""
    number = isinstance(max_distance, Real) and not isinstance(max_distance, bool)
    if not number or not float(cast("float", max_distance)) > 0:
        raise ReductionError(
            f"expected max_distance as a positive number, found {max_distance!r}: py4xs' fifth "
            "argument, debug, is not taken here; name what is meant, as in max_distance=2.0"
        )
