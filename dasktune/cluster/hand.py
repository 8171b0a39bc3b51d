"""A job of a run: what is known of it, by its queue and by the scheduler."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dasktune.cluster.queue import Seen

MISSES = 2  # looks, one after another, in which a queue does not know a job, until it is over


@dataclass
class Hand:
    """A job of ours."""

    name: str
    job: Any
    workers: tuple[str, ...]  # their names
    waiting: bool = True
    reason: str = ""
    came: set[str] = field(default_factory=set)  # its workers that have been there,
    leaving: set[str] = field(default_factory=set)  # that take nothing new,
    gone: dict[str, float] = field(default_factory=dict)  # and that are gone, since when
    missed: int = 0  # looks in which the queue did not know it
    idle_since: float | None = None  # none of its workers has had anything to do
    running_since: float | None = None
    gone_since: float | None = None
    told_silent: bool = False
    retired: bool = False  # by us
    spared: bool = False  # by the queue, which was to cancel it
    over: bool = False  # or it refused since there was nothing to cancel any more
    restarts: int = 0  # of the job, by the queue
    ended: bool = False  # how, was noted
    submitted: float = field(default_factory=time.monotonic)

    def see(self, seen: Seen) -> range:
        """Note that the queue lists it.

        Returns
        -------
        range
            Which of its starts have come to an end since the last look, each told by its number:
            the queue has started it once more since, or is to.
        """
        self.lives()
        waits = seen.waiting and not seen.suspended
        restarts = seen.restarts
        if restarts is None:
            restarts = self.restarts + (waits and self.running_since is not None)
        over = self.restarted(restarts)
        self.waiting, self.reason = seen.waiting, seen.reason
        if waits or over:
            self.running_since = None
        if not seen.waiting and self.running_since is None:
            self.running_since = time.monotonic()
        return over

    def restarted(self, times: int) -> range:
        """Note how often it was started again, and give which of its starts are over by that."""
        before, self.restarts = self.restarts, max(self.restarts, times)
        return range(before, self.restarts)

    def lives(self) -> None:
        """Note that it is not over, whatever a listing has lacked before."""
        self.missed, self.gone_since, self.ended = 0, None, False

    def miss(self) -> bool:
        """Note that the queue did not list it, and say whether that is enough.

        One listing may lack a job that it has just taken, or one that runs.
        """
        self.missed += 1
        return self.missed >= MISSES


def worded(there: int, hands: Sequence[Hand]) -> str:
    """Tell in words how many workers are there, and what the jobs of others wait for."""
    waiting = [hand for hand in hands if hand.waiting and not hand.came]
    reasons = sorted({hand.reason for hand in waiting if hand.reason})
    text = _count(there, "worker")
    if waiting:
        verb = "wait" if len(waiting) > 1 else "waits"
        text += f", {_count(len(waiting), 'job')} {verb} in the queue"
        text += f" ({', '.join(reasons)})" if reasons else ""
    return text


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
