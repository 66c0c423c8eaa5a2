"""Which samples are the buffers of which, and their subtraction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from h5xs_bluesky import schema
from h5xs_bluesky.api.source import ExperimentSource
from h5xs_bluesky.config import Beamline
from h5xs_bluesky.io.attributes import text_attribute
from h5xs_bluesky.io.names import split_names
from h5xs_bluesky.reduction.average import Average
from h5xs_bluesky.reduction.sample import ReducedSample


@dataclass(frozen=True, kw_only=True, slots=True)
class BufferTable:
    """What samples are called, and the names of the buffers that they have.

    Parameters
    ----------
    names : mapping of group to str
        The name that each sample's scan gave, oldest first.
    wanted : mapping of group to list of str
        Names, or groups, of the buffers of those samples that have any.
    """

    names: Mapping[str, str]
    wanted: Mapping[str, Sequence[str]]

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
        names, wanted = {}, {}
        for group in samples:
            attrs = source.sample(group).attrs
            names[group] = text_attribute(attrs, schema.SAMPLE_NAME, group)
            buffers = source.assigned_buffer(group)
            if buffers is None:
                buffers = text_attribute(attrs, schema.BUFFER) or text_attribute(
                    attrs, schema.H5XS_BUFFER
                )
            wanted[group] = list(split_names(buffers))
        wanted |= {group: list(buffers) for group, buffers in assigned.items()}
        return cls(names=names, wanted={group: w for group, w in wanted.items() if w})

    def groups(self, sample: str, *, earlier: str | None = None) -> list[str] | None:
        """Give the groups of a sample's buffers: the newest samples of their names.

        Parameters
        ----------
        earlier
            Groups of an earlier subtraction, which stay where the names still mean them.

        Returns
        -------
        list of str or None
            None where it has no buffer, or one of them is not there.
        """
        names = self.wanted.get(sample, [])
        before = split_names(earlier or "")
        if len(before) == len(names) and all(map(self._means, names, before)):
            return before or None
        found = [self._newest(name, but=sample) for name in names]
        return [group for group in found if group] if found and all(found) else None

    def _means(self, name: str, group: str) -> bool:
        return group in self.names and name in (group, self.names[group])

    def _newest(self, name: str, *, but: str) -> str | None:
        groups = [group for group in self.names if group != but and self._means(name, group)]
        return groups[-1] if groups else None


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
