"""Opening HDF5 files for reading that may be growing."""

from pathlib import Path

import h5py
from h5py import h5d, h5f, h5i
from h5py._objects import phil  # HDF5's calls are made one at a time, under this lock


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
    """Give a dataset as it is now, where its file may be growing.

    A dataset that is open a second time in this process stays as it was opened: HDF5 2.0 and before
    refresh one for both, and then find the first chunk wherever another is asked for. Who follows a
    growing file asks again a moment later.
    """
    with phil:
        if dataset.file.swmr_mode and not _is_open_twice(dataset.id):
            dataset.refresh()
    return dataset


def _is_open_twice(dataset: h5d.DatasetID) -> bool:
    """Tell whether refreshing a dataset would reach one that somebody else reads.

    A virtual dataset keeps its sources open, and does not say which.
    """
    for other in h5f.get_obj_ids(h5f.OBJ_ALL, h5f.OBJ_DATASET):
        if other.id == dataset.id or not _is_only_read(other):
            continue
        if other == dataset or _is_virtual(other) or _is_virtual(dataset):
            return True
    return False


def _is_only_read(dataset: h5d.DatasetID) -> bool:
    writing: int = h5i.get_file_id(dataset).get_intent() & h5f.ACC_RDWR
    return writing == 0


def _is_virtual(dataset: h5d.DatasetID) -> bool:
    layout: int = dataset.get_create_plist().get_layout()
    return layout == int(h5d.VIRTUAL)
