"""databroker's own store: its documents, with the frames in files put into the events."""

from collections.abc import Mapping
from contextlib import closing
from typing import Any

import numpy as np

from h5xs_bluesky.callbacks.documents import Document, documents_of
from h5xs_bluesky.catalogs.file_frames import FileFrames
from h5xs_bluesky.catalogs.source import (
    DTYPES,
    FILES,
    ORDER,
    Documents,
    StoredRun,
    external_fields,
    without_files,
)
from h5xs_bluesky.errors import CatalogError
from h5xs_bluesky.io.external import AllowedFolders
from h5xs_bluesky.io.stream_rows import ANNOUNCED


def databroker_run(node: Any, *, name: str, folders: AllowedFolders) -> StoredRun:
    """Give a run of databroker.

    Parameters
    ----------
    node
        The run, of the v2 interface.
    name
        Of the store, for errors.
    folders
        Where files that documents name, and what these link to, have to lie.

    Raises
    ------
    CatalogError
        If databroker does not keep what tells where its frames are.
    """
    start = dict(node.metadata["start"])
    stop = node.metadata.get("stop")
    streams = (stop or {}).get("num_events") or list(node)  # to list them takes long
    descriptors = [each for name in streams for each in node[name].metadata["descriptors"]]
    for descriptor in descriptors:
        announced = [f for f, how in external_fields(descriptor).items() if how == ANNOUNCED]
        if announced:  # databroker answers with a KeyError, or with a run without frames
            raise CatalogError(
                f"{name}: run {str(start['uid'])[:8]}: expected frames in events or in resources, "
                f"found {', '.join(announced)} announced in stream documents (ophyd-async), which "
                "databroker does not keep: take this run from Tiled, from our journals, or its "
                "files with h5xs import"
            )
    keys = [key for each in descriptors for key in each["data_keys"].values()]
    lost = {
        DTYPES: any(
            key.get("dtype") == "array" and key.get("external") is None and "dtype_numpy" not in key
            for key in keys
        ),
        FILES: any(key.get("external") is not None for key in keys),
        ORDER: len({each.get("name") for each in descriptors}) > 1,
    }
    return StoredRun(
        start=start,
        stop=dict(stop) if stop else None,
        lost=tuple(what for what, is_lost in lost.items() if is_lost),
        documents=lambda: _documents(node, folders),
    )


def _documents(node: Any, folders: AllowedFolders) -> Documents:
    known = _Known()
    with closing(FileFrames(folders)) as files:
        for page_name, page in node.documents(fill=False):
            for name, doc in documents_of(page_name, dict(page)):
                if name == "descriptor":
                    known.descriptors[doc["uid"]] = doc
                    yield name, without_files(doc)
                elif name == "resource":
                    known.resources[doc["uid"]] = doc
                elif name == "datum":
                    known.datums[doc["datum_id"]] = doc
                elif name == "event":
                    yield name, known.filled(doc, files)
                elif name != "stop" or doc:
                    yield name, doc


class _Known:
    """The documents so far that events refer to."""

    def __init__(self) -> None:
        self.descriptors: dict[str, Document] = {}
        self.resources: dict[str, Document] = {}
        self.datums: dict[str, Document] = {}

    def filled(self, event: Document, files: FileFrames) -> Document:
        """Give an event with its frames in it, and its arrays of the dtype that is told."""
        keys = self.descriptors[event["descriptor"]]["data_keys"]
        data = {
            name: self._value(value, keys.get(name, {}), files)
            for name, value in event["data"].items()
        }
        return {**event, "data": data, "filled": dict.fromkeys(event.get("filled") or {}, True)}

    def _value(self, value: Any, key: Mapping[str, Any], files: FileFrames) -> Any:
        if key.get("external") is not None and isinstance(value, str):
            datum = self.datums.get(value)
            if datum is None:
                raise CatalogError(f"expected the datum {value!r} of an event, found none")
            return files.of_datum(self.resources[datum["resource"]], datum)
        dtype = key.get("dtype_numpy")
        if isinstance(value, list) and isinstance(dtype, str):
            return np.asarray(value, dtype=np.dtype(dtype))
        return value
