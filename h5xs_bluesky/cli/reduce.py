"""`h5xs reduce`: an experiment from runs that are stored elsewhere."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from h5xs_bluesky.cli.common import AsJson, errors_to_exit, key_value
from h5xs_bluesky.config import Beamline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from h5xs_bluesky.catalogs import StoredOutcome

INCOMPLETE = 1
_COMMAND = "h5xs reduce"
_FINE = ("reduced", "there")


def reduce(
    source: Annotated[
        str,
        typer.Option(
            "--from",
            help="Address of a Tiled server, profile:NAME, databroker:NAME, or a folder with "
            "experiments.",
        ),
    ],
    uid: Annotated[
        list[str] | None,
        typer.Option(help="A run, by its uid or the beginning of it; repeatable."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All runs, where neither uids nor filters are given.")
    ] = False,
    folder: Annotated[Path, typer.Option(help="The experiment's folder.")] = Path("experiment"),
    config: Annotated[
        Path | None,
        typer.Option(help="The beamline's TOML file; not needed for an experiment that exists."),
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option(help="Key of the start document: each value gets an experiment of its own."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Runs that began then or later, as 2026-11-25T08:30.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Runs that began before.")] = None,
    plan: Annotated[str | None, typer.Option(help="Runs of this plan.")] = None,
    sample: Annotated[str | None, typer.Option(help="Runs of this sample.")] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(help="key=value of the start document; repeatable; the value may be JSON."),
    ] = None,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Take runs without a stop document, too.")
    ] = False,
    api_key: Annotated[
        str | None,
        typer.Option(
            help="A server's key; by default H5XS_API_KEY or TILED_API_KEY of the environment, "
            "where the server is named by its address."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Reduce stored runs into an experiment, as if they were measured now.

    Exit status 1 if some runs were not, or not wholly, or if no run fits; 2 if the store, the
    configuration or a uid cannot be used: nothing is reduced then.
    """
    from h5xs_bluesky.catalogs import from_catalog

    filters = {
        "--since": since,
        "--until": until,
        "--plan": plan,
        "--sample": sample,
        "--where": " ".join(where or ()),
    }
    if not uid and not everything and not any(filters.values()):
        raise typer.BadParameter(
            "expected runs by their uid, filters, or --all for all that there are, found none",
            param_hint="--uid",
        )
    with errors_to_exit(_COMMAND):
        done = from_catalog(
            source,
            uid or None,
            folder,
            None if config is None else Beamline.from_toml(config),
            group_by=group_by,
            since=since,
            until=until,
            plan=plan,
            sample=sample,
            where=dict(key_value(text, option="--where") for text in where or []),
            unfinished=unfinished,
            api_key=api_key,
        )
    if not done:
        given = " ".join(f"{name} {value}" for name, value in filters.items() if value) or "--all"
        typer.echo(f"{_COMMAND}: {source.split('?')[0]}: no run fits {given}", err=True)
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(each) for each in done], indent=1, default=str))
    elif done:
        _show(done)
    if not done or any(each.outcome not in _FINE for each in done):
        raise typer.Exit(INCOMPLETE)


def _show(done: "Sequence[StoredOutcome]") -> None:
    table = Table("run", "sample", "frames", "outcome", "lost by the store")
    for each in done:
        outcome = f"{each.outcome}: {each.reason}" if each.reason else each.outcome
        frames = str(each.status.get("reduced", ""))
        table.add_row(each.uid[:8], each.sample, frames, outcome, "; ".join(each.lost))
    Console().print(table)
