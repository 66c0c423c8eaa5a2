"""Where an experiment's data lie: in files, or on a server."""

from pathlib import Path
from typing import Any, Protocol

import h5py
from numpy.typing import NDArray

from h5xs_bluesky.api.raw import FrameSource
from h5xs_bluesky.io.experiment import open_for_reading
from h5xs_bluesky.io.frames import open_frames, read_frame


class Storage(Protocol):
    """What `h5xs` reads from: a file with all of its samples but the frames, and the frames.

    Attributes
    ----------
    path
        The file. One that is elsewhere has a path of which nothing exists.
    name
        What messages show: the path, or the address.
    elsewhere
        It is no file on this machine: nothing can be written, and no path in it can be opened.
    """

    path: Path
    name: str
    elsewhere: bool

    def open(self) -> h5py.File:
        """Open it for reading, as it is now."""
        ...

    def read_frame(self, source: FrameSource, row: int) -> NDArray[Any]:
        """Read the frame (H, W) in a row of a source.

        Raises
        ------
        FrameAbsentError
            If it is not there: not yet, or not any more.
        """
        ...


class FileStorage:
    """An experiment's file, and the files that it links.

    Parameters
    ----------
    path
        The file.
    """

    elsewhere = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)

    def open(self) -> h5py.File:
        """Open the file so that those it links may still be growing."""
        return open_for_reading(self.path)

    def read_frame(self, source: FrameSource, row: int) -> NDArray[Any]:
        """Read a frame from its file."""
        with open_frames(source.path) as file:
            return read_frame(file[source.dataset], row)
