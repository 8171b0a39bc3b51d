"""The board: what is known of a run from its events. Every display draws one; pure data."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dasktune.objective import Objective
from dasktune.pareto import Front
from dasktune.plan import Plan, State
from dasktune.row import STATES, Row

_ENDED = {"ok": "done", "failed": "failed", "stopped": "stopped", "interrupted": "interrupted"}
MOST_NOTES = 5
STAGES = ("preprocessed", "trained", "collated")


class Board:
    """What is known of a run.

    Parameters
    ----------
    pipeline, run, root : str
        Names of the pipeline and the run, and the store's folder.
    objective : Objective
        What makes a trial the best.
    started : float
        When the run began, in seconds since 1970.

    Attributes
    ----------
    rows : dict of str to Row
        The trials, in the order of the design.
    stages : dict of str to (str, float)
        For ``preprocessed`` and ``collated``: ``"up to date"``, ``"waiting"``, ``"running"``,
        ``"made"``, ``"unchanged"`` or ``"failed"``, and seconds.
    best : list of (float, float, str)
        Each time that the best became better: when, the value, the trial. Of several objectives
        by the first one.
    front : Front
        The trials that no other beats in all objectives, if there are several.
    replicate : tuple of str
        Which of the axes are replicates.
    dashboard : str
        Address of the page in the browser.
    jobs : str
        How many workers there are, and what others wait for, where a queue gives them.
    notes : deque of (float, str)
        The last few things that people were told besides: when, and what.
    over : str
        How the run ended; empty while it goes on.
    ends : int
        Grows whenever a trial ends, or begins again: what is drawn of ended trials is other then.
    """

    def __init__(
        self, pipeline: str, run: str, root: str, objective: Objective, started: float
    ) -> None:
        self.pipeline = pipeline
        self.run = run
        self.root = root
        self.objective = objective
        self.started = started
        self.rows: dict[str, Row] = {}
        self.stages: dict[str, tuple[str, float]] = {}
        self.best: list[tuple[float, float, str]] = []
        self.front = Front()
        self.replicate: tuple[str, ...] = ()
        self.dashboard = ""
        self.jobs = ""
        self.notes: deque[tuple[float, str]] = deque(maxlen=MOST_NOTES)
        self.over = ""
        self.ends = 0
        self.most_running = 0
        self._counts: Counter[str] = Counter()
        self._running: dict[str, None] = {}  # in the order of their start
        self._objectives = objective.all  # asked for at each row of each curve
        self._spent = [0, 0.0]  # trials that ended in this run, and their seconds

    @classmethod
    def of(cls, plan: Plan, objective: Objective, run: str, root: str, started: float) -> Board:
        """Set up the board of a run that is about to begin."""
        board = cls(plan.name, run, root, objective, started)
        for target in plan.targets.values():
            done = target.state is State.DONE
            if target.spec is not None:
                board.replicate = tuple(target.spec.replicate)
                state = "kept" if done else "waiting"
                if target.outcome is not None and target.outcome.status == "failed":
                    state = "failed"
                origin = target.spec.origin.to_json() if target.spec.origin else None
                board.add(Row(target.spec.id, dict(target.spec.axes()), state, origin=origin))
            elif not target.phony:
                board.stages[target.name] = ("up to date" if done else "waiting", 0.0)
        return board

    def add(self, row: Row) -> None:
        """Add a trial."""
        self.rows[row.id] = row
        self._counts[row.state] += 1
        if row.state == "running":
            self._running[row.id] = None

    def take(self, event: Mapping[str, Any], now: float) -> None:
        """Take an event; one that does not belong here changes nothing.

        Parameters
        ----------
        event : mapping
            As `dasktune.run.Observer` describes them.
        now : float
            The time, in seconds since 1970.
        """
        kind = event["event"]
        if kind == "report":
            self._report(event, now)
        elif kind == "started":
            self._started(event, now)
        elif kind == "finished":
            self._finished(event["outcome"], now)
        elif kind == "resumed" and event["trial"] in self.rows:
            self.rows[event["trial"]].epoch = event["epoch"]
        elif kind == "kept":
            for trial, known in event["trials"].items():
                self._kept(trial, known)
        elif kind == "rung":
            origins = event.get("origins", {})
            for trial, axes in event["trials"].items():
                self._again(trial, axes, event["budget"], origins.get(trial))
        elif kind == "cluster":
            self.dashboard = event["dashboard"]
        elif kind == "jobs":
            self.jobs = event["text"]
        elif kind == "note":
            self.notes.append((now, event["text"]))
        elif kind == "over":
            self._over(event["how"])

    def _again(
        self, trial: str, axes: Mapping[str, Any], budget: int, origin: dict[str, Any] | None
    ) -> None:
        """Take a trial that a search trains for longer, or for the first time."""
        row = self.rows.get(trial)
        if row is None:
            row = Row(trial, dict(axes), origin=origin)
            self.add(row)
        elif row.state != "waiting":
            self._move(row, "waiting")
        row.epochs, row.ended = budget, None

    def _started(self, event: Mapping[str, Any], now: float) -> None:
        name = event["target"]
        if name in self.stages:
            self.stages[name] = ("running", 0.0)
        row = self.rows.get(name.removeprefix("trained/"))
        if row is None:
            return
        if row.state in ("done", "failed", "stopped"):  # a late word
            row.worker = row.worker or event.get("worker", "")
            return
        row.worker, row.log = event.get("worker", ""), event.get("log", "")
        row.device, row.version = event.get("device", ""), event.get("version", "")
        row.searched = event.get("searched", "")
        row.since = row.reported = event.get("time", now)
        row.epoch_seconds = None
        self._move(row, "running")
        self.most_running = max(self.most_running, len(self._running))

    def _report(self, event: Mapping[str, Any], now: float) -> None:
        row = self.rows.get(event["trial"])
        if row is None:
            return
        epoch, time = event["epoch"] + 1, event.get("time", now)
        row.epochs = event.get("epochs") or row.epochs
        row.device = event.get("device") or row.device
        if row.reported is not None and epoch > row.epoch:
            each = max(0.0, time - row.reported) / (epoch - row.epoch)
            known = row.epoch_seconds
            row.epoch_seconds = each if known is None else 0.7 * known + 0.3 * each
        row.epoch, row.reported = max(epoch, row.epoch), time
        metrics = event["metrics"]
        if self.objective.others:
            self._set(row, [metrics.get(o.metric) for o in self._objectives])
        elif (value := metrics.get(self.objective.metric)) is not None:
            row.value = value

    def _finished(self, outcome: Any, now: float) -> None:
        if outcome.target in self.stages:
            ended = ("made" if outcome.made else "unchanged") if outcome.status == "ok" else ""
            self.stages[outcome.target] = (ended or outcome.status, outcome.seconds)
        row = self.rows.get(outcome.target.removeprefix("trained/"))
        if row is None or outcome.status not in _ENDED:
            return
        state = _ENDED[outcome.status]
        if outcome.status == "ok" and not outcome.made:
            state = "kept"
        if row.state == state:
            return  # told already
        row.seconds, row.failure, row.ended = outcome.seconds, outcome.failure, now
        row.error = outcome.error
        self._move(row, state)
        if state == "done":
            self._spent = [self._spent[0] + 1, self._spent[1] + outcome.seconds]
        if outcome.value is not None:
            self._set(row, outcome.values or [outcome.value])
            self._may_be_best(row, now)
        self.ends += 1

    def _kept(self, trial: str, known: Mapping[str, Any]) -> None:
        row = self.rows.get(trial)
        if row is not None and row.state == "kept":
            self._set(row, known["values"] or [known["value"]])
            row.seconds = known["seconds"]
            row.epoch = row.epochs = known["epochs"]
            self.ends += 1
            self._may_be_best(row, self.started)

    def _set(self, row: Row, values: Sequence[float | None]) -> None:
        """Put values into a row; what is not told stays as it was."""
        before = (*row.values, *[None] * len(values))
        told = [old if new is None else new for new, old in zip(values, before, strict=False)]
        if told:
            row.value, row.others = told[0], tuple(told[1:]) or row.others

    def _may_be_best(self, row: Row, now: float) -> None:
        value, sign = row.value, self.objective.sign
        if value is None or value != value:
            return
        if not self.best or sign * value > sign * self.best[-1][1]:
            self.best.append((now, value, row.id))
        if self.objective.others:
            self._may_be_on_front(row)

    def _may_be_on_front(self, row: Row) -> None:
        values = [value for value in row.values if value is not None and math.isfinite(value)]
        if len(values) == len(self._objectives):
            signs = [objective.sign for objective in self._objectives]
            self.front.put(row.id, [s * value for s, value in zip(signs, values, strict=True)])

    def leaders(self) -> list[tuple[str, tuple[float, ...]]]:
        """List the trials on the front, with their values, the best in the first one first."""
        signs = [objective.sign for objective in self._objectives]
        ranked = sorted(self.front.members.items(), key=lambda member: member[1], reverse=True)
        return [
            (name, tuple(s * value for s, value in zip(signs, point, strict=True)))
            for name, point in ranked
        ]

    def _over(self, how: str) -> None:
        self.over = how
        for row in list(self.running()):
            self._move(row, "interrupted")

    def _move(self, row: Row, state: str) -> None:
        self.ends += state != "running"
        self._counts[row.state] -= 1
        self._counts[state] += 1
        row.state = state
        if state == "running":
            self._running[row.id] = None
        else:
            self._running.pop(row.id, None)

    def counts(self) -> dict[str, int]:
        """Count the trials in each state that some trial is in."""
        return {state: self._counts[state] for state in STATES if self._counts[state]}

    def running(self) -> Iterator[Row]:
        """List the trials in training, first started first."""
        return (self.rows[name] for name in tuple(self._running))

    def failures(self) -> list[Row]:
        """List the trials that failed."""
        return [row for row in self.rows.values() if row.state == "failed"]

    def seconds_left(self, now: float) -> float | None:
        """Estimate the time that training still takes, from epochs and trials measured so far.

        Returns
        -------
        float or None
            Seconds; None before anything was measured.
        """
        running = list(self.running())
        measured = [r for r in running if r.epoch_seconds is not None and r.epochs]
        if not measured and not self._spent[0]:
            return None
        if self._spent[0]:
            each = self._spent[1] / self._spent[0]
        else:
            each = sum((r.epoch_seconds or 0) * (r.epochs or 0) for r in measured) / len(measured)
        rest = [self._rest(row, each, now) for row in running]
        waiting = self._counts["waiting"]
        if not rest and not waiting:
            return 0.0
        width = max(1, self.most_running)
        return max([(sum(rest) + waiting * each) / width, *rest])

    def _rest(self, row: Row, each: float, now: float) -> float:
        if row.epoch_seconds is not None and row.epochs:
            return max(0.0, row.epoch_seconds * (row.epochs - row.epoch))
        return max(0.0, each - (now - (row.since or now)))

    def to_json(self, *, only_running: bool = False) -> dict[str, Any]:
        """Give a JSON-able form.

        Parameters
        ----------
        only_running : bool, default False
            Whether to leave out the trials that are neither running nor failed, whose number
            is told by ``counts``.
        """
        rows = self.rows.values()
        if only_running:
            best = self.best[-1][2] if self.best else ""
            rows = [r for r in rows if r.state in ("running", "failed") or r.id == best]  # type: ignore[assignment]
        return {
            "pipeline": self.pipeline,
            "run": self.run,
            "root": self.root,
            "objective": str(self.objective),
            "started": self.started,
            "stages": {name: list(stage) for name, stage in self.stages.items()},
            "best": [list(entry) for entry in (self.best[-1:] if only_running else self.best)],
            "front": {name: list(point) for name, point in self.front.members.items()},
            "replicate": list(self.replicate),
            "dashboard": self.dashboard,
            "jobs": self.jobs,
            "notes": [list(note) for note in self.notes],
            "over": self.over,
            "most_running": self.most_running,
            "spent": self._spent,
            "counts": self.counts(),
            "rows": [row.to_json() for row in rows],
        }

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Board:
        """Read what `to_json` gave.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is something else.
        """
        objective = Objective.parse(tree["objective"])
        board = cls(tree["pipeline"], tree["run"], tree["root"], objective, tree["started"])
        for row in tree["rows"]:
            board.add(Row(**row))
        board.stages = {name: (stage[0], stage[1]) for name, stage in tree["stages"].items()}
        board.best = [(entry[0], entry[1], entry[2]) for entry in tree["best"]]
        for row in board.rows.values():
            if objective.others and row.state in ("done", "kept"):
                board._may_be_on_front(row)
        for name, point in tree["front"].items():
            board.front.put(name, point)
        board.dashboard, board.over = tree["dashboard"], tree["over"]
        board.jobs, board.replicate = tree["jobs"], tuple(tree["replicate"])
        board.notes.extend((when, text) for when, text in tree.get("notes", []))
        board.most_running, board._spent = tree["most_running"], list(tree["spent"])
        board._counts = Counter(tree["counts"])
        return board
