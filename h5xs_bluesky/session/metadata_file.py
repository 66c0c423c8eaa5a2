"""Metadata of a RunEngine that outlive it: one JSON file, replaced whole at each change."""

import json
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

from h5xs_bluesky.errors import FileFormatError
from h5xs_bluesky.io.replace import replace_whole


class MetadataFile(MutableMapping[str, Any]):
    """A mapping for ``RunEngine(md)``: the next scan number, the proposal, whatever is set.

    bluesky's own ``PersistentDict`` unpickles what it finds in its files; this one reads JSON and
    can be looked at and mended with an editor. A value that is changed in place is written at the
    next assignment.

    Parameters
    ----------
    path
        The file; made at the first assignment.

    Raises
    ------
    FileFormatError
        If the file does not hold a JSON object.

    Examples
    --------
    >>> md = MetadataFile(Path("metadata.json"))
    >>> md["proposal"] = "312345"
    >>> MetadataFile(Path("metadata.json"))["proposal"]
    '312345'
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values: dict[str, Any] = _read(path) if path.exists() else {}

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        """Set a value, and write the file.

        Raises
        ------
        TypeError, ValueError
            If JSON has no form for the value; the file stays as it was.
        """
        self._write({**self._values, key: value})

    def __delitem__(self, key: str) -> None:
        self._write({name: value for name, value in self._values.items() if name != key})

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"MetadataFile({str(self._path)!r}, {self._values!r})"

    def _write(self, values: dict[str, Any]) -> None:
        text = json.dumps(values, indent=2, allow_nan=False) + "\n"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with replace_whole(self._path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        self._values = values


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FileFormatError(
            f"{path}: expected a JSON object, found {error}: mend it or move it away"
        ) from error
    if not isinstance(values, dict):
        raise FileFormatError(
            f"{path}: expected a JSON object, found a {type(values).__name__}: mend it or move "
            "it away"
        )
    return values
