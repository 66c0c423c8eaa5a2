"""Stores of the same runs: our journals, a Tiled server, a temporary databroker."""

from collections.abc import Iterator
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
    with SimpleTiledServer(folder, readable_storage=[str(recording.folder)]) as server:
        client = from_uri(server.uri)
        writer = TiledWriter(client, batch_size=1)
        for name, doc in recording.documents:
            writer(name, doc)
        yield client


@pytest.fixture(scope="session")
def broker(recording: Recording) -> Any:
    from databroker import Broker

    made = Broker.named("temp")
    for name, doc in recording.documents:
        made.insert(name, doc)
    return made


@pytest.fixture(scope="session")
def stores(recording: Recording, tiled: Any, broker: Any) -> dict[str, Any]:
    return {"journals": recording.folder, "tiled": tiled, "databroker": broker}


