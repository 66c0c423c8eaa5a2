"""`python -m benchmarks`: measure, print a table, write JSON."""

import argparse
import json
import platform
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import files, kernel, memory
from benchmarks.timing import Figure


def main() -> None:
    """Run the benchmarks that the arguments ask for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less than 50 s")
    parser.add_argument("--tiny", action="store_true", help="a few seconds: only that it runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    if arguments.tiny:
        figures = kernel.measure(runs=3, budget_s=0.1)
        figures += files.measure(count=4, runs=3, budget_s=0.1)
        figures.append(memory.measure(few=2, many=4, runs=1))
    elif arguments.quick:
        figures = kernel.measure(runs=40, budget_s=6.0)
        figures += files.measure(count=800, runs=5, budget_s=6.0)
        figures.append(memory.measure(runs=1))
    else:
        figures = kernel.measure(runs=400, budget_s=90.0)
        figures += files.measure(count=2000, runs=12, budget_s=120.0)
        figures.append(memory.measure())
    _show(figures)
    if arguments.json:
        found = {figure.key: {**figure.to_mapping(), "machine": _machine()} for figure in figures}
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


def _machine() -> dict[str, str]:
    packages = ("h5xs_bluesky", "numpy", "pyFAI", "h5py")
    return {
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def _show(figures: list[Figure]) -> None:
    table = Table("figure", "median", "quartiles", "target", "what")
    for figure in figures:
        found = figure.to_mapping()
        low, high = found["spread"]
        table.add_row(
            figure.key,
            f"{figure.median:.2f}",
            f"{low:.2f} - {high:.2f}",
            f"{found['bound']} {figure.target:g}" + ("" if figure.reached else ": missed"),
            figure.what,
        )
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
