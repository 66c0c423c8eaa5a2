"""`h5xs info`: what is in an experiment."""

import json
from dataclasses import asdict

import typer
from rich.console import Console
from rich.table import Table

from h5xs_bluesky.cli.common import AsJson, Experiment, Roots, Samples, errors_to_exit

SOME_UNREADABLE = 1


def info(
    experiment: Experiment,
    samples: Samples = None,
    roots: Roots = None,
    as_json: AsJson = False,
) -> None:
    """Show what is in an experiment: samples, frames, and how far they are reduced.

    Exit status 1 if some of it cannot be read, 2 if there is no such experiment or sample.
    """
    from h5xs_bluesky.api.info import describe

    with errors_to_exit():
        found = describe(experiment, samples or None, roots=roots or ())
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=1))
    else:
        console = Console()
        console.print(
            f"{found.file}: {found.beamline}, detectors {', '.join(found.detectors)}, "
            f"{found.bins} bins from {found.q_min:.4g} to {found.q_max:.4g} 1/Å"
        )
        table = Table("sample", "started", "run", "frames", "reduced", "averaged", "buffer")
        for sample in found.samples:
            counts = sorted(set(sample.frames.values()))
            frames = str(counts[0]) if len(counts) == 1 else str(sample.frames)
            table.add_row(
                sample.sample,
                sample.started,
                sample.problem or sample.state,
                frames,
                str(sample.reduced),
                str(sample.averaged),
                sample.buffer,
            )
        console.print(table)
        for sample in found.samples:
            if sample.no_average:
                told = f"{sample.sample}: {sample.no_average}"
                console.print(told, soft_wrap=True, markup=False, highlight=False)
    if any(sample.problem for sample in found.samples):
        raise typer.Exit(SOME_UNREADABLE)
