"""What all tests share."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from small_beamline import run_documents, small_beamline, small_frames

from h5xs_bluesky.callbacks.live_reduction import LiveReduction

if TYPE_CHECKING:
    from measured_column import MeasuredColumn

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


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A run of six events that is going on: call it to send up to that many; 7 is its end."""
    live = LiveReduction(small_beamline(), tmp_path)
    documents = iter(run_documents(small_frames(6, seed=4), sample_name="water"))
    sent = 0

    def send(events: int) -> Path:
        nonlocal sent
        while sent < events:
            name, doc = next(documents)
            live(name, doc)
            sent += name in ("event", "stop")
        assert live.wait(30)
        return tmp_path / "experiment.h5"

    yield send
    send(7)
    live.close()


@pytest.fixture(scope="session")
def column(tmp_path_factory: pytest.TempPathFactory) -> "MeasuredColumn":
    """A series behind the simulated column, measured once; nobody writes into its experiment."""
    from measured_column import measure_column

    return measure_column(tmp_path_factory.mktemp("column"))
