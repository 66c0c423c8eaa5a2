"""Windows that follow the curves; pictures in the folder where there is no display."""

from h5xs_bluesky.session import session

with session.optional("live view"):
    from h5xs_bluesky.view import LiveView

    view = session.view = LiveView(session.live, folder=session.folder / "pictures")
