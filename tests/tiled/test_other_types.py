"""Whoever has the server's key reads nothing that lies elsewhere, whatever its type."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import zarr
from small_server import Server, serving
from tiled.structures.array import ArrayStructure
from tiled.structures.data_source import Asset, DataSource, Management

from h5xs_bluesky.tiled.other_types import adapters_of_other_types

_PRIVATE = np.array([3.25, 7.75, 11.125])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path, Path]]:
    """A server for an empty folder, and another folder with private files."""
    folder, private = (tmp_path_factory.mktemp(name) for name in ("data", "private"))
    with h5py.File(private / "file.h5", "w") as file:
        file["values"] = _PRIVATE
    with h5py.File(folder / "links.h5", "w") as file:
        file["values"] = h5py.ExternalLink(private / "file.h5", "values")
    np.save(private / "file.npy", _PRIVATE)
    zarr.save(str(private / "file.zarr"), _PRIVATE)
    (private / "file.csv").write_text("values\n3.25\n7.75\n11.125\n")
    with serving(folder, "--no-runs") as server:
        yield server, folder, private


@pytest.mark.parametrize(
    ("mimetype", "path", "parameters", "reason"),
    [
        ("application/x-hdf5", "{data}/../{private}/file.h5", {"dataset": "values"}, "by '..'"),
        ("application/x-hdf5", "{data}/links.h5", {"dataset": "values"}, "by a link in the file"),
        ("application/x-npy", "{data}/../{private}/file.npy", {}, "by '..'"),
        ("application/x-zarr", "{data}/../{private}/file.zarr", {}, "by '..'"),
        ("application/x-zarr", "{private_path}/file.zarr", {}, "without an asset's parameter"),
        ("text/csv;header=absent", "{data}/../{private}/file.csv", {}, "by '..'"),
    ],
)
def test_nothing_is_read_from_elsewhere(
    served: tuple[Server, Path, Path],
    mimetype: str,
    path: str,
    parameters: dict[str, Any],
    reason: str,
) -> None:
    server, data, private = served
    where = path.format(data=data, private=private.name, private_path=private)
    named = None if "{private_path}" in path else "data_uri"
    source = DataSource(
        "array",
        ArrayStructure.from_array(_PRIVATE),
        mimetype=mimetype,
        parameters=parameters,
        management=Management.external,
        assets=[Asset(f"file://localhost{where}", path.endswith("zarr"), named)],
    )
    client = server.client()
    client.new("array", [source], key="stolen", metadata={}, specs=[])
    try:
        answer = server.get("array/full/stolen", format="application/json")
        assert answer.status_code == 403, f"{reason}: {answer.text}"
        assert "7.75" not in answer.text
    finally:
        client.delete_contents("stolen", external_only=False)


def test_arrays_that_are_sent_to_the_server_are_read(served: tuple[Server, Path, Path]) -> None:
    client = served[0].client()
    client.write_array(_PRIVATE, key="sent")
    np.testing.assert_array_equal(client["sent"].read(), _PRIVATE)


def test_every_type_that_tiled_knows_is_thought_of() -> None:
    from tiled.mimetypes import DEFAULT_ADAPTERS_BY_MIMETYPE

    left_to_tiled = DEFAULT_ADAPTERS_BY_MIMETYPE.keys() - adapters_of_other_types().keys()
    assert left_to_tiled == {"application/x-tiled-sql-table"}
