"""The watch over a run: takes its events, keeps its board, and tells all who want to know.

Nobody who watches can slow or stop a run: displays are given events one at a time under a lock
that no worker waits for, and their failures end the display, not the run.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dasktune.board import Board
from dasktune.curve import thin
from dasktune.errors import DasktuneError
from dasktune.events import TOPIC, expand, packable
from dasktune.job import outcome_of
from dasktune.objective import Objective
from dasktune.outcome import Outcome
from dasktune.plan import Plan, State
from dasktune.runfolder import RunFolder
from dasktune.sofar import SoFar
from dasktune.store import Store

if TYPE_CHECKING:
    from distributed import Client

Observer = Callable[[dict[str, Any]], None]
"""Takes the events of a run, one by one: ``plan``, ``cluster``, ``started``, ``report``,
``resumed``, ``rung``, ``kept``, ``finished`` (with an `Outcome`), ``note``, ``jobs``, ``over``."""

log = logging.getLogger("dasktune.watch")

MEMORY_TOPIC = "worker-restart-memory"
"""Dask's own topic for workers that hold more memory than they may."""

TELL_EVERY = 1.0
"""Seconds between two looks at whether there is news to write."""
CURVES_EVERY = 3.0
"""Seconds between two times that the curves of the trials in training are written."""
BEAT_EVERY = 10.0
"""Seconds after which the file is written anew though there is none: the driver is alive."""
_RELAYED = ("ended", "kept", "over", "rung")  # what only the driver knows, or knows for certain
_KEPT_AT_A_TIME = 200
_KEPT_POINTS = 32
_KEPT_CURVES = 2000  # of so many kept trials at most the curves are told as well


class Watch:
    """Follows one run.

    Parameters
    ----------
    board : Board
        Its board.
    plan : Plan
        Its plan.
    folder : RunFolder
        Its folder, where how it stands is told to who cannot reach the cluster.
    observe : callable
        Takes the events.
    """

    def __init__(self, board: Board, plan: Plan, folder: RunFolder, observe: Observer) -> None:
        self.board = board
        self._plan = plan
        self._folder = folder
        self._observe: Observer | None = observe
        self._lock = threading.RLock()
        self._told: set[str] = set()  # targets whose end was told
        self._ends: set[tuple[str, str]] = set()  # the same with their keys, one a budget
        self._client: Client | None = None
        self._missed: list[dict[str, Any]] = []  # what the page is told once there is one
        self._news = True
        self._curves = SoFar()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tell, name="dasktune-watch", daemon=True)

    def __call__(self, event: dict[str, Any]) -> None:
        """Take an event of this process."""
        with self._lock:
            taken = self._take(event)
        if taken:  # not under the lock, for which the client's own thread may be waiting
            self._relay(event)

    def from_scheduler(self, message: dict[str, Any]) -> None:
        """Take a message that a worker logged; those of other runs are not ours."""
        ours = self.board.run
        if not isinstance(message, dict) or message.get("run", ours) != ours:
            return
        if message["event"] in (*_RELAYED, "announced"):
            return  # our own words, which the scheduler tells to all who listen
        with self._lock:
            for event in expand(message):
                self._take(event)

    def _take(self, event: dict[str, Any]) -> bool:
        if event["event"] == "ended":
            event = {"event": "finished", "outcome": Outcome(**event["outcome"])}
        if event["event"] == "finished":
            # A worker's word of a rung may come when the driver has gone on to the next one.
            end = (event["outcome"].target, event["outcome"].key)
            if end[0] in self._told or (end[1] and end in self._ends):
                return False
            self._told.add(end[0])
            self._ends.add(end)
        elif event["event"] == "rung":
            self._told.difference_update(f"trained/{trial}" for trial in event["trials"])
        elif event.get("target", "") in self._told:
            return False
        self.board.take(event, time.time())
        self._curves.take(event)
        self._news = True
        if self._observe is not None:
            try:
                self._observe(event)
            except Exception:
                # A closed terminal or notebook; the run goes on.
                log.warning("the display failed; the run goes on without it", exc_info=True)
                self._observe = None
        return True

    def _relay(self, event: dict[str, Any]) -> None:
        """Tell the scheduler's page what only this process knows."""
        if event["event"] == "finished":
            event = {"event": "ended", "outcome": packable(asdict(event["outcome"]))}
        if event["event"] not in _RELAYED:
            return
        if event["event"] == "rung":
            event = {k: v for k, v in event.items() if k != "plan"}
        with self._lock:
            client = self._client
            if client is None:
                if event["event"] == "kept":
                    self._missed.append(event)
                return
        with contextlib.suppress(Exception):
            client.log_event(TOPIC, {**event, "run": self.board.run})

    def attach(self, client: Client) -> None:
        """Put the page into the scheduler's dashboard, and follow what the workers tell."""
        link = client.dashboard_link
        if link and add_page(client):
            link = f"{link.removesuffix('/status')}/dasktune"
        self({"event": "cluster", "dashboard": link})
        with self._lock:
            announced = {"event": "announced", "board": self.board.to_json(), "client": client.id}
        with contextlib.suppress(Exception):
            client.log_event(TOPIC, {**announced, "run": self.board.run})
        with self._lock:
            self._client, missed, self._missed = client, self._missed, []
        for event in missed:
            self._relay(event)
        client.subscribe_topic(TOPIC, lambda event: self.from_scheduler(event[1]))
        client.subscribe_topic(MEMORY_TOPIC, lambda event: self._limited(event[1]))

    def _limited(self, message: dict[str, Any]) -> None:
        """Note that a nanny of Dask's ended its worker, which held too much memory."""
        with contextlib.suppress(OSError, KeyError, TypeError):
            words = "it held more memory than Dask allows a worker"
            self._folder.note_death(
                f"limit-{message['pid']}", {"pid": message["pid"], "memory": words}
            )

    def end(self) -> None:
        """Tell that the run is over, and let go of the cluster."""
        if not self.board.over:
            self({"event": "over", "how": "ended"})
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                client.unsubscribe_topic(TOPIC)
                client.unsubscribe_topic(MEMORY_TOPIC)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.end()
        self._ended.set()
        self._thread.join(timeout=10)

    def _tell(self) -> None:
        """Write how the run stands, as seldom as is enough; first look at what was kept."""
        self._tell_once()
        self._read_kept()
        last = curves = time.monotonic()
        while not self._ended.wait(TELL_EVERY):
            if self._news or time.monotonic() - last > BEAT_EVERY:
                self._tell_once()
                last = time.monotonic()
            if self._curves and time.monotonic() - curves > CURVES_EVERY:
                with self._lock:
                    known = self._curves.to_json()
                self._folder.tell_curves(known)
                curves = time.monotonic()

    def _tell_once(self) -> None:
        with self._lock:
            self._news = False
            live = self.board.to_json(only_running=True)
        self._folder.tell({**live, "host": socket.gethostname(), "pid": os.getpid()})

    def _read_kept(self) -> None:
        kept = [t for t in self._plan.trials() if t.state is State.DONE and t.outcome is not None]
        store, points = Store(self.board.root), _KEPT_POINTS if len(kept) <= _KEPT_CURVES else 0
        for start in range(0, len(kept), _KEPT_AT_A_TIME):
            if self._ended.is_set():
                return
            some = kept[start : start + _KEPT_AT_A_TIME]
            outcomes = [t.outcome for t in some if t.outcome is not None]
            known = dict(_known(store, outcomes, self.board.objective, points))
            self({"event": "kept", "trials": known})


