"""Live reduction of X-ray scattering data from Bluesky documents.

The names below are loaded when they are first used, so that importing the package stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from h5xs_bluesky.api.data1d import Data1d
    from h5xs_bluesky.api.data2d import Data2d
    from h5xs_bluesky.api.h5exp import h5exp
    from h5xs_bluesky.api.h5xs import h5xs
    from h5xs_bluesky.api.map2d import Map2d
    from h5xs_bluesky.config import Beamline
    from h5xs_bluesky.reduction.detector import Detector
    from h5xs_bluesky.reduction.qgrid import QGrid

__all__ = ["Beamline", "Data1d", "Data2d", "Detector", "Map2d", "QGrid", "h5exp", "h5xs"]

_HOME = {
    "Beamline": "h5xs_bluesky.config",
    "Data1d": "h5xs_bluesky.api.data1d",
    "Data2d": "h5xs_bluesky.api.data2d",
    "Detector": "h5xs_bluesky.reduction.detector",
    "Map2d": "h5xs_bluesky.api.map2d",
    "QGrid": "h5xs_bluesky.reduction.qgrid",
    "h5exp": "h5xs_bluesky.api.h5exp",
    "h5xs": "h5xs_bluesky.api.h5xs",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version(__name__)
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def load_ipython_extension(shell: "InteractiveShell") -> None:
    """Add the magic ``%h5xs``: called by ``%load_ext h5xs_bluesky``."""
    from h5xs_bluesky.magics.extension import load

    load(shell)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
