"""The curves of the trials in training, as far as their reports have come: bounded, JSON-able."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

MOST_POINTS = 20_000
"""Points of all trials together."""
MOST_OF_ONE = 500
"""Points of a trial's metric."""


class SoFar:
    """Keeps the curves of trials that have not ended.

    Where there are too many points, every other one of the longest curves is left out; the
    stamp will hold them all.
    """

    def __init__(self) -> None:
        self._curves: dict[str, dict[str, tuple[list[int], list[float]]]] = {}
        self._points = 0

    def __len__(self) -> int:
        return len(self._curves)

    def take(self, event: Mapping[str, Any]) -> None:
        """Take an event of the run; those that say nothing of a curve change nothing."""
        kind = event["event"]
        if kind == "report":
            for metric, value in event["metrics"].items():
                self._put(event["trial"], metric, event["epoch"], value)
        elif kind == "started":
            self._drop(event["target"].removeprefix("trained/"))
        elif kind == "finished":
            self._drop(event["outcome"].target.removeprefix("trained/"))

    def to_json(self) -> dict[str, Any]:
        """Give for each trial, and each metric, the epochs and the values."""
        return {
            trial: {metric: [list(epochs), list(values)] for metric, (epochs, values) in of.items()}
            for trial, of in self._curves.items()
        }

    def _put(self, trial: str, metric: str, epoch: int, value: float) -> None:
        epochs, values = self._curves.setdefault(trial, {}).setdefault(metric, ([], []))
        if epochs and epoch <= epochs[-1]:
            if epoch == epochs[-1]:
                values[-1] = value
            return
        epochs.append(epoch)
        values.append(value)
        self._points += 1
        if len(epochs) > MOST_OF_ONE:
            self._thin((epochs, values))
        while self._points > MOST_POINTS:
            longest = max(self._all(), key=lambda curve: len(curve[0]))
            if len(longest[0]) < 3:
                return  # so many trials that each has hardly a point
            self._thin(longest)

    def _thin(self, curve: tuple[list[int], list[float]]) -> None:
        """Leave out every other point; the first and the last one stay."""
        epochs, values = curve
        for column in (epochs, values):
            del column[1:-1:2]
        self._points = sum(len(epochs) for epochs, _ in self._all())

    def _all(self) -> Iterator[tuple[list[int], list[float]]]:
        for of_trial in self._curves.values():
            yield from of_trial.values()

    def _drop(self, trial: str) -> None:
        gone = self._curves.pop(trial, {})
        self._points -= sum(len(epochs) for epochs, _ in gone.values())


def dense(curve: Mapping[str, Any]) -> dict[str, Any]:
    """Give a trial's curve so far as a stamp would hold it, with nothing where nothing is known.

    Parameters
    ----------
    curve : mapping
        By metric the epochs and the values, as `SoFar.to_json` gives them for a trial.
    """
    count = 1 + max((epochs[-1] for epochs, _ in curve.values() if epochs), default=-1)
    columns = {}
    for metric, (epochs, values) in curve.items():
        column: list[float | None] = [None] * count
        for epoch, value in zip(epochs, values, strict=True):
            column[epoch] = value
        columns[metric] = column
    return {"epochs": count, "columns": columns, "dims": {}}
