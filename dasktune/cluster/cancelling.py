"""Cancelling a run's jobs: many by one command, and what the queue does not cancel is known."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Sequence

from dasktune.cluster.command import NoAnswer, call, refusal, unreachable
from dasktune.cluster.hand import Hand

AT_ONCE = 100
"""Jobs that one command cancels."""


async def cancelled(hands: Sequence[Hand], tell: Callable[[str], None]) -> list[Hand]:
    """Cancel jobs, and give those that the queue has cancelled.

    Parameters
    ----------
    hands : sequence of Hand
        The jobs.
    tell : callable
        Takes what the user is to know.
    """
    some = [hands[first : first + AT_ONCE] for first in range(0, len(hands), AT_ONCE)]
    done = await asyncio.gather(*(_cancelled(few, tell) for few in some))
    return [hand for few in done for hand in few]


async def _cancelled(hands: Sequence[Hand], tell: Callable[[str], None]) -> Sequence[Hand]:
    numbers = [hand.job.job_id for hand in hands]
    try:
        await call([*shlex.split(hands[0].job.cancel_command), *numbers])
    except (RuntimeError, OSError) as error:
        silent = isinstance(error, NoAnswer) or unreachable(refusal(str(error)))
        if silent and not all(hand.spared for hand in hands):
            tell(f"the queue has not cancelled {', '.join(numbers)} ({refusal(str(error))})")
        for hand in hands:
            # One of them may be over, which is an error to some queues.
            hand.spared, hand.over = True, not silent
        return []
    return hands
