"""A Tiled server for a folder: catalogue, exports and streaming, in a process of its own."""

import asyncio
import errno
import logging
import os
import secrets
import shutil
import socket
import sqlite3
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

import uvicorn
from tiled.utils import path_from_uri

from h5xs_bluesky.errors import ConfigurationError, ServerError
from h5xs_bluesky.tiled.files import ROOTS_VARIABLE

logger = logging.getLogger(__name__)

MIMETYPES: Final = {"application/x-h5xs": "h5xs_bluesky.tiled.adapter:H5XSAdapter"}
_STOP_WITHIN_S = 3
_START_WITHIN_S = 60
_PERIOD_S = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerOptions:
    """What a server serves, where, and to whom.

    Parameters
    ----------
    folder
        An experiment's, or one with experiments and packed files in it.
    host, port
        Where it listens; port 0 takes a free one.
    api_key
        Letters and digits; by default one is made up. Without it nothing can be changed.
    public
        Anybody may read without the key.
    catalog
        The catalogue's SQLite file, kept; by default a new one in a temporary folder.
    roots
        Further folders that links in the files may lead into.
    raw_files
        Let clients download whole files as they are on disk.
    runs
        Publish runs and their curves, too.
    period_s
        How often to look for what is new.

    Raises
    ------
    ConfigurationError
        If the folder is not there, or the key has other characters.
    """

    folder: Path
    host: str = "127.0.0.1"
    port: int = 8000
    api_key: str | None = None
    public: bool = False
    catalog: Path | None = None
    roots: tuple[Path, ...] = ()
    raw_files: bool = False
    runs: bool = True
    period_s: float = 1.0

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise ConfigurationError(
                f"expected a folder to serve, found none at {self.folder}: name an experiment's "
                "folder, or one with experiments in it"
            )
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isalnum()):
            raise ConfigurationError(
                "expected an API key of letters and digits, found other characters or nothing: "
                "make one with `openssl rand -hex 32`"
            )
        if self.period_s <= 0:
            raise ConfigurationError(f"expected period_s above 0, found {self.period_s}")


def server_configuration(options: ServerOptions, *, catalog: Path, api_key: str) -> dict[str, Any]:
    """Give Tiled's configuration of a server, with the keys of its YAML files."""
    from h5xs_bluesky.tiled.other_types import adapters_of_other_types
    from h5xs_bluesky.tiled.serializers import FILE_EXTENSIONS, MEDIA_TYPES

    return {
        "catalog": {
            "uri": f"sqlite:///{catalog.resolve()}",
            "readable_storage": [str(options.folder.resolve())],
            "writable_storage": writable_storage(catalog),
            "adapters_by_mimetype": {**adapters_of_other_types(), **MIMETYPES},
        },
        "authentication": {
            "single_user_api_key": api_key,
            "allow_anonymous_access": options.public,
        },
        "streaming_cache": {"uri": "memory"},
        "media_types": {spec: dict(types) for spec, types in MEDIA_TYPES.items()},
        "file_extensions": dict(FILE_EXTENSIONS),
        "expose_raw_assets": options.raw_files,
    }


def writable_storage(catalog: Path) -> list[str]:
    """Give where a server keeps what is published to it, beside its catalogue.

    Arrays lie in a folder, tables in a database. They can be lost with the catalogue, and are made
    anew with it.
    """
    arrays, tables = _storage(catalog)
    return [f"file://localhost{arrays}", f"sqlite:///{tables}"]


def _storage(catalog: Path) -> tuple[Path, Path]:
    beside = catalog.resolve()
    return (
        beside.with_name(f"{beside.stem}.h5xs-arrays"),
        beside.with_name(f"{beside.stem}.h5xs-tables.db"),
    )


def serve(options: ServerOptions, *, announce: Callable[[str, str], None]) -> None:
    """Serve a folder until the process is told to stop (SIGINT, SIGTERM).

    Parameters
    ----------
    announce
        Called with the server's address and the API key once it answers.

    Raises
    ------
    ConfigurationError
        If the catalogue's file is none.
    OSError
        If the address is taken, or the server does not start.
    """
    api_key = options.api_key or secrets.token_hex(32)
    if options.roots:
        named = os.pathsep.join(str(root.resolve()) for root in options.roots)
        os.environ[ROOTS_VARIABLE] = named
    with _listen(options) as listening, _catalog_file(options.catalog) as catalog:
        _prepare_catalog(catalog)
        _write_without_waiting()
        app = _application(server_configuration(options, catalog=catalog, api_key=api_key))
        stop = threading.Event()
        server = _Server(
            uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=_STOP_WITHIN_S),
            stop=stop,
        )
        watcher = threading.Thread(
            target=_watch,
            args=(server, _address(listening), catalog, options, api_key, announce, stop),
            name="watch folder",
            daemon=True,  # its client goes on asking for half a minute when the server is gone
        )
        server.watcher = watcher
        watcher.start()
        try:
            server.run(sockets=[listening])
        except SystemExit as error:  # uvicorn's
            raise ServerError("the server has not started: what it said stands above") from error
        finally:
            stop.set()
            watcher.join(_STOP_WITHIN_S)


