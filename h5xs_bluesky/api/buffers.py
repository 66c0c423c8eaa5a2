"""Which samples are the buffers of which, and their subtraction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from h5xs_bluesky.api.source import ExperimentSource
from h5xs_bluesky.config import Beamline
from h5xs_bluesky.io.known_samples import KnownSample, buffers_of, known_sample
from h5xs_bluesky.io.names import split_names
from h5xs_bluesky.reduction.average import Average
from h5xs_bluesky.reduction.sample import ReducedSample


@dataclass(frozen=True, kw_only=True, slots=True)
class BufferTable:
    """What samples are called, and what they call their buffers.

    Parameters
    ----------
    samples : mapping of group to KnownSample
        All of the experiment's, oldest first.
    """

    samples: Mapping[str, KnownSample]

    @classmethod
    def read(
        cls,
        source: ExperimentSource,
        samples: Sequence[str],
        assigned: Mapping[str, Sequence[str]],
    ) -> "BufferTable":
        """Read it from the samples' attributes; what the user assigned wins, now or in a sidecar.

        Parameters
        ----------
        samples
            Groups, oldest first.
        """
        found = {}
        for group in samples:
            found[group] = known_sample(group, source.sample(group))
            chosen = assigned.get(group)
            if chosen is None:
                beside = source.assigned_buffer(group)
                chosen = None if beside is None else split_names(beside)
            if chosen is not None:
                found[group] = replace(found[group], buffers=tuple(chosen), assigned=True)
        return cls(samples=found)

    @property
    def wanted(self) -> dict[str, tuple[str, ...]]:
        """Names, or groups, of the buffers of those samples that have any, by group."""
        return {group: sample.buffers for group, sample in self.samples.items() if sample.buffers}

    def groups(self, sample: str, *, earlier: str | None = None) -> list[str] | None:
        """Give the groups of a sample's buffers; see `buffers_of`.

        Parameters
        ----------
        earlier
            Groups of an earlier subtraction, which stay where the names still mean them.

        Returns
        -------
        list of str or None
            None where it has no buffer, or one of them is not there.
        """
        before = split_names(earlier or "")
        return buffers_of(self.samples[sample], list(self.samples.values()), earlier=before)


def subtract_average(
    reduced: ReducedSample, buffer: Average, *, name: str, beamline: Beamline
) -> ReducedSample:
    """Subtract a buffer as the user wants it, else as the configuration says.

    Live and offline reduction call this.

    Raises
    ------
    ReductionError
        If that cannot be done; see `ReducedSample.subtracted`.
    """
    own = reduced.sc_factor
    return reduced.subtracted(
        buffer,
        name=name,
        sc_factor=beamline.reduction.sc_factor if own is None else own,
        normalize=beamline.normalizes,
        q=beamline.qgrid.centers,
        peak=reduced.peak or beamline.reduction.water_peak,
    )
