"""Histories: what a search did with a trial, as coordinates of its dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dasktune.store import Store

if TYPE_CHECKING:
    from dasktune.stamp import Stamp


@dataclass(frozen=True)
class History:
    """What a search did with one trial.

    Attributes
    ----------
    bracket, rung : int
        Of the longest budget that it was trained for; -1 if none.
    stopped : str
        Why it was trained no longer.
    keys : tuple of (int, str)
        The budgets that it was trained for, ascending, and the keys of their results.
    """

    bracket: int
    rung: int
    stopped: str
    keys: tuple[tuple[int, str], ...]

    def to_json(self) -> list[Any]:
        """Give a JSON-able form."""
        return list(asdict(self).values())


def coordinates(
    store: Store, trials: Sequence[str], histories: Sequence[History]
) -> dict[str, tuple[str, Any]]:
    """Give what a search did with each trial, as coordinates on ``trial``.

    Returns
    -------
    dict
        ``budget`` (epochs asked for), ``bracket``, ``rung``, ``stopped``, and over all its
        budgets ``spent``, the epochs that were trained for it, and ``seconds`` (0 if none).
    """
    stamps = [_stamps(store, t, h) for t, h in zip(trials, histories, strict=True)]
    budgets = [max((budget for budget, _ in h.keys), default=0) for h in histories]
    return {
        "budget": ("trial", np.array(budgets, dtype=np.int64)),
        "bracket": ("trial", np.array([h.bracket for h in histories], dtype=np.int64)),
        "rung": ("trial", np.array([h.rung for h in histories], dtype=np.int64)),
        "stopped": ("trial", np.array([h.stopped for h in histories], dtype=object)),
        **costs(stamps),
    }


def costs(stamps: Sequence[Sequence[Stamp]]) -> dict[str, tuple[str, Any]]:
    """Give what was trained for each trial, over all its budgets, as coordinates on ``trial``.

    Parameters
    ----------
    stamps : sequence of sequence of Stamp
        Of each trial, in ascending order of the budget.
    """
    return {
        "spent": ("trial", np.array([sum(epochs_spent(some)) for some in stamps], dtype=np.int64)),
        "seconds": ("trial", np.array([sum(s.seconds for s in some) for some in stamps])),
    }


def _stamps(store: Store, trial: str, history: History) -> list[Stamp]:
    found = (store.stamp(store.trained(trial, key)) for _, key in sorted(history.keys))
    return [stamp for stamp in found if stamp is not None]


def epochs_spent(stamps: Sequence[Stamp]) -> list[int]:
    """Tell how many epochs were trained for each of a trial's budgets, in ascending order.

    A budget goes on from the longest one before it that its training knew of. A training that
    was killed and went on from a checkpoint of its own has trained what lies before that, too.
    What came before a checkpoint of another trial was trained for that one.
    """
    spent: list[int] = []
    begun = stamps[0].body.get("parts", {}).get("origin", {}).get("epoch", 0) if stamps else 0
    ends = [int(begun)]
    for stamp in stamps:
        epochs = int(stamp.body["result"]["curve"]["epochs"])
        resumed = int(stamp.body.get("resumed_at", 0))
        spent.append(epochs - max(end for end in ends if end <= resumed))
        ends.append(epochs)
    return spent
