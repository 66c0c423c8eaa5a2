"""No beam on the sample while a plan is paused."""

import asyncio
import logging
from typing import Any

from bluesky import preprocessors as bpp
from bluesky.utils import Msg, MsgGenerator

OPEN, CLOSED = "Open", "Close"  # what a shutter takes

logger = logging.getLogger(__name__)


class PausedShutter:
    """Closes a shutter when the RunEngine pauses, and opens it again where the plan goes on.

    The RunEngine calls `pause` of whatever was in a message, and does the messages since the last
    checkpoint again: so the shutter is opened behind each checkpoint, if a pause has closed it.
    Only then are monitors listened to again.

    Parameters
    ----------
    shutter
        Takes ``"Open"`` and ``"Close"``.
    settle_s
        How long to wait once it is open again.
    """

    def __init__(self, shutter: Any, settle_s: float) -> None:
        self.exposing = False
        self._shutter, self._settle_s = shutter, settle_s
        self._closed = False

    async def pause(self) -> None:
        """Close it; called by the RunEngine."""
        if not self.exposing:
            return
        self._closed = True
        try:
            await _move(self._shutter, CLOSED)
        except Exception:
            logger.exception(
                "%s could not be closed for the pause: end the plan with RE.abort(), which tries "
                "again, or close it by other means",
                self._shutter.name,
            )

    def resume(self) -> None:
        """Wait for the plan to open it: monitors are not listened to yet."""

    def opened_again(self, exposures: MsgGenerator[None]) -> MsgGenerator[None]:
        """Give a plan that opens the shutter behind its checkpoints, if a pause has closed it."""

        def behind() -> MsgGenerator[None]:
            (opening,) = yield Msg("wait_for", self, [self._open])  # type: ignore[no-untyped-call]
            opening.result()

        def add(message: Msg) -> tuple[None, MsgGenerator[None] | None]:
            return None, behind() if message.command == "checkpoint" else None

        # from now on the RunEngine knows whom to tell of a pause
        yield Msg("null", self)  # type: ignore[no-untyped-call]
        yield from bpp.plan_mutator(exposures, add)  # type: ignore[no-untyped-call]

    async def _open(self) -> None:
        if self._closed and self.exposing:
            await _move(self._shutter, OPEN)
            self._closed = False
            await asyncio.sleep(self._settle_s)


async def _move(device: Any, position: str) -> None:
    """Move a device, and wait for it, in the RunEngine's loop; raises what it failed with."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    status = device.set(position)
    status.add_callback(lambda _: loop.call_soon_threadsafe(done.set))
    await done.wait()
    if (error := status.exception(timeout=0)) is not None:
        raise error
