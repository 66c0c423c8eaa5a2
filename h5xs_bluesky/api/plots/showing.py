"""What the methods that show patterns and maps have in common."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from h5xs_bluesky.api.data2d import Data2d, label_of
from h5xs_bluesky.api.map2d import Map2d
from h5xs_bluesky.api.plots.patterns import (
    RING_STYLE,
    calibrant_rings,
    draw_ring_circles,
    draw_ring_lines,
    show_pattern,
)
from h5xs_bluesky.errors import ReductionError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Patterns = Mapping[str, Data2d]


def show_patterns(
    patterns: Patterns,
    *,
    ax: "Axes | Sequence[Axes] | None",
    fig: "Figure | None",
    reference: Any,
    **options: Any,
) -> "Axes | list[Axes]":
    """Show patterns side by side.

    Parameters
    ----------
    patterns
        By extension.
    ax, fig
        Axes, as many as patterns, or a figure to make them in.
    reference
        Rings, as `rings_of` takes them.
    **options
        Of `show_pattern`.

    Raises
    ------
    ReductionError
        If there are not as many axes as patterns.
    """
    axes = _axes(len(patterns), ax, fig)
    rings, style = rings_of(reference, patterns)
    for pattern, each in zip(patterns.values(), axes, strict=True):
        show_pattern(pattern, each, rings=rings, ring_style=style, **options)
    return axes[0] if len(axes) == 1 else axes


def less_background(
    patterns: Patterns,
    background: Mapping[str, Any] | None,
    make: Callable[[Patterns], Map2d],
    *,
    use_mask: bool,
) -> Map2d:
    """Make a map, less that of a background on the same detectors.

    Parameters
    ----------
    patterns
        By extension.
    background
        By extension, frames as arrays or `Data2d`; a detector without one keeps all it has.
    make
        Makes a map of patterns.
    use_mask
        Whether masked pixels are left out.
    """
    if not use_mask:
        patterns = {name: pattern.unmasked() for name, pattern in patterns.items()}
    if not background:
        return make(patterns)
    unknown = sorted(set(background) - set(patterns))
    if unknown:
        raise ReductionError(
            f"expected a background of the detectors {sorted(patterns)}, found {unknown}"
        )
    others = {}
    for name, pattern in patterns.items():
        other = background.get(name, np.zeros(pattern.data.shape))
        if isinstance(other, Data2d):
            others[name] = replace(other, detector=pattern.detector)
        else:
            others[name] = replace(pattern, data=np.asarray(other), exposures=1)
    return make(patterns).bkg_cor(make(others), in_place=False)


def rings_of(reference: Any, patterns: Patterns) -> tuple[list[float], str]:
    """Give rings in Å⁻¹ and their line style from what a user gave.

    Parameters
    ----------
    reference
        None, a calibrant's name, that with a line style, or a list of q.
    patterns
        Rings beyond the largest q of them are left out.
    """
    style = RING_STYLE
    if reference is None or reference is False:
        return [], style
    if reference is True:
        reference = "AgBh"
    if not isinstance(reference, str):
        parts = list(reference)
        texts = [part for part in parts if isinstance(part, str)]
        if not texts:
            return [float(part) for part in parts], style
        reference, style = texts[0], texts[1] if len(texts) > 1 else style
    largest = max(float(each.detector.geometry.q_map().max()) for each in patterns.values())
    return calibrant_rings(reference, largest_q=largest), style


def finish_map(ax: "Axes", patterns: Patterns, reference: Any, *, circles: bool) -> None:
    """Add rings and a title to a map."""
    rings, style = rings_of(reference, patterns)
    (draw_ring_circles if circles else draw_ring_lines)(ax, rings, style=style)
    ax.set_title(label_of(patterns))


def _axes(count: int, ax: "Axes | Sequence[Axes] | None", fig: "Figure | None") -> list["Axes"]:
    if ax is None:
        from matplotlib import pyplot as plt

        if fig is None:
            fig = plt.figure(figsize=(6.4 * count, 5.4), layout="constrained")
        return list(fig.subplots(1, count, squeeze=False)[0])
    axes = list(ax) if isinstance(ax, Sequence | np.ndarray) else [ax]
    if len(axes) != count:
        raise ReductionError(f"expected axes for {count} detectors, found {len(axes)}")
    return axes
