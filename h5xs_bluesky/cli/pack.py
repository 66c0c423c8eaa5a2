"""`h5xs pack`: an experiment in one file."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from h5xs_bluesky.cli.common import AsJson, Experiment, Roots, Samples, errors_to_exit

SOME_LEFT_OUT = 1


def pack(
    experiment: Experiment,
    output: Annotated[Path, typer.Option("--output", "-o", help="The new file.")],
    samples: Samples = None,
    py4xs: Annotated[
        bool, typer.Option("--py4xs", help="Add the names that py4xs insists on.")
    ] = False,
    keep_compression: Annotated[
        bool,
        typer.Option(
            "--keep-compression",
            help="Copy frames as they are (bitshuffle-LZ4); readers need hdf5plugin.",
        ),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    roots: Roots = None,
    as_json: AsJson = False,
) -> None:
    """Copy an experiment into one file in py4xs' layout that needs no other.

    Exit status 1 if samples were left out, 2 if the file cannot be made.
    """
    from h5xs_bluesky.api.pack import pack as pack_samples

    with errors_to_exit():
        done = pack_samples(
            experiment,
            output,
            samples or None,
            roots=roots or (),
            keep_compression=keep_compression,
            py4xs=py4xs,
            overwrite=overwrite,
            progress=not as_json and sys.stderr.isatty(),
        )
    if as_json:
        typer.echo(json.dumps([asdict(sample) for sample in done], indent=1))
    else:
        table = Table("sample", "frames", "outcome")
        for sample in done:
            table.add_row(sample.sample, str(sample.frames), sample.left_out or "packed")
        Console().print(table)
    if any(sample.left_out for sample in done):
        raise typer.Exit(SOME_LEFT_OUT)