class _Server(uvicorn.Server):
    """Ends once its watcher has, which publishes through it and would wait for answers."""

    watcher: threading.Thread

    def __init__(self, config: uvicorn.Config, *, stop: threading.Event) -> None:
        super().__init__(config)
        self._stop = stop

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal; the second one ends at once what the first one has not."""
        if self._stop.is_set():
            super().handle_exit(sig, frame)
            return
        self._stop.set()
        threading.Thread(target=self._exit_behind_watcher, daemon=True).start()

    def _exit_behind_watcher(self) -> None:
        self.watcher.join(_STOP_WITHIN_S)
        self.should_exit = True


def _write_without_waiting() -> None:
    """Let SQLite wait for the disk now and then only, and not for each curve and each sample.

    After a power cut the last of what was written may be missing; it is made anew from the folder.
    """
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    @event.listens_for(Engine, "connect")
    def set_pragma(connection: Any, _: object) -> None:
        if "sqlite" in type(connection).__module__:
            cursor = connection.cursor()
            cursor.execute("PRAGMA synchronous=NORMAL")
            cursor.close()


def _application(configuration: dict[str, Any]) -> Any:
    """Make the server's application, as Tiled makes it from a configuration file."""
    from tiled.config import Config, construct_build_app_kwargs
    from tiled.server.app import build_app

    with warnings.catch_warnings():  # pydantic's, about classes where it expects their names
        warnings.filterwarnings("ignore", category=UserWarning, module="pydantic")
        return build_app(**construct_build_app_kwargs(Config.model_validate(configuration)))


def _listen(options: ServerOptions) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        return socket.create_server((options.host, options.port), family=family)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise OSError(
            error.errno,
            f"port {options.port} of {options.host}: address already in use: stop what listens "
            "there, or take a free port with --port 0",
        ) from error


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def _catalog_file(kept: Path | None) -> Iterator[Path]:
    """Give the path of the catalogue; a temporary one is removed at the end."""
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    with tempfile.TemporaryDirectory(prefix="h5xs-serve-") as folder:
        yield Path(folder, "catalog.db")


def _prepare_catalog(path: Path) -> None:
    """Make a catalogue's tables where there is none; Tiled's own command takes seconds longer.

    It has its name once it is complete; an empty file is what a killed start has left. One that
    was moved is made anew, too: it names the place where its curves were.

    Raises
    ------
    ConfigurationError
        If there is something else.
    """
    if path.exists() and (path.is_dir() or path.stat().st_size):
        _check_catalog(path)
        if not _was_moved(path):
            return
        for each in ("", "-wal", "-shm"):
            path.with_name(f"{path.name}{each}").unlink(missing_ok=True)
    arrays, tables = _storage(path)  # of a catalogue that was deleted
    if arrays.is_dir():
        shutil.rmtree(arrays)
    tables.unlink(missing_ok=True)
    from sqlalchemy.ext.asyncio import create_async_engine
    from tiled.alembic_utils import stamp_head
    from tiled.catalog.alembic_constants import ALEMBIC_DIR, ALEMBIC_INI_TEMPLATE_PATH
    from tiled.catalog.core import initialize_database
    from tiled.utils import ensure_specified_sql_driver

    unfinished = path.resolve().with_name(f".{path.name}.new")
    unfinished.unlink(missing_ok=True)
    uri = ensure_specified_sql_driver(f"sqlite:///{unfinished}")

    async def make() -> None:
        engine = create_async_engine(uri)
        await initialize_database(engine)
        await engine.dispose()

    asyncio.run(make())
    stamp_head(ALEMBIC_INI_TEMPLATE_PATH, ALEMBIC_DIR, uri)
    unfinished.replace(path.resolve())


def _was_moved(path: Path) -> bool:
    """Tell whether a catalogue names curves that lie beside where it was before."""
    arrays, _ = _storage(path)
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as catalog:
        stored = catalog.execute(
            "SELECT data_uri FROM assets WHERE data_uri LIKE ?", [f"%/{arrays.name}/%"]
        ).fetchone()
    return stored is not None and not path_from_uri(stored[0]).is_relative_to(arrays)


def _check_catalog(path: Path) -> None:
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.ext.asyncio import create_async_engine
    from tiled.alembic_utils import (
        DatabaseUpgradeNeeded,
        UninitializedDatabase,
        UnrecognizedDatabase,
    )
    from tiled.catalog.core import check_catalog_database
    from tiled.utils import ensure_specified_sql_driver

    async def check() -> None:
        engine = create_async_engine(ensure_specified_sql_driver(f"sqlite:///{path.resolve()}"))
        try:
            await check_catalog_database(engine)
        finally:
            await engine.dispose()

    try:
        asyncio.run(check())
    except DatabaseUpgradeNeeded as error:
        raise ConfigurationError(
            f"{path}: expected a catalogue of this version of Tiled, found an older one: remove it "
            "(it is made anew from the folder)"
        ) from error
    except (SQLAlchemyError, UninitializedDatabase, UnrecognizedDatabase) as error:
        raise ConfigurationError(
            f"{path}: expected a catalogue that `h5xs serve --catalog` made, found something else: "
            "name a file that is not there yet"
        ) from error


def _watch(
    server: Any,
    address: str,
    catalog: Path,
    options: ServerOptions,
    api_key: str,
    announce: Callable[[str, str], None],
    stop: threading.Event,
) -> None:
    """Register the folder through the running server, as any other client would.

    But for many samples at once: they are put into its catalogue.
    """
    from tiled.client import from_uri

    from h5xs_bluesky.tiled.own_catalog import OwnCatalog
    from h5xs_bluesky.tiled.publishing import Publication, keep_published

    began, told = time.monotonic(), False
    while not server.started:
        if stop.wait(_PERIOD_S):
            return
        if not told and time.monotonic() - began > _START_WITHIN_S:
            told = True
            logger.warning("The server has not started within %d s: still waiting", _START_WITHIN_S)
    local = address.replace("//0.0.0.0:", "//127.0.0.1:")
    announce(address, api_key)

    with closing(OwnCatalog(catalog)) as own:
        publication = Publication(
            from_uri(local, api_key=api_key),
            options.folder,
            alone=True,
            catalog=own,
            runs=options.runs,
        )
        keep_published(publication, period_s=options.period_s, stop=stop)
