"""What Tiled's Python client makes of our nodes: the methods of `h5xs`, for one remote sample.

Tiled finds these classes by the spec of a node (entry points ``tiled.special_client``); where this
package is not installed the nodes are Tiled's own containers and arrays.
"""

import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tiled.client.array import ArrayClient
from tiled.client.container import Container
from tiled.client.utils import handle_error, retry_context
from tiled.ndslice import NDSlice

from h5xs_bluesky import schema
from h5xs_bluesky.api.data1d import Data1d
from h5xs_bluesky.api.h5xs import h5xs
from h5xs_bluesky.reduction.monitors import MonitorReadings
from h5xs_bluesky.tiled.adapter import CURVES
from h5xs_bluesky.tiled.following import Following
from h5xs_bluesky.tiled.remote import remote_h5xs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TRANS_TRIES, _TRANS_WAIT_S = 20, 0.05


class GrowingArrayClient(ArrayClient):  # type: ignore[misc]
    """An array that may grow while it is read: what was there when it was found is read."""

    def read(self, slice: Any = None) -> Any:  # noqa: A002 - Tiled's name
        """Read the array, or a part of it; the rows are named, as further ones may come."""
        if 0 in self.shape and slice is None:  # Tiled's would ask for blocks that are not there
            return np.empty(self.shape, self.dtype)
        wanted = NDSlice(slice)
        return super().read(wanted or _all_of(self.shape))


def _rows_now(node: Any, first: int, last: int) -> NDArray[Any]:
    """Read rows of an array (n,) that may have grown since it was found: fewer, if it has fewer."""
    for attempt in retry_context(node.context):
        with attempt:
            response = node.context.http_client.get(
                node.item["links"]["full"],
                params={"slice": f"{first}:{last}"},
                headers={"Accept": "application/octet-stream"},
            )
            content = handle_error(response).read()
    return np.frombuffer(content, node.dtype)


def _all_of(shape: Sequence[int]) -> Any:
    """Name every row of a shape, in a way that the client does not take for "all there is"."""
    if not shape or not shape[0]:
        return NDSlice()
    return NDSlice(np.s_[0 : shape[0] : 1], *(np.s_[:] for _ in shape[1:]))


class SampleClient(Container):  # type: ignore[misc]
    """One sample of an experiment on a server, with the methods that `h5xs` has for it.

    They are those of `as_h5xs`, without the sample's name: the first one downloads all of the
    sample but its frames, and later ones again only what has changed. To read a single array,
    take it from the tree: ``sample["processed/averaged"].read()``.
    """

    _trans_node: Any = None

    def as_h5xs(self) -> h5xs:
        """Give an `h5xs` that has this sample alone, read-only; see `remote_h5xs` for several."""
        return remote_h5xs(self)

    def header(self) -> dict[str, Any]:
        """Give the start document of the scan that measured the sample."""
        return self._local.header(self._group)

    def md_dict(self, md_keys: Sequence[str] = ()) -> dict[str, Any]:
        """Give the metadata for the header of an exported file; see `h5xs.md_dict`."""
        return self._local.md_dict(self._group, md_keys)

    def get_mon(self, trigger: str | None = None, **options: Any) -> MonitorReadings:
        """Give what the beam monitors read during each frame; see `h5xs.get_mon`.

        ``sample["monitors"].read()`` also tells which frames are averaged.
        """
        readings: Any = self._local.get_mon(self._group, trigger, **options)
        found: MonitorReadings = readings
        return found

    def get_d1(self, group: str = schema.MERGED, frn: Any = None) -> Data1d:
        """Give one curve; see `h5xs.get_d1`.

        Raises
        ------
        ReductionError
            If the sample has no such curve yet.
        IndexError
            If it has no such frame.
        """
        return self._local.get_d1(self._group, group, frn)

    def get_d2(self, det_ext: str | None = None, frn: Any = None, **options: Any) -> Any:
        """Give one frame, or the average of several; see `h5xs.get_d2`.

        Raises
        ------
        IndexError
            If the sample has no such frame, or not of this detector.
        """
        return self._local.get_d2(self._group, det_ext, frn, **options)

    def plot_d1s(self, ax: "Axes | None" = None, offset: float = 1.5, **options: Any) -> "Axes":
        """Plot the curves, and which frames are averaged; see `h5xs.plot_d1s`.

        Raises
        ------
        ReductionError
            If it has no curves yet.
        """
        return self._local.plot_d1s(self._group, ax, offset, **options)

    def export(self, path: str | Path = "") -> list[Path]:
        """Write what `h5xs` exports of a sample into a folder.

        Parameters
        ----------
        path
            The folder; made where it is not there.

        Returns
        -------
        list of Path
            What was written: averaged and subtracted curve as text, both as NXcanSAS, monitors.

        Raises
        ------
        ReductionError
            If the sample has neither curve.
        """
        local, name = self._local, self._group
        local.load_d1s(name)
        kinds = {schema.AVERAGED: False, schema.SUBTRACTED: True}
        written = local.export_nxcansas(name, path)
        for kind in (kinds[curve] for curve in kinds if curve in local.d1s[name]):
            written += local.export_d1s(name, path, kind)
        return written + local.export_monitors(name, path)

    def follow(self, callback: Callable[[Data1d], Any], *, trans: bool = False) -> Following:
        """Call back with the merged curve of each frame: those that are there, then as they come.

        Where the server publishes runs, each curve comes in a message as soon as it is reduced;
        elsewhere the server tells of new frames about once a second. Ends by itself when the run
        does.

        Parameters
        ----------
        callback
            Called with one curve after the other, in a thread; an exception is logged.
        trans
            Read what normalises a curve, too, its `trans`: that takes a request for each message,
            for which a server with tens of subscribers has no time. Otherwise it is NaN;
            ``curves/trans`` of the sample has it for all frames.

        Examples
        --------
        >>> following = sample.follow(lambda curve: curve.plot(axes))  # doctest: +SKIP
        >>> following.wait()  # doctest: +SKIP
        """
        return Following(self, callback, trans=trans)

    @cached_property
    def _local(self) -> h5xs:
        return self.as_h5xs()

    @property
    def _group(self) -> str:
        return self._local.samples[0]

    def curves_of(self, node: Any, values: Any, first: int, *, trans: bool = True) -> list[Data1d]:
        """Make curves of values (k, 2, nq) that frames from `first` on have in a node.

        Without `trans` what normalises them is not read, and NaN.
        """
        count = len(values)
        known = self._trans(first, count) if trans else np.full(count, np.nan)
        label = f"{self.item['id']} {schema.MERGED}, frame"
        q = np.asarray(node.metadata["q"], dtype=float)
        return [
            Data1d(
                qgrid=q,
                data=np.asarray(each[0], dtype=float),
                err=np.asarray(each[1], dtype=float),
                trans=float(each_trans),
                label=f"{label} {number}",
            )
            for number, (each, each_trans) in enumerate(
                zip(values, known, strict=True), start=first
            )
        ]

    def _trans(self, first: int, count: int) -> NDArray[np.float64]:
        """Read what normalises some frames; NaN where that is not known."""
        found = np.full(count, np.nan)
        if self._trans_node is None:
            self._trans_node = self.get(f"{CURVES}/{schema.TRANS}")
        for _ in range(_TRANS_TRIES if self._trans_node is not None and count else 0):
            known = _rows_now(self._trans_node, first, first + count)
            found[: len(known)] = known
            if len(known) == count:
                break
            time.sleep(_TRANS_WAIT_S)  # it is written a moment after the curve
        return found
