"""What is served is what the files hold, value for value, also while they are written."""

import json
import logging
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
from fastapi import HTTPException
from foreign_links import KINDS, link_out, show
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import basic_indices
from tiled.ndslice import NDBlock, NDSlice
from tiled.queries import AccessTagsFilter

from h5xs_bluesky import h5xs
from h5xs_bluesky.errors import RefusedError
from h5xs_bluesky.io.sidecar import sidecar_of
from h5xs_bluesky.tiled.adapter import MIMETYPE, H5XSAdapter
from h5xs_bluesky.tiled.files import ROOTS_VARIABLE, file_uri

REACHED = "pixels of another folder"


def serve(path: Path, sample: str | None = None) -> Any:
    return H5XSAdapter.from_uris(file_uri(path), sample=sample)


def registered(
    path: Path | str,
    *,
    parameter: str | None = "data_uris",
    tags: tuple[str, ...] = (),
    sample: str | None = "lysozyme",
) -> Any:
    """Serve a file as Tiled's catalogue has it served."""
    uri = path if isinstance(path, str) else f"file://localhost{path}"
    source = SimpleNamespace(
        assets=[SimpleNamespace(data_uri=uri, parameter=parameter)], mimetype=MIMETYPE
    )
    node = SimpleNamespace(
        metadata_={"of": "the catalogue"}, access_tags=[SimpleNamespace(name=tag) for tag in tags]
    )
    return H5XSAdapter.from_catalog(source, node, sample=sample)


def everything(node: Any, path: str = "") -> dict[str, Any]:
    """Give all nodes below a container, by path."""
    found = {}
    for name, child in node.items():
        found[f"{path}{name}"] = child
        if child.structure_family == "container":
            found |= everything(child, f"{path}{name}/")
    return found


@pytest.fixture
def packed(experiment: Path, tmp_path: Path) -> Path:
    """The experiment in one file, as `pack` makes it: no links."""
    path = tmp_path / "packed.h5"
    with h5py.File(experiment) as source, h5py.File(path, "w") as file:
        for key, value in source.attrs.items():
            file.attrs[key] = value
        for name in source:
            source.copy(name, file, expand_external=True)
    return path


@pytest.fixture
def ancestors(packed: Path) -> Path:
    """The same as py4xs leaves it: no reduction, no attributes of ours, 4-D frames, padded JSON."""
    path = packed.with_name("ancestor.h5")
    shutil.copy(packed, path)
    with h5py.File(path, "r+") as file:
        for key in ("beamline", "h5xs_schema", "qgrid_edges"):
            del file.attrs[key]
        sample = file["lysozyme"]
        del sample["reduction"]
        del sample.attrs["sample_name"]
        sample.attrs["start"] = np.bytes_(sample.attrs["start"].encode() + b" \0")
        for stamps in sample["primary/timestamps"].values():
            stamps.attrs.clear()
        frames = sample["primary/data/saxs_image"][()]
        del sample["primary/data/saxs_image"]
        sample["primary/data/saxs_image"] = frames[:, np.newaxis]
        sample.create_group("processed/qphi")["d"] = np.zeros((3, 4))
    return path


def test_tree_of_a_sample_is_what_its_file_holds(experiment: Path) -> None:
    assert list(serve(experiment)) == ["buffer", "lysozyme", "nothing"]
    nodes = everything(serve(experiment, "lysozyme"))
    assert {path: node.structure().shape for path, node in nodes.items() if is_array(node)} == {
        **{f"primary/{name}": (8,) for name in ("time", "seq_num", "superseded")},
        **{f"primary/data/{name}": (8,) for name in ("em1", "em2", "position")},
        "primary/data/saxs_image": (8, 64, 48),
        "primary/data/waxs_image": (8, 40, 56),
        **{
            f"primary/timestamps/{name}": (8,)
            for name in ("em1", "em2", "position", "saxs_image", "waxs_image")
        },
        **{f"processed/{name}": (8, 2, 25) for name in ("_SAXS", "_WAXS", "merged")},
        **{f"processed/{name}": (2, 25) for name in ("averaged", "subtracted")},
        "curves/q": (25,),
        "curves/trans": (8,),
        **{
            f"curves/{name}_{quantity}": (25,)
            for name in ("averaged", "subtracted")
            for quantity in ("I", "sigma")
        },
    }


