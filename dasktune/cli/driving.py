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

from dasktune.dispatch.dispatch import Dispatch
from dasktune.errors import ClusterError

LOOK_EVERY = 1.0
"""Seconds between two looks at the clock, and at whether somebody cancelled."""


@click.command(hidden=True)
@click.argument("folder")
@click.option("--seconds", type=float, help="How long the job may stay.")
@click.option("--lead", type=float, help="How much sooner it leaves.")
def drive(folder: str, seconds: float, lead: float) -> int:
    """Make what the dispatch in FOLDER asks for, until it is made or the job's time is over."""
    return _Driver(Dispatch(folder), time.monotonic() + seconds - lead).run()


class _Told(BaseException):
    """The job is to end, and no run is there to end gently."""


class _Driver:
    """The driver of a dispatch, in its job."""

    def __init__(self, dispatch: Dispatch, leave_at: float) -> None:
        self._dispatch = dispatch
        self._order = dispatch.order()
        self._leave_at = leave_at
        self._leaving = self._cancelling = False
        self._successor = ""
        self._sending: threading.Thread | None = None
        self._over = threading.Event()

    def run(self) -> int:
        """Make, and see to it that it goes on elsewhere, or is known to be over."""
        if self._dispatch.ended() is not None:
            return 0
        mine = self._mine()
        numbers = [job.number for job in self._dispatch.jobs()]
        if mine in numbers[:-1]:
            return 0  # the queue started it again, but another job goes on
        self._dispatch.begin({"host": socket.gethostname(), "pid": os.getpid(), "job": mine})
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        click.echo(f"dasktune: {now}, the driver begins as job {mine} on {socket.gethostname()}")
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._told)
        # Grid Engine's word ahead of the end, which a run takes as gently as the other.
        signal.signal(signal.SIGUSR2, lambda number, frame: signal.raise_signal(signal.SIGTERM))
        signal.signal(signal.SIGUSR1, self._leave)
        threading.Thread(target=self._watch, daemon=True).start()
        try:
            os.chdir(self._order.folder)
            code = self._make()
        except _Told:
            code = -signal.SIGTERM
        self._over.set()
        return self._conclude(code)

    def _mine(self) -> str:
        """Tell which job this is."""
        from dasktune.cluster.jobs import queue_of

        told = os.environ.get(queue_of(self._order.cluster).own, "")
        return told.partition(".")[0]

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
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        # An error while it leaves is no end: a real one comes again where it goes on.
        if code == 0 or (code > 0 and not self._leaving) or self._cancelling:
            self._dispatch.end(2 if code < 0 else code, "cancelled" if code < 0 else "")
            self._take_back()
            return 2 if code < 0 else code
        if not self._leaving:
            return 128 - code  # the queue took the job away, and may start it again
        if self._sending is not None:
            self._sending.join()
        if not self._successor:
            self._send()
        if not self._successor:
            self._dispatch.end(2, "its time is over, and the queue took no job to go on")
            return 2
        self._dispatch.leave()
        click.echo(f"dasktune: this driver's time is over; job {self._successor} goes on")
        return 0

    def _watch(self) -> None:
        while not self._over.wait(LOOK_EVERY):
            if self._dispatch.cancelled() and not self._cancelling:
                self._cancelling = True
                os.kill(os.getpid(), signal.SIGTERM)
            if time.monotonic() > self._leave_at and not self._leaving:
                os.kill(os.getpid(), signal.SIGUSR1)

    def _told(self, number: int, frame: Any) -> None:
        """End while no run goes on; a run has its own, gentle way."""
        raise _Told

    def _leave(self, number: int, frame: Any) -> None:
        """Ask for a job that goes on, and leave what trains at its checkpoints."""
        if self._leaving or self._cancelling or self._over.is_set():
            return
        self._leaving = True
        self._sending = threading.Thread(target=self._send_early)
        self._sending.start()
        signal.raise_signal(signal.SIGTERM)

    def _send_early(self) -> None:
        """Send the next job while there is time, where it can wait for this one's end."""
        from dasktune.cluster.jobs import queue_of

        mine = self._mine()
        if mine and queue_of(self._order.cluster).after(mine):
            self._send(after=mine)

    def _send(self, after: str = "") -> None:
        from dasktune.dispatch.sending import send

        for pause in (2, 5, 10, 0):
            try:
                self._successor = send(self._dispatch, ["driver"], after=after)
                return
            except ClusterError as error:
                click.echo(f"dasktune: {error}")
                time.sleep(pause)

    def _take_back(self) -> None:
        """Cancel the job that was to go on, if all is done after all."""
        if self._sending is not None:
            self._sending.join()
        if self._successor:
            from dasktune.cluster.jobs import cancel, queue_of

            with contextlib.suppress(Exception):
                cancel(queue_of(self._order.cluster), [self._successor])
