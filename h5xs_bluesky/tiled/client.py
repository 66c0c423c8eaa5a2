"""What Tiled's Python client makes of our nodes: the methods of `h5xs`, for one remote sample.

Tiled finds these classes by the spec of a node (entry points ``tiled.special_client``); where this
package is not installed the nodes are Tiled's own containers and arrays.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tiled.client.array import ArrayClient
from tiled.client.container import Container
from tiled.ndslice import NDSlice

from h5xs_bluesky import schema
from h5xs_bluesky.api.data1d import Data1d
from h5xs_bluesky.api.data2d import Data2d
from h5xs_bluesky.api.plots.axes import plain_ticks, prepare_axes
from h5xs_bluesky.api.plots.frames import plot_frames
from h5xs_bluesky.api.raw import frame_number
from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.io.names import safe_name
from h5xs_bluesky.io.py4xs_files import detectors_from_json
from h5xs_bluesky.tiled.arrays import FRAMES_SPEC
from h5xs_bluesky.tiled.following import Following
from h5xs_bluesky.tiled.summaries import from_client

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

_SINGLE = (schema.AVERAGED, schema.SUBTRACTED)


class GrowingArrayClient(ArrayClient):  # type: ignore[misc]
    """An array that may grow while it is read: what was there when it was found is read."""

    def read(self, slice: Any = None) -> Any:  # noqa: A002 - Tiled's name
        """Read the array, or a part of it; the rows are named, as further ones may come."""
        if 0 in self.shape and slice is None:  # Tiled's would ask for blocks that are not there
            return np.empty(self.shape, self.dtype)
        wanted = NDSlice(slice)
        return super().read(wanted or _all_of(self.shape))


def _all_of(shape: Sequence[int]) -> Any:
    """Name every row of a shape, in a way that the client does not take for "all there is"."""
    if not shape or not shape[0]:
        return NDSlice()
    return NDSlice(np.s_[0 : shape[0] : 1], *(np.s_[:] for _ in shape[1:]))


class SampleClient(Container):  # type: ignore[misc]
    """One sample of an experiment on a server, with the methods that `h5xs` has for it."""

    def header(self) -> dict[str, Any]:
        """Give the start document of the scan that measured the sample."""
        return dict(from_client(self.metadata["start"]))

    def md_dict(self) -> dict[str, Any]:
        """Give what is known of the sample but for the documents: names, times, counts, q-range."""
        documents = (schema.START, schema.STOP, schema.DESCRIPTORS)
        return {
            key: value for key, value in from_client(self.metadata).items() if key not in documents
        }

    def get_mon(self) -> "DataFrame":
        """Give the monitors, a row for each frame, and whether it is averaged."""
        table: DataFrame = self["monitors"].read()
        return table

    def get_d1(self, group: str = schema.MERGED, frn: int | None = None) -> Data1d:
        """Give one curve.

        Parameters
        ----------
        group
            A detector's extension, ``"merged"``, ``"averaged"`` or ``"subtracted"``.
        frn
            Which frame, of curves per frame; the first by default, −1 for the latest.

        Raises
        ------
        ReductionError
            If the sample has no such curve yet.
        IndexError
            If it has no such frame.
        """
        node = self._curve_node(group)
        if node.ndim == 2:
            return self._curve(node, node.read(), f"{self._name} {group}")
        number = frame_number(frn or 0, node.shape[0], sample=self._name)
        return self._curve(node, node[number], f"{self._name} {group}, frame {number}")

    def get_d2(
        self, det_ext: str | None = None, frn: int | None = None
    ) -> Data2d | dict[str, Data2d]:
        """Give one frame: of one detector, or of each by its extension.

        Parameters
        ----------
        det_ext
            The detector's extension.
        frn
            Which frame; the first by default, −1 for each detector's latest.

        Raises
        ------
        IndexError
            If the sample has no such frame, or not of this detector.
        """
        patterns: dict[str, Data2d] = {}
        for node in self["primary/data"].values() if schema.PRIMARY in self else ():
            text = node.metadata.get("detector")
            if text is None or FRAMES_SPEC.name not in {spec.name for spec in node.specs}:
                continue
            (detector,) = detectors_from_json(text, folder=Path())
            if det_ext in (None, "", detector.extension):
                number = frame_number(frn or 0, node.shape[0], sample=self._name)
                patterns[detector.extension] = Data2d(
                    data=node[number],
                    detector=detector,
                    label=f"{self._name} {detector.extension}, frame {number}",
                    md={"frame #": number},
                )
        if not patterns:
            raise IndexError(
                f"{self._name}: expected a frame of {det_ext or 'a detector'}, found none"
            )
        return patterns[det_ext] if det_ext else patterns

    def plot_d1s(self, ax: "Axes | None" = None, offset: float = 1.5) -> "Axes":
        """Plot the merged curves, and which frames are averaged: grey dotted ones are not.

        Parameters
        ----------
        ax
            Where; a new figure if there is none.
        offset
            Each frame's curve is multiplied by this more often than the one before.

        Raises
        ------
        ReductionError
            If it has no curves yet.
        """
        node = self._curve_node(schema.MERGED)
        frames = self.curves_of(node, node[: node.shape[0]], 0)
        monitors = self.get_mon()
        selected = len(monitors) == len(frames) and monitors[schema.KEPT].notna().all()
        averaged = schema.AVERAGED in self[schema.PROCESSED]
        axes = prepare_axes(ax)
        axes.set_title(self._name)
        plot_frames(
            axes,
            frames,
            reasons=list(monitors[schema.REASON]) if selected else None,
            average=self.get_d1(schema.AVERAGED) if averaged else None,
            offset=offset,
            p_values=monitors[schema.P_VALUE].to_numpy(float) if selected else None,
        )
        plain_ticks(axes)
        return axes

    def export(self, path: str | Path = "") -> list[Path]:
        """Write the averaged and the subtracted curve, and the monitors, as texts into a folder.

        Parameters
        ----------
        path
            The folder; made where it is not there.

        Returns
        -------
        list of Path
            What was written: ``<sample>_<curve>.dat``, ``<sample>_monitors.csv``.

        Raises
        ------
        ReductionError
            If the sample has neither curve.
        """
        folder, name = Path(path), safe_name(self._name)
        folder.mkdir(parents=True, exist_ok=True)
        known = self.get(schema.PROCESSED, {})
        written = []
        for curve in (curve for curve in _SINGLE if curve in known):
            written.append(folder / f"{name}_{curve}.dat")
            known[curve].export(str(written[-1]), format="dat")
        if not written:
            self._curve_node(schema.AVERAGED)
        written.append(folder / f"{name}_monitors.csv")
        self["monitors"].export(str(written[-1]), format="csv")
        return written

    def follow(self, callback: Callable[[Data1d], Any]) -> Following:
        """Call back with the merged curve of each frame: those that are there, then as they come.

        Where the server publishes runs, each curve comes in a message as soon as it is reduced;
        elsewhere the server tells of new frames about once a second. Ends by itself when the run
        does.

        Parameters
        ----------
        callback
            Called with one curve after the other, in a thread; an exception is logged.

        Examples
        --------
        >>> following = sample.follow(lambda curve: curve.plot(axes))  # doctest: +SKIP
        >>> following.wait()  # doctest: +SKIP
        """
        return Following(self, callback)

    @property
    def _name(self) -> str:
        return str(self.item["id"])

    def _curve_node(self, group: str) -> Any:
        known = self.get(schema.PROCESSED, {})
        if group not in known:
            raise ReductionError(
                f"{self._name}: expected a curve {group!r}, found {sorted(known)}: "
                "it is not reduced or averaged yet"
            )
        return known[group]

    def curves_of(self, node: Any, values: Any, first: int) -> list[Data1d]:
        """Make curves of values (k, 2, nq) that frames from `first` on have in a node."""
        label = f"{self._name} {schema.MERGED}, frame"
        return [
            self._curve(node, each, f"{label} {number}")
            for number, each in enumerate(values, start=first)
        ]

    def _curve(self, node: Any, values: Any, label: str) -> Data1d:
        trans = node.metadata.get(schema.TRANS)
        return Data1d(
            qgrid=np.asarray(node.metadata["q"], dtype=float),
            data=np.asarray(values[0], dtype=float),
            err=np.asarray(values[1], dtype=float),
            trans=np.nan if trans is None else float(trans),
            label=label,
        )
