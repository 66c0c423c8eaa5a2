"""Whether a picture shows anything."""

import numpy as np
from numpy.typing import NDArray

_LEAST = 0.01  # of the pixels; a message alone has less


def is_drawn(picture: NDArray[np.float32]) -> bool:
    """Tell whether a picture (H, W, 3 or 4), from 0 to 1, has more on it than a line of text."""
    return bool((picture[..., :3].min(axis=-1) < 0.9).mean() > _LEAST)
