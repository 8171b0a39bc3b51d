"""Curves: what a row of metrics may hold."""

from __future__ import annotations

import sys
from types import ModuleType

from dasktune.curve import Curve


def test_a_metric_is_taken_while_another_thread_imports_xarray(monkeypatch):
    """A worker imports it beside the first training; half of it knows no arrays yet."""
    monkeypatch.setitem(sys.modules, "xarray", ModuleType("xarray"))
    curve = Curve()
    curve.put(0, {"loss": 0.5})
    assert curve.to_json()["columns"] == {"loss": [0.5]}
