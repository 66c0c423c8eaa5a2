"""`h5xs repair`: bring back what a dead writer left."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from h5xs_bluesky.io.repair import Repaired, repair_experiment

SOME_FAILED = 1
NO_SUCH_FOLDER = 2


def repair(
    folder: Annotated[Path, typer.Argument(help="The experiment's folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Make the samples of an experiment readable again whose writer died.

    Samples that are being written are left alone. Exit status 1 if a sample could not be
    repaired, 2 if there is no such folder.
    """
    if not folder.is_dir():
        typer.echo(f"expected the folder of an experiment, found none at {folder}", err=True)
        raise typer.Exit(NO_SUCH_FOLDER)
    found = repair_experiment(folder)
    if as_json:
        typer.echo(json.dumps([asdict(sample) for sample in found], indent=1))
    else:
        _show(found)
    if any(sample.problem for sample in found):
        raise typer.Exit(SOME_FAILED)


def _show(found: list[Repaired]) -> None:
    console = Console()
    if not found:
        console.print("No samples found.")
        return
    table = Table("sample", "frames", "run", "outcome")
    for sample in found:
        frames = ", ".join(f"{field}: {count}" for field, count in sample.frames.items())
        outcome = "repaired " + ", ".join(sample.files) if sample.files else "nothing to repair"
        known = sample.ended is not None
        table.add_row(
            sample.sample,
            (frames or "none") if known else "?",
            ("ended" if sample.ended else "cut short") if known else "?",
            sample.problem or outcome,
        )
    console.print(table)
    for sample in found:
        for problem in sample.left_out:
            console.print(f"{sample.sample}: a record was left out: {problem}")
