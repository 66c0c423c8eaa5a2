"""`python -m benchmarks`: measure, print a table, write JSON and pages of the documentation."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import catalogue, files, growth, kernel, memory, report, streaming
from benchmarks.timing import Figure

_TINY = (104, 98)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmarks that the arguments ask for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less than 50 s")
    parser.add_argument("--tiny", action="store_true", help="a few seconds: only that it runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument(
        "--docs", type=Path, metavar="FOLDER", help="measure growth, too, and write table and plot"
    )
    parser.add_argument(
        "--server", action="store_true", help="measure what is served, and not how it is reduced"
    )
    asked = parser.parse_args(arguments)
    if asked.server:
        _measure_server(asked)
        return
    figures = _figures(tiny=asked.tiny, quick=asked.quick)
    _show(figures)
    if asked.json:
        asked.json.write_text(report.to_json(figures))
    if asked.docs:
        report.write_docs(asked.docs, figures, growth.measure(tiny=asked.tiny))


def _measure_server(asked: argparse.Namespace) -> None:
    if asked.tiny:
        figures, rows = catalogue.measure(counts=(12,), runs=1, budget_s=0.1)
        figures += streaming.measure(count=4, pairs=1, numbers=(2,), shape=_TINY)
    else:
        counts = (20, 200) if asked.quick else (20, 200, 2000)
        figures, rows = catalogue.measure(counts=counts, runs=30, budget_s=60.0)
        figures += streaming.measure(count=50 if asked.quick else 150, pairs=20)
    _show(figures)
    if asked.json:
        asked.json.write_text(report.to_json(figures))
    if asked.docs:
        report.write_page(asked.docs, "serving", figures, rows)


def _figures(*, tiny: bool, quick: bool) -> list[Figure]:
    if tiny:
        return [
            *kernel.measure(runs=3, budget_s=0.1, shape=_TINY),
            *files.measure(count=4, runs=3, budget_s=0.1, shape=_TINY),
            memory.measure(few=2, many=4, runs=1),
        ]
    if quick:
        return [
            *kernel.measure(runs=40, budget_s=5.0),
            *files.measure(count=800, runs=4, budget_s=4.0),
            memory.measure(runs=1),
        ]
    return [
        *kernel.measure(runs=200, budget_s=40.0),
        *files.measure(count=1000, runs=15, budget_s=50.0),
        memory.measure(),
    ]


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
