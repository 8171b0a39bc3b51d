"""The screen: a board drawn for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from dasktune.board import STAGES, Board, Row

MOST_RUNNING = 8
_WIDTH = 30  # of the bar
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


def count_words(board: Board) -> list[tuple[str, str]]:
    """Name the trials in each state, with a style: ``("12 running", "cyan")``."""
    return [(f"{n} {state}", _STYLES.get(state, "dim")) for state, n in board.counts().items()]


def draw(board: Board, now: float, width: int = 100) -> Group:
    """Draw a board: a line a stage, the running trials, the best so far, the time left.

    Parameters
    ----------
    board : Board
        What is known of the run.
    now : float
        The time, in seconds since 1970.
    width : int
        Of the terminal, in characters.
    """
    stages = Table.grid(padding=(0, 2))
    for name in STAGES:
        stages.add_row(*_stage(board, name))
    parts: list[Any] = [stages]
    running = list(board.running())
    if running:
        parts.append(_running(board, running, now, width))
    parts += [
        Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in _foot(board, now)
    ]
    return Group(*parts)


def _foot(board: Board, now: float) -> Iterator[str]:
    if board.best:
        _, value, trial = board.best[-1]
        yield f"best so far  {board.objective.metric} {value:.5g}  {trial}"
    left = None if board.over else board.seconds_left(now)
    if left:
        yield f"about {duration(left)} left"
    if board.jobs and not board.over:
        yield board.jobs
    if board.dashboard and not board.over:
        yield f"dashboard  {board.dashboard}"


def _stage(board: Board, name: str) -> tuple[Text, Text, Text]:
    if name == "trained":
        counts = board.counts()
        total = max(1, sum(counts.values()))
        bar, drawn = Text(), 0
        for state in ("kept", "done", "failed", "stopped", "running"):
            cells = round(counts.get(state, 0) / total * _WIDTH)
            cells = min(max(cells, int(state in counts)), _WIDTH - drawn)
            bar.append("━" * cells, _STYLES.get(state, "yellow"))
            drawn += cells
        bar.append("━" * (_WIDTH - drawn), "bright_black")
        ended = sum(counts.get(state, 0) for state in ("kept", "done"))
        words = Text(f"{ended}/{sum(counts.values())}")
        for text, style in count_words(board):
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
    most = max(16, width - 36 - len(board.objective.metric))
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=most)
    for _ in range(4):
        table.add_column(no_wrap=True, overflow="ellipsis")
    for row in rows[:MOST_RUNNING]:
        epochs = f"/{row.epochs}" if row.epochs else ""
        epoch = f"epoch {row.epoch}{epochs}" if row.epoch else ""
        value = "" if row.value is None else f"{board.objective.metric} {row.value:.4g}"
        age = duration(max(0.0, now - row.since)) if row.since else ""
        place = row.device.partition(" (")[0] or ("" if "://" in row.worker else row.worker)
        table.add_row(f"  {row.id}", epoch, value, Text(place, "dim"), Text(age, "dim"))
    if len(rows) > MOST_RUNNING:
        table.add_row(f"  and {len(rows) - MOST_RUNNING} more")
    return table
