"""What was measured as a table and a picture of the documentation, and as JSON beside them."""

import json
import os
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.growth import Row
from benchmarks.setup import cores
from benchmarks.timing import Figure

_TITLES = {
    "frames": ("frames of 0.07 Mpixel in a file", "file to curves, ms per frame"),
    "pixels": ("Mpixel per frame in memory", "ms per frame, one core"),
    "bins": ("bins, Pilatus 1M in memory", "ms per frame, one core"),
    "detectors": ("detectors (Pilatus 1M)", "file to curves, ms per frame of each"),
    "threads": ("threads", "file to curves, ms per frame"),
    "memory": ("frames of 0.26 Mpixel in a file", "peak memory of the process, MB"),
}


def machine() -> dict[str, str]:
    """Tell on what it was measured."""
    packages = ("h5xs_bluesky", "numpy", "pyFAI", "h5py")
    return {
        "processor": _processor(),
        "cores": str(cores()),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def to_json(figures: Sequence[Figure]) -> str:
    """Give the figures by their keys."""
    found = {figure.key: {**figure.to_mapping(), "machine": machine()} for figure in figures}
    return json.dumps(found, indent=1) + "\n"


def write_docs(folder: Path, figures: Sequence[Figure], growth: dict[str, list[Row]]) -> None:
    """Write `measured/speed.md`, `measured/speed.json` and `images/speed.png` below a folder."""
    measured, images = folder / "measured", folder / "images"
    for each in (measured, images):
        each.mkdir(parents=True, exist_ok=True)
    everything = {"figures": json.loads(to_json(figures)), "growth": growth}
    (measured / "speed.json").write_text(json.dumps(everything, indent=1) + "\n")
    (measured / "speed.md").write_text(_table(figures), encoding="utf-8")
    draw_growth(growth, images / "speed.png")


def write_page(folder: Path, name: str, figures: Sequence[Figure], rows: Sequence[Row]) -> None:
    """Write `measured/<name>.md` and `measured/<name>.json` below a folder.

    Parameters
    ----------
    rows
        How it grows; a table below that of the figures.
    """
    measured = folder / "measured"
    measured.mkdir(parents=True, exist_ok=True)
    everything = {"figures": json.loads(to_json(figures)), "growth": list(rows)}
    (measured / f"{name}.json").write_text(json.dumps(everything, indent=1) + "\n")
    lines = [
        "",
        "| " + " | ".join(_heading(key) for key in rows[0]) + " |",
        "|---" * len(rows[0]) + "|",
    ]
    lines += ["| " + " | ".join(_short(value) for value in row.values()) + " |" for row in rows]
    (measured / f"{name}.md").write_text(_table(figures) + "\n".join(lines) + "\n")


def _heading(key: str) -> str:
    """Make of a name with its unit a heading, as "by name, ms"."""
    name, _, unit = key.rpartition("_")
    return f"{name.replace('_', ' ')}, {unit}" if name else unit


def _table(figures: Sequence[Figure]) -> str:
    on = machine()
    load = os.getloadavg()[1]
    conditions = (
        f"{on['cores']} cores ({on['processor']}), load {load:.1f} after the measurement, "
        f"{datetime.now(UTC):%Y-%m-%d}; Python {on['python']}, numpy {on['numpy']}, "
        f"pyFAI {on['pyFAI']}, h5py {on['h5py']}."
    )
    lines = [
        conditions,
        "",
        "| | median | quartiles | wanted | runs | what |",
        "|---|---|---|---|---|---|",
    ]
    for figure in figures:
        found = figure.to_mapping()
        low, high = (_short(value) for value in found["spread"])
        lines.append(
            f"| `{figure.key}` | **{_short(figure.median)}** | {low} to {high} | "
            f"{found['bound']} {figure.target:g}{'' if figure.reached else ' (missed)'} | "
            f"{found['runs']} | {figure.what} |"
        )
    for figure in figures:
        lines += ["", f"`{figure.key}`: {_conditions(figure)}"]
    return "\n".join(lines) + "\n"


def _conditions(figure: Figure) -> str:
    parts = []
    for name, value in figure.conditions.items():
        if isinstance(value, dict):
            text = ", ".join(f"{key} {_short(number)}" for key, number in value.items())
        else:
            text = _short(value) if isinstance(value, float) else str(value)
        parts.append(f"{name.replace('_', ' ')}: {text}")
    return "; ".join(parts) + "."


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def draw_growth(growth: dict[str, list[Row]], path: Path) -> None:
    """Draw the times and the memory against what they grow with."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Picture
    from matplotlib.ticker import FuncFormatter

    picture = Picture(figsize=(10, 6), layout="constrained")
    FigureCanvasAgg(picture)
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    for ax, (name, rows) in zip(picture.subplots(2, 3).flat, growth.items(), strict=True):
        variable = next(iter(rows[0]))
        x = [row[variable] for row in rows]
        value = "mb" if name == "memory" else "ms"
        _line(ax, x, rows, value)
        if name == "pixels":
            ax.plot(x, [row["read_ms"] for row in rows], "s--", ms=4, label="adding it up once")
            ax.legend(frameon=False)
        if name in ("detectors", "threads"):
            ax.set_xticks(x)
        else:
            ax.set_xscale("log")
            ax.xaxis.set_major_formatter(plain)
        if name == "pixels":
            ax.set_yscale("log")
            ax.yaxis.set_major_formatter(plain)
        else:
            ax.set_ylim(bottom=0)
        label, unit = _TITLES[name]
        ax.set(xlabel=label, ylabel=unit)
    picture.savefig(path, dpi=110)


def _line(ax: Any, x: list[float], rows: list[Row], value: str) -> None:
    medians = [row[value] for row in rows]
    if value == "mb":
        ax.plot(x, medians, "o-", ms=4)
        return
    below = [row[value] - row[f"{value}_25"] for row in rows]
    above = [row[f"{value}_75"] - row[value] for row in rows]
    ax.errorbar(x, medians, yerr=[below, above], fmt="o-", ms=4, capsize=3, label="reduced")
