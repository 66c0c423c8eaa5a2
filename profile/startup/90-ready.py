"""The catalogue, now that its server has had time to start, the magics, and what there is."""

from h5xs_bluesky.session import session

with session.optional("magics"):
    get_ipython().run_line_magic("load_ext", "h5xs_bluesky")
    session.notes.append("magics   %h5xs help")

db = None
if session.server is not None:
    with session.optional("server"):
        runs = session.server.client("runs/raw", timeout_s=20)
        db = session.db = runs.sort(("start.time", 1))  # not by when they were published
        session.notes.append(f"server   {session.server.browser_address()}")
        session.notes.append("         db holds the raw runs, for example db[-1]")

print(session.describe())
