"""Outcomes: the small messages that nodes send back; the results themselves are files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "failed", "skipped", "interrupted", "stopped", "running"]


@dataclass(frozen=True)
class Outcome:
    """What became of one target.

    Attributes
    ----------
    target : str
        The target's name.
    key, digest : str
        Of what went in, and of what came out; the digest is empty unless `status` is ``"ok"``.
    status : {"ok", "failed", "skipped", "interrupted", "stopped", "running"}
        Skipped: not started, because the run was stopping. Interrupted: left at a checkpoint.
        Stopped: ended before its time by request (``dasktune stop``); it has no stamp.
    made : bool
        Whether the recipe ran; False where a result was found that is still good.
    seconds : float
        How long the recipe took.
    value : float or None
        A trial's objective; the first of several.
    values : tuple of float or None
        Of several objectives the value of each; else empty.
    error : str
        One line, where the status is ``"failed"``.
    failure : str
        The kind of what befell it, see `dasktune.failure.kind.Kind`; ``"NaN"`` where it is well but
        for its objective.
    cause : str
        What trials share that failed for the same reason: the exception's type and place.
    """

    target: str
    key: str
    digest: str = ""
    status: Status = "ok"
    made: bool = True
    seconds: float = 0.0
    value: float | None = None
    values: tuple[float | None, ...] = ()
    error: str = ""
    failure: str = ""
    cause: str = ""


@dataclass(frozen=True)
class Alone:
    """A trial of a group that is to be trained by itself.

    Attributes
    ----------
    target : str
        The target's name.
    why : str
        Why it is not trained together with the others.
    """

    target: str
    why: str


class TargetFailed(Exception):
    """The recipe of a target failed; raised in a node, so that Dask shows it as erred.

    Attributes
    ----------
    outcome : Outcome
        What became of the target.
    """

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome

    def __str__(self) -> str:
        return f"{self.outcome.target}: {self.outcome.error}"
