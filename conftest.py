"""Runs the examples of the documentation: each page's blocks, in order, in an empty folder."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, OutputChecker
from pathlib import Path

import pytest
from sybil import Example, Sybil
from sybil.parsers.myst import CodeBlockParser, PythonCodeBlockParser, SkipParser
from traitlets.config import Config

_ROOT = Path(__file__).parent
_PROMPT = re.compile(r"^In \[\d+\]: ", re.MULTILINE)
_ANSWER = re.compile(r"^Out\[\d+\]:\s*")
_DEMO = "h5xs demo --frames 4 --out demo"  # what several pages begin with: run once, then copied
# ophyd would take caproto, which only the IOC of the tests is for, and open sockets with it
os.environ.setdefault("OPHYD_CONTROL_LAYER", "dummy")
_DATA = Path(os.environ.get("H5XS_DATA", _ROOT.parent / "shared" / "data")).resolve()


@pytest.fixture(scope="module")
def page_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Make an empty folder to work in, the same for all blocks of a page."""
    folder = tmp_path_factory.mktemp("page")
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


_demos = tempfile.TemporaryDirectory()


def _run(example: Example) -> str | None:
    """Run the commands of a block of shell; gives what went wrong, as Sybil wants it."""
    first, _, rest = str(example.parsed).partition("\n")
    made = Path(_demos.name, "demo")
    if first != _DEMO:
        return _shell(str(example.parsed))
    if made.is_dir():
        shutil.copytree(made, "demo")
    else:
        problem = _shell(first)
        if problem is not None:
            return problem
        shutil.copytree("demo", made)
    return _shell(rest)


def _shell(commands: str) -> str | None:
    scripts = str(Path(sys.executable).parent)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        env={**os.environ, "PATH": f"{scripts}:{os.environ['PATH']}", "H5XS_DATA": str(_DATA)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    if done.returncode == 0:
        return None
    return f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"


def _write(example: Example) -> None:
    """Write a block of TOML into the file that the comment in its first line names."""
    first = str(example.parsed).splitlines()[0]
    if first.startswith("# ") and first.endswith(".toml"):
        Path(first.removeprefix("# ")).write_text(str(example.parsed), encoding="utf-8")


def _type(example: Example) -> str | None:
    """Type the lines ``In [1]: ...`` of a block into IPython, and compare what it gives."""
    from IPython.core.interactiveshell import InteractiveShell

    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell(user_ns=example.namespace, config=config)
    shell.run_line_magic("load_ext", "h5xs_bluesky")
    typed = _PROMPT.split(str(example.parsed))[1:]
    for line, expected in (each.partition("\n")[::2] for each in typed):
        result = shell.run_cell(line)
        result.raise_error()
        found = "" if result.result is None else repr(result.result)
        wanted = _ANSWER.sub("", expected).strip()
        if not OutputChecker().check_output(wanted, found.strip(), ELLIPSIS | NORMALIZE_WHITESPACE):
            return f"{line}\nexpected\n{wanted}\nfound\n{found}"
    return None


pytest_collect_file = Sybil(
    parsers=[
        PythonCodeBlockParser(doctest_optionflags=ELLIPSIS | NORMALIZE_WHITESPACE),
        CodeBlockParser("sh", _run),
        CodeBlockParser("toml", _write),
        CodeBlockParser("ipythonconsole", _type),
        SkipParser(),
    ],
    patterns=["README.md", "docs/*/*.md"],
    fixtures=["page_folder"],
).pytest()
