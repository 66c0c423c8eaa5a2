"""`h5xs serve`: a folder's samples for browsers, `curl` and Tiled clients."""

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

from h5xs_bluesky.errors import ConfigurationError

WRONG_INPUT = 2
NOT_INSTALLED = 3


def serve(
    folder: Annotated[
        Path, typer.Argument(help="An experiment's folder, or one with experiments in it.")
    ],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8000,
    api_key: Annotated[
        str | None,
        typer.Option(envvar="H5XS_API_KEY", help="Letters and digits; made up by default."),
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Reading needs no key.")] = False,
    catalog: Annotated[
        Path | None, typer.Option(help="Keep the catalogue in this file; else a temporary one.")
    ] = None,
    root: Annotated[
        list[Path] | None,
        typer.Option(help="A further folder that links may lead into; repeatable."),
    ] = None,
    raw_files: Annotated[
        bool, typer.Option("--raw-files", help="Let clients download files as they are on disk.")
    ] = False,
    runs: Annotated[
        bool, typer.Option("--runs/--no-runs", help="Publish runs and their curves, too.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the address as JSON.")] = False,
    until_stdin_closes: Annotated[
        bool,
        typer.Option("--until-stdin-closes", help="Stop, too, when the starting process ends."),
    ] = False,
) -> None:
    """Serve a folder with Tiled, and what is measured into it while it is served.

    Stops on Ctrl-C, SIGTERM, or with its terminal. Exit status 2 if the folder or an option
    cannot be used, or the server does not start, 3 if Tiled is not installed.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        from h5xs_bluesky.tiled.server import ServerOptions
        from h5xs_bluesky.tiled.server import serve as run
    except ImportError as error:
        typer.echo(f"h5xs serve: {error}: pip install 'h5xs_bluesky[tiled]'", err=True)
        raise typer.Exit(NOT_INSTALLED) from error

    if until_stdin_closes:
        threading.Thread(target=_stop_with_stdin, name="stdin", daemon=True).start()

    def announce(address: str, key: str) -> None:
        url = f"{address}/ui/" if public else f"{address}/ui/?api_key={key}"
        if as_json:
            typer.echo(json.dumps({"address": address, "api_key": key, "ui": url}))
            return
        typer.echo(f"Serving {folder}\n  in a browser  {url}")
        arguments = f'"{address}"' if public else f'"{address}", api_key="{key}"'
        typer.echo(f"  in Python     tiled.client.from_uri({arguments})")
        if not public:
            typer.echo("  The key also lets its holder change and delete what is in the catalogue.")

    try:
        options = ServerOptions(
            folder=folder,
            host=host,
            port=port,
            api_key=api_key,
            public=public,
            catalog=catalog,
            roots=tuple(root or ()),
            raw_files=raw_files,
            runs=runs,
        )
        with _ended_by_signals(), suppress(KeyboardInterrupt):
            run(options, announce=announce)
    except (ConfigurationError, OSError) as error:
        typer.echo(f"h5xs serve: {error}", err=True)
        raise typer.Exit(WRONG_INPUT) from error


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM, and SIGHUP unless ignored, end as Ctrl-C does: what is temporary is removed."""
    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, signal.default_int_handler)}
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, _terminate)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _terminate(*_: object) -> None:
    signal.raise_signal(signal.SIGTERM)


def _stop_with_stdin() -> None:
    """Wait for the end of standard input, which comes however the process at its other end dies."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)
