"""What one downloads: three columns of a curve, a picture of a curve or a frame.

Tiled calls a serializer with the media type, the values (a slice, where one was asked for) and the
node's metadata, in a thread. Monitors as CSV are Tiled's own.
"""

import io
import tempfile
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tiled.utils import UnsupportedShape

from h5xs_bluesky import schema
from h5xs_bluesky.api.data1d import Data1d
from h5xs_bluesky.api.plots.axes import plain_ticks, prepare_axes
from h5xs_bluesky.tiled.adapter import SAMPLE_SPEC
from h5xs_bluesky.tiled.arrays import CURVE_SPEC, CURVES_SPEC, FRAMES_SPEC
from h5xs_bluesky.tiled.curves import CurveMetadata
from h5xs_bluesky.tiled.sample_files import NXCANSAS, SAMPLE

DAT: Final = "application/x-h5xs-dat"
PNG: Final = "image/png"

# For Tiled's configuration: what each kind of node can be downloaded as.
MEDIA_TYPES: Final = {
    CURVE_SPEC.name: {
        DAT: "h5xs_bluesky.tiled.serializers:curve_to_dat",
        PNG: "h5xs_bluesky.tiled.serializers:curves_to_png",
    },
    CURVES_SPEC.name: {
        DAT: "h5xs_bluesky.tiled.serializers:curve_to_dat",
        PNG: "h5xs_bluesky.tiled.serializers:curves_to_png",
    },
    FRAMES_SPEC.name: {PNG: "h5xs_bluesky.tiled.serializers:frame_to_png"},
    SAMPLE_SPEC.name: {
        NXCANSAS: "h5xs_bluesky.tiled.sample_files:sample_to_nxcansas",
        SAMPLE: "h5xs_bluesky.tiled.sample_files:sample_to_h5xs",
    },
    # What the `documents()` of Bluesky's clients asks for.
    "BlueskyRun": {"application/json-seq": "bluesky_tiled_plugins.exporters:json_seq_exporter"},
}
FILE_EXTENSIONS: Final = {"dat": DAT, "nxcansas": NXCANSAS, "h5xs": SAMPLE}

_MOST_CURVES = 200  # in one picture
_SIZE_INCHES = (7.0, 5.0)
_drawing = threading.Lock()  # matplotlib's caches are not made for several threads


def curve_to_dat(mimetype: str, values: NDArray[Any], metadata: Mapping[str, Any]) -> bytes:
    """Write one curve (2, nq), or that of one frame (``slice=3``), as q, I and σ.

    The header has the lines that `h5xs.export_d1s` writes.

    Raises
    ------
    UnsupportedShape
        If it is not one curve on the q of its metadata.
    """
    (curve,) = _curves(values, metadata, most=1)
    if isinstance(metadata, CurveMetadata):
        header = metadata.header()
        if header.trans:
            (curve.trans,) = header.trans
        curve.comments = "\n".join((*curve.comments.splitlines(), *header.lines))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "curve.dat")
        curve.save(path)
        return path.read_bytes()


def curves_to_png(mimetype: str, values: NDArray[Any], metadata: Mapping[str, Any]) -> bytes:
    """Draw a curve with its error bars, or those of several frames.

    Raises
    ------
    UnsupportedShape
        If these are no curves on the q of their metadata, or more than can be told apart.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    curves = _curves(values, metadata, most=_MOST_CURVES)
    with _drawing:
        figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
        axes = prepare_axes(figure.add_subplot())
        if len(curves) == 1:
            curves[0].plot(axes, color="#21918c")
        else:
            colours = colormaps["viridis"](np.linspace(0, 0.9, len(curves)))
            for curve, colour in zip(curves, colours, strict=True):
                axes.plot(curve.qgrid, curve.data, color=colour, lw=1.0)
            plain_ticks(axes)
        axes.set_title(_title(metadata, len(curves)))
        return _png(figure)


def frame_to_png(mimetype: str, values: NDArray[Any], metadata: Mapping[str, Any]) -> bytes:
    """Draw one frame (``slice=3``) on a logarithmic scale; pixels below 1 count are dark.

    Raises
    ------
    UnsupportedShape
        If it is not one frame.
    """
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    picture = np.squeeze(values)
    if picture.ndim != 2:
        raise UnsupportedShape(values.shape)
    saturated = np.iinfo(picture.dtype).max if picture.dtype.kind == "u" else np.inf
    counts = np.where(picture >= saturated, np.nan, picture.astype(float))
    known = counts[np.isfinite(counts)]
    highest = max(2.0, float(np.percentile(known, 99.9)) if known.size else 2.0)
    with _drawing:
        figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
        axes = figure.add_subplot()
        shown = axes.imshow(
            np.maximum(counts, 0.5), norm=LogNorm(1.0, highest), cmap="viridis", origin="upper"
        )
        figure.colorbar(shown, ax=axes, label="counts")
        axes.set_xlabel("column (px)")
        axes.set_ylabel("row (px)")
        axes.set_title(_title(metadata, 1))
        return _png(figure)


def _curves(values: NDArray[Any], metadata: Mapping[str, Any], *, most: int) -> list[Data1d]:
    """Take (2, nq) or (n, 2, nq) apart."""
    q = np.asarray(metadata.get("q") or [], dtype=float)
    stack = np.asarray(values, dtype=float)
    if stack.ndim == 2:
        stack = stack[np.newaxis]
    if stack.ndim != 3 or stack.shape[1:] != (2, q.size) or not 1 <= len(stack) <= most:
        raise UnsupportedShape(np.shape(values))
    frames = metadata.frames if isinstance(metadata, CurveMetadata) else None
    ending = "" if frames is None or len(frames) != 1 else f", frame {frames[0]}"
    trans = metadata.get(schema.TRANS)
    return [
        Data1d(
            qgrid=q,
            data=intensity,
            err=sigma,
            trans=np.nan if trans is None else float(trans),
            label=f"{metadata.get('sample')} {metadata.get('curve')}{ending}",
            comments="\n".join(_header(metadata)),
        )
        for intensity, sigma in stack
    ]


def _header(metadata: Mapping[str, Any]) -> list[str]:
    """Give the lines that tell where a curve comes from."""
    keys = (schema.SAMPLE_NAME, "uid", "scan_id", schema.BUFFER)
    lines = [f"{key}: {metadata[key]}" for key in keys if metadata.get(key) is not None]
    time_s = metadata.get(schema.TIME)
    if isinstance(time_s, int | float):
        lines.append(f"time: {datetime.fromtimestamp(time_s, UTC).isoformat(timespec='seconds')}")
    return lines


def _title(metadata: Mapping[str, Any], curves: int) -> str:
    name = " ".join(str(metadata[key]) for key in ("sample", "curve", "field") if metadata.get(key))
    return f"{name}, {curves} frames" if curves > 1 else name


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