def is_array(node: Any) -> bool:
    return bool(node.structure_family == "array")


def test_every_array_equals_what_the_file_holds(experiment: Path) -> None:
    nodes = everything(serve(experiment, "lysozyme"))
    with h5py.File(experiment) as file:
        for path, node in nodes.items():
            if is_array(node) and not path.startswith("curves/"):
                stored = file["lysozyme"][path]
                values = stored.asstr()[()] if stored.dtype.kind == "O" else stored[()]
                np.testing.assert_array_equal(node.read(), values)


def test_plain_curves_are_the_single_curves_with_their_q(experiment: Path) -> None:
    sample, dt = serve(experiment, "lysozyme"), h5xs(experiment)
    for name in ("averaged", "subtracted"):
        curve = dt.get_d1("lysozyme", name)
        np.testing.assert_array_equal(sample["curves"][f"{name}_I"].read(), curve.data)
        np.testing.assert_array_equal(sample["curves"][f"{name}_sigma"].read(), curve.err)
        metadata = sample["processed"][name].metadata()
        np.testing.assert_array_equal(metadata["q"], curve.qgrid)
        assert (metadata["q_unit"], metadata["trans"]) == ("1/angstrom", curve.trans)
    np.testing.assert_array_equal(sample["curves"]["q"].read(), dt.qgrid.centers)


@pytest.mark.parametrize(
    ("kind", "mode"), [("packed", "external"), ("packed", "water"), ("ancestors", "curves")]
)
def test_trans_of_each_frame_is_that_of_its_curve(
    kind: str, mode: str, request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(kind)
    if mode == "water":
        h5xs(path).set_trans("water", q_start=0.1, q_end=0.2)
    elif mode == "curves":
        with h5py.File(path, "r+") as file:
            file["lysozyme/processed/merged"].attrs["trans"] = np.arange(8.0)
    local = h5xs(path, read_only=True)
    local.load_d1s("lysozyme")
    expected = [d1.trans for d1 in local.d1s["lysozyme"]["merged"]]
    trans = serve(path, "lysozyme")["curves"]["trans"]
    np.testing.assert_array_equal(trans.read(), expected)
    assert len(set(expected)) == (1 if mode == "external" else 8)
    assert trans.read(NDSlice(slice(6, 10))).tolist() == expected[6:]


def test_metadata_is_what_one_searches_by(experiment: Path) -> None:
    metadata = serve(experiment)["lysozyme"].metadata()
    start = h5xs(experiment).header("lysozyme")
    assert metadata["start"] == start
    assert metadata["stop"]["exit_status"] == "success"
    assert len(metadata["descriptors"]) == 1
    assert metadata["q_range"] == pytest.approx([0.0256, 0.2944])
    found = {key: metadata[key] for key in ("sample", "sample_name", "buffer", "plan_name")}
    assert found == {
        "sample": "lysozyme",
        "sample_name": "lysozyme",
        "buffer": "buffer",
        "plan_name": "count",
    }
    assert [metadata[key] for key in ("frames", "reduced", "kept")] == [8, 8, 7]
    assert [metadata[key] for key in ("scan_id", "uid")] == [2, start["uid"]]
    assert metadata["curves"] == ["_SAXS", "_WAXS", "averaged", "merged", "subtracted"]
    json.dumps(metadata, allow_nan=False)


def test_readers_side_by_side_read_each_their_own_frame(experiment: Path) -> None:
    """HDF5 gives the first to all where a dataset is refreshed that another thread has open."""
    with h5py.File(experiment) as file:
        stored = file["lysozyme/primary/data/saxs_image"][()]
    node = serve(experiment, "lysozyme")["primary"]["data"]["saxs_image"]

    def read(turn: int) -> bool:
        row = turn % len(stored)
        return np.array_equal(node.read(NDSlice(row)), stored[row])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(400)))


