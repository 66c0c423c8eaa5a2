"""Running py4xs in its own environment, for tests against the ancestor."""

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
        # its workers keep the file open when it opens it again to write
        env={**os.environ, "HDF5_USE_FILE_LOCKING": "FALSE", "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
