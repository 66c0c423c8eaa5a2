"""Reading tables of a configuration so that every mistake is told with its place."""

import difflib
import math
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from h5xs_bluesky.errors import ConfigurationError, H5xsError

T = TypeVar("T")

_REQUIRED: Any = object()
_NAMES = {
    str: "a text",
    float: "a number",
    int: "a whole number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}


class Table:
    """One table of a configuration.

    Parameters
    ----------
    values
        The table's keys and values.
    file
        Where it comes from, for messages.
    name
        The table's own name, "" for the whole file.
    """

    def __init__(self, values: Mapping[str, Any], *, file: str, name: str = "") -> None:
        self.file = file
        self.name = name
        self._values = values
        self._known: list[str] = []

    @classmethod
    def from_toml(cls, path: Path) -> "Table":
        """Read a TOML file.

        Raises
        ------
        ConfigurationError
            If it is not there, or is no TOML.
        """
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{path}: expected TOML, found an error: {error}") from error
        return cls(values, file=str(path))

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def keys(self) -> list[str]:
        """List all keys that are there."""
        return list(self._values)

    def get(self, key: str, kind: type[T], default: Any = _REQUIRED) -> T:
        """Give a value of one type.

        Raises
        ------
        ConfigurationError
            If it is missing without a default, or of another type.
        """
        self._known.append(key)
        if key not in self._values:
            if default is _REQUIRED:
                raise self.error(key, f"expected {_NAMES[kind]}, found nothing{self._near(key)}")
            result: T = default
            return result
        value = self._values[key]
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        wrong = isinstance(value, bool) and kind is not bool
        if not isinstance(value, kind) or wrong or value != value:  # NaN
            raise self.error(key, f"expected {_NAMES[kind]}, found {value!r}")
        return value

    def numbers(self, key: str, count: int | None) -> list[float]:
        """Give a list of numbers, of a given length unless `count` is None."""
        values: list[Any] = self.get(key, list)
        good = all(
            isinstance(v, int | float) and not isinstance(v, bool) and not math.isnan(v)
            for v in values
        )
        if not good or (count is not None and len(values) != count):
            wanted = "numbers" if count is None else f"{count} numbers"
            raise self.error(key, f"expected a list of {wanted}, found {values!r}")
        return [float(value) for value in values]

    def optional_numbers(self, key: str, count: int) -> list[float] | None:
        """Give a list of numbers, or None where there is none."""
        self._known.append(key)
        return self.numbers(key, count) if key in self._values else None

    def choice(self, key: str, choices: tuple[str, ...], default: Any = _REQUIRED) -> str:
        """Give one of several texts."""
        value = self.get(key, str, default)
        if value not in choices:
            near = difflib.get_close_matches(value, choices, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise self.error(key, f"expected one of {list(choices)}, found {value!r}{hint}")
        return value

    def table(self, key: str) -> "Table":
        """Give a table in this one, empty where there is none, unless one has a similar name."""
        near = difflib.get_close_matches(key, self._values, n=1, cutoff=0.8)
        if key not in self._values and near:
            raise self.error(near[0], f"expected a known table, found another; is it {key!r}?")
        return Table(self.get(key, dict, {}), file=self.file, name=self._place(key))

    def tables(self, key: str) -> list["Table"]:
        """Give an array of tables."""
        values = self.get(key, object)
        if (
            not isinstance(values, list)
            or not values
            or not all(isinstance(value, dict) for value in values)
        ):
            raise self.error(key, f"expected one or more tables [[{key}]], found {values!r}")
        return [
            Table(value, file=self.file, name=f"{self._place(key)}[{number}]")
            for number, value in enumerate(values)
        ]

    def build(self, make: Callable[[], T]) -> T:
        """Check that no unknown key is left, then make an object; its errors get their place."""
        for key in self._values:
            if key not in self._known:
                near = difflib.get_close_matches(key, self._known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known are {sorted(self._known)}"
                raise self.error(key, f"expected a known key, found an unknown one; {hint}")
        try:
            return make()
        except H5xsError as error:
            if str(error).startswith(self.file):  # it has its place already
                raise
            place = f"{self.file}: [{self.name}]" if self.name else self.file
            raise ConfigurationError(f"{place}: {error}") from error

    def error(self, key: str, message: str) -> ConfigurationError:
        """Make an error that tells the place of a key."""
        return ConfigurationError(f"{self.file}: {self._place(key)}: {message}")

    def _place(self, key: str) -> str:
        return f"{self.name}.{key}" if self.name else key

    def _near(self, key: str) -> str:
        near = difflib.get_close_matches(key, self._values, n=1)
        return f"; {near[0]!r} is there: is it meant?" if near else ""
