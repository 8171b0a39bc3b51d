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


def test_a_metric_is_named_as_python_names_keywords():
    """The micro sign of a keyboard, in a mapping as well as before "="."""
    curve = Curve()
    curve.put(0, {"\N{MICRO SIGN}_loss": 0.5})
    assert curve.names() == ["\N{GREEK SMALL LETTER MU}_loss"] == list(dict(µ_loss=1))
