"""`h5xs verify`: reduce again from the raw frames, and compare with what is stored."""

import json
import math
import sys
from dataclasses import asdict
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from h5xs_bluesky.cli.common import AsJson, Experiment, Roots, Samples, errors_to_exit

SOME_DIFFER = 1
SOME_CANNOT = 3


def verify(
    experiment: Experiment,
    samples: Samples = None,
    roots: Roots = None,
    as_json: AsJson = False,
) -> None:
    """Reduce samples again from their raw frames, each as its provenance says, and compare.

    On the versions and the processor that made them the results have to be the same to the last
    bit, on others within 1e-12. Exit status 1 if some differ, 3 if none does but some cannot be
    verified, 2 if there is no such experiment or sample.
    """
    from h5xs_bluesky.api.verify import verify as verify_samples

    with errors_to_exit():
        found = verify_samples(
            experiment,
            samples or None,
            roots=roots or (),
            progress=not as_json and sys.stderr.isatty(),
        )
    if as_json:
        typer.echo(json.dumps([_plain(asdict(sample)) for sample in found], indent=1))
    else:
        table = Table("sample", "frames", "outcome", "details")
        for sample in found:
            table.add_row(sample.sample, str(sample.frames), sample.outcome, _details(sample))
        Console().print(table)
    outcomes = {sample.outcome for sample in found}
    if "differs" in outcomes:
        raise typer.Exit(SOME_DIFFER)
    if "cannot" in outcomes:
        raise typer.Exit(SOME_CANNOT)


def _details(sample: Any) -> str:
    lines = [sample.reason] if sample.reason else []
    lines += [f"{name}: {_size(off)}" for name, off in sample.differences.items()]
    lines += [f"{name} was {then}, is {now}" for name, (then, now) in sample.changes.items()]
    return "\n".join(lines)


def _size(off: float) -> str:
    return "is not the same" if math.isinf(off) else f"off by {off:.2g}"


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Replace infinite differences, which JSON does not know, by null."""
    differences = {
        name: None if math.isinf(off) else off for name, off in values["differences"].items()
    }
    return {**values, "differences": differences}