def test_sample_without_frames_has_nothing_but_its_headers(experiment: Path) -> None:
    sample = serve(experiment, "nothing")
    assert list(sample) == []
    metadata = sample.metadata()
    assert (metadata["frames"], metadata["reduced"], metadata["kept"]) == (0, 0, None)
    assert metadata["start"]["sample_name"] == "nothing"


def test_frames_are_served_one_per_block(experiment: Path) -> None:
    frames = serve(experiment, "lysozyme")["primary"]["data"]["saxs_image"]
    assert frames.structure().chunks == ((1,) * 8, (64,), (48,))
    with h5py.File(experiment) as file:
        stored = file["lysozyme/primary/data/saxs_image"][()]
    for number in range(8):
        block = frames.read_block(NDBlock(number, 0, 0))
        np.testing.assert_array_equal(block, stored[number : number + 1])
    part = frames.read_block(NDBlock(3, 0, 0), NDSlice(0, slice(5, 9)))
    np.testing.assert_array_equal(part, stored[3, 5:9])


@pytest.mark.parametrize("path", ["primary/data/saxs_image", "processed/merged", "primary/time"])
@given(data=st.data())
@settings(max_examples=30)
def test_any_slice_is_numpys(experiment: Path, path: str, data: st.DataObject) -> None:
    node = serve(experiment, "lysozyme")
    for name in path.split("/"):
        node = node[name]
    shape = node.structure().shape
    index = data.draw(basic_indices(shape, allow_newaxis=False))
    index = index if isinstance(index, tuple) else (index,)
    with h5py.File(experiment) as file:
        expected = file["lysozyme"][path][()][index]
    np.testing.assert_array_equal(node.read(NDSlice(*index)), expected)


def test_monitors_are_a_row_for_each_frame(experiment: Path) -> None:
    table = serve(experiment, "lysozyme")["monitors"].read()
    with h5py.File(experiment) as file:
        reduction, times = file["lysozyme/reduction"], file["lysozyme/primary/time"][()]
        for name in ("incident", "transmitted", "superseded"):
            np.testing.assert_array_equal(table[name], reduction[name][()])
        assert table["kept"].tolist() == reduction["selection/kept"][()].tolist()
        assert table["reason"].tolist() == reduction["selection/reason"].asstr()[()].tolist()
    np.testing.assert_array_equal(table["time"], times)
    np.testing.assert_allclose(table["transmission"], 0.8)
    assert table["frame"].tolist() == list(range(8))


def test_packed_file_is_served_as_the_experiment_is(experiment: Path, packed: Path) -> None:
    one, other = serve(experiment, "lysozyme"), serve(packed, "lysozyme")
    assert other.metadata() == one.metadata()
    nodes, packed_nodes = everything(one), everything(other)
    assert nodes.keys() == packed_nodes.keys()
    for path, node in nodes.items():
        assert packed_nodes[path].metadata() == node.metadata()
        if is_array(node):
            np.testing.assert_array_equal(packed_nodes[path].read(), node.read())
    table = packed_nodes["monitors"].read()
    assert table.equals(nodes["monitors"].read())


def test_ancestors_file_is_served_with_what_it_has(experiment: Path, ancestors: Path) -> None:
    one, other = serve(experiment, "lysozyme"), serve(ancestors, "lysozyme")
    assert other.metadata()["start"] == one.metadata()["start"]
    assert other.metadata()["frames"] == 8
    frames = other["primary"]["data"]["saxs_image"]
    assert frames.structure().shape == (8, 1, 64, 48)
    expected = one["primary"]["data"]["saxs_image"].read()
    np.testing.assert_array_equal(frames.read(NDSlice(3, 0)), expected[3])
    np.testing.assert_array_equal(frames.read()[:, 0], expected)
    assert "qphi" not in other["processed"]
    table = other["monitors"].read()
    np.testing.assert_array_equal(table["transmitted"], np.full(8, 800.0))
    assert table["kept"].isna().all()


