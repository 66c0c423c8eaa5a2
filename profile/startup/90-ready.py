"""The catalogue, now that its server has had time to start, the magics, and what there is."""

from h5xs_bluesky.session import session

with session.optional("%h5xs"):
    get_ipython().run_line_magic("load_ext", "h5xs_bluesky")
    session.notes.append("magics   %h5xs help")

db = None
if session.server is not None:
    with session.optional("Tiled server"):
        db = session.db = session.server.client("raw", timeout_s=20)
        session.notes.append(f"server   {session.server.browser_address()}  (db: its raw runs)")

print(session.describe())
