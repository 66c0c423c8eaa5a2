"""The adapter that serves our files, packed files and the ancestor's: a container for each sample.

::

    <sample>                    spec H5XSSample; its headers and what to search by
      <stream>                  as "primary"
        time, seq_num           of the events
        data/<field>            frames (n, H, W), each a block of its own, or values (events, …)
        timestamps/<field>
      monitors                  table: a row for each frame
      processed/<curve>         (n, 2, nq) per frame, (2, nq) averaged and subtracted; q in metadata
      curves/<name>             plain arrays: q, I and σ of single ones, trans (n,) of the frames

Tiled asks `H5XSAdapter` for the tree at each request. A child of a sample is read from the file
when it is first asked for, with all that is below it, and forgotten with the answer.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from tiled.adapters.mapping import MapAdapter
from tiled.queries import AccessTagsFilter
from tiled.structures.core import Spec
from tiled.utils import path_from_uri

from h5xs_bluesky import schema
from h5xs_bluesky.io.experiment import sample_names
from h5xs_bluesky.io.names import safe_name
from h5xs_bluesky.io.py4xs_files import detector_texts
from h5xs_bluesky.tiled.arrays import (
    KnownValues,
    PartOfCurve,
    PublishedFrames,
    serve_frames,
    serve_values,
)
from h5xs_bluesky.tiled.curves import serve_curves
from h5xs_bluesky.tiled.files import ServedFile, served_path
from h5xs_bluesky.tiled.folders import file_signature, files_signature
from h5xs_bluesky.tiled.results import Results, frame_trans, results_of
from h5xs_bluesky.tiled.summaries import (
    Q_UNIT,
    curve_datasets,
    data_keys,
    document,
    documents,
    frame_count,
    is_frames,
    q_centers,
    sample_summary,
    text,
    to_plain,
)
from h5xs_bluesky.tiled.tables import ServedTable, monitors_table

MIMETYPE: Final = "application/x-h5xs"
SAMPLE_SPEC: Final = Spec("H5XSSample", "1")
EXPERIMENT_SPEC: Final = Spec("H5XSExperiment", "1")

MONITORS: Final = "monitors"
CURVES: Final = "curves"
Q: Final = "q"
INTENSITY_UNIT: Final = "counts per relative solid angle"

DETECTOR: Final = "detector"
_KEY_WORDS = ("units", "source", DETECTOR)  # of a data key, that are told with its array

Children = dict[str, Callable[[], Any]]


class H5XSContainer(MapAdapter):  # type: ignore[misc]
    """A group of a served file; all that is below bears the tags of the node that serves it."""

    def __init__(
        self,
        mapping: Mapping[str, Any],
        *,
        access_tags: frozenset[str] = frozenset(),
        **more: Any,
    ) -> None:
        self.access_tags = access_tags
        super().__init__(mapping, **more)

    def new_variation(self, *args: Any, **changes: Any) -> "H5XSContainer":
        """Give this container with something changed, as Tiled's searches do."""
        variation: H5XSContainer = super().new_variation(
            *args, access_tags=self.access_tags, **changes
        )
        return variation

    def search(self, query: Any) -> Any:
        """Give what fits a query; one for tags fits everything in a file, or nothing."""
        if isinstance(query, AccessTagsFilter):
            if self.access_tags & set(query.tags):
                return self
            return H5XSContainer(
                {}, access_tags=self.access_tags, metadata=self._metadata, specs=self.specs
            )
        return super().search(query)


class SampleContainer(H5XSContainer):
    """A sample, which can also be downloaded as a whole.

    Parameters
    ----------
    served, sample
        The file, and the sample's group in it.
    state
        Changes with the files; a client that has the download of this state need not have it again.
    """

    def __init__(
        self,
        mapping: Mapping[str, Any],
        *,
        served: ServedFile,
        sample: str,
        state: object,
        **more: Any,
    ) -> None:
        self.served = served
        self.sample = sample
        self._state = state
        super().__init__(mapping, **{"access_tags": served.access_tags, **more})

    def new_variation(self, *args: Any, **changes: Any) -> "SampleContainer":
        """Give this container with something changed, as Tiled's searches do."""
        of_sample = {"served": self.served, "sample": self.sample, "state": self._state}
        variation: SampleContainer = super().new_variation(*args, **of_sample, **changes)
        return variation

    def __dask_tokenize__(self) -> object:
        """Give what Tiled's ETag is made from."""
        return type(self).__name__, self._state


