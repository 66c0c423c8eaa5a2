"""py4xs' ``slnxs``: curves in solution scattering."""

from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from h5xs_bluesky.api.data1d import Data1d as _Data1d
from h5xs_bluesky.compat.py4xs.detector_config import DetectorConfig
from h5xs_bluesky.compat.py4xs.exp_para import ExpPara
from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.io.image_files import read_image
from h5xs_bluesky.reduction.integration.integrate import make_integrator
from h5xs_bluesky.reduction.integration.pixels import Pixels
from h5xs_bluesky.reduction.qgrid import QGrid
from h5xs_bluesky.reduction.similarity import SelectionOptions, select_frames

PROTEIN_WATER_DENSITY_RATIO = 1.35
VOFFSET = 1.5

font_size_list = ["xx-small", "x-small", "small", "medium", "large", "x-large", "xx-large"]


class trans_mode(Enum):
    """What tells the intensity of the transmitted beam."""

    external = 0
    from_waxs = 2


def get_font_size(size_index: int | str) -> tuple[int, str]:
    """Give a font size as a number, 0 for medium, and as matplotlib's name.

    Examples
    --------
    >>> get_font_size("large"), get_font_size(-1), get_font_size(9)
    ((1, 'large'), (-1, 'small'), (3, 'xx-large'))
    """
    middle = font_size_list.index("medium")
    place = font_size_list.index(size_index) if size_index in font_size_list else None
    number = int(size_index) + middle if place is None else place
    number = min(max(number, 0), len(font_size_list) - 1)
    return number - middle, font_size_list[number]


class Data1d(_Data1d):
    """A curve that is made empty and filled afterwards; see `h5xs_bluesky.Data1d`.

    Parameters
    ----------
    transMode
        Kept as an attribute.
    **fields
        Those of `h5xs_bluesky.Data1d`; ``qgrid``, ``data`` and ``err`` may be left out.

    Examples
    --------
    >>> d1 = Data1d()
    >>> d1.qgrid, d1.data, d1.err = np.array([0.1]), np.array([5.0]), np.array([0.5])
    >>> d1.label
    'data'
    """

    def __init__(self, transMode: trans_mode | None = None, **fields: Any) -> None:
        empty = {name: np.empty(0) for name in ("qgrid", "data", "err")}
        super().__init__(**{**empty, **fields})
        self.transMode = transMode
        self.raw_data: dict[str, Any] = {}
        self.timestamp: Any = None

    def load_from_2D(
        self,
        image: Any,
        exp_para: ExpPara,
        qgrid: ArrayLike | QGrid,
        pre_process: Callable[[NDArray[Any]], Any] | None = None,
        flat_cor: ArrayLike | None = None,
        mask: Any = None,
        save_ave: bool = False,
        debug: bool | str = False,
        label: str | None = None,
        dtype: Any = None,
    ) -> None:
        """Average a frame over the azimuth: weighted, with the errors of counts.

        Parameters
        ----------
        image
            A frame as stored, the file of one, or a `Data2d`.
        exp_para
            Where the detector stands, and its mask.
        qgrid
            Bins, or their centres in Å⁻¹.
        pre_process
            Called with the frame before.
        flat_cor
            Relative sensitivity of the pixels of the flipped picture.
        mask, save_ave, debug, dtype
            Do nothing.
        label
            Names the curve.
        """
        detector = DetectorConfig(
            "", exp_para, flat=flat_cor, pixel_size=exp_para.pixel_size_mm, data_key="image"
        ).to_detector()
        grid = qgrid if isinstance(qgrid, QGrid) else QGrid.from_centers(qgrid)
        if isinstance(image, str | Path):
            self.label = Path(image).name
            image = read_image(Path(image), what="frame")
        frame = image if isinstance(image, np.ndarray) else np.asarray(image.data)
        if pre_process is not None:
            pre_process(frame)
        pixels = Pixels.from_detector(detector, polarization=1.0, solid_angle=True)
        curve = make_integrator(pixels, grid).integrate(frame).curve()
        self.qgrid, self.data, self.err = grid.centers, curve[0], curve[1]
        self.label = self.label if label is None else label


def filter_by_similarity(
    datasets: Sequence[_Data1d], similarity_threshold: float = 0.5, debug: bool | str = False
) -> tuple[list[_Data1d], list[_Data1d]]:
    """Tell curves that agree with most of the others from those that do not, as `average_d1s` does.

    The criterion is absolute: py4xs' is relative to the worst pair, so that among equal curves
    some are always rejected, and `similarity_threshold` has no meaning here.

    Parameters
    ----------
    datasets
        Curves on one q-grid. Where all have a positive `trans` they are divided by it.
    similarity_threshold, debug
        Do nothing.

    Returns
    -------
    kept, discarded : list of Data1d

    Raises
    ------
    ReductionError
        If the curves are on different grids.
    """
    curves = list(datasets)
    if not curves:
        return [], []
    if any(not np.array_equal(curve.qgrid, curves[0].qgrid) for curve in curves):
        raise ReductionError("expected curves on one q-grid, found different ones")
    trans = np.array([curve.trans for curve in curves])
    values = np.array([[curve.data, curve.err] for curve in curves])
    nothing = np.zeros(len(curves), bool)
    selection = select_frames(
        values,
        q=curves[0].qgrid,
        trans=trans if (np.isfinite(trans) & (trans > 0)).all() else None,
        options=SelectionOptions(),
        missing=nothing,
        superseded=nothing,
    )
    pairs = list(zip(curves, selection.kept, strict=True))
    return [c for c, kept in pairs if kept], [c for c, kept in pairs if not kept]
