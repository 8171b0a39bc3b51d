"""Tables and trees for the terminal."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from dasktune.plan import Plan, RungState, State
from dasktune.ranking import best, by_objective, leaderboard
from dasktune.reading.statistics import for_people, varied, verdict
from dasktune.results import hyperparameters, objective_of, without_repetition
from dasktune.screen import duration
from dasktune.store import Store
from dasktune.why import Why

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


class Terminal(Console):
    """A console that leaves it to the command line what a closed pipe means."""

    def on_broken_pipe(self) -> None:
        """Raise the error that is being handled; rich itself exits with 1."""
        raise


def terminal() -> Console:
    """Give the terminal to write tables to; a pipe is as wide as a table needs."""
    # The stream of now: a trial in this process sends `sys.stdout` into its log for a while.
    stream = sys.stdout
    return Terminal(file=stream, soft_wrap=True, width=None if stream.isatty() else 400)


def number(value: Any) -> str:
    """Write a value for a table: floats with up to five digits, nothing for NaN."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.5g}"
    return str(value)


def data_table(frame: pd.DataFrame) -> Table | Text:
    """Draw a data frame; columns of empty texts are left out, many rows drawn plainly."""
    if len(frame) > 200:
        return Text(_plain(frame))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    kept = [c for c in frame.columns if not (frame[c].astype(str) == "").all()]
    for column in kept:
        numeric = frame[column].dtype.kind in "fiu"
        table.add_column(str(column), justify="right" if numeric else "left", no_wrap=True)
    for row in frame[kept].itertuples(index=False):
        table.add_row(*(number(value) for value in row))
    return table


def _plain(frame: pd.DataFrame) -> str:
    """Align the columns of many rows: rich's own tables take seconds for 10,000."""
    columns = []
    for name in frame.columns:
        cells = [str(name), *(number(value) for value in frame[name].tolist())]
        if not any(cells[1:]):
            continue
        width = max(map(len, cells))
        right = frame[name].dtype.kind in "fiu"
        columns.append([cell.rjust(width) if right else cell.ljust(width) for cell in cells])
    return "\n".join("   ".join(row).rstrip() for row in zip(*columns, strict=True))


def leaderboard_table(dataset: xr.Dataset, count: int) -> Table | Text:
    """Draw the best configurations, by their mean over the replicates."""
    board = leaderboard(dataset, count)
    return data_table(for_people(dataset, board))


def results_table(console: Console, dataset: xr.Dataset, frame: pd.DataFrame) -> list[Table | Text]:
    """Draw results as wide as the terminal is, and say what is left out."""
    lines: list[Table | Text] = []
    if "partial" in dataset.attrs:
        running = int((dataset["status"] == "running").sum())
        words = f"partial: {dataset.sizes['trial'] - running} trials that have ended"
        words += f", {running} in training" if running else ""
        words += "; not collated"
        damaged = dataset.attrs["partial"]
        words += f"; {damaged} damaged stamps left out" if damaged else ""
        lines.append(Text(words, "yellow"))
    constant = [n for n in hyperparameters(dataset) if n not in varied(dataset)]
    constant = [n for n in constant if n in frame.columns]
    if constant:
        words = ", ".join(f"{name}={number(dataset[name].values[0])}" for name in constant)
        lines.append(Text(f"everywhere {words}", "dim"))
    if "mean" in frame.columns:
        frame = for_people(dataset, frame)
    else:
        same = [n for n in ("objective", "key", "trial", *constant) if n in frame.columns]
        frame = without_repetition(frame.drop(columns=same))
    if "finished" in frame.columns:
        frame = frame.assign(finished=frame["finished"].dt.strftime("%Y-%m-%d %H:%M:%S").fillna(""))
    frame = frame[[name for name in frame.columns if not (frame[name].astype(str) == "").all()]]
    kept = _fitting(frame, console.width)
    lines.append(data_table(frame[kept]))
    left = [str(name) for name in frame.columns if name not in kept]
    if left:
        lines.append(Text(f"too wide for this terminal: {', '.join(left)}", "dim"))
    return lines


def _fitting(frame: pd.DataFrame, width: int) -> list[str]:
    """Choose the columns, from the left, that a terminal has room for."""
    kept: list[str] = []
    used = 0
    for column in frame.columns:
        cells = [str(column), *(number(value) for value in frame[column].head(1000))]
        used += max(len(cell) for cell in cells) + 2
        if used > width and kept:
            break
        kept.append(str(column))
    return kept


def verdict_lines(dataset: xr.Dataset) -> list[str]:
    """Name the best configuration, with its interval and what speaks against it."""
    objective = objective_of(dataset)
    if objective.others:
        return _front_lines(dataset)
    found = verdict(dataset)
    if found is None:
        return [f"no trial has a value of {objective.metric}"]
    config = ", ".join(f"{name}={number(value)}" for name, value in found.config.items())
    value = f"{objective.metric} {found.interval}"
    if found.replicate and found.interval.n > 1:
        value += f", mean of {found.interval.n} replicates"
    return [f"best     {value}  {config}", *(f"note     {note}" for note in found.notes)]


