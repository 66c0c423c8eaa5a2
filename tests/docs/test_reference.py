"""The reference is complete: every name of the files, the configuration, the commands, the code."""

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from sphinx.util.inventory import InventoryFile

import h5xs_bluesky
from h5xs_bluesky import schema
from h5xs_bluesky.cli import app
from h5xs_bluesky.config.detectors import PY4XS_ANGLES, PY4XS_NUMBERS
from h5xs_bluesky.magics.arguments import PLOTS, help_text, make_parser
from h5xs_bluesky.reduction.detector import Detector

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
_READ = re.compile(
    r'\.(?:get|choice|numbers|optional_numbers|table|tables)\(\s*"(\w+)"|"(\w+)" in \w+'
)


def words_of(page: str) -> set[str]:
    """All that stands in code quotes, or is a heading, taken apart into words."""
    text = (REFERENCE / page).read_text(encoding="utf-8")
    quoted = re.findall(r"`([^`\n]+)`", text) + re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    words = {word for part in quoted for word in re.findall(r"[\w.-]+", part)}
    return words | {piece for word in words for piece in word.split(".")}


def test_file_format_has_every_name_of_the_schema() -> None:
    names = {
        value
        for name, value in vars(schema).items()
        if name.isupper() and isinstance(value, str) and not value.startswith(".")
    }
    assert len(names) > 40
    assert names - words_of("file-format.md") == set()


def test_configuration_has_every_key_that_is_read() -> None:
    keys = {*Detector.CORRECTIONS, *PY4XS_NUMBERS.values(), *PY4XS_ANGLES}
    for source in ("reading.py", "detectors.py"):
        text = (ROOT / "h5xs_bluesky" / "config" / source).read_text(encoding="utf-8")
        keys |= {first or second for first, second in _READ.findall(text)}
    assert {"beam_center_px", "ratioDw", "unit", "splitting", "max_wait_s"} <= keys
    assert keys - words_of("configuration.md") - {"from", "key", "device"} == set()
    text = (REFERENCE / "configuration.md").read_text(encoding="utf-8")
    assert all(f"`{word}`" in text for word in ("from", "key", "device"))


def test_command_line_has_every_command_and_option() -> None:
    text = (REFERENCE / "command-line.md").read_text(encoding="utf-8")
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        assert f"## h5xs {name}\n" in text
        section = text.partition(f"## h5xs {name}\n")[2].partition("\n## ")[0]
        for parameter in command.params:
            if parameter.param_type_name == "argument":
                assert str(parameter.name).upper() in section, f"h5xs {name} {parameter.name}"
                continue
            one_of_two = parameter.secondary_opts  # --this/--no-this: what is not the default
            for option in one_of_two or parameter.opts:
                assert option == "--help" or f"`{option}" in section, f"h5xs {name} {option}"
        known = {
            option
            for parameter in command.params
            for option in (*parameter.opts, *parameter.secondary_opts)
        }
        told = set(re.findall(r"^\| `(--[\w-]+)", section, re.MULTILINE))
        assert told - known == set(), f"h5xs {name} has no such option"


def test_magic_has_every_subcommand_and_option() -> None:
    text = (REFERENCE / "magic.md").read_text(encoding="utf-8")
    commands = {
        line.split()[1]: re.findall(r"\[(-\w)", line)
        for line in help_text(make_parser()).splitlines()
        if line.startswith("%h5xs")
    }
    assert len(commands) > 6
    rows = dict(re.findall(r"^\| `%h5xs (\w+)(.*)$", text, re.MULTILINE))
    assert set(rows) == set(commands)
    for name, options in commands.items():
        assert all(f"`{option}`" in rows[name] for option in options), name
    assert all(f"`{name}`" in rows["plot"] for name in PLOTS)


def public_names() -> Iterator[str]:
    """Every public module, class and function of the package, where it is defined."""
    for module in pkgutil.walk_packages(h5xs_bluesky.__path__, "h5xs_bluesky."):
        if any(part.startswith("_") for part in module.name.split(".")):
            continue
        yield module.name
        loaded = importlib.import_module(module.name)
        for name, member in vars(loaded).items():
            public = inspect.isclass(member) or inspect.isfunction(member)
            if public and not name.startswith("_") and member.__module__ == module.name:
                yield f"{module.name}.{name}"


@pytest.mark.timeout(900)
def test_site_builds_without_a_warning_and_has_every_public_name(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    built = subprocess.run(
        [*command, "-d", str(tmp_path / "trees"), str(ROOT / "docs"), str(tmp_path / "html")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    with (tmp_path / "html" / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda base, path: path)
    known = {name for domain, names in inventory.items() if domain[:3] == "py:" for name in names}
    assert set(public_names()) - known == set()
