"""Who gets what from a server with several users, run from the configuration in the documentation.

Each of the four holes of Tiled's own checks has a test that fails without our guard.
"""

import io
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import httpx
import numpy as np
import pytest
from foreign_links import KINDS, link_out
from small_server import wait_until
from tiled.client import from_uri
from tiled.queries import Key
from tiled.structures.data_source import Asset, DataSource, Management

from h5xs_bluesky.tiled.adapter import MIMETYPE, SAMPLE_SPEC
from h5xs_bluesky.tiled.publishing import Publication
from h5xs_bluesky.tiled.registration import FolderRegistration
from h5xs_bluesky.tiled.tags import save_tags

DOCS = Path(__file__).parents[2] / "docs"
HOW_TO, REFERENCE = DOCS / "how-to", DOCS / "reference"
AUTHENTICATOR = """
from tiled.authenticators import DictionaryAuthenticator


def users():
    names = ("beamline", "alice", "bob", "carol", "dave")
    return DictionaryAuthenticator({name: f"{name}s word" for name in names})
"""


class Facility:
    """The server, and each user's way to it."""

    def __init__(self, address: str, data: Path) -> None:
        self.address = address
        self.data = data
        self._tokens: dict[str, str] = {}

    def token(self, user: str) -> str:
        if user not in self._tokens:
            answer = httpx.post(
                f"{self.address}/api/v1/auth/provider/facility/token",
                data={"username": user, "password": f"{user}s word", "grant_type": "password"},
            )
            self._tokens[user] = answer.raise_for_status().json()["access_token"]
        return self._tokens[user]

    def ask(self, who: str, method: str, path: str) -> int:
        """Ask as a user, as nobody or with a wrong key; gives the status."""
        headers = {"nobody": {}, "wrong key": {"Authorization": "Apikey wrong"}}.get(who)
        if headers is None:
            headers = {"Authorization": f"Bearer {self.token(who)}"}
        url = f"{self.address}/{path}" if path.startswith("zarr") else self.url(path)
        body = BODIES.get(method)
        return httpx.request(method, url, headers=headers, json=body, timeout=30).status_code

    def get(self, user: str, path: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token(user)}"}
        return httpx.get(self.url(path), headers=headers, timeout=30)

    def url(self, path: str) -> str:
        return f"{self.address}/api/v1/{path}"

    def client(self, user: str) -> Any:
        headers = {"Authorization": f"Bearer {self.token(user)}"}
        answer = httpx.post(
            f"{self.address}/api/v1/auth/apikey",
            headers=headers,
            json={"scopes": ["inherit"], "expires_in": 600},
        )
        return from_uri(self.address, api_key=answer.raise_for_status().json()["secret"])


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory, experiment: Path) -> Path:
    """An experiment in a folder that is not served, in one file."""
    path = tmp_path_factory.mktemp("outside") / "secret.h5"
    pack(experiment, path)
    with h5py.File(path, "r+") as file:
        file["d"] = np.arange(12.0).reshape(1, 3, 4)
    return path


def pack(experiment: Path, path: Path) -> None:
    with h5py.File(experiment) as source, h5py.File(path, "w") as file:
        file.attrs.update(source.attrs)
        for name in source:
            source.copy(name, file, expand_external=True)


