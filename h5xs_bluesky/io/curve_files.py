"""Curves in files: three columns of text, or NXcanSAS."""

import re
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import FileDamagedError, FileFormatError
from h5xs_bluesky.io.opening import DAMAGE, open_whole

_HDF5_START = b"\x89HDF\r\n\x1a\n"
_HEADER = re.compile(r"^\s*#\s?(.*)$")
_PER_ANGSTROM = {
    "1/angstrom": 1.0,
    "1/a": 1.0,
    "a^-1": 1.0,
    "å⁻¹": 1.0,
    "1/å": 1.0,
    "angstrom^-1": 1.0,
    "1/nm": 0.1,
    "nm^-1": 0.1,
    "nm⁻¹": 0.1,
    "1/m": 1e-10,
}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CurveFile:
    """What a file holds.

    Parameters
    ----------
    q, intensity, sigma : ndarray, shape (nq,)
        q in Å⁻¹; σ is NaN where the file has none.
    title
        "" where it has none.
    trans
        Of our own header; NaN where it is not told.
    comments
        Further lines of the header.
    """

    q: NDArray[np.float64]
    intensity: NDArray[np.float64]
    sigma: NDArray[np.float64]
    title: str = ""
    trans: float = float("nan")
    comments: str = ""


def read_curve(path: Path, *, unit: str | None = None) -> CurveFile:
    """Read a curve.

    Parameters
    ----------
    path
        Text of two or three columns under any header, or HDF5 with NXcanSAS.
    unit
        Of q: ``"1/A"`` or ``"1/nm"``. By default what the file says; text that does not is taken
        as 1/A.

    Raises
    ------
    FileFormatError
        If there are no numbers, or q does not increase, or the unit is not known.
    FileDamagedError
        If a part of it is lost.
    OSError
        If it cannot be read.
    """
    with path.open("rb") as file:
        hdf5 = file.read(len(_HDF5_START)) == _HDF5_START
    if not hdf5:
        return _read_text(path, unit)
    try:
        return _read_nxcansas(path, unit)
    except DAMAGE as error:
        raise FileDamagedError(f"{path}: found damage: {error}") from error


def _read_text(path: Path, unit: str | None) -> CurveFile:
    rows: list[list[float]] = []
    header: list[str] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        numbers = _numbers(line)
        if numbers is not None:
            rows.append(numbers[:3])
        elif not rows:
            found = _HEADER.match(line)
            header.append(found[1] if found else line.strip())
    widths = {len(row) for row in rows}
    if len(widths) != 1:
        raise FileFormatError(
            f"{path}: expected q, I and perhaps σ in each of some lines, found {len(rows)} lines "
            f"of {sorted(widths)} numbers"
        )
    columns = np.array(rows).T
    if unit is None and any("1/nm" in line.lower() or "nm^-1" in line.lower() for line in header):
        unit = "1/nm"
    title, trans, comments = _own_header(header)
    return _curve_file(
        path,
        columns[0],
        columns[1],
        columns[2] if len(columns) > 2 else None,
        unit=unit or "1/A",
        title=title,
        trans=trans,
        comments=comments,
    )


def _numbers(line: str) -> list[float] | None:
    parts = line.replace(",", " ").replace(";", " ").split()
    try:
        values = [float(part) for part in parts]
    except ValueError:
        return None
    return values if len(values) > 1 else None


def _own_header(lines: list[str]) -> tuple[str, float, str]:
    """Take the header that `Data1d.save` writes apart: title, trans, comments."""
    lines = [line for line in lines if line]
    if lines and lines[-1].lower().startswith("q "):
        lines = lines[:-1]
    title, rest = (lines[0], lines[1:]) if lines else ("", [])
    trans = float("nan")
    if rest and rest[0].startswith("trans: "):
        try:
            trans = float(rest[0].removeprefix("trans: "))
        except ValueError:
            return title, trans, "\n".join(rest)
        rest = rest[1:]
    return title, trans, "\n".join(rest)


def _read_nxcansas(path: Path, unit: str | None) -> CurveFile:
    with open_whole(path) as file:
        found: list[h5py.Group] = []
        file.visititems(lambda _, item: found.append(item) if _is_sasdata(item) else None)
        if not found:
            raise FileFormatError(
                f"{path}: expected a group with canSAS_class = 'SASdata', as NXcanSAS has, found "
                "none"
            )
        data = found[0]
        intensity, q = _dataset(data, "I", path), _dataset(data, "Q", path)
        name = _text(data["I"].attrs.get("uncertainties", "Idev"))
        sigma = _dataset(data, name, path) if isinstance(data.get(name), h5py.Dataset) else None
        title = data.parent.get("title")
        return _curve_file(
            path,
            q,
            intensity,
            sigma,
            unit=unit or _text(data["Q"].attrs.get("units", "1/angstrom")),
            title=_text(title[()]) if isinstance(title, h5py.Dataset) else "",
        )


def _is_sasdata(item: h5py.Group | h5py.Dataset) -> bool:
    return (
        isinstance(item, h5py.Group)
        and _text(item.attrs.get("canSAS_class", "")) == "SASdata"
        and "I" in item
    )


def _dataset(group: h5py.Group, name: str, path: Path) -> NDArray[np.float64]:
    """Read a list of numbers; what lies in other files is not followed."""
    link, data = group.get(name, getlink=True), None
    if isinstance(link, h5py.HardLink):
        data = group[name]
    if not isinstance(data, h5py.Dataset) or data.ndim != 1 or data.dtype.kind not in "iuf":
        raise FileFormatError(f"{path}: expected a list of numbers {group.name}/{name}, found none")
    if data.external or data.is_virtual:
        raise FileFormatError(f"{path}: expected {group.name}/{name} in this file, found a link")
    return np.asarray(data[()], dtype=float)


def _curve_file(
    path: Path,
    q: NDArray[np.float64],
    intensity: NDArray[np.float64],
    sigma: NDArray[np.float64] | None,
    *,
    unit: str,
    title: str = "",
    trans: float = float("nan"),
    comments: str = "",
) -> CurveFile:
    factor = _PER_ANGSTROM.get(unit.strip().lower())
    if factor is None:
        raise FileFormatError(f"{path}: expected q in 1/A or 1/nm, found {unit!r}")
    sigma = np.full(q.shape, np.nan) if sigma is None else sigma
    if not q.shape == intensity.shape == sigma.shape or q.size == 0:
        raise FileFormatError(
            f"{path}: expected q, I and σ of one length, found {q.shape}, {intensity.shape} and "
            f"{sigma.shape}"
        )
    if not (np.diff(q) > 0).all():
        raise FileFormatError(f"{path}: expected q that increases, found one that does not")
    return CurveFile(
        q=q * factor, intensity=intensity, sigma=sigma, title=title, trans=trans, comments=comments
    )


def _text(value: object) -> str:
    if isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
