"""The objective: which metric makes a trial the best, and in which direction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dasktune.errors import PipelineError


@dataclass(frozen=True)
class Objective:
    """A metric to make as large, or as small, as can be.

    A trial's value is the metric's last reported one: the value of the model that is kept.

    Attributes
    ----------
    direction : {"max", "min"}
        Which way is better.
    metric : str
        The name under which `train` reports it.
    """

    direction: Literal["max", "min"]
    metric: str

    @classmethod
    def parse(cls, text: str) -> Objective:
        """Read ``"max val_accuracy"`` or ``"min val_loss"``.

        Raises
        ------
        PipelineError
            If it is anything else.
        """
        words = text.split() if isinstance(text, str) else []
        if len(words) != 2 or words[0] not in ("max", "min") or not words[1].isidentifier():
            raise PipelineError(
                f"an objective is 'max' or 'min' and a metric's name, but got {text!r}. "
                "Write for instance 'max val_accuracy'."
            )
        return cls("max" if words[0] == "max" else "min", words[1])

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

    def __str__(self) -> str:
        return f"{self.direction} {self.metric}"
