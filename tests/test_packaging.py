"""What is built holds what the tree holds: all of the package, and nothing else."""

import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "h5xs_bluesky"
KERNEL = "h5xs_bluesky/reduction/integration/_kernel.abi3.so"
NOT_COPIED = shutil.ignore_patterns(
    ".*", "__pycache__", "*.egg-info", "*.so", "build", "dist", "demo-output", "docs"
)


def tree() -> dict[str, bytes]:
    """Every file that an installed package must hold, by its path there."""
    folders = {"h5xs_bluesky": PACKAGE, "h5xs_bluesky/callbacks": ROOT / "callbacks"}
    return {
        f"{prefix}/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for prefix, folder in folders.items()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix not in (".pyc", ".c", ".so")
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a source distribution, and a wheel from that, of a copy of the tree."""
    folder = tmp_path_factory.mktemp("packaging")
    shutil.copytree(ROOT, folder / "tree", symlinks=True, ignore=NOT_COPIED)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", "dist", "tree"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder / "dist"


@pytest.fixture(scope="module")
def wheel(built: Path) -> dict[str, bytes]:
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def metadata_of(wheel: dict[str, bytes], name: str) -> str:
    (path,) = (path for path in wheel if path.endswith(f".dist-info/{name}"))
    return wheel[path].decode()


def test_wheel_holds_every_file_of_the_package_and_no_other(wheel: dict[str, bytes]) -> None:
    installed = {name for name in wheel if ".dist-info/" not in name}
    assert installed == {*tree(), KERNEL}


def test_wheel_holds_the_files_as_they_are_in_the_tree(wheel: dict[str, bytes]) -> None:
    expected = tree()
    assert {name: wheel[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("h5xs_bluesky/callbacks/__init__.py", "stands outside the package, mapped into it"),
        ("h5xs_bluesky/py.typed", "without it users' type checkers ignore our annotations"),
        ("h5xs_bluesky/cli/__init__.py", "the command h5xs starts here"),
    ],
)
def test_wheel_holds(wheel: dict[str, bytes], name: str, reason: str) -> None:
    assert name in wheel, reason


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("tests", "tests are for the checkout"),
        ("profile", "a top-level `profile` would shadow the standard library's"),
        ("callbacks", "the callbacks are imported as h5xs_bluesky.callbacks only"),
    ],
)
def test_wheel_has_no_top_level(wheel: dict[str, bytes], folder: str, reason: str) -> None:
    assert not [name for name in wheel if name.startswith(f"{folder}/")], reason


def test_one_wheel_is_for_all_versions_of_python(built: Path) -> None:
    (path,) = built.glob("*.whl")
    assert "-cp311-abi3-" in path.name


def test_wheel_installs_the_command_h5xs(wheel: dict[str, bytes]) -> None:
    assert "h5xs = h5xs_bluesky.cli:app" in metadata_of(wheel, "entry_points.txt")


def test_wheel_states_licence_and_python_version(wheel: dict[str, bytes]) -> None:
    lines = metadata_of(wheel, "METADATA").splitlines()
    assert "License-Expression: BSD-3-Clause" in lines
    assert "Requires-Python: >=3.11" in lines
    assert metadata_of(wheel, "licenses/LICENSE").startswith("BSD 3-Clause License")


def test_source_distribution_holds_what_the_wheel_is_built_from(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"pyproject.toml", "setup.py", "README.md", "LICENSE", "callbacks/__init__.py"}
    assert {*wanted, "h5xs_bluesky/reduction/integration/_kernel.c"} <= names


def test_checkout_reaches_the_callbacks_through_a_relative_link() -> None:
    link = PACKAGE / "callbacks"
    assert link.is_symlink()
    assert link.readlink() == Path("../callbacks")


def test_profile_folder_is_not_a_package() -> None:
    assert not (ROOT / "profile" / "__init__.py").exists()


def test_requirements_pin_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    tools = [line for extra in ("test", "lint", "docs") for line in extras[extra]]
    wanted = {name_of(line) for line in project["dependencies"] + tools}
    files = ("requirements.txt", "requirements-dev.txt")
    lines = [line for file in files for line in (ROOT / file).read_text().splitlines()]
    pins = [line for line in lines if line and not line.startswith(("#", "-r "))]
    assert [line for line in pins if "==" not in line] == []
    assert wanted <= {name_of(line) for line in pins}


def name_of(requirement: str) -> str:
    """Return the normalised name of the distribution that a requirement asks for."""
    name = requirement.partition(">=")[0].partition("==")[0].partition("[")[0]
    return name.strip().lower().replace("_", "-")
