"""Curves from files of ours and of others."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from h5xs_bluesky.errors import FileFormatError
from h5xs_bluesky.io.curve_files import read_curve

Q, INTENSITY, SIGMA = (
    np.array([0.01, 0.02, 0.03]),
    np.array([5.0, 4.0, 3.0]),
    np.array([0.5, 0.4, 0.3]),
)


def write_nxcansas(path: Path, *, units: str = "1/angstrom", sigma: bool = True) -> Path:
    with h5py.File(path, "w") as file:
        entry = file.create_group("sasentry01")
        entry.attrs["canSAS_class"] = "SASentry"
        entry["title"] = "lysozyme"
        data = entry.create_group("sasdata01")
        data.attrs["canSAS_class"] = "SASdata"
        data["Q"], data["I"] = Q, INTENSITY
        data["Q"].attrs["units"] = units
        data["I"].attrs["units"] = "1/cm"
        if sigma:
            data["I"].attrs["uncertainties"] = "Idev"
            data["Idev"] = SIGMA
    return path


@pytest.mark.parametrize(
    ("units", "factor"), [("1/angstrom", 1.0), ("1/nm", 0.1), ("nm^-1", 0.1), ("1/A", 1.0)]
)
def test_nxcansas_is_read_in_any_unit_of_q(tmp_path: Path, units: str, factor: float) -> None:
    found = read_curve(write_nxcansas(tmp_path / "c.h5", units=units))
    assert np.allclose(found.q, Q * factor)
    assert np.array_equal(found.intensity, INTENSITY)
    assert np.array_equal(found.sigma, SIGMA)
    assert found.title == "lysozyme"


def test_sigma_that_is_not_there_is_not_known(tmp_path: Path) -> None:
    assert np.isnan(read_curve(write_nxcansas(tmp_path / "c.h5", sigma=False)).sigma).all()
    (tmp_path / "c.dat").write_text("0.1 5\n0.2 4\n")
    assert np.isnan(read_curve(tmp_path / "c.dat").sigma).all()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0.01 5 0.5\n0.02 4 0.4\n0.03 3 0.3\n", "bare columns"),
        ("# anything\n# q I s\n0.01,5,0.5\n0.02,4,0.4\n0.03,3,0.3\n", "commas"),
        ("Sample  description\n\n  0.01 5 0.5\n 0.02 4 0.4\n 0.03 3 0.3\nend\n", "no comment sign"),
        ("q [1/nm] I\n0.1 5 0.5\n0.2 4 0.4\n0.3 3 0.3\n", "the header tells 1/nm"),
        ("0.01 5 0.5 9\n0.02 4 0.4 9\n0.03 3 0.3 9\n", "further columns"),
    ],
)
def test_columns_of_text_are_read_under_any_header(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "c.dat").write_text(text)
    found = read_curve(tmp_path / "c.dat")
    assert np.allclose(found.q, Q)
    assert np.array_equal(found.intensity, INTENSITY)
    assert np.array_equal(found.sigma, SIGMA)


def test_unit_may_be_given(tmp_path: Path) -> None:
    (tmp_path / "c.dat").write_text("0.1 5 0.5\n0.2 4 0.4\n0.3 3 0.3\n")
    assert np.allclose(read_curve(tmp_path / "c.dat", unit="1/nm").q, Q)
    with pytest.raises(FileFormatError, match="1/nm"):
        read_curve(tmp_path / "c.dat", unit="furlong")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "nothing"),
        ("words only\n", "no numbers"),
        ("0.1 2 3\n0.2 2\n", "lines of different length"),
        ("0.2 2 3\n0.1 2 3\n", "q that falls"),
    ],
)
def test_text_that_is_no_curve_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "c.dat").write_text(text)
    with pytest.raises(FileFormatError, match=r"c\.dat: expected"):
        read_curve(tmp_path / "c.dat")


def test_hdf5_without_a_curve_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["I"] = INTENSITY
    with pytest.raises(FileFormatError, match="SASdata"):
        read_curve(tmp_path / "c.h5")


@pytest.mark.parametrize("left", [0.3, 0.6, 0.9])
def test_hdf5_that_is_cut_short_is_refused(tmp_path: Path, left: float) -> None:
    path = write_nxcansas(tmp_path / "c.h5")
    os.truncate(path, int(left * path.stat().st_size))
    with pytest.raises(OSError, match=r"c\.h5"):
        read_curve(path)


@pytest.mark.parametrize("kind", ["external", "virtual", "text"])
def test_numbers_of_other_files_are_not_followed(tmp_path: Path, kind: str) -> None:
    path = write_nxcansas(tmp_path / "c.h5")
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["I"] = INTENSITY
    with h5py.File(path, "a") as file:
        data = file["sasentry01/sasdata01"]
        del data["I"]
        if kind == "external":
            data["I"] = h5py.ExternalLink(str(other), "I")
        elif kind == "virtual":
            layout = h5py.VirtualLayout((3,), float)
            layout[:] = h5py.VirtualSource(str(other), "I", (3,))
            data.create_virtual_dataset("I", layout)
        else:
            data["I"] = "five, four, three"
    with pytest.raises(FileFormatError, match="expected"):
        read_curve(path)
