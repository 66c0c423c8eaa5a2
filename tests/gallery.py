"""Pictures of the documentation, compared with those that its code makes now.

``python tests/gallery.py demo-output/overview.png demo.png`` compares one on the command line.
"""

import os
import shutil
import sys
from pathlib import Path

from matplotlib.testing.compare import compare_images

_IMAGES = Path(__file__).parents[1] / "docs" / "images"
_PREFIX = "gallery-*.png"
_TOLERANCE = 12.0  # root mean square of 255; fonts and noise differ a little between machines


def check_pictures(folder: Path) -> None:
    """Compare the pictures in a folder with the committed ones; all of them must be there.

    With ``H5XS_PICTURES=refresh`` they are taken over instead: look at each before it is
    committed.
    """
    made = {path.name for path in folder.glob(_PREFIX)}
    if os.environ.get("H5XS_PICTURES") == "refresh":
        for name in made:
            shutil.copyfile(folder / name, _IMAGES / name)
    committed = {path.name for path in _IMAGES.glob(_PREFIX)}
    if made != committed:
        raise AssertionError(
            f"expected the pictures {sorted(committed)}, found {sorted(made)}: make them anew "
            "with H5XS_PICTURES=refresh and look at them"
        )
    for name in sorted(made):
        _compare(folder / name, name)


def check_picture(made: Path, name: str) -> None:
    """Compare one picture with the committed one of this name; see `check_pictures`."""
    if os.environ.get("H5XS_PICTURES") == "refresh":
        shutil.copyfile(made, _IMAGES / name)
    _compare(made, name)


def _compare(made: Path, name: str) -> None:
    expected = shutil.copyfile(_IMAGES / name, made.with_name(f"expected-{name}"))
    difference = compare_images(str(expected), str(made), tol=_TOLERANCE)
    if difference is not None:
        raise AssertionError(difference)


if __name__ == "__main__":
    check_picture(Path(sys.argv[1]), sys.argv[2])
