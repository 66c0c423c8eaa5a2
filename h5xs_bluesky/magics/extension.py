"""The extension that IPython loads: the magic, and the completion of its words."""

import shlex
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class

from h5xs_bluesky.errors import H5xsError
from h5xs_bluesky.magics import commands
from h5xs_bluesky.magics.arguments import PLOTS, help_text, make_parser
from h5xs_bluesky.magics.reports import Text
from h5xs_bluesky.magics.target import Target

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_NAME = "%h5xs"
_WORDS = ("status", "last", "plot", "reduce", "calibrate", "use", "help")
_WITH_SAMPLE = ("last", "plot", "reduce", "calibrate")


def _words(line: str) -> list[str]:
    """Split what was typed, as a shell does: names with spaces stand in quotes.

    Raises
    ------
    ValueError
        If a quote is not closed.
    """
    try:
        return shlex.split(line)
    except ValueError as error:
        raise ValueError(
            f"expected every quote closed, found {line}: put a name with an apostrophe into double "
            "quotes"
        ) from error


@magics_class
class H5xsMagics(Magics):
    """The magic ``%h5xs``."""

    def __init__(self, shell: "InteractiveShell") -> None:
        super().__init__(shell)
        self._parser = make_parser()
        self.target = Target(shell.user_ns)

    @line_magic
    def h5xs(self, line: str) -> Any:
        """Look at what is measured, and reduce it; ``%h5xs help`` lists the subcommands."""
        try:
            given = dict(vars(self._parser.parse_args(_words(line))))
            return self._run(given.pop("command") or "help", given)
        except UsageError:
            raise
        except (H5xsError, LookupError, OSError, ValueError) as error:
            raise UsageError(" ".join(str(error).split())) from None

    def _run(self, command: str, given: dict[str, Any]) -> Any:
        if command == "help":
            return Text(help_text(self._parser))
        if command == "use":
            path = self.target.use(given["file"])
            return Text("the live reduction again" if path is None else str(path))
        return getattr(commands, command)(self.target, **given)

    def complete(self, shell: "InteractiveShell", event: Any) -> list[str]:
        """Complete subcommands, samples, and what can be plotted."""
        del shell
        words = event.line.split()[1:]
        if event.symbol and words:
            words = words[:-1]
        if not words:
            return list(_WORDS)
        if words[0] not in _WITH_SAMPLE:
            return []
        try:
            samples = self.target.open().samples
        except (H5xsError, LookupError, OSError):
            samples = []
        return [*map(shlex.quote, samples), *(PLOTS if words[0] == "plot" else ())]


def load(shell: "InteractiveShell") -> None:
    """Register the magic with a shell."""
    magics = H5xsMagics(shell)
    shell.register_magics(magics)
    for name in (_NAME, _NAME.removeprefix("%")):
        shell.set_hook("complete_command", magics.complete, str_key=name)  # type: ignore[no-untyped-call]
