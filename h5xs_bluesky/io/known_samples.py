"""The samples of an experiment as they call each other: which are the buffers of which."""

from collections.abc import Sequence
from dataclasses import dataclass

import h5py

from h5xs_bluesky import schema
from h5xs_bluesky.io.attributes import text_attribute
from h5xs_bluesky.io.experiment import measurement_of, sample_names, samples
from h5xs_bluesky.io.names import split_names


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownSample:
    """What a sample is called, and what it calls its buffers.

    Parameters
    ----------
    group
        Its group in the experiment.
    name
        As its scan gave it.
    measurement
        What it was measured as a part of, as a plan says; None where no plan does.
    buffers
        Names, or groups, of its buffers.
    assigned
        Whether the user chose them afterwards; otherwise they are those of the documents.
    """

    group: str
    name: str
    measurement: str | None = None
    buffers: tuple[str, ...] = ()
    assigned: bool = False

    def calls(self, other: "KnownSample", buffer: str) -> bool:
        """Tell whether another sample is what this one calls its buffer.

        What documents name belongs to the same measurement; what the user chose may be anything.
        """
        return (
            other.group != self.group
            and buffer in (other.group, other.name)
            and (self.assigned or self.measurement in (None, other.measurement))
        )


def known_samples(file: h5py.File) -> list[KnownSample]:
    """Give all samples whose run files are there, oldest first."""
    groups = dict(samples(file))
    return [known_sample(name, groups[name]) for name in sample_names(file)]


def known_sample(group: str, sample: h5py.Group) -> KnownSample:
    """Read what a sample is called from its attributes."""
    attrs = sample.attrs
    buffers = text_attribute(attrs, schema.BUFFER) or text_attribute(attrs, schema.H5XS_BUFFER)
    return KnownSample(
        group=group,
        name=text_attribute(attrs, schema.SAMPLE_NAME, group),
        measurement=measurement_of(sample),
        buffers=tuple(split_names(buffers)),
        assigned=schema.BUFFER_ASSIGNED in attrs,
    )


def buffers_of(
    sample: KnownSample, known: Sequence[KnownSample], *, earlier: Sequence[str] = ()
) -> list[str] | None:
    """Give the groups of a sample's buffers: the newest samples of their names.

    Live and offline reduction call this.

    Parameters
    ----------
    known
        The experiment's samples, oldest first.
    earlier
        Groups of an earlier subtraction, which stay where the names still mean them.

    Returns
    -------
    list of str or None
        None where it has no buffer, or one of them is not there.
    """
    meant = [_meant(sample, known, buffer) for buffer in sample.buffers]
    if not all(meant) or not meant:
        return None
    stay = len(earlier) == len(meant) and all(map(list.__contains__, meant, earlier))
    return list(earlier) if stay else [groups[-1] for groups in meant]


def _meant(sample: KnownSample, known: Sequence[KnownSample], buffer: str) -> list[str]:
    """Give the groups that one of its buffers may be; the user means a group, if there is one."""
    groups = [other.group for other in known if sample.calls(other, buffer)]
    return [buffer] if sample.assigned and buffer in groups else groups
