"""The command line: `h5xs`."""

import typer

from h5xs_bluesky.cli.calibrate import calibrate
from h5xs_bluesky.cli.demo import demo
from h5xs_bluesky.cli.export import export
from h5xs_bluesky.cli.import_files import import_
from h5xs_bluesky.cli.info import info
from h5xs_bluesky.cli.pack import pack
from h5xs_bluesky.cli.publish import publish
from h5xs_bluesky.cli.repair import repair
from h5xs_bluesky.cli.serve import serve
from h5xs_bluesky.cli.show import show
from h5xs_bluesky.cli.verify import verify

app = typer.Typer(
    help="Live reduction of X-ray scattering data.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def _main() -> None:
    """Let every command have a name, however few there are."""


app.command()(calibrate)
app.command()(demo)
app.command("import")(import_)
app.command()(info)
app.command()(show)
app.command()(export)
app.command()(pack)
app.command()(verify)
app.command()(repair)
app.command()(serve)
app.command()(publish)
