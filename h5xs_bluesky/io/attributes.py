"""Texts in attributes, in every form in which programs write them."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def text_attribute(attrs: Mapping[str, Any], name: str, default: str = "") -> str:
    """Give an attribute as text: stored as text, as bytes, or as an array of one of these.

    Parameters
    ----------
    attrs
        Of a group or dataset.
    name
        Of the attribute.
    default
        Where there is none, or nothing in it.
    """
    value = attrs.get(name)
    if isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size == 1 else None
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return value if isinstance(value, str) else default
