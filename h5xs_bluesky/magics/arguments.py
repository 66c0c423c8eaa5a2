"""What may follow ``%h5xs``."""

from argparse import HelpFormatter
from typing import Any

from IPython.core.magic_arguments import MagicArgumentParser

# What `plot` can draw, and what that is.
PLOTS = {
    "frames": "all frames and their average",
    "subtracted": "the average less its buffer",
    "selection": "which frames are averaged, and why others are not",
    "monitors": "the readings of the monitors",
    "pattern": "the latest frame of each detector",
    "sec": "a series behind a column: Rg and I(0) against frame, the peak less the buffer",
}

_NEWEST = "its name, in quotes if it has spaces, or /group; by default the one measured last"


def make_parser() -> MagicArgumentParser:
    """Make the parser of all subcommands; what it cannot understand is a `UsageError`."""
    parser = MagicArgumentParser("%h5xs")  # type: ignore[no-untyped-call]
    commands = parser.add_subparsers(
        dest="command", metavar="command", parser_class=MagicArgumentParser
    )

    commands.add_parser("status", help="what runs, and how far it is")

    last = commands.add_parser("last", help="what was measured last: frames, kept, transmission")
    last.add_argument("sample", nargs="?", help=_NEWEST)
    last.add_argument("-g", "--guinier", action="store_true", help="fit Rg and I(0), too")

    plot = commands.add_parser("plot", help="draw a sample: " + ", ".join(PLOTS))
    plot.add_argument("sample", nargs="?", help=_NEWEST)
    plot.add_argument("group", nargs="?", help="frames, by default; " + ", ".join(PLOTS))
    plot.add_argument(
        *("-s", "--save", "-o", "--output"),  # as `h5xs show` has it, too
        dest="save",
        metavar="FILE",
        help="a picture (png, pdf, svg), no window",
    )

    reduce = commands.add_parser("reduce", help="reduce the raw frames again, and average them")
    reduce.add_argument("sample", nargs="?", help=_NEWEST)

    calibrate = commands.add_parser("calibrate", help="calibrate the detectors from a standard")
    calibrate.add_argument("sample", nargs="?", help=_NEWEST)
    calibrate.add_argument("-c", "--calibrant", default="AgBh", help="one of pyFAI's (AgBh)")
    calibrate.add_argument("-e", "--energy", type=float, help="of the beam, in keV")
    calibrate.add_argument("-t", "--tilt", action="store_true", help="fit two rotations, too")
    calibrate.add_argument("-n", "--dry-run", action="store_true", help="change and save nothing")

    use = commands.add_parser("use", help="work on an experiment's file instead of the live one")
    use.add_argument("file", nargs="?", help="file or folder; nothing for the live one again")

    commands.add_parser("help", help="show this")
    return parser


def help_text(parser: MagicArgumentParser) -> str:
    """Give the subcommands with their arguments, a line each."""
    (commands,) = (each for each in parser._actions if each.dest == "command")  # noqa: SLF001
    known: Any = commands
    helps = {each.dest: each.help for each in known._choices_actions}  # noqa: SLF001
    lines = []
    for name, command in known.choices.items():
        command.formatter_class = HelpFormatter
        usage = " ".join(command.format_usage().removeprefix("usage:").split())
        lines.append(f"{usage}\n    {helps[name]}")
    return "\n".join(lines)
