"""Access tags from a file into a catalogue, where Tiled's policy of tags looks them up."""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

from h5xs_bluesky.errors import ConfigurationError


def _no_groups(name: str) -> Iterable[str]:
    raise KeyError(name)


def save_tags(
    tags: Path, catalog_uri: str, *, members: Callable[[str], Iterable[str]] = _no_groups
) -> None:
    """Write who may do what from a YAML file into a catalogue; it replaces what was there.

    Parameters
    ----------
    tags
        Roles, tags and their owners.
    catalog_uri
        The catalogue's database, ``sqlite:///…`` or ``postgresql://…``.
    members
        Gives the names of a group's users; raises KeyError for an unknown group.

    Raises
    ------
    ConfigurationError
        If the file is not there, or says what cannot be.
    """
    from tiled.access_control.access_tags import AccessTagsCompiler
    from tiled.access_control.scopes import SCOPES
    from tiled.server.connection_pool import close_database_connection_pool
    from tiled.server.settings import DatabaseSettings
    from tiled.utils import ensure_specified_sql_driver

    settings = DatabaseSettings(uri=ensure_specified_sql_driver(catalog_uri))

    async def compile_tags() -> None:
        compiler = AccessTagsCompiler(SCOPES, str(tags), settings, members)
        compiler.load_tag_config()
        await compiler.compile()
        await close_database_connection_pool(settings)

    try:
        asyncio.run(compile_tags())
    except (ValueError, KeyError, RuntimeError) as error:
        raise ConfigurationError(f"{tags}: {error}") from error
