"""`h5xs export`: curves and monitors for other programs."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from h5xs_bluesky.cli.common import AsJson, Experiment, Roots, Samples, errors_to_exit

NOTHING = 1


class Curve(StrEnum):
    """Which curves are written as text."""

    SUBTRACTED = "subtracted"
    AVERAGED = "averaged"
    MERGED = "merged"


_ANCESTORS: dict[Curve, bool | Literal["merged"]] = {
    Curve.SUBTRACTED: True,
    Curve.AVERAGED: False,
    Curve.MERGED: "merged",
}


def export(
    experiment: Experiment,
    samples: Samples = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The folder; made if it is not there.")
    ] = Path("exported"),
    curve: Annotated[
        Curve, typer.Option(help="Which curves are written as text.")
    ] = Curve.SUBTRACTED,
    nxcansas: Annotated[bool, typer.Option("--nxcansas", help="NXcanSAS instead of text.")] = False,
    monitors: Annotated[
        bool, typer.Option("--monitors", help="Monitors as CSV instead of curves.")
    ] = False,
    normalize: Annotated[
        bool, typer.Option("--normalize", help="Divide curves by the monitor.")
    ] = False,
    exclude: Annotated[
        list[str] | None, typer.Option(help="A sample not to write; repeatable.")
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(help="A further key of the start document for the header; repeatable."),
    ] = None,
    roots: Roots = None,
    as_json: AsJson = False,
) -> None:
    """Write curves as three columns or NXcanSAS, or monitors as CSV, a file for each sample.

    Exit status 1 if there was nothing to write, 2 if a sample named has no such curve.
    """
    from h5xs_bluesky.api.h5xs import h5xs
    from h5xs_bluesky.api.source import experiment_file

    written: list[Path] = []
    with errors_to_exit():
        dt = h5xs(experiment_file(experiment), read_only=True, roots=roots or ())
        names, left_out = samples or None, exclude or ()
        if nxcansas:
            written += dt.export_nxcansas(names, output, exclude=left_out, normalize=normalize)
        if monitors:
            written += dt.export_monitors(names, output, exclude=left_out)
        if not nxcansas and not monitors:
            written = dt.export_d1s(
                names,
                output,
                _ANCESTORS[curve],
                exclude=left_out,
                md_keys=key or (),
                normalize=normalize,
            )
    typer.echo(json.dumps([str(p) for p in written]) if as_json else "\n".join(map(str, written)))
    if not written:
        typer.echo("nothing to export: no sample has such results", err=True)
        raise typer.Exit(NOTHING)
