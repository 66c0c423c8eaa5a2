"""Docstrings say what a caller has to know; numpydoc checks them."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest
from numpydoc.validate import validate

import h5xs_bluesky
import h5xs_bluesky.callbacks
import h5xs_bluesky.catalogs
import h5xs_bluesky.config
import h5xs_bluesky.plans
import h5xs_bluesky.session
import h5xs_bluesky.view

# What is imported from these is the public interface; docs/reference/index.md says so.
PUBLIC = [
    h5xs_bluesky,
    h5xs_bluesky.callbacks,
    h5xs_bluesky.catalogs,
    h5xs_bluesky.config,
    h5xs_bluesky.plans,
    h5xs_bluesky.session,
    h5xs_bluesky.view,
]

# Of every public class, function and method.
EVERYWHERE = {
    "GL03": "blank lines stand where they should",
    "GL06": "sections have names that are known",
    "GL07": "and stand in their order",
    "GL08": "there is a docstring",
    "SS01": "it has a summary",
    "SS03": "which ends with a full stop",
    "SS04": "and is not indented",
    "SS06": "and fits one line",
    "PR02": "no parameter is named that is not there",
    "PR06": "types are Python's",
    "PR07": "parameters that are named are described",
}
# Of the public interface besides. Not checked is their order (PR03), since parameters that are
# described together stand together, and their types (PR04), which annotations tell.
OF_THE_INTERFACE = {
    "PR01": "every parameter is named",
    "RT01": "what is returned is told",
    "RT03": "and described",
    "YD01": "the same for what is yielded",
}


def members(name: str, found: object) -> Iterator[tuple[str, object]]:
    """A class or function with its public methods and properties, inherited ones of ours too."""
    yield name, found
    if not inspect.isclass(found):
        return
    for attribute, member in inspect.getmembers(found):
        function = member.fget if isinstance(member, property) else member
        ours = str(getattr(function, "__module__", "")).startswith("h5xs_bluesky")
        if not attribute.startswith("_") and callable(function) and ours:
            yield f"{name}.{attribute}", function


def everything() -> Iterator[tuple[str, object]]:
    for module in pkgutil.walk_packages(h5xs_bluesky.__path__, "h5xs_bluesky."):
        if any(part.startswith("_") for part in module.name.split(".")):
            continue
        loaded = importlib.import_module(module.name)
        for name, found in vars(loaded).items():
            defined = getattr(found, "__module__", None) == module.name
            if defined and callable(found) and not name.startswith("_"):
                yield from members(f"{module.name}.{name}", found)


def interface() -> Iterator[tuple[str, object]]:
    for package in PUBLIC:
        for name in package.__all__:
            found: Any = getattr(package, name)
            if inspect.isclass(found) or inspect.isfunction(found):
                yield from members(f"{package.__name__}.{name}", found)


def _is_plan(name: str) -> bool:
    """Whether it yields Bluesky's messages, as all plans do."""
    return name.startswith("h5xs_bluesky.plans.")


def mistakes(names: Iterator[tuple[str, object]], checks: dict[str, str]) -> list[str]:
    """What is wrong with the docstrings, each once, however many classes inherit them."""
    seen: dict[object, list[str]] = {}
    for name, found in names:
        if found not in seen:
            errors = validate(name)["errors"]
            seen[found] = [
                f"{name}: {text}"
                for code, text in errors
                if code in checks and not (code == "YD01" and _is_plan(name))
            ]
    assert len(seen) > 50
    return [mistake for of_one in seen.values() for mistake in of_one]


@pytest.mark.filterwarnings("ignore::UserWarning")  # numpydoc's, of what it then reports
def test_every_public_name_has_a_docstring_that_is_right() -> None:
    assert mistakes(everything(), EVERYWHERE) == []


def test_the_interface_tells_every_parameter_and_result() -> None:
    assert mistakes(interface(), OF_THE_INTERFACE) == []
