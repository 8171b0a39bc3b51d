"""Tolerance: how long, and how often, failures are borne."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from dasktune.errors import UsageError

GIVE_UP_AFTER = 10


@dataclass(frozen=True)
class Tolerance:
    """How long, and how often, failures are borne.

    Attributes
    ----------
    retries : int
        How often a trial that raised an exception is tried again. What is no fault of the trial,
        such as a lost worker, is tried again in any case.
    trial_timeout : float
        Seconds without a report after which a trial hangs; 0 for never.
    give_up_after : int
        If the first so many trials all fail with the same exception, the sweep stops; 0 for
        never.

    Raises
    ------
    UsageError
        If one cannot be.
    """

    retries: int = 0
    trial_timeout: float = 0.0
    give_up_after: int = GIVE_UP_AFTER

    def __post_init__(self) -> None:
        for name in ("retries", "give_up_after"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise UsageError(f"{name} is a whole number of at least 0, but got {value!r}.")
        seconds = self.trial_timeout
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
            raise UsageError(f"trial_timeout is a number of seconds, but got {seconds!r}.")
        if not 0 <= seconds < math.inf:
            raise UsageError(f"trial_timeout is a number of seconds, or 0, but got {seconds!r}.")

    @classmethod
    def configured(cls, **given: Any) -> Tolerance:
        """Take what is given, and the rest from Dask's configuration, ``dasktune.retries`` etc."""
        import dask.config

        found = {}
        for name, field in cls.__dataclass_fields__.items():
            value = given.get(name)
            if value is None:
                value = dask.config.get(f"dasktune.{name.replace('_', '-')}", field.default)
            found[name] = value
        return cls(**found)
