"""py4xs' ``mask``: a bitmap of the pixels to leave out, drawn with shapes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from h5xs_bluesky.errors import FileFormatError
from h5xs_bluesky.io.image_files import read_image
from h5xs_bluesky.io.mask_shapes import draw_shape, draw_shapes

_WHITE = 255


class Mask:
    """The pixels of py4xs' flipped picture that are left out.

    Parameters
    ----------
    width, height
        Of the flipped picture.

    Attributes
    ----------
    map : ndarray of bool, shape (height, width)
        True where a pixel is left out. It may be written to.
    maskfile : str
        What was read last.

    Examples
    --------
    >>> mask = Mask(20, 10)
    >>> mask.add_item("c", [15, 5, 2])
    >>> bool(mask.map[5, 15]), int(mask.map.sum())
    (True, 21)
    """

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self.maskfile = ""
        self.map = np.zeros((height, width), dtype=bool)

    def read_file(self, filename: str | Path) -> None:
        """Replace the mask by the shapes ``r c h f p`` of a text; see `mask_shapes`.

        Raises
        ------
        FileFormatError
            If there is no such file, or a shape has not the numbers that it needs.
        """
        path = Path(filename)
        if not path.is_file():
            raise FileFormatError(f"{path}: expected a text of shapes, found no file")
        self.map = draw_shapes(path, shape=(self.height, self.width))
        self.maskfile = str(path.resolve())

    def reload(self) -> None:
        """Read the file again that was read last."""
        self.read_file(self.maskfile)

    def read_from_8bit_tif(self, filename: str | Path) -> None:
        """Replace the mask by the white pixels, 255, of a picture.

        Raises
        ------
        FileFormatError
            If the picture is of another shape.
        """
        picture = read_image(Path(filename), key="mask", what="mask")
        if picture.shape != self.map.shape:
            raise FileFormatError(
                f"{filename}: expected a picture of shape {self.map.shape}, found {picture.shape}"
            )
        self.map = np.asarray(picture == _WHITE)

    def fix_bad_pixels(self, d2: Any, min_value: float = 0, max_value: float = 2097151) -> None:
        """Leave out the pixels of a pattern (`Data2d`) that are below or above these counts.

        Raises
        ------
        FileFormatError
            If the pattern is of another shape.
        """
        counts = np.asarray(getattr(d2.data, "d", d2.data))
        if counts.shape != self.map.shape:
            raise FileFormatError(
                f"expected a pattern of shape {self.map.shape} as the mask's, found {counts.shape}"
            )
        self.map |= (counts > max_value) | (counts < min_value)

    def invert(self) -> None:
        """Leave out what was in use, and the other way round."""
        self.map = ~self.map

    def add_item(self, stype: str, para: Sequence[float]) -> None:
        """Leave out a shape, too.

        Parameters
        ----------
        stype, para
            Its kind and numbers, as a line of the text has them.
        """
        self.map |= draw_shape(stype, para, shape=(self.height, self.width))

    def clear(self) -> None:
        """Use every pixel."""
        self.map[...] = False

    def val(self, x: int, y: int) -> bool:
        """Tell whether pixel ``map[x, y]`` is left out: as in py4xs the first number is the row."""
        return bool(self.map[x, y])

    def set_bit(self, x: int, y: int) -> None:
        """Leave out pixel ``map[x, y]``."""
        self.map[x, y] = True

    def clear_bit(self, x: int, y: int) -> None:
        """Use pixel ``map[x, y]``."""
        self.map[x, y] = False
