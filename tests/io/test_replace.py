"""Replacing whole, and locks."""

import multiprocessing
import os
import stat
import threading
from pathlib import Path

import pytest

from h5xs_bluesky.errors import FileInUseError
from h5xs_bluesky.io.replace import FileLock, is_locked, replace_whole


def test_file_is_replaced_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for text in ("first", "second"):
        with replace_whole(path) as temporary:
            temporary.write_text(text)
            assert not path.exists() or path.read_text() == "first"
        assert path.read_text() == text
    assert list(tmp_path.iterdir()) == [path]


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")

    def fail_midway() -> None:
        with replace_whole(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        fail_midway()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_mode_of_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    path.chmod(0o640)
    with replace_whole(path) as temporary:
        temporary.write_text("new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_new_file_has_the_mode_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with replace_whole(tmp_path / "a.json") as temporary:
        temporary.write_text("new")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "a.json")}
    assert len(modes) == 1


def test_reader_always_finds_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("0" * 10000)
    ending = threading.Event()
    torn = []

    def look() -> None:
        while not ending.is_set():
            text = path.read_text()
            if len(text) != 10000 or len(set(text)) != 1:
                torn.append(text)

    thread = threading.Thread(target=look)
    thread.start()
    for number in range(50):
        with replace_whole(path) as temporary:
            temporary.write_text(str(number % 10) * 10000)
    ending.set()
    thread.join()
    assert not torn


def test_lock_has_one_holder(tmp_path: Path) -> None:
    first, second = (FileLock(tmp_path / "lock") for _ in range(2))
    first.acquire()
    with pytest.raises(FileInUseError, match="held by another writer"):
        second.acquire(timeout_s=0.05)
    first.release()
    second.acquire()
    second.release()
    second.release()


def hold_and_die(path: Path, held: "multiprocessing.synchronize.Event") -> None:
    FileLock(path).acquire()
    held.set()
    os._exit(1)


def test_lock_ends_with_its_process(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    process = context.Process(target=hold_and_die, args=(tmp_path / "lock", held))
    process.start()
    process.join(20)
    lock = FileLock(tmp_path / "lock")
    lock.acquire(timeout_s=1)
    lock.release()


def test_asking_whether_a_lock_is_held_does_not_take_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_locked(path)
    assert not path.exists()
    lock = FileLock(path)
    lock.acquire()
    assert is_locked(path)
    lock.release()
    assert not is_locked(path)
    lock.acquire()
    lock.release()
