"""Tracking: a run's events on their way to trackers, which can neither slow nor stop it.

Events go into a queue, and a thread hands them over. A tracker that raises is told of once and
given up; for one that is slow, reports are left out once many wait. The stamps hold everything
in any case.
"""

from __future__ import annotations

import logging
import math
import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from dasktune.curve import thin
from dasktune.errors import DasktuneError
from dasktune.outcome import Outcome
from dasktune.plan import Plan
from dasktune.store import Store
from dasktune.trackers.tracker import Tracker
from dasktune.watch import Observer

MOST_WAITING = 20_000
"""Events that may wait for a tracker; then reports are left out."""
FLUSH_EVERY = 2.0
"""Seconds after which trackers write what they have."""
START = 30.0
"""Seconds that a run which is over waits for them to be there: they are imported beside it."""
FAREWELL = 10.0
"""Seconds that trackers may take when the run is over."""

log = logging.getLogger("dasktune.tracking")


class Tracking:
    """Hands the events of one run to trackers.

    Parameters
    ----------
    makers : mapping of str to callable
        Make the trackers, by the user's words for them. They are called in the thread, since a
        server may not answer.
    plan : Plan
        For the hyperparameters of trials.
    store : Store
        For the curves of trials that have ended, where some reports were left out on the way.
    tell : callable
        Takes a line for the user.
    """

    def __init__(
        self,
        makers: Mapping[str, Callable[[], Tracker]],
        plan: Plan,
        store: Store,
        tell: Callable[[str], None],
    ) -> None:
        self._makers = dict(makers)
        self._tell = tell
        self._trackers: dict[str, Tracker] = {}  # those that are not broken
        self._axes = {t.spec.id: dict(t.spec.axes()) for t in plan.trials() if t.spec is not None}
        self._open: dict[str, float] = {}  # since when
        self._seen: dict[str, set[int]] = {}  # epochs that were told of, by trial
        self._store = store
        self._left_out = 0
        self._waiting: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._ready = threading.Event()  # the trackers are there, or broken
        self._thread = threading.Thread(target=self._run, name="dasktune-tracking", daemon=True)
        self._thread.start()

    def __call__(self, event: dict[str, Any]) -> None:
        """Take an event; it never waits, and never raises."""
        if event["event"] not in ("started", "report", "finished", "rung"):
            return
        if event["event"] == "report" and self._waiting.qsize() > MOST_WAITING:
            self._left_out += 1
            return
        self._waiting.put({"time": time.time(), **event})

    def beside(self, observe: Observer) -> Observer:
        """Give an observer that tells both; if the other one fails, this goes on."""
        there = [observe]

        def both(event: dict[str, Any]) -> None:
            self(event)
            try:
                for one in there:
                    one(event)
            except Exception:  # a closed terminal or notebook
                there.clear()
                log.warning("the display failed; the run goes on without it", exc_info=True)

        return both

    def close(self) -> None:
        """Hand over what waits, for some seconds at most."""
        self._waiting.put(None)
        self._ready.wait(START)
        self._thread.join(FAREWELL)
        if self._thread.is_alive():
            self._tell(f"trackers did not take everything within {FAREWELL:g} s; the rest is lost")
        elif self._left_out:
            self._tell(f"{self._left_out} reports were too many for trackers; the results have all")

    def _run(self) -> None:
        for word, maker in self._makers.items():
            try:
                self._trackers[word] = maker()
            except Exception as error:
                self._give_up(word, error)
        self._ready.set()
        flushed = time.monotonic()
        event: dict[str, Any] | None = {}
        while event is not None:
            try:
                event = self._waiting.get(timeout=FLUSH_EVERY)
            except queue.Empty:
                event = {}
            if event:
                self._hand_over(event)
            if time.monotonic() - flushed > FLUSH_EVERY:
                self._each(lambda tracker: tracker.flush())
                flushed = time.monotonic()
        for trial in sorted(self._open):
            self._end(trial, "interrupted", "", time.time())
        self._each(lambda tracker: tracker.close())

    def _hand_over(self, event: dict[str, Any]) -> None:
        kind, when = event["event"], event["time"]
        if kind == "rung":
            self._axes.update(event["trials"])
        elif kind == "report":
            self._report(event["trial"], event["epoch"], event["metrics"], when)
        elif kind == "started":
            trial = event["target"].removeprefix("trained/")
            if trial in self._axes:
                self._open.setdefault(trial, when)
                self._each(lambda tracker: tracker.start(trial, self._axes[trial], when))
        elif kind == "finished":
            outcome = event["outcome"]
            trial = outcome.target.removeprefix("trained/")
            if trial not in self._axes or not (outcome.made or trial in self._open):
                return
            if trial not in self._open:  # so short that its end was told first
                self._open[trial] = when - outcome.seconds
                self._each(lambda tracker: tracker.start(trial, self._axes[trial], when))
            self._complete(trial, outcome, (self._open.pop(trial), when))
            self._end(trial, outcome.status, outcome.error, when)

    def _report(self, trial: str, epoch: int, metrics: dict[str, float], when: float) -> None:
        seen = self._seen.setdefault(trial, set())
        if trial not in self._open or epoch in seen:
            return  # a late one, or that of a worker that was lost
        seen.add(epoch)
        self._each(lambda tracker: tracker.report(trial, epoch, metrics, when))

    def _complete(self, trial: str, outcome: Outcome, times: tuple[float, float]) -> None:
        """Hand over the rows of a trial's curve that were not among the reports."""
        rows = rows_of(self._store, outcome)
        seen = self._seen.setdefault(trial, set())
        if {epoch for epoch, _ in rows} - seen:
            self._each(lambda tracker: tracker.complete(trial, rows, seen, times))
            seen.update(epoch for epoch, _ in rows)

    def _end(self, trial: str, status: str, error: str, when: float) -> None:
        self._each(lambda tracker: tracker.end(trial, status, error, when))

    def _each(self, act: Callable[[Tracker], None]) -> None:
        for word, tracker in list(self._trackers.items()):
            try:
                act(tracker)
            except Exception as error:
                del self._trackers[word]
                self._give_up(word, error)

    def _give_up(self, word: str, error: Exception) -> None:
        words = " ".join(str(error).split())[:200]
        self._tell(
            f"--track {word} failed ({type(error).__name__}: {words}); the run goes on without it"
        )


def rows_of(store: Store, outcome: Outcome) -> list[tuple[int, dict[str, float]]]:
    """Read the curve of a trial from its stamp: the finite numbers of each epoch."""
    if outcome.status != "ok":
        return []
    try:
        stamp = store.stamp(store.trained(outcome.target.removeprefix("trained/"), outcome.key))
        curve = thin(stamp.body["result"]["curve"], sys.maxsize) if stamp is not None else {}
    except (DasktuneError, OSError, KeyError, TypeError, ValueError):
        return []
    rows: dict[int, dict[str, float]] = {}
    for metric, (epochs, values) in curve.items():
        for epoch, value in zip(epochs, values, strict=True):
            if math.isfinite(value):
                rows.setdefault(epoch, {})[metric] = value
    return sorted(rows.items())