class H5XSAdapter:
    """What Tiled's configuration names for the mimetype ``application/x-h5xs``.

    Tiled calls `from_catalog` for a node of a catalogue, and `from_uris` where files are served
    without one.
    """

    @classmethod
    def from_catalog(
        cls,
        data_source: Any,
        node: Any,
        /,
        sample: str | None = None,
        dataset: str | None = None,
        **_: Any,
    ) -> H5XSContainer | PublishedFrames:
        """Serve a registered file, one sample of it, or one dataset of frames of the sample.

        Raises
        ------
        HTTPException
            403 if the asset is not one that may be served; see `served_path`.
        """
        served = ServedFile(
            path=served_path(data_source),
            access_tags=frozenset(tag.name for tag in node.access_tags),
        )
        if sample is None:
            return experiment_container(served)
        if dataset is not None:
            return PublishedFrames(served, f"{sample}/{dataset}", data_source.structure)
        return sample_container(served, sample, metadata=node.metadata_)

    @classmethod
    def from_uris(cls, *data_uris: str, sample: str | None = None, **_: Any) -> H5XSContainer:
        """Serve a file, or one sample of it, without a catalogue."""
        served = ServedFile(path=path_from_uri(data_uris[0]))
        return experiment_container(served) if sample is None else sample_container(served, sample)


class _Lazy(Mapping[str, Any]):
    """Children that are made when they are asked for."""

    def __init__(self, children: Children) -> None:
        self._children = children

    def __getitem__(self, key: str) -> Any:
        return self._children[key]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._children)

    def __len__(self) -> int:
        return len(self._children)


def experiment_container(served: ServedFile) -> H5XSContainer:
    """Serve a file with a container for each of its samples, oldest first."""
    with served.reading() as file:
        names = sample_names(file)
        metadata = {Q: q_centers(file), "q_unit": Q_UNIT}
    children: Children = {name: _later(sample_container, served, name) for name in names}
    return H5XSContainer(
        _Lazy(children),
        access_tags=served.access_tags,
        metadata=metadata,
        specs=[EXPERIMENT_SPEC],
    )


def sample_container(
    served: ServedFile, sample: str, *, metadata: Mapping[str, Any] | None = None
) -> H5XSContainer:
    """Serve one sample of a file.

    Parameters
    ----------
    metadata
        What a catalogue says of it; by default read from the file.
    """
    children: Children = {}
    if metadata is None:
        metadata = sample_summary(served, sample)
    with served.reading() as file:
        group = served.group(file, sample)
        for name in group:
            if name not in (schema.PROCESSED, schema.REDUCTION):
                children[name] = _later(_stream, served, sample, name)
        if schema.PRIMARY in children:
            children[MONITORS] = _later(_monitors, served, sample)
        with results_of(served, group, sample) as results:
            if schema.PROCESSED in results.group:
                children[schema.PROCESSED] = _later(_processed, served, sample)
                children[CURVES] = _later(_plain_curves, served, sample)
        state = _sample_state(served, sample, group)
    return SampleContainer(
        _Lazy(children),
        served=served,
        sample=sample,
        state=state,
        metadata=dict(metadata),
        specs=[SAMPLE_SPEC],
    )


def _sample_state(served: ServedFile, sample: str, group: h5py.Group) -> object:
    """Give what changes whenever one of a sample's files does."""
    files = (served.path, Path(group.file.filename))
    return [file_signature(file) for file in files], files_signature(served.path, sample)


