"""The pace: how long trials that were trained in this process went on before they could be left.

A worker whose time is almost over starts no trial that can neither end nor come to a checkpoint
in what is left. What it has measured itself decides: a worker that has trained nothing yet starts
one in any case, so that each of them gets on.
"""

from __future__ import annotations

import statistics
from collections import deque

_seconds: deque[float] = deque(maxlen=9)


def note(seconds: float, epochs: int, *, checkpoints: bool) -> None:
    """Take how long a training took.

    Parameters
    ----------
    seconds : float
        From its start, with all that comes before the first epoch.
    epochs : int
        How many epochs it trained in that time; nothing is learnt from one without any.
    checkpoints : bool
        Whether it could have been left after each of them.
    """
    if epochs > 0:
        _seconds.append(seconds / epochs if checkpoints else seconds)


def needed() -> float:
    """Give the seconds that another trial needs until it can be left, as far as is known."""
    return statistics.median(_seconds) if _seconds else 0.0


def forget() -> None:
    """Forget what was measured, for a worker that starts in a process of others."""
    _seconds.clear()
