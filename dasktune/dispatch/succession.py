"""Succession: who goes on where the queue takes away a job of an array that was to end it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import Any, Self

from dasktune.dispatch.dispatch import Dispatch, Role
from dasktune.dispatch.hearing import Hearing

_SIGNALS = (signal.SIGTERM, signal.SIGUSR2)
"""Those by which a queue takes a job away; the second is Grid Engine's word ahead of the end."""


class TakenAway(BaseException):
    """The job is to end, and nothing is made that would end gently."""


class Succession:
    """Sees to it that a job's part is done by another one, if the queue takes it away.

    Parameters
    ----------
    dispatch : Dispatch
        What it belongs to.
    role : Role
        What it does.
    job : str
        Its number.
    until : float
        When its time is over, as `time.monotonic` tells it.
    tell : callable
        Takes what is worth a line.

    Attributes
    ----------
    why : str
        Why the sweep is over with this job; empty if it is not.
    """

    def __init__(
        self, dispatch: Dispatch, role: Role, job: str, until: float, tell: Callable[[str], None]
    ) -> None:
        self._dispatch = dispatch
        self._role = role
        self._job = job
        self._until = until
        self._tell = tell
        self._hearing = Hearing()
        self._successor = ""
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self.why = ""

    def __enter__(self) -> Self:
        """Begin to listen."""
        from dasktune.dispatch.sending import make_ready

        make_ready(self._dispatch)
        for number in _SIGNALS:
            signal.signal(number, self._told)
        self._hearing.begin()
        self._listening.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Listen no more."""
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        self._hearing.end()
        self._listening.join()  # it may still be sending

    def take_back(self) -> None:
        """Cancel the job that was to go on: this one has done its part after all."""
        from dasktune.cluster.jobs import cancel, queue_of

        if self._successor:
            cancel(queue_of(self._dispatch.order().cluster), [self._successor])

    def _told(self, number: int, frame: Any) -> None:
        """End what is not made by a run, which has its own, gentle way for the first signal."""
        if number == signal.SIGUSR2:
            signal.raise_signal(signal.SIGTERM)
            return
        raise TakenAway

    def _listen(self) -> None:
        over = False
        while not over:
            over, heard = self._hearing.wait()
            if heard & {*_SIGNALS}:
                self._go_on_elsewhere()
                return

    def _go_on_elsewhere(self) -> None:
        """Ask the queue why, and do what follows, while there is time."""
        from dasktune.cluster.jobs import fate, queue_of
        from dasktune.dispatch.sending import send_patiently

        found = fate(queue_of(self._dispatch.order().cluster), self._job) if self._job else ""
        if found == "cancelled":
            self.why = f"job {self._job} was cancelled in the queue"
        elif found == "driven out" and time.monotonic() > self._until:
            self.why = "its last job's time was over; give it a longer driver-walltime"
        elif found == "driven out" and self._role == "finish":  # the first one's is noticed by it
            last = self._dispatch.jobs()[-1]
            if last.role == "finish" and last.number != self._job:
                return  # it has sent another array
            try:
                self._successor = send_patiently(
                    self._dispatch, ("finish",), self._tell, after=last.number, until=self._until
                )
            except Exception as error:  # whatever it was, it is not this job's end
                self._tell(str(error))
            else:
                self._tell(f"this job was driven out; job {self._successor} goes on")
