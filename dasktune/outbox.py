"""The outbox of a worker: small events on their way to whoever watches, a few messages a second."""

from __future__ import annotations

import threading
import time
import weakref
from typing import Any

TOPIC = "dasktune"
"""The topic under which workers log their events."""

EVERY = 0.1
"""Seconds between two messages of a worker."""


class Outbox:
    """Collects events, and sends them together.

    An event that comes after a pause is sent at once. Of several reports of one trial the last
    is sent. All that was told before the end of a node is on its way within `EVERY`.

    Parameters
    ----------
    worker : distributed.Worker
        Sends them.
    """

    def __init__(self, worker: Any) -> None:
        self._worker = weakref.proxy(worker)
        self._lock = threading.Lock()
        self._waiting: dict[Any, dict[str, Any]] = {}
        self._count = 0
        self._sent_at = 0.0
        self._due = False

    def put(self, event: dict[str, Any]) -> None:
        """Take an event."""
        report = event["event"] == "report"
        with self._lock:
            self._count += 1
            self._waiting[event["trial"] if report else self._count] = event
            wait = self._sent_at + EVERY - time.monotonic()
            if self._due:
                return
            self._due = wait > 0
        if wait > 0:
            self._worker.loop.add_callback(self._worker.loop.call_later, wait, self.send)
        else:
            self.send()

    def send(self) -> None:
        """Send what has been collected."""
        with self._lock:
            events, self._waiting = list(self._waiting.values()), {}
            self._sent_at, self._due = time.monotonic(), False
        if events:
            self._worker.log_event(TOPIC, events)


_outboxes: weakref.WeakKeyDictionary[Any, Outbox] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def outbox_of(worker: Any) -> Outbox:
    """Give the outbox of a worker."""
    with _lock:
        if worker not in _outboxes:
            _outboxes[worker] = Outbox(worker)
        return _outboxes[worker]
