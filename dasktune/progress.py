"""Progress: what the user sees while a sweep runs."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from dasktune.objective import Objective
from dasktune.outcome import Outcome
from dasktune.plan import Plan, State


def duration(seconds: float) -> str:
    """Write a duration for people: ``"0.8 s"``, ``"12 s"``, ``"3 min 20 s"``, ``"2 h 05 min"``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


class Progress:
    """Keeps count of a run from its events; the base of all displays.

    Parameters
    ----------
    objective : Objective
        For the best so far.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.plan: Plan | None = None
        self.dashboard = ""
        self.outcomes: dict[str, Outcome] = {}
        self.running: dict[str, dict[str, Any]] = {}
        self.best: Outcome | None = None
        self._left: set[str] = set()  # the trials that have not ended
        self._todo = 0
        self._made = 0
        self._statuses: Counter[str] = Counter()
        self.started = time.monotonic()

    def __call__(self, event: dict[str, Any]) -> None:
        """Take an event."""
        kind = event["event"]
        if kind == "plan":
            self.plan = event["plan"]
            self._left = {t.name for t in event["plan"].to_run() if t.spec}
            self._todo = len(self._left)
        elif kind == "cluster":
            self.dashboard = event["dashboard"]
        elif kind == "started":
            if event["target"] not in self.outcomes:
                self.running[event["target"]] = {"since": time.monotonic(), **event}
        elif kind in ("report", "resumed"):
            row = self.running.get(f"trained/{event['trial']}")
            if row is not None:
                row.update(event)
        elif kind == "ended":  # a trial of a group, which ends before the group's node does
            event = {"event": "finished", "outcome": Outcome(**event["outcome"])}
            self._finish(event["outcome"])
        elif kind == "finished":
            if event["outcome"].target in self.outcomes:
                return  # told already
            self._finish(event["outcome"])
        self.show(event)

    def _finish(self, outcome: Outcome) -> None:
        self.outcomes[outcome.target] = outcome
        self.running.pop(outcome.target, None)
        self._left.discard(outcome.target)
        if outcome.target.startswith("trained/"):
            self._statuses[outcome.status] += 1
            self._made += outcome.made
        if outcome.value is not None and outcome.value == outcome.value:
            sign = 1 if self.objective.direction == "max" else -1
            best = self.best.value if self.best else None
            if best is None or sign * outcome.value > sign * best:
                self.best = outcome

    def trials(self, status: str) -> int:
        """Count the trials that ended so."""
        return self._statuses[status]

    def left(self) -> int:
        """Count the trials that have not ended."""
        return len(self._left)

    def seconds_left(self) -> float | None:
        """Estimate the time left from the trials that ended in this run."""
        first = self.outcomes.get("preprocessed")
        elapsed = time.monotonic() - self.started - (first.seconds if first else 0.0)
        return elapsed / self._made * self.left() if self._made else None

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

    def show(self, event: dict[str, Any]) -> None:
        """Write the line of an event, if it has one."""
        text = self._line(event)
        if text:
            print(text, file=self._stream, flush=True)

    def _line(self, event: dict[str, Any]) -> str:
        kind = event["event"]
        if kind == "cluster" and event["dashboard"]:
            return f"dashboard  {event['dashboard']}"
        if kind == "started":
            target = self.plan.targets.get(event["target"]) if self.plan else None
            if self._trace and target is not None:
                return f"{target.verb}  due to: {target.reason}"
        if kind == "note":
            return f"dasktune: {event['text']}"
        if kind == "finished":
            return self._ended(event["outcome"])
        return ""

    def _ended(self, outcome: Outcome) -> str:
        if self.plan is None or outcome.target not in self.plan.targets:
            return ""
        verb = self.plan.targets[outcome.target].verb
        if outcome.status == "failed":
            return f"[{self._counts(outcome)}] FAILED {verb}  {outcome.error}"
        if outcome.status == "interrupted":
            return f"[{self._counts(outcome)}] left at its checkpoint: {verb}"
        if not outcome.made:
            return f"[{self._counts(outcome)}] {verb}  unchanged"
        value = "" if outcome.value is None else f"  {self.objective.metric} {outcome.value:.5g}"
        return f"[{self._counts(outcome)}] {verb}{value}  {duration(outcome.seconds)}"

    def _counts(self, outcome: Outcome) -> str:
        if self.plan is None:
            return ""
        if not outcome.target.startswith("trained/"):
            return outcome.target
        return f"{self._todo - self.left()}/{self._todo}"


class JsonLines(Progress):
    """One JSON object an event, for programs."""

    def __init__(self, objective: Objective, stream: TextIO) -> None:
        super().__init__(objective)
        self._stream = stream

    def show(self, event: dict[str, Any]) -> None:
        """Write an event."""
        if event["event"] == "plan":
            event = {"event": "plan", **event["plan"].to_json()}
            event.pop("targets")
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

    MOST_RUNNING = 8

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
        elif event["event"] == "finished" and event["outcome"].status == "failed":
            outcome: Outcome = event["outcome"]
            text = Text.assemble(("failed ", "bold red"), outcome.target, "  ", outcome.error)
            self._console.print(text)

    def render(self) -> Group:
        """Draw the display."""
        stages = Table.grid(padding=(0, 2))
        for name in ("preprocessed", "trained", "collated"):
            stages.add_row(*self._stage(name))
        parts: list[Any] = [stages]
        if self.running:
            parts.append(self._running())
        foot = []
        if self.best is not None and self.best.value is not None:
            where = self.best.target.removeprefix("trained/")
            foot.append(f"best so far  {self.objective.metric} {self.best.value:.5g}  {where}")
        left = self.seconds_left()
        if left is not None and self.left():
            foot.append(f"about {duration(left)} left")
        if self.dashboard:
            foot.append(f"dashboard  {self.dashboard}")
        parts += [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in foot]
        return Group(*parts)

    def _stage(self, name: str) -> tuple[Text, Text, Text]:
        if self.plan is None or (name != "trained" and name not in self.plan.targets):
            return Text(name, style="dim"), Text(), Text()
        if name == "trained":
            total = len(self.plan.trials())
            kept = self.plan.count(State.DONE)
            done, failed = self.trials("ok"), self.trials("failed")
            width = 30
            share = (kept + done + failed) / max(1, total)
            bar = Text("━" * int(share * width), "green") + Text(
                "━" * (width - int(share * width)), "bright_black"
            )
            words = f"{kept + done}/{total}"
            words += f", {kept} kept" if kept else ""
            text = Text(words)
            if failed:
                text += Text(f", {failed} failed", "red")
            return Text(name), bar, text
        target = self.plan.targets[name]
        if target.state is State.DONE:
            return Text(name), Text("up to date", "green"), Text()
        outcome = self.outcomes.get(name)
        if outcome is None:
            word = "running" if name in self.running else "waiting"
            return Text(name), Text(word, "yellow" if word == "running" else "dim"), Text()
        style = "green" if outcome.status == "ok" else "red"
        word = ("made" if outcome.made else "unchanged") if outcome.status == "ok" else "failed"
        return Text(name), Text(word, style), Text(duration(outcome.seconds), "dim")

    def _running(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for name, row in list(self.running.items())[: self.MOST_RUNNING]:
            if not name.startswith("trained/"):
                continue
            metrics = row.get("metrics", {})
            value = metrics.get(self.objective.metric)
            epoch = f"epoch {row['epoch'] + 1}" if "epoch" in row else ""
            shown = "" if value is None else f"{self.objective.metric} {value:.4g}"
            age = duration(time.monotonic() - row["since"])
            table.add_row("  " + name.removeprefix("trained/"), epoch, shown, age)
        more = len(self.running) - self.MOST_RUNNING
        if more > 0:
            table.add_row(f"  and {more} more", "", "", "")
        return table
