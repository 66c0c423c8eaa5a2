"""Opening HDF5 files for reading that may be growing."""

from pathlib import Path

import h5py


def open_frames(path: Path) -> h5py.File:
    """Open a file of frames for reading, also while it is written.

    Raises
    ------
    OSError
        If it cannot be opened. A file that a killed writer left needs `h5xs repair`.
    """
    try:
        return h5py.File(path, "r", swmr=True)
    except FileNotFoundError:
        raise
    except (OSError, ValueError):  # an older format, or open here in the plain mode
        return h5py.File(path, "r")


def refresh(dataset: h5py.Dataset) -> h5py.Dataset:
    """Give a dataset as it is now, where its file may be growing."""
    if dataset.file.swmr_mode:
        dataset.refresh()
    return dataset
