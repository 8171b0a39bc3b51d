"""Progress: what the user sees of a run in the terminal that started it."""

from __future__ import annotations

import json
import threading
import time
from typing import Any, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from dasktune.board import Board
from dasktune.failure.kind import worded
from dasktune.objective import Objective
from dasktune.outcome import Outcome
from dasktune.plan import Plan
from dasktune.screen import draw, duration, values_text


class Progress:
    """Keeps the board of a run from its events; the base of all displays, shows nothing.

    Parameters
    ----------
    objective : Objective
        For the best so far.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.plan: Plan | None = None
        self.board: Board | None = None
        self._lock = threading.RLock()  # events come from several threads, and one draws

    def __call__(self, event: dict[str, Any]) -> None:
        """Take an event."""
        with self._lock:
            if event["event"] == "plan":
                self.plan = event["plan"]
                self.board = Board.of(event["plan"], self.objective, "", "", time.time())
            elif self.board is not None:
                if event["event"] == "rung":
                    self.plan = event["plan"]
                self.board.take(event, time.time())
            self.show(event)

    def waiting(self) -> int:
        """Count the trials that have not ended."""
        counts = self.board.counts() if self.board is not None else {}
        return counts.get("waiting", 0) + counts.get("running", 0)

    def show(self, event: dict[str, Any]) -> None:
        """Show an event; the base shows nothing."""

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        return None


class Lines(Progress):
    """One plain line an event, for pipes and logs.

    Parameters
    ----------
    objective : Objective
        For the best so far.
    stream : file
        Where the lines go.
    trace : bool
        ``--trace``: tell why each target is made.
    """

    def __init__(self, objective: Objective, stream: TextIO, *, trace: bool = False) -> None:
        super().__init__(objective)
        self._stream = stream
        self._trace = trace
        self._todo = self._ended_trials = 0

    def show(self, event: dict[str, Any]) -> None:
        """Write the line of an event, if it has one."""
        text = self._line(event)
        if text:
            print(text, file=self._stream, flush=True)

    def _line(self, event: dict[str, Any]) -> str:
        kind = event["event"]
        if kind == "plan":
            self._todo = sum(t.spec is not None for t in event["plan"].to_run())
        if kind == "rung":
            self._todo = self._ended_trials + self.waiting()
        if kind == "cluster" and event["dashboard"]:
            return f"dashboard  {event['dashboard']}"
        if kind == "started":
            target = self.plan.targets.get(event["target"]) if self.plan else None
            if self._trace and target is not None:
                return f"{target.verb}  due to: {target.reason}"
        if kind in ("note", "jobs"):
            return f"dasktune: {event['text']}"
        if kind == "finished":
            return self._ended(event["outcome"])
        return ""

    def _ended(self, outcome: Outcome) -> str:
        if self.plan is None or outcome.target not in self.plan.targets:
            return ""
        target = self.plan.targets[outcome.target]
        self._ended_trials += target.spec is not None
        count = outcome.target if target.spec is None else f"{self._ended_trials}/{self._todo}"
        verb = target.verb
        if outcome.status == "failed":
            return f"[{count}] FAILED {verb}  {worded(outcome.failure, outcome.error)}"
        if outcome.status == "interrupted":
            return f"[{count}] left at its checkpoint: {verb}"
        if outcome.status == "stopped":
            return f"[{count}] {verb}  {outcome.error}"
        if not outcome.made:
            return f"[{count}] {verb}  unchanged"
        value = values_text(self.objective, outcome.values or [outcome.value])
        return "  ".join(filter(None, (f"[{count}] {verb}", value, duration(outcome.seconds))))


class JsonLines(Progress):
    """One JSON object an event, for programs."""

    def __init__(self, objective: Objective, stream: TextIO) -> None:
        super().__init__(objective)
        self._stream = stream

    def show(self, event: dict[str, Any]) -> None:
        """Write an event."""
        if event["event"] == "kept":
            return
        if event["event"] == "plan":
            event = {"event": "plan", **event["plan"].to_json()}
            event.pop("targets")
        elif event["event"] == "rung":
            parents = {trial: origin["trial"] for trial, origin in event["origins"].items()}
            rung = {"event": "rung", "budget": event["budget"], "trials": list(event["trials"])}
            event = {**rung, "parents": parents} if parents else rung
        elif event["event"] == "finished":
            outcome: Outcome = event["outcome"]
            event = {"event": "finished", **outcome.__dict__}
        print(json.dumps(event, default=str), file=self._stream, flush=True)


class Display(Progress):
    """One live display: stages with counts, running trials, best so far, time left.

    Parameters
    ----------
    objective : Objective
        For the best so far.
    console : rich.console.Console
        The terminal.
    """

    def __init__(self, objective: Objective, console: Console) -> None:
        super().__init__(objective)
        self._console = console
        self._live = Live(
            console=console, get_renderable=self.render, refresh_per_second=4, transient=True
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def show(self, event: dict[str, Any]) -> None:
        """Keep the display going, and print what is to stay above it."""
        if event["event"] == "plan" and self.plan is not None and not self.plan.up_to_date:
            self._live.start()
        elif event["event"] == "note":
            self._console.print(f"dasktune: {event['text']}", style="yellow", highlight=False)
        elif event["event"] == "finished" and event["outcome"].status in ("failed", "stopped"):
            outcome: Outcome = event["outcome"]
            word = (f"{outcome.status} ", "bold red" if outcome.status == "failed" else "yellow")
            what = worded(outcome.failure, outcome.error)
            self._console.print(Text.assemble(word, outcome.target, "  ", what))

    def render(self) -> Group:
        """Draw the display."""
        with self._lock:
            return (
                Group()
                if self.board is None
                else draw(self.board, time.time(), self._console.width)
            )
