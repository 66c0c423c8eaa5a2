"""A process that dies in the middle of a run loses nothing that it had acknowledged.

The environment variable H5XS_KILLS sets how many processes die; a few by default.
"""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 - registers the filters
import numpy as np
import pytest
from small_beamline import SAXS, WAXS, small_frames

from h5xs_bluesky.io.repair import repair_experiment
from h5xs_bluesky.io.superblock import repair_superblock

KILLS = int(os.environ.get("H5XS_KILLS", "6"))

_WRITER = """
    import sys, time
    from pathlib import Path
    from h5xs_bluesky.callbacks.live_reduction import LiveReduction
    from small_beamline import run_documents, small_beamline, small_frames

    live = LiveReduction(small_beamline(), Path(sys.argv[1]))
    print("ready", flush=True)
    for name, doc in run_documents(small_frames(400)):
        live(name, doc)
        print(live.status()["acknowledged"], flush=True)
        time.sleep(0.001)
    live.wait()
    print("done", flush=True)
    time.sleep(60)
"""


# The detector is another process' in life; here it is killed, too, which is no easier.
_WRITER_OF_LINKS = """
    import sys, time
    from pathlib import Path
    import numpy as np
    from h5xs_bluesky.callbacks.live_reduction import LiveReduction
    from small_beamline import SAXS, small_beamline, small_frames
    from small_streams import Ioc, StreamedRun

    folder = Path(sys.argv[1])
    live = LiveReduction(small_beamline(monitors=None), folder)
    run = StreamedRun({SAXS: (1, 64, 48)})
    frames = [frame[SAXS] for frame in small_frames(400)]
    ioc = Ioc.of_frames(folder / "ioc" / "saxs.h5", frames[0])
    print("ready", flush=True)
    documents = run.begin() + run.resource(SAXS, ioc.path)
    for name, doc in documents:
        live(name, doc)
    for number, frame in enumerate(frames):
        ioc.write(frame)
        for name, doc in run.datum(SAXS, number, number + 1):
            live(name, doc)
        print(live.status()["acknowledged"], flush=True)
        time.sleep(0.001)
    time.sleep(60)
"""


def kill_a_writer(
    folder: Path, *, after_s: float, script: str = _WRITER, wait_for_frames: bool = False
) -> int:
    """Start a writer, kill it, and give the number of frames that it had acknowledged."""
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        while wait_for_frames and writer.stdout.readline() in ("", "0\n"):
            assert writer.poll() is None, "the writer has ended"
        time.sleep(after_s)
        writer.send_signal(signal.SIGKILL)
        said = [line for line in writer.stdout.read().splitlines() if line.isdigit()]
    return int(said[-1]) if said else 0


@pytest.mark.parametrize("seed", range(KILLS))
def test_acknowledged_frames_survive(tmp_path: Path, seed: int) -> None:
    acknowledged = kill_a_writer(tmp_path, after_s=random.Random(seed).uniform(0.02, 1.8))
    repaired = repair_experiment(tmp_path)
    if not repaired:
        assert acknowledged == 0
        return
    (sample,) = repaired
    assert sample.problem == ""
    assert sum(sample.frames.values()) >= acknowledged
    sent = small_frames(400)
    if not sample.frames:
        return
    with h5py.File(tmp_path / "experiment.h5", "r") as file:
        group = file["water"]
        for field in (SAXS, WAXS):
            rows = sample.frames[field]
            found = group[f"primary/data/{field}"][:rows]
            assert np.array_equal(found, [frame[field] for frame in sent[:rows]])
        assert group["primary/data/em2"][()].tolist() == [800.0] * rows
        assert group["primary/seq_num"][()].tolist() == list(range(1, rows + 1))
        for curve in group["processed"].values() if "reduction" in group else ():
            assert len(curve) <= rows + 1 or curve.shape == (2, 25)


@pytest.mark.parametrize("seed", range(KILLS // 2))
def test_acknowledged_links_survive(tmp_path: Path, seed: int) -> None:
    """Each acknowledged frame of another writer's file is found at its place."""
    after_s = random.Random(100 + seed).uniform(0.02, 1.8)
    acknowledged = kill_a_writer(tmp_path, after_s=after_s, script=_WRITER_OF_LINKS)
    repaired = repair_experiment(tmp_path)
    if not repaired:
        assert acknowledged == 0
        return
    (sample,) = repaired
    assert sample.problem == ""
    count = sample.frames.get(SAXS, 0)
    assert count >= acknowledged
    if not count:
        return
    repair_superblock(tmp_path / "ioc" / "saxs.h5")  # its own writer would, or reads it with SWMR
    sent = [frame[SAXS] for frame in small_frames(count)]
    with h5py.File(tmp_path / "experiment.h5", "r") as file:
        found = file[f"water/primary/data/{SAXS}"][:count]
        assert np.array_equal(found, sent)
        assert len(file["water/primary/seq_num"]) >= count
    with h5py.File(tmp_path / "water" / f"primary.{SAXS}.h5", "r") as file:
        assert file["position"][:count].tolist() == list(range(count))


def test_repair_is_done_once_and_changes_nothing_more(tmp_path: Path) -> None:
    kill_a_writer(tmp_path, after_s=0.6, wait_for_frames=True)
    (first,) = repair_experiment(tmp_path)
    (second,) = repair_experiment(tmp_path)
    assert first.files
    assert second.files == ()
    assert first.frames == second.frames


def test_living_writer_is_left_alone(tmp_path: Path) -> None:
    from small_beamline import run_documents, small_beamline

    from h5xs_bluesky.callbacks.live_reduction import LiveReduction

    live = LiveReduction(small_beamline(), tmp_path)
    documents = run_documents(small_frames(3))
    for name, doc in documents[:-1]:
        live(name, doc)
    assert live.wait(30)
    (found,) = repair_experiment(tmp_path)
    assert "held by another writer" in found.problem
    live(*documents[-1])
    live.close()
    (found,) = repair_experiment(tmp_path)
    assert found.problem == ""
    assert found.frames == {SAXS: 3, WAXS: 3}
