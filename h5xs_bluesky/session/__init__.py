"""What a beamline's interactive session is put together from: see `profile/` for one.

`session` is the namespace that startup files share: each puts there what it makes, and takes from
there what it needs.
"""

from h5xs_bluesky.session.metadata_file import MetadataFile
from h5xs_bluesky.session.namespace import Session, session
from h5xs_bluesky.session.server_process import ServerProcess

__all__ = ["MetadataFile", "ServerProcess", "Session", "session"]
