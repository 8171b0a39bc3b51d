"""Jobs of which nobody heard: the queue did not say that it took them, or not in time.

A submission that was ended since it took too long, or that failed on its way back, may have
left a job behind. Each job has a name of its own, so that it is known when the queue lists it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dasktune.cluster.hand import Hand
from dasktune.cluster.queue import Seen, numbers_named

SECONDS = 600
"""In which the queue may still take a job."""


@dataclass
class Unheard:
    """Jobs that may have been submitted, by their name."""

    hands: dict[str, Hand] = field(default_factory=dict)

    def expect(self, hand: Hand) -> None:
        """Look out for a job from now on."""
        self.hands[hand.job.job_name] = hand

    def found(self, jobs: Mapping[str, Seen]) -> Iterator[tuple[Hand, str]]:
        """Give those that the queue lists, with their numbers, and forget those that it never did.

        Parameters
        ----------
        jobs : mapping of str to Seen
            The user's jobs, by their number.
        """
        for name, hand in list(self.hands.items()):
            numbers = numbers_named(jobs, name)
            if numbers or time.monotonic() - hand.submitted > SECONDS:
                del self.hands[name]
            if numbers:
                yield hand, numbers[0]
