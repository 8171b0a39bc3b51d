"""The task of a train node: all that it needs to know, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field

from dasktune.config import TrialSpec, Value
from dasktune.data import Staging
from dasktune.failure.tolerance import Tolerance


@dataclass(frozen=True)
class TrainTask:
    """All that a train node needs to know, apart from the preprocessed data's digest.

    Attributes
    ----------
    root : str
        The store's folder.
    run : str
        The run's name.
    sources : str
        Digest of the user's sources.
    code : str
        Digest of the train recipe's code.
    spec : TrialSpec
        The trial.
    variables : dict
        The train recipe's variables.
    force : bool
        Whether to train even if a result is there (``-B``).
    ignore_errors, keep_going : bool
        ``-i`` and ``-k``.
    tee : bool
        Whether what the trial prints is shown in the terminal as well.
    budget : str
        The variable that says for how many epochs to train, if a longer training goes on from a
        shorter one; else ``""``.
    searched : str
        The variable that says for how many epochs to train, if a search chooses it; else ``""``.
    origin_variables : dict or None
        The variables of the trial from whose checkpoint this one begins, if it does.
    staging : Staging
        Whether the worker reads the data from a copy on its own disk.
    tolerance : Tolerance
        How often it is tried again, and when it hangs.
    """

    root: str
    run: str
    sources: str
    code: str
    spec: TrialSpec
    variables: dict[str, Value] = field(default_factory=dict)
    force: bool = False
    ignore_errors: bool = False
    keep_going: bool = False
    tee: bool = False
    budget: str = ""
    searched: str = ""
    origin_variables: dict[str, Value] | None = None
    staging: Staging = field(default_factory=Staging)
    tolerance: Tolerance = field(default_factory=Tolerance)

    @property
    def target(self) -> str:
        """The target's name."""
        return f"trained/{self.spec.id}"
