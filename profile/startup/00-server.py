"""Take the folder, and start the Tiled server: it gets ready in a process of its own meanwhile."""

from h5xs_bluesky.session import ServerProcess, session

session.claim()
if session.wants("server"):
    with session.optional("server"):
        session.server = ServerProcess(
            session.folder / "experiment",
            log=session.folder / "server.log",
            catalog=session.folder / "catalog.db",
        )
