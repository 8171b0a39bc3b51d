"""Sending to a browser only what is other than before: most of a page stays as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource


def send(source: ColumnDataSource, data: Mapping[str, Any]) -> None:
    """Put columns into a source; those that hold what is there already are not sent.

    Each column that is sent is a message of several parts, which costs the scheduler more than
    the comparison.
    """
    held = source.data
    if held.keys() == data.keys() and all(len(held[n]) == len(data[n]) for n in data):
        changed = {name: new for name, new in data.items() if not _same(held[name], new)}
        if changed:
            held.update(changed)
    else:
        source.data = dict(data)


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, np.ndarray) and isinstance(new, np.ndarray) and new.dtype.kind == "f":
        return bool(old.dtype == new.dtype and np.array_equal(old, new, equal_nan=True))
    return type(old) is type(new) and bool(np.all(old == new))