def _front_lines(dataset: xr.Dataset) -> list[str]:
    """Tell how many configurations are on the front, and the best of each objective."""
    several = objective_of(dataset)
    board = leaderboard(dataset)
    first, known = int((board["front"] == 1).sum()), int((board["front"] > 0).sum())
    if not known:
        return [f"no trial has a value of all of {several}"]
    lines = [f"front    {first} of {known} configurations: none is better in all of {several}"]
    for objective in several.all:
        found = verdict(by_objective(dataset, objective.metric))
        if found is not None:
            config = ", ".join(f"{name}={number(value)}" for name, value in found.config.items())
            value = f"{objective.direction} {objective.metric} {number(found.interval.mean)}"
            lines.append(f"best     {value}  {config}")
    return lines


def best_lines(dataset: xr.Dataset, store: Store) -> list[str]:
    """Name the best configuration, and where its model and the dataset are."""
    winner = None if objective_of(dataset).others else best(dataset)
    lines = verdict_lines(dataset)
    if winner is not None:
        model = f"{os.path.relpath(store.trained(winner.trial, winner.key))}/model.safetensors"
        if os.path.exists(model):
            lines.append(f"model    {model}")
    lines.append(f"results  {os.path.relpath(store.view)}")
    return lines


def plan_table(plan: Plan) -> Table:
    """Draw a plan by stage, with the reasons counted."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("preprocessed", "trained", "collated"):
        rows = (
            plan.trials()
            if name == "trained"
            else [plan.targets[name]]
            if name in plan.targets
            else []
        )
        if not rows:
            continue
        todo = [t for t in rows if t.state is not State.DONE]
        counts: dict[str, int] = {}
        for target in todo:
            counts[target.reason] = counts.get(target.reason, 0) + 1
        ranked = sorted(counts.items(), key=lambda item: -item[1])
        words = [
            f"{count} {reason}" if name == "trained" else reason for reason, count in ranked[:3]
        ]
        if len(ranked) > 3:
            words.append(f"{len(ranked) - 3} other reasons")
        kept = len(rows) - len(todo)
        if kept:
            words.append(f"{kept} kept" if name == "trained" else "up to date")
        style = "yellow" if todo else "green"
        table.add_row(name, str(len(rows)), Text("; ".join(words), style))
    return table


def forecast(plan: Plan, jobs: int) -> str:
    """Say what a plan would train, and how long that takes with so many trials at a time."""
    if plan.up_to_date:
        return "Nothing to be done."
    seconds = plan.seconds_left(jobs)
    if plan.rungs:
        left, whole = plan.epochs_left(), plan.epochs_in_all()
        words = f"would train at most {left} of {whole} epochs"
        if seconds is None or plan.epoch_seconds is None:
            return words + "; no trial was ever timed"
        return f"{words}; about {duration(seconds)} with -j {jobs} ({_epoch(plan.epoch_seconds)})"
    count = plan.count(State.STALE) + plan.count(State.PENDING)
    kept = plan.count(State.DONE)
    epochs = f" ({plan.cost.total} epochs)" if plan.cost is not None else ""
    words = f"would train {count} trials{epochs}, keeps {kept}"
    if not count:
        return f"would train nothing, keeps {kept} trials"
    if seconds is None:
        return words + "; no trial was ever timed"
    if plan.cost is not None and plan.cost.each is not None:
        each = _epoch(plan.cost.each)
    else:
        each = f"{duration(plan.earlier_seconds or 0)} a trial"
    return words + f"; about {duration(seconds)} with -j {jobs} ({each})"


def _epoch(seconds: float) -> str:
    return (f"{1000 * seconds:.0f} ms" if seconds < 0.95 else duration(seconds)) + " an epoch"


def rungs_table(rungs: Sequence[RungState]) -> Table:
    """Draw the rungs of a search."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("bracket", "rung", "epochs", "trials", "trained", "to train now"):
        table.add_column(column, justify="right", no_wrap=True)
    for state in rungs:
        numbers = (state.rung.bracket, state.rung.rung, state.rung.budget)
        words = [str(n) for n in (*numbers, state.trials, state.done or "", state.todo or "")]
        table.add_row(*words, style="" if state.todo else "dim")
    return table


def why_tree(explained: Why) -> Tree:
    """Draw an explanation."""
    tree = Tree(Text(explained.text))
    _grow(tree, explained)
    return tree


def _grow(tree: Tree, explained: Why) -> None:
    for line in explained.diff:
        style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "dim")
        tree.add(Text(line, style))
    for cause in explained.causes:
        _grow(tree.add(Text(cause.text)), cause)
