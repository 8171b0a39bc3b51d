"""Draining: this process is to leave, so what trains here is left at its next checkpoint.

A queue that preempts a job, a walltime that ends and a node that is to be rebooted all ask the
same of a worker. It is no failure: the trial goes on elsewhere, from its checkpoint.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

TIME_IS_OVER = "its time is over"
TOO_SHORT = "what is left of its time is too short for another trial"

_why = ""
_leaves_at: float | None = None
_grace = math.inf
_asked = threading.Event()
_callbacks: list[Callable[[], None]] = []
_lock = threading.Lock()


def request(why: str) -> None:
    """Ask all that trains in this process to stop at its next checkpoint.

    Parameters
    ----------
    why : str
        A few words, such as ``"SIGTERM"``; the first that came is kept.
    """
    global _why
    with _lock:
        if _asked.is_set():
            return
        _why = why
        _asked.set()
        callbacks = [*_callbacks]
    for callback in callbacks:
        callback()


def requested() -> bool:
    """Say whether this process is to leave."""
    return _asked.is_set()


def why() -> str:
    """Give the reason, or nothing."""
    return _why


def when_requested(callback: Callable[[], None]) -> Callable[[], None]:
    """Call something once if this process is asked to leave; at once if it was already.

    Returns
    -------
    callable
        Takes it back.
    """
    with _lock:
        late = _asked.is_set()
        if not late:
            _callbacks.append(callback)
    if late:
        callback()

    def forget() -> None:
        with _lock:
            if callback in _callbacks:
                _callbacks.remove(callback)

    return forget


def leave_at(moment: float | None, grace: float = math.inf) -> None:
    """Note when this process will have to leave.

    Parameters
    ----------
    moment : float or None
        By `time.monotonic`; None for never.
    grace : float
        How many seconds later it is ended, whether it has left or not.
    """
    global _leaves_at, _grace
    _leaves_at, _grace = moment, grace


def too_late_for(seconds: float) -> bool:
    """Say whether what takes so long cannot be begun any more: this process would be ended.

    Of what takes 0 seconds nothing is known, and it is never too late for that.
    """
    return seconds > 0 and seconds > seconds_left() + _grace


def seconds_left() -> float:
    """Give how long this process may still train, infinity if nothing limits it."""
    if _asked.is_set():
        return 0.0
    return float("inf") if _leaves_at is None else max(0.0, _leaves_at - time.monotonic())


def reset() -> None:
    """Forget all that was asked, for a worker that starts in a process of others."""
    global _why
    with _lock:
        _why = ""
        _asked.clear()
        _callbacks.clear()
    leave_at(None)
