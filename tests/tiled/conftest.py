"""Experiments that the real callback wrote, for the adapter to serve."""

from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import pytest
from small_beamline import run_documents, small_frames, write_experiment
from small_server import Server, serving, wait_until

mpl.use("agg")


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


@pytest.fixture(scope="session")
def server(experiment: Path) -> Iterator[Server]:
    """One server for all tests that only read."""
    with serving(experiment.parent) as running_server:
        found = running_server.client()
        wait_until(lambda: "served" in found and len(list(found["served"])) == 3)
        yield running_server
