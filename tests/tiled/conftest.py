"""Experiments that the real callback wrote, for the adapter to serve."""

from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib as mpl
import pytest
from small_beamline import Documents, run_documents, small_beamline, small_frames
from small_server import Server, serving, wait_until

from h5xs_bluesky.callbacks.live_reduction import LiveReduction

mpl.use("agg")


def write_experiment(folder: Path, *runs: Documents) -> Path:
    """Send runs, one after the other, through a callback; gives the experiment's file."""
    live = LiveReduction(small_beamline(), folder)
    try:
        for documents in runs:
            for name, doc in documents:
                live(name, doc)
            assert live.wait(30)
    finally:
        live.close()
    return folder / "experiment.h5"


@pytest.fixture(scope="session")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A buffer, a sample with one deviating frame, and a run without frames; only read."""
    buffer = run_documents(small_frames(5, seed=1, mean=20.0), sample_name="buffer", scan_id=1)
    frames = [*small_frames(7, seed=2, mean=60.0), *small_frames(1, seed=3, mean=90.0)]
    sample = run_documents(
        [{**frame, "position": f"A{i}"} for i, frame in enumerate(frames)],
        sample_name="lysozyme",
        scan_id=2,
        buffer="buffer",
        plan_name="count",
    )
    nothing = run_documents([], sample_name="nothing", scan_id=3)
    return write_experiment(
        tmp_path_factory.mktemp("served", numbered=False), buffer, sample, nothing
    )


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
def server(experiment: Path) -> Iterator[Server]:
    """One server for all tests that only read."""
    with serving(experiment.parent) as running_server:
        found = running_server.client()
        wait_until(lambda: "served" in found and len(list(found["served"])) == 3)
        yield running_server
