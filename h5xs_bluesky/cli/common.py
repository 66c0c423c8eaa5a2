"""What several commands share."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from h5xs_bluesky.errors import H5xsError

UNUSABLE = 2

Experiment = Annotated[Path, typer.Argument(help="An experiment's folder, or a file.")]
Samples = Annotated[
    list[str] | None,
    typer.Argument(help="Which samples; all if none is named.", show_default=False),
]
Roots = Annotated[
    list[Path] | None,
    typer.Option("--root", help="A folder outside that links may lead into; repeatable."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


@contextmanager
def errors_to_exit(command: str = "") -> Iterator[None]:
    """Print an error that tells what to do, after the command's name, and exit with `UNUSABLE`."""
    try:
        yield
    except (H5xsError, OSError, IndexError) as error:
        typer.echo(f"{command}: {error}" if command else str(error), err=True)
        raise typer.Exit(UNUSABLE) from error


def key_value(text: str, *, option: str) -> tuple[str, Any]:
    """Read key=value, as `option` takes it; the value may be JSON."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise typer.BadParameter(f"expected key=value, found {text!r}", param_hint=option)
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
