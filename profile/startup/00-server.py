"""Start the Tiled server first: it gets ready, in a process of its own, while the rest loads."""

from h5xs_bluesky.session import ServerProcess, session

if session.wants("server"):
    with session.optional("server"):
        session.server = ServerProcess(
            session.folder / "experiment",
            log=session.folder / "server.log",
            catalog=session.folder / "catalog.db",
        )