@pytest.fixture(scope="module")
def facility(
    tmp_path_factory: pytest.TempPathFactory, experiment: Path, outside: Path
) -> Iterator[Facility]:
    """The documented server, with other databases, and two proposals in its catalogue."""
    folder = tmp_path_factory.mktemp("facility")
    data = folder / "data"
    for name in ("one", "two"):
        (data / name).mkdir(parents=True)
        pack(experiment, data / name / f"{name}.h5")
    (data / "link.h5").symlink_to(outside)
    with h5py.File(data / "one" / "one.h5", "r+") as file:
        for kind in KINDS:
            leak = kind.replace(" ", "_")
            link_out(kind, file["lysozyme/primary/data"], outside, leak)
    (folder / "accounts.py").write_text(AUTHENTICATOR)
    shutil.copy(HOW_TO / "tiled-production.yml", folder / "config.yml")
    catalog, accounts = (f"sqlite:///{folder / name}.db" for name in ("catalog", "accounts"))
    environment = {
        **os.environ,
        "H5XS_CATALOG": catalog,
        "H5XS_ACCOUNTS": accounts,
        "H5XS_FOLDER": str(data),
        "H5XS_ARRAYS": f"file://localhost{folder}/arrays",
        "H5XS_TABLES": f"sqlite:///{folder}/tables.db",
        "H5XS_CACHE": "memory",
        "H5XS_AUTHENTICATOR": "accounts:users",
        "H5XS_SECRET": "a secret",
        "H5XS_REGISTRAR": "beamline",
    }
    tiled = [sys.executable, "-m", "tiled"]
    subprocess.run([*tiled, "catalog", "init", catalog], check=True, capture_output=True)
    subprocess.run(
        [*tiled, "admin", "initialize-database", accounts], check=True, capture_output=True
    )
    save_tags(HOW_TO / "tiled-tags.yml", catalog)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*tiled, "serve", "config", str(folder / "config.yml"), f"--port={port}"],
            env=environment,
            cwd=outside.parent,
            stdout=log,
            stderr=log,
        )
    limit = threading.Timer(600, process.kill)
    limit.daemon = True
    limit.start()
    try:
        server = Facility(f"http://127.0.0.1:{port}", data)

        def answers() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            try:
                return httpx.get(f"{server.address}/healthz").status_code == 200
            except httpx.TransportError:
                return False

        wait_until(answers, within_s=90)
        registrar = server.client("beamline")
        for name, tag in (("one", "proposal_1"), ("two", "proposal_2")):
            registration = FolderRegistration(registrar, data / name, access_tags=[tag])
            assert len(registration.update().added) == 3
        yield server
    finally:
        limit.cancel()
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


BUT_FRAMES = "container/full/one.h5/lysozyme?format=h5xs"
WHO = ("nobody", "wrong key", "alice", "bob", "carol", "dave", "beamline")
BODIES = {"PUT": {"metadata": {}}, "POST": {"structure_family": "container", "id": "made"}}


def documented_access() -> list[Any]:
    """Read the table of the documentation: a row for each way to ask, a column for each user."""
    text = (REFERENCE / "access.md").read_text(encoding="utf-8")
    rows = [line.strip()[1:-1].split("|") for line in text.splitlines() if line.startswith("| ")]
    header, *ways = [[cell.strip(" `") for cell in row] for row in rows]
    assert header == ["what", "how", *WHO]
    return [
        pytest.param(how.partition(" "), dict(zip(WHO, answers, strict=True)), id=what)
        for what, how, *answers in ways
    ]


@pytest.mark.parametrize(("how", "expected"), documented_access())
def test_who_gets_what_is_as_documented(
    facility: Facility, how: tuple[str, str, str], expected: dict[str, str]
) -> None:
    method, _, path = how
    found = {
        who: str(facility.ask(who, method, path)) if answer else ""
        for who, answer in expected.items()
    }
    assert found == expected


def test_downloaded_sample_lacks_what_a_link_leads_out_to(facility: Facility) -> None:
    body = facility.get("alice", BUT_FRAMES).content
    with h5py.File(io.BytesIO(body)) as file:
        names = set(file["lysozyme/primary/data"])
    assert {"saxs_image", "waxs_image"} <= names
    assert not names & {kind.replace(" ", "_") for kind in KINDS}


