"""What all tests share."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

_ROOT = Path(__file__).parents[1]

# How long an example takes says more about the machine than about the code.
settings.register_profile("h5xs", deadline=None)
settings.load_profile("h5xs")


@pytest.fixture(scope="session")
def h5xs_data() -> Path:
    """The folder of real detector frames; a test that needs it fails where it is not there."""
    folder = Path(os.environ.get("H5XS_DATA", _ROOT.parent / "shared" / "data"))
    if not (folder / "saxs" / "agbh.tif").is_file():
        pytest.fail(
            f"expected the real frames in {folder}, found none: put them there, or set H5XS_DATA "
            "to their folder"
        )
    return folder


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests against py4xs where there is no interpreter that has it."""
    if os.environ.get("H5XS_PY4XS_PYTHON"):
        return
    away = [item for item in items if item.get_closest_marker("py4xs")]
    if away:
        config.hook.pytest_deselected(items=away)
        items[:] = [item for item in items if item not in away]
