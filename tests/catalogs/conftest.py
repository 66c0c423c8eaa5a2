"""Stores of the same runs: our journals, a Tiled server, a temporary databroker."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from stored_runs import Recording, record


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return record(tmp_path_factory.mktemp("live"))


@pytest.fixture(scope="session")
def tiled(recording: Recording, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client of a server that TiledWriter has fed; it cannot export documents."""
    from bluesky_tiled_plugins import TiledWriter
    from tiled.client import from_uri
    from tiled.server import SimpleTiledServer

    folder = tmp_path_factory.mktemp("tiled")
    with SimpleTiledServer(folder, readable_storage=[str(recording.folder.parent)]) as server:
        client = from_uri(server.uri)
        writer = TiledWriter(client)
        for name, doc in recording.documents:
            writer(name, doc)
        yield client


@pytest.fixture(scope="session")
def databroker(recording: Recording) -> Any:
    """A temporary Broker; of the runs that it cannot give back two."""
    from databroker import Broker

    made = Broker.named("temp")
    for sample in ("arrays", "step", "flown", "paused", "aborted"):
        for name, doc in recording.runs[sample]:
            made.insert(name, doc)
    return made


@pytest.fixture(scope="session")
def journals(recording: Recording) -> Any:
    return recording.folder


@pytest.fixture(scope="session")
def store(request: pytest.FixtureRequest) -> Callable[[str], Any]:
    """Give a store by its name; each is made when it is first asked for."""
    return request.getfixturevalue