def test_search_shows_what_one_may_see(facility: Facility) -> None:
    seen = {
        user: sorted(facility.client(user))
        for user in ("beamline", "alice", "bob", "carol", "dave")
    }
    assert seen == {
        "beamline": ["one.h5", "two.h5"],
        "alice": ["one.h5"],
        "bob": ["two.h5"],
        "carol": ["one.h5"],
        "dave": [],
    }
    sample = facility.client("alice")["one.h5/lysozyme"]
    assert sorted(sample) == ["curves", "monitors", "primary", "processed"]
    assert sorted(sample["processed"]) == ["_SAXS", "_WAXS", "averaged", "merged", "subtracted"]


def test_reader_changes_nothing(facility: Facility) -> None:
    client = facility.client("alice")
    with pytest.raises(httpx.HTTPStatusError) as refused:
        client["one.h5/lysozyme"].update_metadata({"sample_name": "gold"})
    assert refused.value.response.status_code == 403
    with pytest.raises(httpx.HTTPStatusError):
        client["one.h5"].delete_contents("lysozyme")
    assert "lysozyme" in client["one.h5"]


def test_runs_bear_the_tags_of_their_folder(facility: Facility, experiment: Path) -> None:
    folder = facility.data / "served"
    shutil.copytree(experiment.parent, folder, ignore=shutil.ignore_patterns("buffer"))
    registrar = facility.client("beamline")
    parent = registrar.create_container("of_one", access_tags=["proposal_1"])
    try:
        outcome = Publication(parent, folder, access_tags=["proposal_1"]).update()
        assert outcome.failed == {}
        runs = registrar["of_one/runs"]
        (raw,) = runs["raw"].search(Key("sample_name") == "lysozyme")
        (processed,) = runs["processed"]
        frames = f"of_one/runs/raw/{raw}/primary/saxs_image"
        for node in (
            frames,
            f"of_one/runs/processed/{processed}/primary/I",
            f"of_one/runs/curves/{raw}",
        ):
            answers = {
                user: [
                    facility.get(user, f"{what}/{node}").status_code
                    for what in ("metadata", "array/full")
                ]
                for user in ("alice", "carol", "bob", "dave")
            }
            assert answers == {
                "alice": [200, 200],
                "carol": [200, 403],
                "bob": [404, 404],
                "dave": [404, 404],
            }, node
    finally:
        registrar.delete_contents("of_one", recursive=True, external_only=False)


@pytest.mark.parametrize(
    ("uri", "parameter", "reason"),
    [
        ("file://localhost{outside}", None, "Tiled does not check an asset without parameter"),
        ("file://localhost{data}/../{parent}/secret.h5", "data_uris", "it compares texts"),
        ("file://localhost{data}/link.h5", "data_uris", "a symbolic link leads out"),
        ("file://localhost{outside}", "data_uris", "Tiled's own check"),
    ],
)
def test_file_outside_the_storage_is_not_served_whoever_registers_it(
    facility: Facility, outside: Path, uri: str, parameter: str | None, reason: str
) -> None:
    client = facility.client("beamline")
    parent = f"../{outside.parent.name}"
    target = uri.format(outside=outside, data=facility.data, parent=parent)
    source = DataSource(
        "container",
        None,
        mimetype=MIMETYPE,
        parameters={"sample": "lysozyme"},
        management=Management.external,
        assets=[Asset(target, False, parameter, 0 if parameter else None)],
    )
    key = f"stolen{abs(hash(uri + str(parameter)))}"
    client["one.h5"].new("container", [source], key=key, metadata={}, specs=[SAMPLE_SPEC])
    try:
        for path in ("processed", "processed/averaged", "primary/data/saxs_image"):
            answer = facility.get("beamline", f"metadata/one.h5/{key}/{path}")
            assert answer.status_code in (403, 500), reason
            assert "shape" not in answer.text
        for form in ("nxcansas", "h5xs"):
            answer = facility.get("beamline", f"container/full/one.h5/{key}?format={form}")
            assert answer.status_code in (403, 500), reason
    finally:
        client["one.h5"].delete_contents(key)
