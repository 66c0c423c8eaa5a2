"""The page on porting lists every name that stands for one of py4xs' or lixtools'."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

from h5xs_bluesky.compat import lixtools, py4xs

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "port-from-py4xs.md"
OURS = {
    "Frame",
    "of",
    "describe",
    "place",
    "from_geometry",
    "from_detector",
    "to_detector",
    "MODEL",
}


def public_names() -> Iterator[str]:
    """Functions, classes and what these define, in every module of the packages."""
    modules = [
        importlib.import_module(f"{package.__name__}.{info.name}")
        for package in (lixtools, py4xs)
        for info in pkgutil.iter_modules(package.__path__)
    ]
    for module in modules:
        yield from getattr(module, "__all__", ())
        for name, member in vars(module).items():
            own = getattr(member, "__module__", "") == module.__name__
            if name.startswith("_") or not own:
                continue
            if inspect.isfunction(member) or inspect.isclass(member):
                yield name
            if inspect.isclass(member):
                yield from (each for each in vars(member) if not each.startswith("_"))


def test_every_name_is_in_the_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    documented = {
        word for code in re.findall(r"`([^`\n]+)`", text) for word in re.findall(r"\w+", code)
    }
    names = set(public_names())
    assert len(names) > 90
    assert sorted(names - documented - OURS) == []
