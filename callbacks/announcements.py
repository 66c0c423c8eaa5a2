"""What documents tell of the files of other writers, in whatever form, in one form."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from h5xs_bluesky.callbacks.documents import Document, is_frame_shape
from h5xs_bluesky.errors import FileFormatError, RefusedError
from h5xs_bluesky.io.external import path_of
from h5xs_bluesky.io.run_contents import RunContents
from h5xs_bluesky.io.stream_rows import ANNOUNCED, Place

_HDF5 = "application/x-hdf5"
_AREA_DETECTOR_HDF5 = "AD_HDF5"  # and names that begin with it
_AREA_DETECTOR_DATASET = "/entry/data/data"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Announcement:
    """Some events' frames, or values, of one field in the file of another writer.

    Parameters
    ----------
    stream, field
        Where they belong.
    path, dataset
        Where they lie.
    first
        The row there, in frames or values, at which the first event's begin.
    per_event
        How many an event has.
    frames
        Whether they are frames.
    places
        The rows of the events in their stream.
    received
        When we heard of them, in s since the epoch.
    problem
        Why they cannot be waited for; "" if they can.
    """

    stream: str
    field: str
    path: Path
    dataset: str
    first: int
    per_event: int
    frames: bool
    places: Sequence[Place]
    received: float
    problem: str = ""

    @property
    def frame_count(self) -> int:
        """How many frames are announced."""
        return len(self.places) * self.per_event if self.frames else 0


class Announcements:
    """Reads the announcements in the documents of one run.

    Parameters
    ----------
    contents
        The run, which has consumed a document before it is asked for here.
    data_keys
        The fields that configured detectors write.
    """

    def __init__(self, contents: RunContents, data_keys: frozenset[str]) -> None:
        self._contents = contents
        self._data_keys = data_keys
        self._descriptors: dict[str, Document] = {}
        self._resources: dict[str, Document] = {}  # of either kind
        self._datums: dict[str, Document] = {}
        # datum → descriptor, field and row of each event that came before it
        self._wanted: dict[str, list[tuple[str, str, int]]] = {}

    def of(
        self, name: str, doc: Document, *, received: float, row: int | None = None
    ) -> Iterator[Announcement]:
        """Give what a document announces.

        Parameters
        ----------
        received
            When it came, in s since the epoch.
        row
            Of an event.
        """
        if name == "descriptor":
            self._descriptors[doc["uid"]] = doc
        elif name in ("resource", "stream_resource"):
            self._resources[doc["uid"]] = doc
        elif name == "stream_datum":
            yield from self._stream_datum(doc, received)
        elif name == "datum":
            self._datums[doc["datum_id"]] = doc  # further events may name it, too
            for where in self._wanted.pop(doc["datum_id"], ()):
                yield self._datum(doc, received, *where)
        elif name == "event" and row is not None:
            yield from self._event(doc, received, row)

    def _event(self, doc: Document, received: float, row: int) -> Iterator[Announcement]:
        keys = self._descriptors[doc["descriptor"]]["data_keys"]
        for field_name, value in doc["data"].items():
            if not keys.get(field_name, {}).get("external") or not isinstance(value, str):
                continue
            where = doc["descriptor"], field_name, row
            if value in self._datums:
                yield self._datum(self._datums[value], received, *where)
            else:  # the datum comes later
                self._wanted.setdefault(value, []).append(where)

    def never_came(self) -> Iterator[tuple[str, int, int]]:
        """Give what events promised and nothing announced: field, events, frames in all."""
        promised: dict[tuple[str, str], int] = {}  # descriptor, field → events
        for places in self._wanted.values():
            for descriptor, name, _ in places:
                promised[descriptor, name] = promised.get((descriptor, name), 0) + 1
        latest = {self._contents.stream_of({"descriptor": uid}): uid for uid in self._descriptors}
        for stream, uid in latest.items():
            for name, key in self._descriptors[uid]["data_keys"].items():
                if key.get("external") == ANNOUNCED:
                    promised[uid, name] = self._contents.streams[stream].rows.lacking(name)
        for (uid, name), events in promised.items():
            frames, per_event = _kind(self._descriptors[uid], name, claimed=name in self._data_keys)
            if events:
                yield name, events, events * per_event if frames else 0

    def _stream_datum(self, doc: Document, received: float) -> Iterator[Announcement]:
        """Give what a stream_datum announces: nothing, where it has no events.

        Raises
        ------
        FileFormatError
            After that, if its indices do not fit its sequence numbers: some may be left out.
        """
        indices = [int(doc["indices"][end]) for end in ("start", "stop")]
        places, rows = self._contents.announced.pop(doc["uid"]), indices[1] - indices[0]
        if indices[0] < 0:
            raise FileFormatError(f"expected indices from 0 on, found {indices[0]}: left out")
        if places[:rows]:
            yield self._of_rows(doc, received, indices[0], places[:rows])
        if rows != len(places):
            raise FileFormatError(
                f"expected an index for each sequence number, found {rows} indices and "
                f"{len(places)} numbers: what is beyond the shorter of them is left out"
            )

    def _of_rows(
        self, doc: Document, received: float, first: int, places: Sequence[Place]
    ) -> Announcement:
        resource = self._resources[doc["stream_resource"]]
        name, descriptor = resource["data_key"], self._descriptors[doc["descriptor"]]
        problem, path = "", Path()
        if resource.get("mimetype") != _HDF5:
            problem = (
                f"expected a file of type {_HDF5!r}, found {resource.get('mimetype')!r}: the "
                "journal tells where it is, its frames are neither linked nor reduced"
            )
        else:
            try:
                path = path_of(resource["uri"])
            except RefusedError as error:
                problem = str(error)
        frames, per_event = _kind(descriptor, name, claimed=name in self._data_keys)
        return Announcement(
            stream=self._contents.stream_of(doc),
            field=name,
            path=path,
            dataset=str(resource.get("parameters", {}).get("dataset", "")),
            first=first * per_event,
            per_event=per_event,
            frames=frames,
            places=places,
            received=received,
            problem=problem,
        )

    def _datum(
        self, doc: Document, received: float, descriptor: str, name: str, row: int
    ) -> Announcement:
        resource = self._resources[doc["resource"]]
        point, problem = doc["datum_kwargs"].get("point_number"), ""
        if not str(resource["spec"]).startswith(_AREA_DETECTOR_HDF5) or point is None:
            problem = (
                f"expected a resource of spec {_AREA_DETECTOR_HDF5} with point numbers, found "
                f"{resource['spec']!r} with {sorted(doc['datum_kwargs'])}: the journal tells where "
                "it is, its frames are neither linked nor reduced"
            )
        per_event = int(resource["resource_kwargs"].get("frame_per_point", 1))
        return Announcement(
            stream=self._contents.stream_of({"descriptor": descriptor}),
            field=name,
            path=Path(resource["root"]) / resource["resource_path"],
            dataset=_AREA_DETECTOR_DATASET,
            first=int(point or 0) * per_event,
            per_event=per_event,
            frames=True,
            places=[Place(row)],
            received=received,
            problem=problem,
        )


def _kind(descriptor: Mapping[str, Any], name: str, *, claimed: bool) -> tuple[bool, int]:
    """Tell whether a field holds frames, and how many of them, or of its values, an event has."""
    shape = [int(length or 1) for length in descriptor["data_keys"][name].get("shape", [])]
    if len(shape) >= 2 and is_frame_shape(shape, claimed=claimed):
        return True, int(np.prod(shape[:-2], dtype=int))
    return False, shape[0] if shape else 1
