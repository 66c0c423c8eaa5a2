"""The methods of `h5xs` that subtract buffers."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from h5xs_bluesky.api.averaging import Averaging
from h5xs_bluesky.api.buffers import BufferTable
from h5xs_bluesky.api.experiment import Experiment
from h5xs_bluesky.api.stored import write_buffer
from h5xs_bluesky.errors import FileFormatError, FileInUseError, ReductionError
from h5xs_bluesky.reduction.sample import ReducedSample
from h5xs_bluesky.reduction.scale import AUTO, check_sc_factor

logger = logging.getLogger(__name__)

Buffers = Mapping[str, str | Sequence[str]]


class BufferMethods(Experiment):
    """Say which samples are the buffers of which, and subtract them."""

    def assign_buffer(self, buf_list: Buffers, debug: object = False) -> None:
        """Say which buffers belong to which samples; it is kept in the samples' files.

        For a file of another origin it is kept in the sidecar, with the results. A sample that is
        not listed keeps what it has. Nothing is subtracted yet.

        Parameters
        ----------
        buf_list
            For each sample its buffer, or a list of several, which are averaged; an empty one
            for none.
        debug
            Without effect.

        Raises
        ------
        SampleNotFoundError
            If a sample or a buffer is not there; nothing is assigned then.
        ReductionError
            If a sample is to be its own buffer.

        Examples
        --------
        >>> dt.assign_buffer({"lysozyme": ["buffer 1", "buffer 2"]})  # doctest: +SKIP
        >>> dt.subtract_buffer("lysozyme", sc_factor="auto")  # doctest: +SKIP
        """
        with self._source.reading() as file:
            resolved = self._resolved(buf_list)
            for name, buffers in resolved.items():
                self._memory.buffer_list[name] = buffers
                if self.read_only:
                    continue
                try:
                    write_buffer(file, name, buffers)
                except (FileFormatError, FileInUseError, OSError) as error:
                    logger.warning("The buffers of %s stay in memory only: %s", name, error)
        if self.read_only:
            self._memory.warn_read_only()

    def subtract_buffer(
        self,
        samples: str | Sequence[str] | None = None,
        update_only: bool = False,
        sc_factor: float | str | None = None,
        debug: object = False,
        *,
        buffer_list: Buffers | None = None,
    ) -> None:
        """Subtract from averages those of the samples' buffers; several are averaged first.

        Each buffer is scaled by sc_factor t_s / t_b, t the transmitted beams. The factor is stored,
        and later averages are subtracted with it.

        Parameters
        ----------
        samples
            One or several; by default all that have a buffer, but for series behind a column,
            from which frames of their own are subtracted.
        update_only
            Leave those alone that have a subtraction.
        sc_factor
            A positive number; ``"auto"`` so that the water peak vanishes from the difference; −1
            for the stored one; None for the configuration's, which is 1 unless it says otherwise.
        debug
            Without effect.
        buffer_list
            Assigned before; see `assign_buffer`.

        Raises
        ------
        ReductionError
            If a sample named has no buffer, either is not averaged, or there is no water peak to
            scale with; the others are subtracted.
        """
        stored = isinstance(sc_factor, int | float) and sc_factor < 0
        if sc_factor is not None and not stored:
            check_sc_factor(sc_factor)
        if buffer_list is not None:
            self.assign_buffer(buffer_list)
        errors = []
        with self._source.reading():
            everything = self.list_samples()
            buffers = BufferTable.read(self._source, everything, self._memory.buffer_list)
            averaging = Averaging(self._memory)
            names = buffers.wanted if samples is None else self._source.chosen(samples)
            for name in names:
                try:
                    reduced = self._averaged(name, buffers)
                    if update_only and reduced.subtraction is not None:
                        continue
                    if samples is None and reduced.chromatogram is not None:
                        continue  # a series behind a column has its own
                    asked = _stored_factor(name, reduced) if stored else sc_factor
                    groups = buffers.groups(name) or []
                    averaging.subtract_from(name, replace(reduced, sc_factor=asked), groups)
                    self._save_at_once(name)
                except ReductionError as error:
                    logger.warning("Not subtracted: %s", error)
                    errors.append(error)
        if errors and samples is not None:
            raise errors[0]

    def _resolved(self, buf_list: Buffers) -> dict[str, list[str]]:
        resolved = {}
        for sample, given in buf_list.items():
            name = self._source.resolve(sample)
            buffers = [given] if isinstance(given, str) else list(given)
            resolved[name] = [self._source.resolve(buffer) for buffer in buffers if buffer]
            if name in resolved[name]:
                raise ReductionError(f"{name}: expected another sample as its buffer, found itself")
        return resolved

    def _averaged(self, name: str, buffers: BufferTable) -> ReducedSample:
        """Give a sample that can be subtracted from, as far as it is concerned."""
        if name not in buffers.wanted:
            raise ReductionError(
                f"{name}: expected a buffer, found none; samples with one: "
                f"{sorted(buffers.wanted)}; assign_buffer() gives it one"
            )
        if buffers.groups(name) is None:
            known = buffers.samples[name]
            together = known.measurement is not None and not known.assigned
            raise ReductionError(
                f"{name}: expected its buffers {list(known.buffers)}"
                f"{' in the same measurement' if together else ''}, found only the samples "
                f"{sorted(buffers.samples)}: assign_buffer() gives it others"
            )
        reduced = self._memory.load(name)
        if reduced is None and self.d1s[name]:
            raise ReductionError(
                f"{name}: expected frames reduced by load_data(), found the curves "
                f"{sorted(self.d1s[name])} of another program, without the sums behind them: call "
                "load_data() and average_d1s() first"
            )
        if reduced is None or reduced.average is None:
            raise ReductionError(
                f"{name}: expected an average, found {sorted(self.d1s[name]) or 'no curves'}: call "
                "load_data() and average_d1s() first"
            )
        return reduced


def _stored_factor(name: str, reduced: ReducedSample) -> float:
    if reduced.subtraction is not None:
        return reduced.subtraction.sc_factor
    if reduced.sc_factor is None or reduced.sc_factor == AUTO:
        raise ReductionError(
            f"{name}: expected a stored sc_factor, found none: give a number, or {AUTO!r}"
        )
    return float(reduced.sc_factor)
