"""Descents: trials that began from the checkpoints of others, as coordinates of the dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dasktune.config import TrialSpec, Value


def coordinates(
    specs: Sequence[TrialSpec], budgets: Sequence[int], epochs: int
) -> dict[str, tuple[str | tuple[str, str], Any]]:
    """Give the parents of trials, and the schedules that their hyperparameters followed.

    Parameters
    ----------
    specs : sequence of TrialSpec
        The trials, ancestors among them.
    budgets : sequence of int
        The epochs that each was trained for.
    epochs : int
        Epochs of the dataset.

    Returns
    -------
    dict
        Empty where no trial has a parent. Else ``parent`` (its id; ``""`` for one that began from
        the start) and ``began`` (the epoch at which it began) on ``trial``, and
        ``<name>_schedule`` on ``trial`` and ``epoch`` for each hyperparameter that changed: NaN,
        or ``""`` for texts, after the last epoch.
    """
    if not any(spec.origin for spec in specs):
        return {}
    known = {spec.id: spec for spec in specs}
    found: dict[str, tuple[str | tuple[str, str], Any]] = {
        "parent": (
            "trial",
            np.array([s.origin.trial if s.origin else "" for s in specs], dtype=object),
        ),
        "began": ("trial", np.array([s.origin.epoch if s.origin else 0 for s in specs])),
    }
    for name in _changed(specs, known):
        rows = [
            _schedule(spec, name, known, min(budget, epochs), epochs)
            for spec, budget in zip(specs, budgets, strict=True)
        ]
        found[f"{name}_schedule"] = (("trial", "epoch"), _table(rows))
    return found


def _changed(specs: Sequence[TrialSpec], known: dict[str, TrialSpec]) -> list[str]:
    names: dict[str, None] = {}
    for spec in specs:
        parent = known.get(spec.origin.trial) if spec.origin else None
        if parent is not None:
            for name, value in spec.config.items():
                if parent.config.get(name) != value:
                    names[name] = None
    return list(names)


def _schedule(
    spec: TrialSpec, name: str, known: dict[str, TrialSpec], budget: int, epochs: int
) -> list[Value]:
    """Give the value of each epoch: the trial's own, before that its parent's, and so on."""
    row: list[Value] = [None] * epochs
    end, current = budget, spec
    while True:
        begun = current.origin.epoch if current.origin else 0
        row[begun:end] = [current.config.get(name)] * (end - begun)
        parent = known.get(current.origin.trial) if current.origin else None
        if parent is None:
            return row
        end, current = begun, parent


def _table(rows: Sequence[Sequence[Value]]) -> np.ndarray[Any, Any]:
    present = [value for row in rows for value in row if value is not None]
    if all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in present):
        return np.array([[np.nan if v is None else float(str(v)) for v in row] for row in rows])
    texts = [["" if value is None else str(value) for value in row] for row in rows]
    return np.array(texts, dtype=object).reshape(len(rows), -1)
