"""What a browser is sent: columns that are other than before, and nothing else."""

from __future__ import annotations

import numpy as np
from bokeh.document import Document
from bokeh.models import ColumnDataSource

from dasktune.dashboard.sending import send


def test_only_columns_that_changed_are_sent():
    """NaN at the same places is no change; another length sends them all."""
    source = ColumnDataSource({})
    document = Document()
    document.add_root(source)
    sent = []
    document.on_change(lambda event: sent.append(sorted(event.cols or source.data)))
    first = {"x": np.array([1.0, np.nan]), "y": np.array([3.0, 4.0]), "name": ["a", "b"]}
    send(source, first)
    send(source, {name: list(v) if name == "name" else v.copy() for name, v in first.items()})
    assert sent == [["name", "x", "y"]]
    send(source, {**first, "y": np.array([3.0, 5.0])})
    send(source, {**first, "y": np.array([3.0, 5.0]), "name": ["a", "c"]})
    assert sent[1:] == [["y"], ["name"]]
    send(source, {"x": [], "y": [], "name": []})
    send(source, {"x": [], "y": []})
    assert sent[3:] == [["name", "x", "y"], ["x", "y"]]
    assert source.data == {"x": [], "y": []}