@pytest.mark.parametrize("kind", ["packed", "ancestors"])
def test_results_in_a_sidecar_are_served_as_h5xs_reads_them(
    kind: str, request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(kind)
    before = serve(path, "lysozyme")
    state = before.__dask_tokenize__()
    stored = before["processed"]["averaged"].read()
    here = h5xs(path)
    if kind == "ancestors":
        here.load_data("lysozyme")
    here.average_d1s("lysozyme", selection=[True] * 2 + [False] * 6)
    here.assign_buffer({"lysozyme": "nothing"})

    sample, local = serve(path, "lysozyme"), h5xs(path, read_only=True)
    for group in ("averaged", "subtracted"):
        if group in sample["processed"]:
            curve = local.get_d1("lysozyme", group)
            node = sample["processed"][group]
            np.testing.assert_array_equal(node.read(), [curve.data, curve.err])
            assert node.metadata()["trans"] == curve.trans
            assert node.metadata()["buffer"] == "nothing"
            np.testing.assert_array_equal(sample["curves"][f"{group}_I"].read(), curve.data)
    assert not np.array_equal(sample["processed"]["averaged"].read(), stored)
    merged = [[d1.data, d1.err] for d1 in local.d1s["lysozyme"]["merged"]]
    np.testing.assert_array_equal(sample["processed"]["merged"].read(), merged)
    assert sample["monitors"].read()["kept"].tolist() == [True] * 2 + [False] * 6
    metadata = sample.metadata()
    assert (metadata["kept"], metadata["buffer"]) == (2, "nothing")
    assert metadata["curves"] == sorted(local.d1s["lysozyme"])
    assert sample.__dask_tokenize__() != state


def test_shapes_grow_while_the_scan_runs(running: Callable[[int], Path]) -> None:
    for events in (1, 3, 6):
        sample = serve(running(events), "water")
        assert sample.metadata()["frames"] == events
        frames = sample["primary"]["data"]["saxs_image"]
        assert frames.read().shape == (events, 64, 48)
        assert sample["processed"]["merged"].read().shape == (events, 2, 25)
        table = sample["monitors"].read()
        assert len(table) == events
        assert table["kept"].isna().all()
        assert sample.metadata()["stop"] is None
    assert serve(running(7), "water").metadata()["stop"]["exit_status"] == "success"


def test_node_made_before_the_file_grew_reads_what_it_promised(
    running: Callable[[int], Path],
) -> None:
    sample = serve(running(2), "water")
    nodes = everything(sample)
    before = {path: node.read() for path, node in nodes.items() if is_array(node)}
    running(6)
    for path, values in before.items():
        np.testing.assert_array_equal(nodes[path].read(), values)


def test_shorter_file_than_promised_is_answered_with_a_request_to_retry(packed: Path) -> None:
    curves = serve(packed, "lysozyme")["processed"]["merged"]
    with h5py.File(packed, "r+") as file:
        del file["lysozyme/processed/merged"]
        file["lysozyme/processed/merged"] = np.zeros((3, 2, 25))
    with pytest.raises(HTTPException) as answer:
        curves.read()
    assert answer.value.status_code == 503
    assert answer.value.headers == {"Retry-After": "1"}


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (b"", 503, "a writer is between creating it and its first bytes"),
        (b"no HDF5" * 400, 503, "half of a copy"),
        (None, 404, "there is no such file"),
    ],
)
def test_file_that_cannot_be_read_is_answered(
    tmp_path: Path, content: bytes | None, status: int, reason: str
) -> None:
    path = tmp_path / "experiment.h5"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(HTTPException) as answer:
        serve(path)
    assert answer.value.status_code == status, reason
    assert ("Retry-After" in (answer.value.headers or {})) == (status == 503)


def test_unknown_sample_is_not_found(experiment: Path) -> None:
    for name in ("nobody", "lysozyme/primary", "..", ""):
        with pytest.raises(HTTPException) as answer:
            serve(experiment, name)
        assert answer.value.status_code == 404


