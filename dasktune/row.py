"""The row: a trial as it stands, for all who watch a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

STATES = ("done", "kept", "running", "waiting", "failed", "stopped", "interrupted")
"""What a trial can be: kept from an earlier run, stopped by request, left at a checkpoint."""

COLOURS = {
    "done": "#2f9e5b",
    "kept": "#7bc29a",
    "running": "#3b82d0",
    "waiting": "#a8b0b9",
    "failed": "#d64545",
    "stopped": "#d99a2b",
    "interrupted": "#b08ad6",
}
"""A colour for each state, in all displays that have colours."""


@dataclass
class Row:
    """A trial, as it stands.

    Attributes
    ----------
    id : str
        The trial.
    axes : dict
        Its hyperparameters and replicate.
    state : str
        One of `STATES`.
    worker, device, log : str
        Where it is, or was, trained, and the file that takes what it prints.
    version : str
        What code, variables and data it is trained with; see `dasktune.keys.version`.
    searched : str
        The variable that a search chooses, which the version leaves out.
    epoch, epochs : int or None
        Epochs reported so far, and in all.
    value : float or None
        The objective's metric, as last reported; the first one's, if there are several.
    others : sequence of float or None
        The same of the further objectives, in their order.
    since, reported, ended : float or None
        When it started, last reported (by its worker's clock) and ended.
    epoch_seconds : float or None
        How long an epoch takes, measured.
    seconds : float
        How long it took, once it ended.
    failure, error : str
        What kind of failure it was, see `dasktune.failure.kind.Kind`, and why, in one line.
    origin : dict or None
        The trial from whose checkpoint it begins, as `dasktune.config.Origin.to_json` gives it.
    """

    id: str
    axes: dict[str, Any] = field(default_factory=dict)
    state: str = "waiting"
    worker: str = ""
    device: str = ""
    log: str = ""
    version: str = ""
    searched: str = ""
    epoch: int = 0
    epochs: int | None = None
    value: float | None = None
    others: Sequence[float | None] = ()
    since: float | None = None
    ended: float | None = None
    reported: float | None = None
    epoch_seconds: float | None = None
    seconds: float = 0.0
    failure: str = ""
    error: str = ""
    origin: dict[str, Any] | None = None

    @property
    def parent(self) -> str:
        """The trial from whose checkpoint it begins; ``""`` if it begins from the start."""
        return str(self.origin["trial"]) if self.origin else ""

    @property
    def began(self) -> int:
        """The epochs that its parent had been trained for then."""
        return int(self.origin["epoch"]) if self.origin else 0

    @property
    def values(self) -> tuple[float | None, ...]:
        """The values of all objectives."""
        return (self.value, *self.others)

    def to_json(self) -> dict[str, Any]:
        """Give what differs from a row of which nothing is known; ``Row(**tree)`` is it again."""
        known = self.__dataclass_fields__
        return {k: v for k, v in vars(self).items() if v != known[k].default}
