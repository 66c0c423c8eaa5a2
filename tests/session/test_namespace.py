import subprocess
import sys
from pathlib import Path

import pytest

from h5xs_bluesky.errors import ConfigurationError, FileInUseError
from h5xs_bluesky.session import Session


def test_what_no_startup_file_made_is_named_with_the_file_that_makes_it(tmp_path: Path) -> None:
    session = Session(folder=tmp_path)
    with pytest.raises(AttributeError, match=r"20-reduction\.py makes it"):
        session.live.status()
    session.live = "made"
    assert session.live == "made"


def test_an_optional_part_that_fails_is_told_and_harms_nothing(tmp_path: Path) -> None:
    session = Session(folder=tmp_path)
    with session.optional("server"):
        raise OSError("no free port\nmore of it")
    session.notes.append("live     reduces")
    assert session.describe() == "live     reduces\nwithout server: no free port"


def test_ctrl_c_is_no_failure_of_a_part(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Session(folder=tmp_path).optional("server"):
        raise KeyboardInterrupt


def test_the_folder_is_the_environments_or_below_the_present_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("H5XS_FOLDER", raising=False)
    assert Session().folder == tmp_path / "h5xs-data"
    monkeypatch.setenv("H5XS_FOLDER", "elsewhere")
    assert Session().folder == tmp_path / "elsewhere"


_CLAIMS = """
import sys
from h5xs_bluesky.session import session
session.claim()
print("claimed", flush=True)
sys.stdin.read()
"""


def test_second_session_in_a_folder_is_refused_until_the_first_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data"
    monkeypatch.setenv("H5XS_FOLDER", str(folder))
    first = subprocess.Popen(
        [sys.executable, "-c", _CLAIMS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with first:
        assert first.stdout is not None
        assert first.stdout.readline() == "claimed\n"
        session = Session()
        with pytest.raises(FileInUseError, match="H5XS_FOLDER") as told:
            session.claim()
        assert str(folder) in str(told.value)
        first.kill()
    session.claim()
    session.claim()
    with pytest.raises(FileInUseError):
        Session().claim()


def test_folder_that_cannot_be_written_is_told_with_what_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="set H5XS_FOLDER to another folder") as told:
        Session(folder=tmp_path / "file" / "data").claim()
    assert str(tmp_path / "file" / "data") in str(told.value)


def test_unwanted_part_that_does_not_exist_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("H5XS_WITHOUT", "sever, view")
    session = Session(folder=tmp_path)
    assert session.wants("server")
    assert not session.wants("view")
    assert session.describe().splitlines() == [
        "without view: H5XS_WITHOUT names it",
        "H5XS_WITHOUT: expected some of server, view, found sever",
    ]
