"""Flats and darks of an experiment: files beside its own, named after what is in them."""

import hashlib
import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky import schema
from h5xs_bluesky.errors import FileFormatError
from h5xs_bluesky.io.links import follow
from h5xs_bluesky.io.names import safe_name
from h5xs_bluesky.io.replace import replace_whole
from h5xs_bluesky.reduction.detector import Detector

_DIGEST = re.compile(r"[0-9a-f]{64}")
_LETTERS = 16  # of a digest, in a file's name


def digest(array: NDArray[np.float64]) -> str:
    """Give the SHA-256 of an array's numbers, as hexadecimal text."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def save_corrections(folder: Path, detectors: Iterable[Detector]) -> None:
    """Write the flats and darks of detectors into an experiment's folder, unless they are there.

    A file's name tells what is in it, so that a file is never changed, and the results of an
    earlier flat can be made again.
    """
    for detector in detectors:
        for name, array in detector.corrections.items():
            path = folder / correction_name(detector.extension, name, digest(array))
            if path.exists():
                continue
            buffer = io.BytesIO()
            np.save(buffer, array, allow_pickle=False)
            with replace_whole(path) as temporary:
                temporary.write_bytes(buffer.getvalue())


def load_corrections(
    folder: Path,
    extension: str,
    digests: Mapping[str, str],
    *,
    file: h5py.File | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Read the flat and dark of a detector.

    Parameters
    ----------
    folder
        The experiment's.
    extension
        The detector's.
    digests
        By name; see `digest`.
    file
        A packed file, which holds them itself.

    Raises
    ------
    FileFormatError
        If one is not there, or is not what its digest says.
    """
    return {
        name: _load(folder / correction_name(extension, name, digests[name]), digests[name], file)
        for name in Detector.CORRECTIONS
        if name in digests
    }


def correction_name(extension: str, name: str, sha256: str) -> str:
    """Give the name of the file that holds a flat or dark, or of the dataset in a packed file."""
    if not _DIGEST.fullmatch(sha256):
        raise FileFormatError(f"{extension}: expected the digest of a {name}, found {sha256!r}")
    return f"{safe_name(extension)}.{name}.{sha256[:_LETTERS]}.npy"


def _load(path: Path, sha256: str, file: h5py.File | None) -> NDArray[np.float64]:
    array = None if file is None else _packed(file, path.name)
    try:
        array = np.load(path, allow_pickle=False) if array is None else array
    except (OSError, ValueError) as error:
        raise FileFormatError(
            f"{path}: expected an array, found an error: {error}: copy the file from where the "
            "experiment was before, or calibrate the detector again"
        ) from error
    if array.dtype != np.float64 or digest(array) != sha256:
        raise FileFormatError(f"{path}: expected the array of digest {sha256}, found another")
    return np.asarray(array)


def _packed(file: h5py.File, name: str) -> NDArray[Any] | None:
    """Find a correction in the samples of a packed file, which has no links."""
    roots = [Path(file.filename).resolve().parent]
    for sample in file:
        if isinstance(file.get(sample, getlink=True), h5py.HardLink):
            found = follow(file, f"{sample}/{schema.CORRECTIONS}/{name}", roots=roots)
            if isinstance(found, h5py.Dataset):
                array: NDArray[Any] = found[()]
                return array
    return None
