"""A disk that is full, stood in for by a limit on the size of files in a child process."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 - registers the filters
import numpy as np

from h5xs_bluesky.io.repair import repair_experiment

_WRITER = """
    import json, resource, signal, sys
    from pathlib import Path
    import numpy as np
    from h5xs_bluesky.callbacks import LiveReduction
    from h5xs_bluesky.errors import FramesNotSavedError
    from small_beamline import SAXS, run_documents, small_beamline

    live = LiveReduction(small_beamline(), Path(sys.argv[1]))
    rng = np.random.default_rng(0)
    frames = [{SAXS: rng.integers(0, 2**31, (64, 48)).astype("i4")} for _ in range(400)]
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
    raised = 0
    documents = run_documents(frames)
    for name, doc in documents[:-1]:
        try:
            live(name, doc)
        except FramesNotSavedError:
            raised += 1
            if raised == 3:
                break
        live.wait(10)
    live(*documents[-1])
    live.wait(30)
    status = live.status()
    live.close()
    print(json.dumps({"raised": raised, **status}))
"""


def test_full_disk_fails_the_scan_and_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_WRITER), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout.splitlines()[-1])
    assert status["raised"] == 3
    acknowledged = status["acknowledged"]
    assert 50 < acknowledged < 400
    assert status["lost"] >= 1
    (repaired,) = repair_experiment(tmp_path)
    assert repaired.problem == ""
    rng = np.random.default_rng(0)
    sent = [rng.integers(0, 2**31, (64, 48)).astype("i4") for _ in range(acknowledged)]
    with h5py.File(tmp_path / "experiment.h5") as file:
        found = file["water/primary/data/saxs_image"]
        assert np.array_equal(found[:acknowledged], sent)
        assert file["water/processed/_SAXS"].shape[0] >= acknowledged
