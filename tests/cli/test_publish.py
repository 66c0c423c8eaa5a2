"""`h5xs publish`: what it says where it cannot begin."""

from pathlib import Path

import pytest
from small_server import serving
from typer.testing import CliRunner

from h5xs_bluesky.cli import app


@pytest.mark.parametrize("more", [[], ["--watch"]])
def test_missing_key_is_told(tmp_path: Path, more: list[str]) -> None:
    with serving(tmp_path, "--no-runs") as server:
        arguments = ["publish", str(tmp_path), "--to", server.address, *more]
        done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2, done.output
    assert done.stderr == (
        f"h5xs publish: {server.address}: expected a key, found none: give --api-key or "
        "H5XS_API_KEY\n"
    )
