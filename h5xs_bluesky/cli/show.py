"""`h5xs show`: the curves of a sample, or a pattern, in a window or a picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from h5xs_bluesky.cli.common import Experiment, Roots, errors_to_exit

if TYPE_CHECKING:
    from h5xs_bluesky.api.data2d import Data2d


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
            d2 = dt.get_d2(name, pattern, frame)
            _draw(d2)  # type: ignore[arg-type]
        if output is None:
            plt.show()
        else:
            plt.savefig(output, dpi=150)
        plt.close("all")


def _draw(d2: "Data2d") -> None:
    """Draw a pattern on a logarithmic scale; masked pixels are tinted."""
    import numpy as np
    from matplotlib import pyplot as plt
    from matplotlib.colors import ListedColormap, LogNorm

    _, axes = plt.subplots(layout="constrained")
    good = np.where(d2.mask | (d2.data < 0), np.nan, d2.data.astype(float))
    top = float(np.nanmax(good, initial=1.0))
    shown = np.where(good < 1, 0.5, good)  # so that pixels without counts are not as if masked
    image = axes.imshow(shown, norm=LogNorm(0.5, max(top, 1.0)), interpolation="nearest")
    out = np.ma.masked_where(~np.isnan(good), np.ones(good.shape))
    axes.imshow(out, cmap=ListedColormap(["tab:gray"]), alpha=0.6, interpolation="nearest")
    axes.figure.colorbar(image, ax=axes, label="counts")
    axes.set_xlabel("column (pixels)")
    axes.set_ylabel("row (pixels)")
    axes.set_title(d2.label)
