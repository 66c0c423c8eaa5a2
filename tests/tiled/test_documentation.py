"""The Python of the page on serving, run against a server as it stands there."""

import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from small_server import Server

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "serve-with-tiled.md"


def test_python_of_the_page_runs(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All blocks of the section, in order, in one session, with this server's names."""
    text = PAGE.read_text(encoding="utf-8")
    section = text.partition("## In Python\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 2
    code = "\n".join(blocks)
    for there, here in (
        ("http://127.0.0.1:8000", server.address),
        ("…", server.key),
        ('"experiment', '"served'),
        ("pil1M_image", "saxs_image"),
    ):
        assert there in code
        code = code.replace(there, here)
    monkeypatch.chdir(tmp_path)
    session: dict[str, object] = {}
    exec(code, session)  # noqa: S102 - our own page
    plt.close("all")
    assert {"client", "sample", "following"} <= set(session)
    assert list((tmp_path / "out").glob("*.dat"))
