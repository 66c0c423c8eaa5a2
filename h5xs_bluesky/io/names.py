"""Names from documents, made fit for HDF5 and for any disk; never paths."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from h5xs_bluesky.errors import ConfigurationError

_MOST_BYTES = 120
_FORBIDDEN = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f]')
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_BETWEEN = "  "
_KEY = re.compile(r"[A-Za-z_]\w*(\.\w+)*")


def safe_name(text: str) -> str:
    """Make one name out of any text, which a group, a dataset or a folder can bear.

    Examples
    --------
    >>> safe_name("../a/b")
    '_._a_b'
    >>> safe_name("lysozyme 5 mg/ml")
    'lysozyme 5 mg_ml'
    """
    name = unicodedata.normalize("NFC", str(text))
    name = name.encode("utf-8", "replace").decode("utf-8")  # lone surrogates
    name = _FORBIDDEN.sub("_", name).strip()
    if name.startswith("."):
        name = "_" + name[1:]
    name = name.encode()[:_MOST_BYTES].decode("utf-8", "ignore").rstrip(". ")
    return name or "_"


def join_names(names: Iterable[str]) -> str:
    """Write several names as one text, as the attribute ``buffer`` has them: LiX's form."""
    return _BETWEEN.join(names)


def split_names(text: str) -> list[str]:
    """Read the names that `join_names` wrote.

    Examples
    --------
    >>> split_names("buffer 1  buffer 2")
    ['buffer 1', 'buffer 2']
    """
    return [name.strip() for name in text.split(_BETWEEN) if name.strip()]


def fill_template(template: str, start: Mapping[str, Any]) -> Path:
    """Fill the placeholders of a folder's name from a start document.

    Parameters
    ----------
    template
        Like ``"{cycle}/{proposal.id}"``: keys of the start document, dotted into nested ones.
    start
        The start document. Every value is made safe; it cannot add a level to the path.

    Raises
    ------
    ConfigurationError
        If a placeholder is no plain key, or the document lacks it.
    """

    def value_of(match: re.Match[str]) -> str:
        key = match.group(1)
        value: Any = start if _KEY.fullmatch(key) else None
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is None or isinstance(value, Mapping):
            raise ConfigurationError(
                f"output.folder {template!r}: expected the key {key!r} in the start document, "
                f"found {sorted(start)}"
            )
        return safe_name(str(value))

    return Path(_PLACEHOLDER.sub(value_of, template))
