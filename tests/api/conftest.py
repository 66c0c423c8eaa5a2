"""Experiments that the real callback wrote, for the offline interface to read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
from small_beamline import Documents, run_documents, small_frames, write_experiment

mpl.use("agg")

Play = Callable[..., Path]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Send runs, one after the other, through a new callback; gives the experiment's file."""

    def play_runs(*runs: Documents, **changes: Any) -> Path:
        return write_experiment(tmp_path, *runs, **changes)

    return play_runs


@pytest.fixture
def experiment(play: Play) -> Path:
    """A buffer, a sample with one deviating frame, and a run without frames."""
    buffer = run_documents(small_frames(5, seed=1, mean=20.0), sample_name="buffer", scan_id=1)
    frames = [*small_frames(7, seed=2, mean=60.0), *small_frames(1, seed=3, mean=90.0)]
    sample = run_documents(frames, sample_name="lysozyme", scan_id=2, buffer="buffer")
    return play(buffer, sample, run_documents([], sample_name="nothing", scan_id=3))
