"""Runs the ancestor, py4xs, in its own environment."""

import json
import os
import subprocess
import textwrap
from typing import Any


def run_py4xs(script: str, *arguments: str) -> dict[str, Any]:
    """Run a script with py4xs, and give the JSON that it prints last."""
    interpreter = os.environ["H5XS_PY4XS_PYTHON"]
    done = subprocess.run(
        [interpreter, "-c", textwrap.dedent(script), *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
