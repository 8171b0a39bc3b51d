"""``drive``: what the job of a dispatch runs. It is hidden, since nobody types it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from typing import Any

import click

from dasktune.attempt import job_of_environment
from dasktune.dispatch.dispatch import Dispatch
from dasktune.dispatch.hearing import Hearing
from dasktune.dispatch.standstill import Standstill
from dasktune.errors import DasktuneError

LOOK_EVERY = 1.0
"""Seconds between two looks at the clock, and at whether somebody cancelled."""


@click.command(hidden=True)
@click.argument("folder")
@click.option("--seconds", type=float, help="How long the job may stay.")
@click.option("--lead", type=float, help="How much sooner it leaves.")
def drive(folder: str, seconds: float, lead: float) -> int:
    """Make what the dispatch in FOLDER asks for, until it is made or the job's time is over."""
    from dasktune.cluster.walltime import seconds_left

    leave_at = time.monotonic() + seconds_left(seconds - lead, lead)
    return _Driver(Dispatch(folder), leave_at, lead).run()


class _Told(BaseException):
    """The job is to end, and no run is there to end gently."""


class _Driver:
    """The driver of a dispatch, in its job."""

    def __init__(self, dispatch: Dispatch, leave_at: float, lead: float = 0.0) -> None:
        self._dispatch = dispatch
        self._order = dispatch.order()
        self._leave_at = leave_at
        self._end_at = leave_at + lead
        self._leaving = False
        self._told_before = False  # to end, by whoever it was
        self._deaf = False  # to who tells it once more
        self._cancelling = ""  # why
        self._why = "this driver's time is over"
        self._successor = ""
        self._sending: threading.Thread | None = None
        self._over = threading.Event()
        self._hearing = Hearing()

    def run(self) -> int:
        """Make, and see to it that it goes on elsewhere, or is known to be over."""
        from dasktune.cluster.claim import claim
        from dasktune.dispatch.sending import make_ready

        if self._dispatch.ended() is not None:
            return 0
        mine = self._mine()
        if not self._dispatch.knows(mine):
            _echo(f"job {mine} is an old copy, which the queue took after it was given up")
            return 0
        numbers = [job.number for job in self._dispatch.jobs()]
        if mine in numbers[:-1]:
            return 0  # the queue started it again, but another job goes on
        try:
            claim()  # for the workers, if they are to be in this very job
        except DasktuneError as error:
            self._dispatch.end(error.exit_code, str(error))
            raise
        about = {"host": socket.gethostname(), "pid": os.getpid(), "job": mine}
        self._dispatch.begin(about)
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        click.echo(f"dasktune: {now}, the driver begins as job {mine} on {socket.gethostname()}")
        make_ready(self._dispatch)
        # The workers of others wait in the queue, and that is no standstill.
        whole = self._order.kind == "whole"
        if whole and (why := Standstill(self._dispatch).begin(job_of_environment())):
            _echo(why)
            self._dispatch.end(2, why)
            return 2
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._told)
        # Grid Engine's word ahead of the end, which a run takes as gently as the other.
        signal.signal(signal.SIGUSR2, lambda number, frame: signal.raise_signal(signal.SIGTERM))
        signal.signal(signal.SIGUSR1, self._stop)
        # A run has handlers of its own, but what comes is heard here as well, and at once.
        self._hearing.begin()
        watching = threading.Thread(target=self._watch, daemon=True)
        watching.start()
        try:
            os.chdir(self._order.folder)
            code = self._make()
        except _Told:
            code = -signal.SIGTERM
        self._over.set()
        self._hearing.end()
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        watching.join()  # it may still be asking the queue why
        if self._dispatch.cancelled():
            self._cancelling = self._cancelling or "cancelled"
        told = self._dispatch.driver() or about
        if any(told.get(key) != about[key] for key in about):
            click.echo("dasktune: another driver goes on; this one is the old copy")
            return 0
        return self._conclude(code)

    def _mine(self) -> str:
        """Tell which job this is."""
        from dasktune.cluster.jobs import queue_of

        return queue_of(self._order.cluster).number(os.environ)

    def _make(self) -> int:
        from dasktune.cli import execute

        order = self._order
        words = ["make", *order.words, "--cluster", order.inside, "--sources", order.sources]
        if order.inside == order.cluster:
            for key, value in order.settings.items():
                words += ["-O", f"{key}={value}"]
        return execute(words)

    def _conclude(self, code: int) -> int:
        """Tell what became of it, and cancel or send the job that is to go on."""
        # An error while it leaves is no end: a real one comes again where it goes on.
        if code == 0 or (code > 0 and not self._leaving) or self._cancelling:
            why = (self._cancelling or "cancelled") if code < 0 else ""
            self._dispatch.end(2 if code < 0 else code, why)
            self._take_back()
            return 2 if code < 0 else code
        if not self._leaving:
            return 128 - code  # the queue took the job away, and may start it again
        if self._sending is not None:
            self._sending.join()
        if not self._successor:
            self._send()
        if not self._successor:
            self._dispatch.end(2, f"{self._why}, and the queue took no job to go on")
            return 2
        self._dispatch.leave()
        click.echo(f"dasktune: {self._why}; job {self._successor} goes on")
        return 0

    def _watch(self) -> None:
        """Look at the clock, at whether somebody cancelled, and at what the queue says."""
        over = False
        while not over:
            over, heard = self._hearing.wait(LOOK_EVERY)
            late = not over and time.monotonic() > self._leave_at
            if self._dispatch.cancelled() and not self._cancelling:
                self._cancelling = "cancelled"
                if not (self._leaving or self._told_before):  # the second word would kill it
                    os.kill(os.getpid(), signal.SIGTERM)
            elif heard & {signal.SIGTERM, signal.SIGUSR2} and not self._cancelling:
                self._told_before = True
                self._ask_why()
            elif (late or signal.SIGUSR1 in heard) and not (self._leaving or self._cancelling):
                self._leave()

    def _ask_why(self) -> None:
        """Ask the queue why it ends this job, while the run stops: another may have to go on."""
        from dasktune.cluster.jobs import fate, queue_of

        mine = self._mine()
        found = fate(queue_of(self._order.cluster), mine) if mine else ""
        if found == "cancelled":
            self._cancelling = f"job {mine} was cancelled in the queue"
            if self._leaving:  # or the next one might come up before this one has said so
                self._dispatch.end(2, self._cancelling)
        elif found == "driven out" and not self._leaving:
            self._why = "this driver was driven out"
            Standstill(self._dispatch).excuse(job_of_environment())
            self._leave()
        elif found == "again":
            Standstill(self._dispatch).excuse(job_of_environment())

    def _told(self, number: int, frame: Any) -> None:
        """End while no run goes on; a run has its own, gentle way."""
        if not self._deaf:
            raise _Told

    def _leave(self) -> None:
        """Ask for a job that goes on, and leave what trains at its checkpoints."""
        self._leaving = True
        self._sending = threading.Thread(target=self._send_early)
        self._sending.start()
        os.kill(os.getpid(), signal.SIGUSR1)

    def _stop(self, number: int, frame: Any) -> None:
        """Stop what is being made, gently, and heed no further word: it would kill it."""
        if self._deaf or self._over.is_set():
            return
        self._deaf = True
        stop = signal.signal(signal.SIGTERM, self._told)
        if self._told_before:
            return  # it stops already
        if stop == self._told:
            raise _Told
        stop(signal.SIGTERM, frame)  # type: ignore[operator,misc]

    def _send_early(self) -> None:
        """Send the next job while there is time, where it can wait for this one's end."""
        from dasktune.cluster.jobs import queue_of

        mine = self._mine()
        if mine and queue_of(self._order.cluster).after(mine):
            self._send(after=mine)

    def _send(self, after: str = "") -> None:
        from dasktune.dispatch.sending import send_patiently

        try:
            self._successor = send_patiently(
                self._dispatch, ["driver"], _echo, after=after, until=self._end_at
            )
        except Exception as error:
            _echo(str(error))

    def _take_back(self) -> None:
        """Cancel the job that was to go on, if all is done after all."""
        if self._sending is not None:
            self._sending.join()
        if self._successor:
            from dasktune.cluster.jobs import cancel, queue_of

            with contextlib.suppress(Exception):
                cancel(queue_of(self._order.cluster), [self._successor])


def _echo(text: str) -> None:
    click.echo(f"dasktune: {text}")
