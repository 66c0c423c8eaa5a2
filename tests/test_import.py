"""Importing the package is quick and loads none of what is heavy."""

import subprocess
import sys

import pytest

import h5xs_bluesky

LIMIT_S = 0.3
TIME_IMPORT = """
from time import perf_counter
start = perf_counter()
import h5xs_bluesky
print(perf_counter() - start)
"""
HEAVY = (
    "IPython",
    "bluesky",
    "fabio",
    "freesas",
    "h5py",
    "matplotlib",
    "ophyd",
    "pyFAI",
    "scipy",
    "tiled",
)


def run_python(code: str) -> str:
    """Return what the code prints in an interpreter of its own."""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def loaded_by(module: str) -> set[str]:
    """Return the top-level modules that are loaded once the module is imported."""
    code = f"import {module}, sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(run_python(code).split())


@pytest.mark.alone
def test_import_takes_less_than_the_limit() -> None:
    assert min(float(run_python(TIME_IMPORT)) for _ in range(5)) < LIMIT_S


def test_pyfai_is_loaded_without_a_word_about_opencl_and_nothing_else_is_hidden() -> None:
    code = (
        "import logging, h5xs_bluesky; h5xs_bluesky.Detector\n"
        "logging.basicConfig(format='%(message)s')\n"
        "from pyFAI.geometry import Geometry\n"
        "import silx.opencl.common\n"
        "logging.getLogger('silx.opencl.common').warning('something else')"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stderr.splitlines() == ["something else"]


@pytest.mark.parametrize(
    ("module", "unwanted", "reason"),
    [
        ("h5xs_bluesky", HEAVY, "every name is loaded when it is first used"),
        ("h5xs_bluesky.errors", HEAVY, "a script that only catches errors stays light"),
        (
            "h5xs_bluesky.config",
            ("bluesky", "matplotlib", "ophyd", "pyFAI", "tiled"),
            "a configuration is checked before anything is integrated or drawn",
        ),
        (
            "h5xs_bluesky.plans",
            ("h5py", "matplotlib", "ophyd", "ophyd_async", "pyFAI", "tiled"),
            "a queueserver's manager needs bluesky only to know them",
        ),
        (
            "h5xs_bluesky.magics.extension",
            ("bluesky", "matplotlib", "ophyd", "pyFAI", "tiled"),
            "the magic answers quickly on an experiment's file, too",
        ),
        (
            "h5xs_bluesky.compat.py4xs.hdf",
            ("bluesky", "matplotlib", "ophyd", "pyFAI", "tiled"),
            "a notebook that only reads curves starts quickly",
        ),
    ],
)
def test_import_does_not_load_heavy_modules(
    module: str, unwanted: tuple[str, ...], reason: str
) -> None:
    assert loaded_by(module).isdisjoint(unwanted), reason


@pytest.mark.parametrize("name", h5xs_bluesky.__all__)
def test_public_name_resolves_to_the_object_of_that_name(name: str) -> None:
    assert getattr(h5xs_bluesky, name).__name__ == name


def test_all_is_sorted_and_has_no_name_twice() -> None:
    assert h5xs_bluesky.__all__ == sorted(set(h5xs_bluesky.__all__))


def test_every_public_name_is_listed_by_dir() -> None:
    assert set(h5xs_bluesky.__all__) <= set(dir(h5xs_bluesky))


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'h5xz'"):
        _ = h5xs_bluesky.h5xz