def _known(
    store: Store, outcomes: Sequence[Outcome], objective: Objective, points: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read what is known of trials that were trained earlier: values, cost, a thinned curve.

    The values are looked up in the curve: the objective may have been another one then.
    """
    for outcome in outcomes:
        trial = outcome.target.removeprefix("trained/")
        try:
            stamp = store.stamp(store.trained(trial, outcome.key))
            assert stamp is not None
            curve = stamp.body["result"]["curve"]
            known = outcome_of(stamp, made=False, objective=objective)
            yield (
                trial,
                {
                    "value": known.value,
                    "values": list(known.values),
                    "seconds": stamp.seconds,
                    "epochs": curve["epochs"],
                    "curve": thin(curve, points) if points else {},
                },
            )
        except (DasktuneError, AssertionError, OSError, KeyError, TypeError, ValueError):
            continue


def add_page(client: Client) -> bool:
    """Add the ``dasktune`` page to the dashboard of a running scheduler, and to its menu.

    Parameters
    ----------
    client : distributed.Client
        Of any cluster, such as one that dask-jobqueue started.

    Returns
    -------
    bool
        Whether the page is there; not if the scheduler has no dashboard or no dasktune.
    """
    try:
        from dasktune.dashboard.plugin import NAME, Dashboard

        client.register_plugin(Dashboard(), name=NAME)
        return bool(client.run_on_scheduler(_has_page))
    except Exception as error:
        log.info("the scheduler's dashboard has no page for dasktune: %s", error)
        return False


def _has_page(dask_scheduler: Any) -> bool:
    from dasktune.dashboard.plugin import NAME

    return bool(getattr(dask_scheduler.plugins.get(NAME), "mounted", False))
