"""Attendance: which workers of a run's jobs are there, are to come, leave, or are gone."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from dasktune.cluster.hand import Hand
from dasktune.cluster.supervisor import Sight
from dasktune.events import GIVEN_UP

RETURN_SECONDS = 5.0  # within which a nanny starts a worker again that has died
STAYING = ("init", "running", "paused")  # of a worker that takes new trials, or will
IDLE_SECONDS = 3.0  # that workers must have had nothing to do before they may be sent home


class Attendance:
    """Which workers of jobs are there, by their scheduler.

    Parameters
    ----------
    scheduler : distributed.Scheduler
        Knows them by their names.
    """

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler

    def addresses(self, hand: Hand) -> list[str]:
        """List the workers of a job that are there."""
        aliases = self._scheduler.aliases
        return [aliases[name] for name in hand.workers if name in aliases]

    def statuses(self, hands: Iterable[Hand]) -> list[str]:
        """Say of each worker that is there how it stands."""
        found = [self._scheduler.workers.get(a) for hand in hands for a in self.addresses(hand)]
        return [worker.status.name for worker in found if worker]

    def greet(self, hand: Hand) -> bool:
        """Note which of a job's workers have come, leave, or are gone; say if any is new."""
        before = len(hand.came)
        for name in hand.workers:
            worker = self._scheduler.workers.get(self._scheduler.aliases.get(name))
            if worker is not None:
                hand.came.add(name)
                hand.gone.pop(name, None)
                if worker.status.name not in STAYING:
                    hand.leaving.add(name)
            elif name in hand.came:
                hand.gone.setdefault(name, time.monotonic())
        return len(hand.came) > before

    def sight(self, hand: Hand) -> Sight:
        """Sum up how a job stands."""
        found = [self._scheduler.workers.get(address) for address in self.addresses(hand)]
        there = [worker for worker in found if worker is not None]
        stay = sum(worker.status.name in STAYING for worker in there)
        to_come = len({*hand.workers} - hand.came - self._given_up())
        now = time.monotonic()
        if not there or any(worker.processing for worker in there):
            hand.idle_since = None
        elif hand.idle_since is None:
            hand.idle_since = now
        for name, moment in hand.gone.items():  # its nanny may start it again
            to_come += name not in hand.leaving and now - moment < RETURN_SECONDS
        return Sight(
            hand.name,
            waiting=hand.waiting and not hand.came,
            connected=bool(there),
            # Between two steps of a run nothing is to be done for a moment, either.
            busy=hand.idle_since is None or now - hand.idle_since < IDLE_SECONDS,
            leaving=not stay + to_come,
            workers=stay + to_come,
        )

    def _given_up(self) -> set[str]:
        """Name the workers that will not come, since their own jobs have given them up."""
        return {str(name) for _, name in self._scheduler.get_events(GIVEN_UP)}
