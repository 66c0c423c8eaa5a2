"""Samples on a server, for `h5xs` to read as it reads those in files.

All of a sample but its frames comes at once, as a file that stays in memory, and again only when it
has changed on the server. So the methods of `h5xs` run here on the very numbers that they run on
there. Frames come one by one.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import httpx
import numpy as np
from numpy.typing import NDArray
from tiled.client.utils import handle_error, retry_context

from h5xs_bluesky.api.h5xs import h5xs
from h5xs_bluesky.api.raw import FrameSource
from h5xs_bluesky.errors import FrameAbsentError, ReductionError
from h5xs_bluesky.io.links import refuse_outside

_FORMAT = "h5xs"
_numbers = itertools.count()


def remote_h5xs(*samples: Any) -> h5xs:
    """Give an `h5xs` of samples on a server, which only reads.

    Averages and subtractions that are made here stay in memory. What needs files here, as
    `load_data` and `explicit_open`, raises `RefusedError`.

    Parameters
    ----------
    *samples
        Tiled's clients of samples of one experiment.

    Raises
    ------
    ReductionError
        If there is none, or they are of several experiments.
    httpx.HTTPError
        If the server cannot be reached, or refuses.

    Examples
    --------
    >>> dt = remote_h5xs(client["experiment/lysozyme"])  # doctest: +SKIP
    >>> dt.plot_d1s("lysozyme")  # doctest: +SKIP
    """
    return h5xs(ServerStorage(samples))


class ServerStorage:
    """Samples of one experiment on a server.

    Parameters
    ----------
    nodes
        Tiled's clients of the samples; one at least.

    Raises
    ------
    ReductionError
        If there is none, or they are of several experiments.
    """

    elsewhere = True

    def __init__(self, nodes: Sequence[Any]) -> None:
        uris = [str(node.uri) for node in nodes]
        if len({uri.rpartition("/")[0] for uri in uris}) != 1:
            raise ReductionError(f"expected samples of one experiment, found {uris or 'none'}")
        self.name = uris[0]
        self.path = Path(uris[0])
        self._nodes = list(nodes)
        self._bodies: dict[str, tuple[str, bytes]] = {}  # by URI
        self._samples: dict[str, Any] = {}  # nodes, by the groups in their files
        self._arrays: dict[str, Any] = {}

    def open(self) -> h5py.File:
        """Give the samples as a file in memory, without their frames, as they are now.

        Raises
        ------
        httpx.HTTPError
            If the server cannot be reached, or refuses.
        RefusedError
            If what it gives leads to files on this machine.
        """
        parts = [_file_of(self._body(node), self.path) for node in self._nodes]
        for part, node in zip(parts, self._nodes, strict=True):
            self._samples.update(dict.fromkeys(part, node))
        if len(parts) == 1:
            return parts[0]
        file = h5py.File(_own_name(self.path), "w", driver="core", backing_store=False)
        for part in parts:
            with part:
                file.attrs.update(part.attrs)
                for name in part:
                    part.copy(name, file)
        return file

    def read_frame(self, source: FrameSource, row: int) -> NDArray[Any]:
        """Read a frame through the array of its field.

        Raises
        ------
        FrameAbsentError
            If the server has it no more.
        """
        array = self._arrays.get(source.dataset)
        if array is None or row >= int(np.prod(array.shape[:-2])):
            sample, _, path = source.dataset.strip("/").partition("/")
            array = self._arrays[source.dataset] = self._samples[sample][path]
        index = tuple(int(i) for i in np.unravel_index(row, array.shape[:-2]))
        try:
            frame: NDArray[Any] = array[index]
        except KeyError as error:  # which Tiled's client makes of "gone"
            raise FrameAbsentError(
                f"{self.name}: {source.dataset}: expected row {row}, found that it is gone: {error}"
            ) from error
        return frame

    def _body(self, node: Any) -> bytes:
        """Download a sample, unless it is as it was."""
        state, body = self._bodies.get(node.uri, ("", b""))
        for attempt in retry_context(node.context):
            with attempt:
                response: httpx.Response = node.context.http_client.get(
                    node.item["links"]["full"],
                    params={"format": _FORMAT},
                    headers={"If-None-Match": state},
                )
                if response.status_code != httpx.codes.NOT_MODIFIED:
                    body = handle_error(response).read()
                    _refuse_links(body, self.path)
                    self._bodies[node.uri] = (response.headers["ETag"], body)
        return body


def _own_name(path: Path) -> str:
    """Name a file in memory as no other: HDF5 would take one of the same name for the same."""
    return f"{path}#{next(_numbers)}"


def _file_of(body: bytes, path: Path) -> h5py.File:
    """Open a file that is in memory."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fapl_core(backing_store=False)
    access.set_file_image(body)
    return h5py.File(h5py.h5f.open(_own_name(path).encode(), h5py.h5f.ACC_RDONLY, fapl=access))


def _refuse_links(body: bytes, path: Path) -> None:
    """Check that nothing leads out: HDF5 would look for it in our working directory."""
    with _file_of(body, path) as file:
        for name in file:
            refuse_outside(file, name, roots=[])
