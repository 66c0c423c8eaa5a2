"""`h5xs show`: the curves of a sample, or a pattern, in a window or a picture."""

from pathlib import Path
from typing import Annotated

import typer

from h5xs_bluesky.cli.common import Experiment, Roots, errors_to_exit


def show(
    experiment: Experiment,
    sample: Annotated[str | None, typer.Argument(help="The sample; by default the oldest.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A picture (png, pdf, svg) instead of a window."),
    ] = None,
    pattern: Annotated[
        str | None, typer.Option(help="Show a pattern of this detector, as _SAXS, instead.")
    ] = None,
    frame: Annotated[int, typer.Option(help="Which pattern; −1 for the latest.")] = 0,
    subtracted: Annotated[
        bool, typer.Option("--subtracted", help="Show the subtraction of the buffer.")
    ] = False,
    offset: Annotated[
        float, typer.Option(help="Each curve is multiplied by this more often.")
    ] = 1.5,
    roots: Roots = None,
) -> None:
    """Show the curves of a sample and which frames are averaged, or one of its patterns.

    Exit status 2 if there is no such sample, curve or pattern.
    """
    import matplotlib as mpl

    if output is not None:
        mpl.use("agg")
    from matplotlib import pyplot as plt

    from h5xs_bluesky.api.h5xs import h5xs
    from h5xs_bluesky.api.source import experiment_file

    with errors_to_exit():
        dt = h5xs(experiment_file(experiment), read_only=True, roots=roots or ())
        name = sample or dt.samples[0]
        if pattern is None:
            dt.plot_d1s(name, offset=offset, show_subtracted=subtracted)
        else:
            dt.show_data(name, pattern, frame)
        if output is None:
            plt.show()
        else:
            plt.savefig(output, dpi=150)
        plt.close("all")
