"""A disk that takes no more: a small one, or a limit on the size of files, in a child process.

HDF5 frees what it cannot write when it closes it, and leaves its identifier: the child would die
when it looks through the open ones.
"""

import json
import os
import subprocess
import sys
import tempfile
import textwrap
from functools import cache
from pathlib import Path
from typing import Any

import pytest

_CHILD = """
    import errno, gc, json, os, resource, signal, sys
    from pathlib import Path
    import h5py, numpy as np
    from h5py import h5f, h5i
    from h5xs_bluesky.io.bitshuffle import compress
    from h5xs_bluesky.io.frames import FrameFile, LinkedFrames
    from h5xs_bluesky.io.opening import open_frames, refresh
    from h5xs_bluesky.io.processed import LiveProcessedFile
    from h5xs_bluesky.io.provenance import Process, Provenance
    from h5xs_bluesky.io.stream import StreamFile
    from h5xs_bluesky.reduction.accumulators import Accumulators
    from h5xs_bluesky.sim.endstation.detector import IocFile

    kind, end, disk = sys.argv[1:4]
    folder = Path(sys.argv[4])
    path = folder / "stream.field.h5"
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    frame = np.arange(64 * 48, dtype="i4").reshape(64, 48)
    one = dict(timestamps=np.zeros(1), positions=np.zeros(1, int))

    def limit(size):
        if disk == "limit":
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            return
        fill = folder / "fill"
        try:
            with fill.open("wb", buffering=0) as file:
                while size != resource.RLIM_INFINITY:
                    file.write(bytes(4096))
        except OSError:
            return
        fill.unlink()

    def make():
        if kind == "frames":
            return FrameFile(
                path, field="f", frame_shape=(64, 48), dtype=np.dtype("i4"), frames_per_event=1
            )
        if kind == "links":
            return LinkedFrames(path, field="f", target="o.h5", dataset="d", frames_per_event=1)
        if kind == "numbers":
            return StreamFile(path, scalars=[f"s{n}" for n in range(8)], period_s=0)
        if kind == "curves":
            made_with = Provenance(frames=Process(configuration={}))
            return LiveProcessedFile(path, extensions=["_S"], bins=50, provenance=made_with)
        return IocFile(path, (64, 48), compressed=kind == "detector")

    def append(writer, row):
        if kind == "frames":
            writer.append([compress(frame)], **one)
            writer.commit()
        elif kind == "links":
            writer.append(row, **one)
            writer.commit()
        elif kind == "numbers":
            writer.append(time=0.0, seq_num=row, values={"s0": 1.0}, timestamps={})
        elif kind == "curves":
            accumulators = Accumulators.missing((50,))
            writer.append({"_S": accumulators}, transmitted=1.0, incident=1.0)
            writer.flush()
        else:
            writer.append(frame, 0.0)

    def look_around():
        gc.collect()
        kinds = h5f.OBJ_FILE | h5f.OBJ_DATASET | h5f.OBJ_GROUP
        left = h5f.get_obj_ids(h5f.OBJ_ALL, kinds)
        for each in left:
            h5i.get_file_id(each)
        with h5py.File("other", "w", driver="core", backing_store=False) as other:
            other["d"] = np.zeros(3)
            refresh(other["d"])
        return len(left)

    told = []
    if end == "made":
        limit(100)
        try:
            make()
        except OSError as error:
            told.append(str(error))
        left = look_around()
        limit(resource.RLIM_INFINITY)
        print(json.dumps({"told": told, "left": left, "files": os.listdir(folder)}))
        sys.exit()
    writer = make()
    for row in range(5):
        append(writer, row)
    limit(path.stat().st_size)
    for row in range(5, 3000):
        try:
            append(writer, row)
        except OSError as error:
            told.append(str(error))
            if len(told) == 3 or kind != "frames":
                break
    try:
        writer.close()
    except OSError as error:
        told.append(str(error))
    del writer
    left = look_around()
    limit(resource.RLIM_INFINITY)
    with open_frames(path) as file:
        names = {"frames": "data", "links": "position", "numbers": "time", "curves": "processed/_S"}
        rows = len(file[names.get(kind, "/entry/data/data")])
    print(json.dumps({"told": told, "left": left, "rows": rows}))
"""
_KINDS = ("frames", "links", "numbers", "curves", "detector", "detector, plain")
_MOUNTED = 'mount -t tmpfs -o size=4m tmpfs "$0" && exec "$@" "$0"'  # it goes with the child
_ALONE = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", _MOUNTED]
_DISKS = {"small": "[Errno 28] No space left on device", "limit": "[Errno 27] File too large"}


@cache
def _can_mount() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run([*_ALONE, folder, "true"], check=False).returncode == 0


def _run(folder: Path, kind: str, end: str, disk: str) -> dict[str, Any]:
    child = [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(_CHILD), kind, end, disk]
    if disk == "limit":
        command = [*child, str(folder)]
    elif _can_mount():
        command = [*_ALONE, str(folder), *child]
    else:
        pytest.skip("no disk can be mounted here")
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "id ref count" not in done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found["told"], "the disk took all"
    path = folder / "stream.field.h5"
    assert set(found["told"]) == {f"{_DISKS[disk]}: '{path}'"}
    return found


@pytest.mark.parametrize("disk", _DISKS)
@pytest.mark.parametrize("kind", _KINDS)
def test_what_a_full_disk_does_not_take_does_no_harm(tmp_path: Path, kind: str, disk: str) -> None:
    found = _run(tmp_path, kind, "grown", disk)
    assert found["rows"] >= 5
    assert found["left"] == 0


@pytest.mark.parametrize("disk", _DISKS)
@pytest.mark.parametrize("kind", _KINDS)
def test_file_that_cannot_be_made_is_not_there(tmp_path: Path, kind: str, disk: str) -> None:
    found = _run(tmp_path, kind, "made", disk)
    assert (found["left"], found["files"]) == (0, [])
