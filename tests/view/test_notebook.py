"""In a notebook the windows are ipympl's, and follow a scan while its cell runs."""

import base64
import io
import sys
from pathlib import Path
from typing import Any

import matplotlib.image
import nbformat
import pytest
from nbclient import NotebookClient
from pictures import is_drawn

TESTS = Path(__file__).parents[1]
WINDOWS = ["curves", "pattern"]
CELLS = (
    f"""
%matplotlib widget
import sys
sys.path.append({str(TESTS)!r})
from bluesky import RunEngine
from bluesky import plan_stubs as bps
from h5xs_bluesky.callbacks import LiveReduction
from h5xs_bluesky.view import LiveView, WhileScanning, window_screen
from small_beamline import run_documents, small_beamline, small_frames
window_screen.SHARE = window_screen.PERIOD_S = 0.0  # draw all at once: the test is short
RE, live = RunEngine(during_task=WhileScanning()), LiveReduction(small_beamline(), "experiment")
view = LiveView(live, windows={WINDOWS})
""",
    """
def plan():
    for name, doc in run_documents(small_frames(3)):
        live(name, doc)
    while min(view.drawings.values()) < 2:
        yield from bps.sleep(0.1)
uids = RE(plan())
[name for name, drawings in view.drawings.items() if drawings > 1]
""",
    "%load_ext h5xs_bluesky\n%h5xs status",
    "view.close(); live.close()",
)


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A notebook that was run by a kernel of its own; gives it and the state of its widgets."""
    folder = tmp_path_factory.mktemp("notebook")
    cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]
    client = NotebookClient(
        nbformat.v4.new_notebook(cells=cells),
        timeout=100,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )
    client.create_kernel_manager()
    client.km.kernel_cmd = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    return client.execute(), client.widget_state


def result(cell: Any) -> str:
    (output,) = (each for each in cell.outputs if each.output_type == "execute_result")
    return str(output.data["text/plain"])


def test_every_window_is_drawn_while_the_cell_with_the_scan_runs(notebook: Any) -> None:
    assert result(notebook[0].cells[1]) == repr(WINDOWS)


def test_windows_are_widgets_that_show_the_run(notebook: Any) -> None:
    states = notebook[1].values()
    canvases = {state["_figure_label"]: state for state in states if "_figure_label" in state}
    assert set(canvases) == {f"h5xs {name}" for name in WINDOWS}
    for name, state in canvases.items():
        encoded = state["_data_url"].rpartition(",")[2]
        picture = matplotlib.image.imread(io.BytesIO(base64.b64decode(encoded)))
        assert is_drawn(picture), name


def test_magic_is_there(notebook: Any) -> None:
    assert "6 acknowledged, 6 reduced" in result(notebook[0].cells[2])
