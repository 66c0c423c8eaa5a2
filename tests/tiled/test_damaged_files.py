"""A damaged file is answered with 503, and is nobody else's trouble."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_damage import CUTS, ZEROS, cut
from small_server import Server, serving, wait_until

from h5xs_bluesky.api.pack import pack

_SOON_S = 5.0

Served = tuple[Server, Path]


@pytest.fixture(scope="module")
def served(experiment: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server of two experiments and a packed file, and its folder."""
    folder = tmp_path_factory.mktemp("dam")
    for name in ("good", "bad"):
        shutil.copytree(experiment.parent, folder / name)
    pack(experiment.parent, folder / "packed.h5")
    with serving(folder) as server:
        client = server.client()
        wait_until(lambda: all(name in client for name in ("good", "bad", "packed.h5")))
        wait_until(lambda: all(len(list(client[name])) == 3 for name in ("good", "bad")))
        wait_until(lambda: len(list(client["packed.h5"])) == 3)
        yield server, folder
        began = time.monotonic()
        server.process.terminate()
        server.process.wait(10)
        assert time.monotonic() - began < 10


def _answer(server: Server, path: str) -> tuple[int, bool]:
    began = time.monotonic()
    answer = server.get(path, format="json" if path.startswith("array") else "h5xs")
    assert time.monotonic() - began < _SOON_S, path
    return answer.status_code, "Retry-After" in answer.headers


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("file", "path"),
    [
        ("bad/lysozyme/run.h5", "container/full/bad/lysozyme"),
        ("bad/lysozyme/processed.h5", "array/full/bad/lysozyme/processed/averaged"),
        ("packed.h5", "array/full/packed.h5/lysozyme/processed/averaged"),
        ("bad/experiment.h5", "array/full/bad/lysozyme/processed/averaged"),
    ],
)
def test_damaged_file_is_answered_with_503_and_the_others_as_ever(
    served: Served, file: str, path: str
) -> None:
    server, folder = served
    whole = (folder / file).read_bytes()
    good = "array/full/good/lysozyme/processed/averaged"
    assert _answer(server, path) == (200, False)
    found = {}
    try:
        for name, damage in {**CUTS, **ZEROS}.items():
            new = folder / "new.tmp"
            new.write_bytes(whole)
            damage(new)
            new.replace(folder / file)
            found[name] = _answer(server, path)
            assert _answer(server, good) == (200, False), name
    finally:
        (folder / "new.tmp").write_bytes(whole)
        (folder / "new.tmp").replace(folder / file)
    assert all(found[name] == (503, True) for name in CUTS), found
    # Zeros may be where this answer does not look.
    assert set(found.values()) <= {(200, False), (404, False), (503, True)}, found
    wait_until(lambda: _answer(server, path) == (200, False))


@pytest.mark.alone
def test_file_that_is_copied_slowly_delays_nobody(served: Served) -> None:
    server, folder = served
    whole = (folder / "packed.h5").read_bytes()
    longest = 0.0
    with (folder / "copy.h5").open("wb") as copy:
        for n in range(40):
            copy.write(whole[n * len(whole) // 40 : (n + 1) * len(whole) // 40])
            copy.flush()
            began = time.monotonic()
            status, _ = _answer(server, "array/full/good/lysozyme/processed/averaged")
            longest = max(longest, time.monotonic() - began)
            assert status == 200
            time.sleep(0.05)
    assert longest < 2.0
    client = server.client()
    wait_until(lambda: "copy.h5" in client and len(list(client["copy.h5"])) == 3)
    (folder / "copy.h5").unlink()


def test_file_that_was_cut_is_served_again_once_it_is_whole(served: Served) -> None:
    server, folder = served
    path = "array/full/packed.h5/lysozyme/processed/averaged"
    whole = (folder / "packed.h5").read_bytes()
    cut(folder / "packed.h5", 0.5)
    assert wait_until(lambda: _answer(server, path)[0] != 200)
    (folder / "packed.h5").write_bytes(whole)
    wait_until(lambda: _answer(server, path) == (200, False))
