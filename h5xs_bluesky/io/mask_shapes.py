"""Masks drawn with py4xs' shapes: one per line of a text, rasterised as py4xs does it.

============================  ====================================================

line                          what is excluded
============================  ====================================================

``c x y r``                   a disc
``h x y r``                   all but a disc
``r x y w h rotation``        a rectangle about (x, y), turned counter-clockwise by degrees
``f x y start end r1 r2``     a fan between two radii; angles in degrees, clockwise from +x
``p x1 y1 x2 y2 …``           a polygon
============================  ====================================================


x counts columns, y rows; a whole number is a pixel's centre. Other lines are remarks, except for
those that look like a shape with a mistake in it.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

from h5xs_bluesky.errors import FileFormatError

_NUMBERS = {"c": 3, "h": 3, "r": 5, "f": 6}
_ALMOST = re.compile(r"\s*[chrfp]\s+[-+.]?\d", re.IGNORECASE)  # a shape, perhaps with a mistake


def holds_shapes(path: Path) -> bool:
    """Tell whether a file is a text that draws at least one shape."""
    with path.open("rb") as file:
        begin = file.read(1 << 20)
    if b"\0" in begin:
        return False
    return any(_ALMOST.match(line) for line in _text(begin).splitlines())


def draw_shapes(path: Path, *, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Read a text of shapes and draw them.

    Parameters
    ----------
    path
        The text.
    shape
        Rows and columns of the mask.

    Returns
    -------
    ndarray of bool, shape (H, W)
        True inside any of the shapes.

    Raises
    ------
    FileFormatError
        If a shape has not the numbers that it needs, or a line looks like one and is none.
    """
    mask = np.zeros(shape, dtype=bool)
    for number, line in enumerate(_text(path.read_bytes()).splitlines(), start=1):
        found = _shape(line)
        if found is None:
            if _ALMOST.match(line):
                raise FileFormatError(
                    f"{path}: line {number}: expected a shape of {sorted(_DRAW)} and numbers "
                    f"separated by spaces, found {line.strip()!r}"
                )
            continue
        try:
            mask |= draw_shape(*found, shape=shape)
        except FileFormatError as error:
            raise FileFormatError(f"{path}: line {number}: {error}") from error
    return mask


def _text(data: bytes) -> str:
    """Decode a text whose remarks may be in any language."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def draw_shape(kind: str, numbers: Sequence[float], *, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Draw one shape.

    Parameters
    ----------
    kind, numbers
        As a line of the text has them.
    shape
        Rows and columns of the mask.

    Returns
    -------
    ndarray of bool, shape (H, W)
        True inside the shape.

    Raises
    ------
    FileFormatError
        If there is no such shape, or it needs other numbers.
    """
    if kind not in _DRAW:
        raise FileFormatError(f"expected a shape of {sorted(_DRAW)}, found {kind!r}")
    wanted = _NUMBERS.get(kind)
    fits = len(numbers) == wanted if wanted else len(numbers) >= 6 and len(numbers) % 2 == 0
    if not fits:
        raise FileFormatError(
            f"expected {wanted or 'three or more pairs of'} numbers for the shape {kind!r}, found "
            f"{len(numbers)}"
        )
    return np.asarray(_DRAW[kind](numbers, (shape[1], shape[0])), dtype=bool)


def _shape(line: str) -> tuple[str, list[float]] | None:
    kind, *words = line.split() or [""]
    if kind not in _DRAW or not words:
        return None
    try:
        return kind, [float(word) for word in words]
    except ValueError:
        return None


def _disc(numbers: Sequence[float], size: tuple[int, int]) -> Image.Image:
    x, y, r = numbers
    picture = Image.new("1", size)
    ImageDraw.Draw(picture).ellipse((x - r, y - r, x + r, y + r), fill=1)
    return picture


def _hole(numbers: Sequence[float], size: tuple[int, int]) -> Image.Image:
    x, y, r = numbers
    picture = Image.new("1", size, color=1)
    ImageDraw.Draw(picture).ellipse((x - r, y - r, x + r, y + r), fill=0)
    return picture


def _rectangle(numbers: Sequence[float], size: tuple[int, int]) -> Image.Image:
    """Draw it in the middle of a larger picture, turn that, move it, cut the picture out."""
    x, y, w, h, rotation = numbers
    margins = size[0] // 2, size[1] // 2
    wide, high = size[0] + 2 * margins[0], size[1] + 2 * margins[1]
    picture = Image.new("1", (wide, high))
    ImageDraw.Draw(picture).rectangle(
        (wide / 2 - w / 2, high / 2 - h / 2, wide / 2 + w / 2, high / 2 + h / 2), fill=1
    )
    moved = ImageChops.offset(
        picture.rotate(rotation),
        int(x + margins[0] - wide / 2 + 0.5),
        int(y + margins[1] - high / 2 + 0.5),
    )
    return moved.crop((*margins, size[0] + margins[0], size[1] + margins[1]))


def _fan(numbers: Sequence[float], size: tuple[int, int]) -> Image.Image:
    x, y, start, end, inner, outer = numbers
    picture = Image.new("1", size)
    draw = ImageDraw.Draw(picture)
    for radius, fill in ((outer, 1), (inner, 0)):
        box = (x - radius, y - radius, x + radius, y + radius)
        draw.pieslice(box, start, end, fill=fill)
    return picture


def _polygon(numbers: Sequence[float], size: tuple[int, int]) -> Image.Image:
    picture = Image.new("1", size)
    ImageDraw.Draw(picture).polygon(list(numbers), fill=1)
    return picture


_DRAW: dict[str, Callable[[Sequence[float], tuple[int, int]], Image.Image]] = {
    "c": _disc,
    "h": _hole,
    "r": _rectangle,
    "f": _fan,
    "p": _polygon,
}
