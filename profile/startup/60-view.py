"""Windows that follow the curves; where there is no display, pictures in the folder."""

from h5xs_bluesky.session import session

if session.wants("view"):
    with session.optional("view"):
        from h5xs_bluesky.view import WINDOWS, LiveView

        pictures = session.folder / "pictures"
        view = session.view = LiveView(session.live, windows=list(WINDOWS), folder=pictures)
        told = "windows, and at a run's end" if view.has_windows else "no display for windows:"
        session.notes.append(f"view     {told} pictures in {pictures}")
