"""The journal of a run: every document except its pixels, appended and flushed one by one."""

import logging
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgpack
import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import FileFormatError, RefusedError

logger = logging.getLogger(__name__)

_HEADER = {"format": "h5xs-journal", "version": 1}
_ARRAY, _FRAMES, _TEXT = 1, 2, 3  # codes of msgpack's extension types
_LARGEST_RECORD = 1 << 30
_PLAIN_KINDS = "biufcSUmM"  # kinds of dtype whose bytes are their values


@dataclass(frozen=True, slots=True)
class FrameReference:
    """Where the frames of one event and field lie.

    Parameters
    ----------
    file
        Name of a file in the run's folder.
    row, rows
        The first row there, and how many.
    shape, dtype
        Of one frame.
    """

    file: str
    row: int
    rows: int
    shape: tuple[int, ...]
    dtype: str


class JournalWriter:
    """Appends records to a journal.

    A journal that exists is continued after its last whole record; what a killed writer left of
    a further one is cut off.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        end = _end_of_records(path) if path.exists() else 0
        self._file: BinaryIO = path.open("r+b" if path.exists() else "xb", buffering=0)
        self._file.truncate(end)
        self._file.seek(end)
        if end == 0:
            self._write(msgpack.packb(_HEADER))

    def append(self, name: str, doc: dict[str, Any]) -> None:
        """Append a document; when this returns the system has it, whatever becomes of us.

        Arrays and `FrameReference` keep their type. Other values that msgpack does not know are
        kept as their `repr`, with a warning.

        Raises
        ------
        OSError
            If it cannot be written; what was written of it is cut off again.
        """
        self._write(msgpack.packb([name, _packable(doc)], default=_pack))

    def sync(self) -> None:
        """Wait until the disk has it, too."""
        import os

        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, record: bytes) -> None:
        begin = self._file.tell()
        left = memoryview(record)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            self._file.seek(begin)
            self._file.truncate(begin)
            error.filename = str(self.path)
            raise


def read_journal(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read the documents of a journal in their order; a torn last record is left out.

    Raises
    ------
    FileFormatError
        If the file is no journal, is of a newer version, or is damaged before its end.
    RefusedError
        If a record asks for an array of objects.
    """
    for _, record in _records(path):
        if not (isinstance(record, list) and len(record) == 2 and isinstance(record[1], dict)):
            raise FileFormatError(
                f"{path}: expected records [name, document], found {record!r:.80}"
            )
        yield str(record[0]), record[1]


def _end_of_records(path: Path) -> int:
    return max((end for end, _ in _records(path, with_header=True)), default=0)


def _records(path: Path, *, with_header: bool = False) -> Iterator[tuple[int, Any]]:
    """Give (end in the file, record) of each whole record."""
    with path.open("rb") as file:
        unpacker = msgpack.Unpacker(
            file, ext_hook=_unpack, strict_map_key=False, max_buffer_size=_LARGEST_RECORD
        )
        size = path.stat().st_size
        end = 0
        while True:
            try:
                record = unpacker.unpack()
            except msgpack.OutOfData:
                break
            except (ValueError, msgpack.UnpackException) as error:
                if isinstance(error, RefusedError):
                    raise
                raise FileFormatError(
                    f"{path}: expected a record at byte {end}, found something else ({error})"
                ) from error
            first, end = end == 0, unpacker.tell()
            if first:
                _check_header(path, record)
            if with_header or not first:
                yield end, record
        if end < size:
            logger.warning("%s: the last record is torn; %d bytes left out", path, size - end)


def _check_header(path: Path, header: Any) -> None:
    if not isinstance(header, dict) or header.get("format") != _HEADER["format"]:
        raise FileFormatError(f"{path}: expected a journal, found {header!r:.80}")
    if header.get("version") != _HEADER["version"]:
        raise FileFormatError(
            f"{path}: expected version {_HEADER['version']} of the journal, "
            f"found {header.get('version')}: read it with a newer h5xs_bluesky"
        )


def _packable(value: Any) -> Any:
    """Make what msgpack would refuse or change: integers beyond 64 bits, keys that are no text."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): _packable(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_packable(item) for item in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return _as_text(value)
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    return value


def _pack(value: Any) -> Any:
    if isinstance(value, FrameReference):
        return msgpack.ExtType(_FRAMES, msgpack.packb(astuple(value)))
    if isinstance(value, np.generic):
        value = value.item() if value.dtype.kind in "biufSU" else np.asarray(value)
    if isinstance(value, np.ndarray) and value.dtype.kind in _PLAIN_KINDS:
        parts = [value.dtype.str, value.shape, value.tobytes()]
        return msgpack.ExtType(_ARRAY, msgpack.packb(parts))
    if isinstance(value, np.ndarray):
        return _packable(value.tolist())
    return value if isinstance(value, bool | int | float | str | bytes) else _as_text(value)


def _as_text(value: Any) -> msgpack.ExtType:
    logger.warning("A value of type %s goes into the journal as text", type(value).__name__)
    return msgpack.ExtType(_TEXT, repr(value).encode("utf-8", "replace"))


def _unpack(code: int, data: bytes) -> Any:
    if code == _ARRAY:
        return _array(*msgpack.unpackb(data))
    if code == _FRAMES:
        file, row, rows, shape, dtype = msgpack.unpackb(data)
        return FrameReference(str(file), int(row), int(rows), tuple(shape), str(dtype))
    if code == _TEXT:
        return data.decode("utf-8", "replace")
    raise FileFormatError(f"expected extension types up to {_TEXT}, found {code}")


def _array(dtype: str, shape: list[int], data: bytes) -> NDArray[Any]:
    kind = np.dtype(dtype)
    if kind.hasobject or kind.kind not in _PLAIN_KINDS:
        raise RefusedError(f"expected an array of plain values in the journal, found {dtype!r}")
    return np.frombuffer(data, kind).reshape(shape).copy()
