"""`h5xs publish`: a folder's samples and runs in the catalogue of a Tiled server."""

import json
import logging
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from h5xs_bluesky.cli.common import UNUSABLE, AsJson

logger = logging.getLogger(__name__)

SOME_FAILED = 1
NOT_INSTALLED = 3

_PERIOD_S = 1.0
_STOP_WITHIN_S = 5.0


def publish(
    folder: Annotated[
        Path, typer.Argument(help="An experiment's folder, or one with experiments in it.")
    ],
    to: Annotated[str, typer.Option("--to", help="Address of a Tiled server.")],
    api_key: Annotated[
        str | None, typer.Option(envvar="H5XS_API_KEY", help="A key that may write.")
    ] = None,
    under: Annotated[
        str, typer.Option(help="A container of the catalogue, as proposals/1234.")
    ] = "",
    tag: Annotated[
        list[str] | None, typer.Option(help="An access tag of all that is made; repeatable.")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on, with what is measured meanwhile.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Fill the catalogue of a Tiled server from a folder; what is there already is left alone.

    Exit status 1 if some of it cannot be published, 2 if there is no such folder or the server
    does not take it, 3 if Tiled is not installed.
    """
    if not folder.is_dir():
        typer.echo(f"h5xs publish: expected a folder, found none at {folder}", err=True)
        raise typer.Exit(UNUSABLE)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        from h5xs_bluesky.tiled import publishing
    except ImportError as error:
        typer.echo(f"h5xs publish: {error}: pip install 'h5xs_bluesky[tiled]'", err=True)
        raise typer.Exit(NOT_INSTALLED) from error
    import httpx
    from tiled.client.context import CannotPrompt
    from tiled.client.utils import ClientError

    troubles = (httpx.HTTPError, httpx.InvalidURL, ClientError, OSError, ValueError)
    tags = tag or None

    def connected() -> publishing.Publication:
        client = publishing.connect(to, api_key, under, access_tags=tags)
        return publishing.Publication(client, folder, access_tags=tags)

    try:
        if watch:
            _until_stopped(partial(_go_on, connected, troubles))
            return
        outcome = connected().update()
    except troubles as error:
        typer.echo(f"h5xs publish: {to}: {error}", err=True)
        raise typer.Exit(UNUSABLE) from error
    except (CannotPrompt, RuntimeError) as error:
        if api_key is not None:
            raise
        needs = "expected a key, found none: give --api-key or H5XS_API_KEY"
        typer.echo(f"h5xs publish: {to}: {needs}", err=True)
        raise typer.Exit(UNUSABLE) from error
    if as_json:
        typer.echo(json.dumps(asdict(outcome), indent=1))
    else:
        _show(asdict(outcome))
    if outcome.failed:
        raise typer.Exit(SOME_FAILED)


def _until_stopped(work: Callable[[threading.Event], None]) -> None:
    """Work until SIGINT or SIGTERM; a client that waits for its server is not waited for."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    outcome: Future[None] = Future()

    def run() -> None:
        try:
            work(stop)
            outcome.set_result(None)
        except BaseException as error:  # noqa: BLE001 - raised again below
            outcome.set_exception(error)
        finally:
            stop.set()

    thread = threading.Thread(target=run, name="publish", daemon=True)
    thread.start()
    stop.wait()
    thread.join(_STOP_WITHIN_S)
    if outcome.done():
        outcome.result()


def _go_on(
    connected: Callable[[], Any], troubles: tuple[type[Exception], ...], stop: threading.Event
) -> None:
    """Publish until told to stop; a server that is not there is waited for."""
    from h5xs_bluesky.tiled.publishing import keep_published

    told = ""
    while not stop.is_set():
        try:
            publication = connected()
        except troubles as error:
            if _is_for_good(error):
                raise
            if str(error) != told:
                told = str(error)
                logger.warning("The server takes nothing at the moment: %s", told)
            stop.wait(_PERIOD_S)
        else:
            keep_published(publication, period_s=_PERIOD_S, stop=stop)


def _is_for_good(error: Exception) -> bool:
    """Tell whether waiting does not help: the address is none, or the key is not taken."""
    import httpx

    if isinstance(error, httpx.HTTPStatusError):
        refused = (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)
        return error.response.status_code in refused
    return isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol)


def _show(outcome: dict[str, Any]) -> None:
    table = Table("sample", "outcome")
    failed, copies = outcome.pop("failed"), outcome.pop("copies")
    samples: dict[str, list[str]] = {}
    for what, names in outcome.items():
        for name in names:
            samples.setdefault(name, []).append(what.replace("_", " "))
    for name, other in copies.items():
        samples.setdefault(name, []).append(f"its run is published from {other}")
    for name, reason in failed.items():
        samples.setdefault(name, []).append(reason)
    for name, found in sorted(samples.items()):
        table.add_row(name, ", ".join(found))
    Console().print(table if samples else "Nothing to publish.")
