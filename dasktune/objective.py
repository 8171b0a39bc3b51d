"""The objective: which metric makes a trial the best, and in which direction; or several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal
from unicodedata import normalize

from dasktune.errors import MetricError, PipelineError, did_you_mean

SECONDS = "seconds"
"""The objective that need not be reported: how long a training took."""


@dataclass(frozen=True)
class Objective:
    """A metric to make as large, or as small, as can be; perhaps others, too.

    A trial's value is the metric's last reported one: the value of the model that is kept.

    Attributes
    ----------
    direction : {"max", "min"}
        Which way is better.
    metric : str
        The name under which `train` reports it.
    others : tuple of Objective
        Further objectives. There is then no best trial, but a Pareto front.
    """

    direction: Literal["max", "min"]
    metric: str
    others: tuple[Objective, ...] = ()

    @classmethod
    def parse(cls, text: str | Sequence[str]) -> Objective:
        """Read ``"max val_accuracy"``; or several, as a sequence or with commas between.

        Raises
        ------
        PipelineError
            If it is anything else, or names a metric twice.
        """
        listed = isinstance(text, (list, tuple))
        parts = list(text) if listed else text.split(",") if isinstance(text, str) else [text]
        found: list[Objective] = []
        for part in parts:
            # Python writes the names of keywords so, and with them what 'report' is given.
            words = normalize("NFKC", part).split() if isinstance(part, str) else []
            if len(words) != 2 or words[0] not in ("max", "min") or not words[1].isidentifier():
                raise PipelineError(
                    f"an objective is 'max' or 'min' and a metric's name, but got {part!r}. "
                    "Write for instance 'max val_accuracy', or several: "
                    "('max val_accuracy', 'min seconds')."
                )
            if words[1] in [objective.metric for objective in found]:
                raise PipelineError(f"an objective is named once, but {words[1]!r} is in it twice.")
            found.append(cls("max" if words[0] == "max" else "min", words[1]))
        if not found:
            raise PipelineError("an objective needs a metric, such as 'max val_accuracy'.")
        return replace(found[0], others=tuple(found[1:]))

    @property
    def first(self) -> Objective:
        """The first objective, alone."""
        return replace(self, others=())

    @property
    def all(self) -> tuple[Objective, ...]:
        """All objectives, each alone."""
        return (self.first, *self.others)

    @property
    def sign(self) -> int:
        """What the metric is multiplied by, so that larger is better."""
        return 1 if self.direction == "max" else -1

    def last(self, curve: Mapping[str, Any], epochs: int | None = None) -> float | None:
        """Give the metric's last value in the JSON form of a curve; None if it has none.

        Parameters
        ----------
        curve : mapping
            The curve.
        epochs : int, optional
            How many of its first rows count; all if not given.
        """
        column = curve["columns"].get(self.metric, ())[:epochs]
        reported = [value for value in column if value is not None and not isinstance(value, list)]
        return float(reported[-1]) if reported else None

    def values(
        self,
        curve: Mapping[str, Any],
        seconds: float,
        epochs: int | None = None,
    ) -> tuple[float | None, ...]:
        """Give the last value of each objective.

        Parameters
        ----------
        curve : mapping
            The JSON form of a curve.
        seconds : float
            How long the training took, from its first epoch on.
        epochs : int, optional
            How many of its first rows count, with their share of the time; all if not given.
        """
        if epochs is not None and epochs < curve["epochs"]:
            seconds *= epochs / curve["epochs"]
        return tuple(seconds if o.metric == SECONDS else o.last(curve, epochs) for o in self.all)

    def reported(self, last: Callable[[str], float | None], names: Sequence[str]) -> float:
        """Give the last value of the metric; make sure that all objectives have one.

        Parameters
        ----------
        last : callable
            Gives the last value of a metric, or None.
        names : sequence of str
            The metrics that were reported.

        Raises
        ------
        MetricError
            If one was never reported.
        """
        found: list[float] = []
        for objective in self.all:
            metric = objective.metric
            value = 0.0 if metric == SECONDS else last(metric)
            if value is None:
                raise MetricError(
                    f"train() must report the objective's metric {metric!r} as a number at least "
                    f"once, but reported {', '.join(names) or 'nothing'}."
                    + did_you_mean(metric, list(names))
                )
            found.append(value)
        return found[0]

    def __str__(self) -> str:
        return ", ".join(f"{o.direction} {o.metric}" for o in (self, *self.others))