def test_unknown_member_is_none(experiment: Path) -> None:
    sample = serve(experiment, "lysozyme")
    assert sample.get("secrets") is None
    assert sample["primary"].get("secrets") is None
    assert sample["processed"]["merged"].get("secrets") is None
    assert sample["monitors"].get("time") is None


def test_texts_and_numbers_are_served_and_objects_are_not(packed: Path) -> None:
    with h5py.File(packed, "r+") as file:
        data = file["lysozyme/primary/data"]
        data["reference"] = np.array([data.ref], dtype=h5py.ref_dtype)
        data["compound"] = np.zeros(3, dtype=[("a", int), ("b", float)])
        data["fixed"] = np.array([b"caf\xc3\xa9", b"tea"])
        data["scalar"] = 3.5
    served = serve(packed, "lysozyme")["primary"]["data"]
    assert {"reference", "compound"}.isdisjoint(served)
    assert served["fixed"].read().tolist() == ["café", "tea"]
    assert served["position"].read(NDSlice(2)).tolist() == "A2"
    assert served["scalar"].read().tolist() == 3.5


# --- nothing outside the served folders is ever read


@pytest.fixture
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in a folder that is not served."""
    path = tmp_path_factory.mktemp("elsewhere") / "secret.h5"
    with h5py.File(path, "w") as file:
        file["d"] = np.arange(12.0).reshape(1, 3, 4)
        file.create_group("processed")["averaged"] = np.ones((2, 25))
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_links_out_of_the_folder_are_not_followed(
    packed: Path,
    secret: Path,
    kind: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(secret.parent)
    with h5py.File(packed, "r+") as file:
        link_out(kind, file["lysozyme/primary/data"], secret)
    with caplog.at_level(logging.WARNING):
        data = serve(packed, "lysozyme")["primary"]["data"]
    assert "leak" not in data
    assert "was not followed" in caplog.text


@pytest.mark.parametrize("kind", KINDS)
def test_link_that_came_after_the_node_is_refused_at_reading(
    packed: Path, secret: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(secret.parent)
    with h5py.File(packed, "r+") as file:
        file["lysozyme/primary/data/leak"] = np.zeros((1, 3, 4))
    node = serve(packed, "lysozyme")["primary"]["data"]["leak"]
    with h5py.File(packed, "r+") as file:
        del file["lysozyme/primary/data/leak"]
        link_out(kind, file["lysozyme/primary/data"], secret)
    with pytest.raises(HTTPException):
        node.read()


@pytest.mark.parametrize("name", ["kept", "reason", "p_value"])
def test_link_out_of_the_selection_is_not_followed(packed: Path, secret: Path, name: str) -> None:
    with h5py.File(packed, "r+") as file:
        selection = file["lysozyme/reduction/selection"]
        with h5py.File(secret, "r+") as other:
            selection.copy(name, other, "stolen")
        del selection[name]
        selection[name] = h5py.ExternalLink(str(secret), "/stolen")
    monitors = serve(packed, "lysozyme")["monitors"].read()
    assert monitors["kept"].isna().all()
    assert monitors["p_value"].isna().all()
    assert set(monitors["reason"]) == {""}


def test_sidecar_that_is_a_link_elsewhere_is_refused(packed: Path, secret: Path) -> None:
    with h5py.File(secret, "r+") as file:
        file.create_group("lysozyme")
        file.move("processed", "lysozyme/processed")
    sidecar_of(packed).symlink_to(secret)
    with pytest.raises(HTTPException) as answer:
        serve(packed, "lysozyme")
    assert answer.value.status_code == 403
    with pytest.raises(RefusedError, match="found a link out of it"):
        h5xs(packed).get_d1("lysozyme", "averaged")


@pytest.mark.parametrize("kind", KINDS)
def test_links_out_of_a_sidecar_are_not_followed(
    packed: Path, secret: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(secret.parent)
    with h5py.File(secret, "r+") as file:
        del file["d"]
        file["d"] = np.arange(12.0).reshape(1, 2, 6)
    monkeypatch.setattr("foreign_links.SHAPE", (1, 2, 6))  # as curves have
    with h5py.File(sidecar_of(packed), "w") as file:
        link_out(kind, file.create_group("lysozyme/processed"), secret)
    assert list(serve(packed, "lysozyme")["processed"]) == []


def test_what_is_not_on_disk_is_answered_without_paths(packed: Path) -> None:
    with h5py.File(packed, "r+") as file:
        show(file["lysozyme/primary/data"], "leak", "nowhere.bin")
    node = serve(packed, "lysozyme")["primary"]["data"]["leak"]
    with pytest.raises(HTTPException) as answer:
        node.read()
    assert answer.value.status_code == 410
    assert str(packed.parent) not in answer.value.detail


def test_link_into_a_root_that_the_server_names_is_followed(
    packed: Path, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with h5py.File(packed, "r+") as file:
        link_out("external link", file["lysozyme/primary/data"], secret)
    monkeypatch.setenv(ROOTS_VARIABLE, str(secret.parent))
    frames = serve(packed, "lysozyme")["primary"]["data"]["leak"]
    np.testing.assert_array_equal(frames.read(), np.arange(12.0).reshape(1, 3, 4))


def test_sample_that_is_a_link_elsewhere_is_not_served(packed: Path, secret: Path) -> None:
    with h5py.File(packed, "r+") as file:
        file["stolen"] = h5py.ExternalLink(str(secret), "/")
    assert "stolen" not in serve(packed)
    with pytest.raises(HTTPException) as answer:
        serve(packed, "stolen")
    assert answer.value.status_code == 404


@pytest.mark.parametrize(
    ("path", "parameter", "reason"),
    [
        ("{file}", None, "Tiled does not compare its path with the readable storage"),
        ("{file}", "data_uri", "not the one that we register"),
        ("{folder}/../{name}/packed.h5", "data_uris", "Tiled compares the text of the path"),
        ("{folder}/link.h5", "data_uris", "a symbolic link leads anywhere"),
        ("http://127.0.0.1/packed.h5", "data_uris", "no file"),
    ],
)
def test_asset_that_tiled_would_not_check_is_refused(
    packed: Path, path: str, parameter: str | None, reason: str
) -> None:
    folder = packed.parent
    (folder / "link.h5").symlink_to(packed)
    uri = path.format(file=packed, folder=folder, name=folder.name)
    uri = uri if uri.startswith("http") else f"file://localhost{uri}"
    with pytest.raises(HTTPException) as answer:
        registered(uri, parameter=parameter)
    assert answer.value.status_code == 403, reason


def test_registered_sample_says_what_the_catalogue_says(packed: Path) -> None:
    assert registered(packed).metadata() == {"of": "the catalogue"}
    assert list(registered(packed, sample=None)) == ["buffer", "lysozyme", "nothing"]


def test_all_nodes_in_a_file_bear_the_tags_of_the_node_that_serves_it(packed: Path) -> None:
    sample = registered(packed, tags=("group_a", "beamline"))
    assert sample.access_tags == {"group_a", "beamline"}
    for path, node in everything(sample).items():
        assert node.access_tags == {"group_a", "beamline"}, path
    for node in everything(registered(packed, tags=("a",), sample=None)).values():
        assert node.access_tags == {"a"}


@pytest.mark.parametrize(
    ("wanted", "seen"),
    [(["group_a"], True), (["group_b", "group_a"], True), (["group_b"], False), ([], False)],
)
def test_filter_for_tags_shows_all_of_a_file_or_nothing(
    packed: Path, wanted: list[str], seen: bool
) -> None:
    sample = registered(packed, tags=("group_a",))
    for node in (sample, sample["primary"], sample["processed"]):
        found = node.search(AccessTagsFilter(wanted))
        assert (list(found) == list(node)) is seen
        assert bool(list(found)) is seen
        assert found.access_tags == {"group_a"}


@pytest.mark.parametrize("name", ["what?", "a#b", "line\nbreak"])
def test_path_that_tiled_would_read_otherwise_is_not_registered(tmp_path: Path, name: str) -> None:
    with pytest.raises(PermissionError, match="rename the folder"):
        file_uri(tmp_path / name / "experiment.h5")
