import json
from pathlib import Path

import pytest
from bluesky import RunEngine
from bluesky import plans as bp

from h5xs_bluesky.errors import FileFormatError
from h5xs_bluesky.session import MetadataFile


def test_what_is_set_is_there_in_the_next_session(tmp_path: Path) -> None:
    path = tmp_path / "new" / "metadata.json"
    first = MetadataFile(path)
    first["proposal"] = {"id": 312345, "title": "Å and σ"}
    first["gone"] = 1
    del first["gone"]
    assert dict(MetadataFile(path)) == {"proposal": {"id": 312345, "title": "Å and σ"}}


def test_scans_are_counted_on_over_sessions(tmp_path: Path) -> None:
    from ophyd.sim import det

    numbers: list[int] = []
    for _ in range(2):
        engine = RunEngine(MetadataFile(tmp_path / "metadata.json"))
        engine.subscribe(lambda _, doc: numbers.append(doc["scan_id"]), "start")
        engine(bp.count([det]))
        engine(bp.count([det]))
    assert numbers == [1, 2, 3, 4]


@pytest.mark.parametrize("value", [{1, 2}, float("nan"), object()], ids=["set", "nan", "object"])
def test_a_value_without_a_form_in_json_leaves_the_file_as_it_was(
    tmp_path: Path, value: object
) -> None:
    path = tmp_path / "metadata.json"
    metadata = MetadataFile(path)
    metadata["scan_id"] = 7
    with pytest.raises((TypeError, ValueError)):
        metadata["value"] = value
    assert "value" not in metadata
    assert json.loads(path.read_text()) == {"scan_id": 7}


@pytest.mark.parametrize("text", ["", "[1]", '{"a": '])
def test_a_file_that_is_no_json_object_is_refused_and_stays(tmp_path: Path, text: str) -> None:
    path = tmp_path / "metadata.json"
    path.write_text(text)
    with pytest.raises(FileFormatError, match="expected a JSON object"):
        MetadataFile(path)
    assert path.read_text() == text
