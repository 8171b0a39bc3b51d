"""The screen: a board drawn for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from dasktune.board import STAGES, Board
from dasktune.failure.kind import count_kinds, worded
from dasktune.objective import Objective
from dasktune.row import Row

MOST_RUNNING = 8
MOST_LEADERS = 5
"""Trials that are shown of a front."""
MOST_FAILURES = 3
_WIDTH = 30  # of the bar
_WIDE = 100  # of a terminal that has room for more
_NARROW = 76  # of one that has room for less
_STYLES = {"done": "green", "kept": "dark_green", "running": "cyan", "failed": "red"}
_STAGE_STYLES = {"waiting": "dim", "running": "cyan", "failed": "red"}


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


def count_words(board: Board, *, kinds: bool = True) -> list[tuple[str, str]]:
    """Name the trials in each state, with a style: ``("12 running", "cyan")``.

    Parameters
    ----------
    board : Board
        What is known of the run.
    kinds : bool, default True
        Whether failures are counted by their kinds as well.
    """
    words = []
    for state, n in board.counts().items():
        text = f"{n} {state}"
        if kinds and state == "failed":
            counted = count_kinds([row.failure for row in board.failures()])
            text += f" ({counted})" if counted else ""
        words.append((text, _STYLES.get(state, "dim")))
    return words


def values_text(objective: Objective, values: Sequence[float | None], digits: int = 5) -> str:
    """Write the values of all objectives that are known: ``"score 0.91, loss 0.3"``."""
    known = zip(objective.all, values, strict=False)
    return ", ".join(f"{o.metric} {v:.{digits}g}" for o, v in known if v is not None)


def begun_from(row: Row, *, short: bool = False) -> str:
    """Say from which trial's checkpoint one began: ``"from lr=0.1-3fa2b1c4 at epoch 3"``.

    Parameters
    ----------
    row : Row
        The trial.
    short : bool, default False
        Whether the end of the parent's name, which no other trial has, is to be enough.
    """
    if not row.parent:
        return ""
    return f"from {row.parent[-8:]}" if short else f"from {row.parent} at epoch {row.began}"


def best_text(board: Board) -> str:
    """Name the best so far in a few words; of several objectives, what their front spans."""
    leaders = board.leaders()
    if leaders:
        columns = zip(*(values for _, values in leaders), strict=True)
        spans = [
            f"{o.metric} {(max if o.sign > 0 else min)(column):.5g}"
            + (f" to {(min if o.sign > 0 else max)(column):.5g}" if len(leaders) > 1 else "")
            for o, column in zip(board.objective.all, columns, strict=True)
        ]
        return f"front of {len(leaders)}: {', '.join(spans)}"
    if not board.best or board.objective.others:
        return ""
    _, value, trial = board.best[-1]
    return f"best {board.objective.metric} {value:.5g} {trial}"


def some_leaders(board: Board) -> list[tuple[str, tuple[float, ...]]]:
    """Choose a few trials of the front, spread from one end of it to the other."""
    leaders = board.leaders()
    count = min(len(leaders), MOST_LEADERS)
    return [leaders[i * (len(leaders) - 1) // max(1, count - 1)] for i in range(count)]


def draw(board: Board, now: float, width: int = 100, *, failures: bool = False) -> Group:
    """Draw a board: a line a stage, the running trials, the best so far, the time left.

    Parameters
    ----------
    board : Board
        What is known of the run.
    now : float
        The time, in seconds since 1970.
    width : int
        Of the terminal, in characters.
    failures : bool, default False
        Whether to tell of the last few failures as well.
    """
    stages = Table.grid(padding=(0, 2))
    for name in STAGES:
        stages.add_row(*_stage(board, name, width))
    parts: list[Any] = [stages]
    running = list(board.running())
    if running:
        parts.append(_running(board, running, now, width))
    parts += [
        Text(line, style=style, no_wrap=True, overflow="ellipsis")
        for line, style in [*(_failed(board) if failures else ()), *_foot(board, now)]
    ]
    return Group(*parts)


def _failed(board: Board) -> Iterator[tuple[str, str]]:
    for row in board.failures()[-MOST_FAILURES:]:
        yield f"failed  {row.id}  {worded(row.failure, row.error)}", "red"


def _foot(board: Board, now: float) -> Iterator[tuple[str, str]]:
    if board.objective.others:
        leaders = some_leaders(board)
        if leaders:
            count = len(board.front.members)
            yield f"front so far  {count} {'trial' if count == 1 else 'trials'}", "dim"
        for name, values in leaders:
            yield f"  {values_text(board.objective, values)}  {name}", "dim"
    elif board.best:
        _, value, trial = board.best[-1]
        yield f"best so far  {board.objective.metric} {value:.5g}  {trial}", "dim"
    left = None if board.over else board.seconds_left(now)
    if left:
        yield f"about {duration(left)} left", "dim"
    if board.jobs and not board.over:
        yield board.jobs, "dim"
    if board.dashboard and not board.over:
        yield f"dashboard  {board.dashboard}", "dim"


def _stage(board: Board, name: str, width: int) -> tuple[Text, Text, Text]:
    if name == "trained":
        counts = board.counts()
        total = max(1, sum(counts.values()))
        cells_in_all = _WIDTH if width >= _NARROW else _WIDTH // 2
        bar, drawn = Text(), 0
        for state in ("kept", "done", "failed", "stopped", "running"):
            cells = round(counts.get(state, 0) / total * cells_in_all)
            cells = min(max(cells, int(state in counts)), cells_in_all - drawn)
            bar.append("━" * cells, _STYLES.get(state, "yellow"))
            drawn += cells
        bar.append("━" * (cells_in_all - drawn), "bright_black")
        ended = sum(counts.get(state, 0) for state in ("kept", "done"))
        words = Text(f"{ended}/{sum(counts.values())}")
        for text, style in count_words(board, kinds=width >= _WIDE):
            if not text.endswith((" done", " waiting")):
                words.append(f", {text}", style)
        return Text(name), bar, words
    if name not in board.stages:
        return Text(name, style="dim"), Text(), Text()
    state, seconds = board.stages[name]
    word = Text(state, _STAGE_STYLES.get(state, "green"))
    return Text(name), word, Text(duration(seconds) if seconds else "", "dim")


def _running(board: Board, rows: list[Row], now: float, width: int) -> Table:
    table = Table.grid(padding=(0, 2))
    shown = _shown(board.objective, width)
    texts = [values_text(shown, row.values, 4) for row in rows[:MOST_RUNNING]]
    narrow = width < _NARROW  # without the device, and how long it has been in training
    most = max(16, width - (18 if narrow else 32) - max(len(text) for text in texts))
    begun = [begun_from(row) for row in rows[:MOST_RUNNING]]
    if most < max(len(row.id) for row in rows[:MOST_RUNNING]) + 4 + max(map(len, begun)):
        begun = [begun_from(row, short=True) for row in rows[:MOST_RUNNING]]
    most = max(8 if narrow else 16, most - max(map(len, begun)) - 2)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=most)
    for _ in range((2 if narrow else 4) + any(begun)):
        table.add_column(no_wrap=True, overflow="ellipsis")
    for row, value, origin in zip(rows, texts, begun, strict=False):
        epochs = f"/{row.epochs}" if row.epochs else ""
        epoch = f"epoch {row.epoch}{epochs}" if row.epoch else ""
        age = duration(max(0.0, now - row.since)) if row.since else ""
        place = row.device.partition(" (")[0] or ("" if "://" in row.worker else row.worker)
        cells = [] if narrow else [Text(place, "dim"), Text(age, "dim")]
        cells += [Text(origin, "dim")] if any(begun) else []
        table.add_row(f"  {row.id}", epoch, value, *cells)
    if len(rows) > MOST_RUNNING:
        table.add_row(f"  and {len(rows) - MOST_RUNNING} more")
    return table


def _shown(objective: Objective, width: int) -> Objective:
    """Leave out the last objectives, where a terminal has no room for so many."""
    room = width // 2 - len(objective.metric) - 8
    others = []
    for other in objective.others:
        room -= len(other.metric) + 10
        if room < 0:
            break
        others.append(other)
    return replace(objective, others=tuple(others))
