"""What a tracker is told; and which there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, Protocol

from dasktune.errors import UsageError, did_you_mean

KINDS = ("mlflow", "tensorboard")


Rows = Sequence[tuple[int, Mapping[str, float]]]
"""A curve: epochs and their metrics."""


class Tracker(Protocol):
    """Takes what becomes of trials. It may raise: who calls it knows what to do then."""

    def start(self, trial: str, axes: Mapping[str, Any], when: float) -> None:
        """Take a trial's start with its hyperparameters; one that goes on is the same trial."""

    def report(self, trial: str, epoch: int, metrics: Mapping[str, float], when: float) -> None:
        """Take a row of a trial's curve."""

    def complete(self, trial: str, rows: Rows, seen: Set[int], times: tuple[float, float]) -> None:
        """Take a trial's whole curve, of which only some epochs were reported, and its times."""

    def end(self, trial: str, status: str, error: str, when: float) -> None:
        """Take a trial's end."""

    def flush(self) -> None:
        """Write what waits."""

    def close(self) -> None:
        """Write what waits, and let go."""


def at(times: tuple[float, float], index: int, count: int) -> float:
    """Give a time for one of so many rows between a start and an end."""
    return times[0] + (times[1] - times[0]) * (index + 1) / count


Maker = Callable[[str, str, str], Tracker]
"""Makes a tracker from where it is to write, the pipeline's name and the run's."""


def find_maker(word: str) -> Callable[[str, str], Tracker]:
    """Find what makes the tracker that a word of the command line names.

    Parameters
    ----------
    word : str
        ``tensorboard``, or ``tensorboard=FOLDER``; ``mlflow``, or ``mlflow=URI``.

    Returns
    -------
    callable
        Takes the names of the pipeline and of the run.

    Raises
    ------
    UsageError
        If there is no such tracker, or its library is missing.
    """
    kind, _, where = word.partition("=")
    try:
        maker = _maker(kind)
    except ImportError as error:
        raise UsageError(
            f"--track {kind} needs {error.name or kind}: pip install 'dasktune[{kind}]'."
        ) from error
    return lambda pipeline, run: maker(where, pipeline, run)


def _maker(kind: str) -> Maker:
    if kind == "tensorboard":
        from dasktune.trackers.tensorboard import live as tensorboard

        return tensorboard
    if kind == "mlflow":
        from dasktune.trackers.mlflow import live as mlflow

        return mlflow
    raise UsageError(
        f"--track takes {' or '.join(KINDS)}, as in --track tensorboard=FOLDER, but got "
        f"{kind!r}." + did_you_mean(kind, KINDS)
    )