def _later(make: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    return lambda: make(*arguments)


def _container(
    served: ServedFile, children: Mapping[str, Any], metadata: Mapping[str, Any] | None = None
) -> H5XSContainer:
    return H5XSContainer(
        children, access_tags=served.access_tags, metadata=dict(metadata or {}), specs=[]
    )


def _stream(served: ServedFile, sample: str, stream: str) -> H5XSContainer:
    """Serve a stream, or any other group of a sample that we do not know."""
    with served.reading() as file:
        parent = served.group(file, sample)
        keys = data_keys(documents(parent.attrs.get(schema.DESCRIPTORS)), stream)
        for name, text in detector_texts(file.attrs.get(schema.DETECTORS, "[]")).items():
            keys.setdefault(safe_name(name), {})[DETECTOR] = text
        return _group(served, served.group(parent, stream), f"{sample}/{stream}", keys)


def _group(
    served: ServedFile, group: h5py.Group, path: str, keys: Mapping[str, Mapping[str, Any]]
) -> H5XSContainer:
    children: dict[str, Any] = {}
    for name in group:
        member = served.member(group, name)
        if isinstance(member, h5py.Group):
            children[name] = _group(served, member, f"{path}/{name}", keys)
        elif isinstance(member, h5py.Dataset):
            of_event = path.endswith("/" + schema.DATA)
            key = keys.get(name, {}) if of_event else {}
            metadata = {word: key[word] for word in _KEY_WORDS if isinstance(key.get(word), str)}
            metadata |= {"sample": path.partition("/")[0], "field": name}
            if of_event and is_frames(member):
                count = frame_count(served, group.parent, name, member)
                children[name] = serve_frames(
                    served, f"{path}/{name}", member, frames=count, metadata=metadata
                )
            elif child := serve_values(served, f"{path}/{name}", member, metadata=metadata):
                children[name] = child
    return _container(served, children)


def _monitors(served: ServedFile, sample: str) -> ServedTable:
    with served.reading() as file:
        group = served.group(file, sample)
        with results_of(served, group, sample) as results:
            table = monitors_table(served, file, group, results.group)
        return ServedTable(served, table, metadata=_names(group))


def _names(group: h5py.Group) -> dict[str, Any]:
    """Name a sample and its scan, for the headers of what is downloaded."""
    start = document(group.attrs.get(schema.START))
    sample = group.name.strip("/")
    name = text(group.attrs.get(schema.SAMPLE_NAME), start.get(schema.SAMPLE_NAME, sample))
    scan = {key: start[key] for key in ("uid", "scan_id", schema.TIME) if key in start}
    plain: dict[str, Any] = to_plain({"sample": sample, schema.SAMPLE_NAME: name, **scan})
    return plain


def _processed(served: ServedFile, sample: str) -> H5XSContainer:
    children: dict[str, Any] = {}
    with served.reading() as file:
        group = served.group(file, sample)
        with results_of(served, group, sample) as results:
            common = curve_metadata(file, group, results)
            for name, dataset in curve_datasets(served, results.group):
                metadata = {**common, "curve": name, **_intensity(dataset)}
                children[name] = serve_curves(
                    results.served,
                    dataset,
                    own=served,
                    sample=sample,
                    name=name,
                    metadata=metadata,
                )
    return _container(served, children)


def curve_metadata(file: h5py.File, group: h5py.Group, results: Results) -> dict[str, Any]:
    """Give what is told with each curve of a sample: names, scan, buffer, q and units."""
    buffer = {schema.BUFFER: results.buffer} if results.buffer else {}
    units = {"q_unit": Q_UNIT, "I_unit": INTENSITY_UNIT}
    return {**_names(group), **buffer, Q: q_centers(file), **units}


def _intensity(dataset: h5py.Dataset) -> dict[str, Any]:
    """Give the monitor's reading that belongs to a single curve."""
    if dataset.ndim != 2 or schema.TRANS not in dataset.attrs:
        return {}
    return {schema.TRANS: to_plain(float(np.ravel(dataset.attrs[schema.TRANS])[0]))}


def _plain_curves(served: ServedFile, sample: str) -> H5XSContainer:
    """Serve what browsers chart, arrays of one axis: q, trans of the frames, I and σ of curves."""
    children: dict[str, Any] = {}
    with served.reading() as file:
        group = served.group(file, sample)
        with results_of(served, group, sample) as results:
            common = curve_metadata(file, group, results)
            if q := common.pop(Q):
                children[Q] = KnownValues(served, np.asarray(q), metadata={"unit": Q_UNIT})
            if (trans := frame_trans(results)) is not None:
                known = {**common, "curve": schema.MERGED, "quantity": schema.TRANS}
                children[schema.TRANS] = KnownValues(served, trans, metadata=known)
            for name, dataset in curve_datasets(served, results.group):
                for row, quantity in enumerate(("I", "sigma") if dataset.ndim == 2 else ()):
                    children[f"{safe_name(name)}_{quantity}"] = PartOfCurve(
                        results.served,
                        f"{sample}/{schema.PROCESSED}/{name}",
                        row,
                        shape=dataset.shape[1:],
                        dtype=dataset.dtype,
                        metadata={**common, "curve": name, "quantity": quantity},
                        specs=[],
                    )
    return _container(served, children)
