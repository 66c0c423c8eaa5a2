"""Bins of any kind: each pixel's is given, as for maps in (q, φ)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.reduction.qgrid import QGrid


@dataclass(frozen=True, slots=True, eq=False)
class CellGrid:
    """Cells that pixels count for, in place of a q-grid.

    ``make_integrator(pixels, CellGrid(index, cells)).integrate(frame)`` gives `Accumulators` with
    one number for each cell, from the same loop, with the same corrections and exclusions.

    Parameters
    ----------
    index : ndarray of int, shape (H, W)
        The cell of each pixel of one detector, or of some of them in any shape; negative where it
        counts for none.
    cells
        How many there are, for example those of φ times those of q.

    Raises
    ------
    ReductionError
        If the index is no array of whole numbers below `cells`.

    Examples
    --------
    >>> from h5xs_bluesky.reduction.integration.integrate import make_integrator
    >>> from h5xs_bluesky.reduction.integration.pixels import Pixels
    >>> ones = np.ones((2, 3))
    >>> pixels = Pixels(q=ones, normalization=ones, mask=np.zeros((2, 3), bool))
    >>> grid = CellGrid(np.array([[0, 0, 3], [-1, 1, 3]]), cells=4)
    >>> make_integrator(pixels, grid).integrate(np.arange(6).reshape(2, 3)).signal.tolist()
    [1.0, 4.0, 0.0, 7.0]
    """

    index: NDArray[np.int32]
    cells: int

    def __post_init__(self) -> None:
        index: NDArray[Any] = np.array(self.index)
        if index.ndim == 0 or index.dtype.kind not in "iu":
            raise ReductionError(
                "expected the cell of each pixel as whole numbers, found "
                f"{index.dtype} {index.shape}"
            )
        if self.cells < 1 or index.max(initial=-1) >= self.cells:
            raise ReductionError(
                f"expected cells below {self.cells}, at least one, found {index.max(initial=-1)}"
            )
        index = np.maximum(index, -1).astype(np.int32)
        index.setflags(write=False)
        object.__setattr__(self, "index", index)

    def __len__(self) -> int:
        return self.cells

    def bin_index(self, q: ArrayLike) -> NDArray[np.int32]:
        """Give the cell of each pixel, whatever its q.

        Raises
        ------
        ReductionError
            If `q` is of another shape.
        """
        if np.shape(q) != self.index.shape:
            raise ReductionError(
                f"expected pixels of shape {self.index.shape} as the cells', found {np.shape(q)}"
            )
        return self.index


Bins = QGrid | CellGrid
