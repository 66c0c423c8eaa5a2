"""Names from documents."""

from pathlib import Path
from typing import Any

import h5py
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from h5xs_bluesky.errors import ConfigurationError
from h5xs_bluesky.io.names import fill_template, safe_name


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.text(max_size=300))
def test_any_text_becomes_one_folder_and_one_group(tmp_path: Path, text: str) -> None:
    name = safe_name(text)
    folder = tmp_path / "names" / name
    folder.mkdir(parents=True, exist_ok=True)
    assert folder.resolve().parent == (tmp_path / "names").resolve()
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_group(name)
        assert list(file) == [name]


@given(st.text(max_size=300))
def test_safe_name_stays_as_it_is(text: str) -> None:
    assert safe_name(safe_name(text)) == safe_name(text)


@pytest.mark.parametrize(
    ("template", "start", "path"),
    [
        ("data", {}, "data"),
        ("{cycle}/{proposal}", {"cycle": "2026-3", "proposal": 12345}, "2026-3/12345"),
        ("{a.b.c}", {"a": {"b": {"c": "x"}}}, "x"),
        ("{a}", {"a": "../../etc"}, "_._.._etc"),
        ("{a}", {"a": "/etc/passwd"}, "_etc_passwd"),
        ("{a}-{b}", {"a": "{b}", "b": "y"}, "{b}-y"),
    ],
)
def test_template_is_filled_with_safe_values(
    template: str, start: dict[str, Any], path: str
) -> None:
    assert fill_template(template, start) == Path(path)


@pytest.mark.parametrize(
    "template", ["{missing}", "{a.missing}", "{a.__class__}", "{}", "{a!r}", "{a[0]}", "{nested}"]
)
def test_template_without_a_plain_value_is_refused(template: str) -> None:
    with pytest.raises(ConfigurationError, match="start document"):
        fill_template(template, {"a": "x", "nested": {"b": 1}})
