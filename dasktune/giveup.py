"""Giving up: a sweep whose first trials all fail for one and the same reason is broken. Pure."""

from __future__ import annotations

from dasktune.failure.kind import Kind
from dasktune.outcome import Outcome


class GiveUp:
    """Looks at how the first trials end.

    Parameters
    ----------
    after : int
        If the first so many all fail with the same exception, there is no hope; 0 for never.
    """

    def __init__(self, after: int) -> None:
        self._left = after
        self._after = after
        self._cause = ""

    def take(self, outcome: Outcome) -> str:
        """Take how a trial ended; give why there is no hope, as soon as there is none."""
        if not self._left or outcome.status not in ("ok", "failed"):
            return ""
        same = outcome.cause and self._cause in ("", outcome.cause)
        if outcome.status == "ok" or not same or outcome.failure in _NO_FAULT_OF_ALL:
            self._left = 0
            return ""
        self._cause = outcome.cause
        self._left -= 1
        if self._left:
            return ""
        return (
            f"the first {self._after} trials all failed with {self._cause}, so the others were "
            "not tried; --give-up-after 0 tries them all"
        )


_NO_FAULT_OF_ALL = (Kind.LOST, Kind.PREEMPTED, Kind.TIME)
"""Kinds that say something of the cluster, and nothing of the code."""
