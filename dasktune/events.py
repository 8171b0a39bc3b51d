"""Events on their way from a worker to the scheduler: small, few, and never in the way."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

TOPIC = "dasktune"
"""The topic under which workers log their events."""

GIVEN_UP = "dasktune-given-up"
"""The topic under which a job names those of its workers that will never come."""

MOST_ROWS = 8
"""Rows of one trial that one message holds; where there are more, every other is left out.
The stamp holds them all."""

_SLOWEST = 5.0  # seconds


def expand(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give the events that a message holds, in their order; it may be a single event."""
    if message["event"] != "events":
        yield message
        return
    for entry in message["events"]:
        if isinstance(entry, dict):
            yield entry
            continue
        trial, epoch, epochs, metrics, when = entry
        yield {
            "event": "report",
            "trial": trial,
            "epoch": epoch,
            "epochs": epochs,
            "metrics": metrics,
            "time": when,
            "device": message["device"],
        }


def packable(thing: Any) -> Any:
    """Give a thing as Dask can send it: of the plain types alone, not of those made of them."""
    if isinstance(thing, dict):
        return {str(name): packable(value) for name, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return type(thing)(packable(value) for value in thing)
    return str(thing) if isinstance(thing, str) else thing  # a StrEnum is a str, too


class Mailbox:
    """Sends the events of one run on one worker, together and in their order.

    An event that comes after a pause is sent at once. What follows waits: a report for as long
    as `every` says, a start or an end for a fifth of that.

    Parameters
    ----------
    run : str
        The run, which is told with each message: many may share a scheduler.
    send : callable
        Takes a message.
    later : callable
        ``later(seconds, function)`` calls a function in a while, from any thread.
    every : callable
        Gives the least number of seconds between two messages.
    device : callable
        Names the device that is trained on.
    """

    def __init__(
        self,
        run: str,
        send: Callable[[dict[str, Any]], None],
        later: Callable[[float, Callable[[], None]], None],
        every: Callable[[], float],
        device: Callable[[], str],
    ) -> None:
        self._run = run
        self._send = send
        self._later = later
        self._every = every
        self._device = device
        self._waiting: list[Any] = []  # events, and the rows of reports
        self._rows: Counter[str] = Counter()  # that wait, by trial
        self._sent_at = -_SLOWEST
        self._due_at = math.inf  # when a timer will send
        self._lock = threading.Lock()

    def __call__(self, event: dict[str, Any]) -> None:
        """Take an event; it never raises, since training must not fail for it."""
        try:
            report = event["event"] == "report"
            pause = min(self._every(), _SLOWEST) * (1.0 if report else 0.2)
            with self._lock:
                self._add_row(event) if report else self._add(event)
                now = time.monotonic()
                due = self._sent_at + pause
                at_once, timer = due <= now, due < self._due_at
                if not at_once and timer:
                    self._due_at = due
            if at_once:
                self.flush()
            elif timer:
                self._later(due - now, self.flush)
        except Exception:
            return

    def _add(self, event: dict[str, Any]) -> None:
        self._waiting.append({**packable(event), "time": time.time()})

    def _add_row(self, event: dict[str, Any]) -> None:
        trial = event["trial"]
        if self._rows[trial] >= MOST_ROWS:
            own = [i for i, e in enumerate(self._waiting) if isinstance(e, list) and e[0] == trial]
            for index in reversed(own[::2]):
                del self._waiting[index]
            self._rows[trial] = len(own) // 2
        self._rows[trial] += 1
        row = [event[name] for name in ("trial", "epoch", "epochs", "metrics")]
        self._waiting.append([*row, time.time()])

    def flush(self) -> None:
        """Send what waits."""
        with self._lock:
            events, self._waiting = self._waiting, []
            self._rows.clear()
            self._due_at = math.inf
            if events:
                self._sent_at = time.monotonic()
        if events:
            message = {"event": "events", "run": self._run, "events": events}
            self._send({**message, "device": self._device()})


_mailboxes: dict[tuple[str, str], Mailbox] = {}
_lock = threading.Lock()


def mailbox(run: str) -> Mailbox:
    """Give the mailbox of a run on the worker that runs the present task."""
    from distributed import get_worker

    from dasktune.provenance import device_in_use

    try:
        worker = get_worker()
    except ValueError:  # on threads, without a cluster
        return Mailbox(run, lambda _: None, lambda _, __: None, lambda: 0.0, str)

    def later(seconds: float, function: Callable[[], None]) -> None:
        worker.loop.add_callback(worker.loop.call_later, seconds, function)

    def every() -> float:
        # Dask stretches its heart-beat as a cluster grows, so that the scheduler is not flooded.
        return float(worker.periodic_callbacks["heartbeat"].callback_time) / 1000

    with _lock:
        name = (worker.address, run)
        if name not in _mailboxes:
            while len(_mailboxes) >= 8:  # of runs that are long over
                del _mailboxes[next(iter(_mailboxes))]

            def send(event: dict[str, Any]) -> None:
                worker.log_event(TOPIC, event)

            _mailboxes[name] = Mailbox(run, send, later, every, device_in_use)
        return _mailboxes[name]
