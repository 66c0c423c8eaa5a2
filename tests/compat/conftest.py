"""Files as py4xs keeps them at LiX."""

import shutil
from pathlib import Path

import matplotlib as mpl
import pytest

from h5xs_bluesky.sim.py4xs_files import write_py4xs_file

mpl.use("agg")


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    write_py4xs_file(folder / "flow_cell.h5", "flow cell")
    write_py4xs_file(folder / "sec.h5", "SEC")
    return folder


@pytest.fixture
def flow_cell(simulated: Path, tmp_path: Path) -> Path:
    """Raw data of a buffer and of a protein in it, never reduced."""
    return Path(shutil.copy(simulated / "flow_cell.h5", tmp_path / "lix.h5"))


@pytest.fixture
def sec(simulated: Path, tmp_path: Path) -> Path:
    """Raw data of a column's eluate, with one peak."""
    return Path(shutil.copy(simulated / "sec.h5", tmp_path / "sec.h5"))
