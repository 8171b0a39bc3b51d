"""``why``, ``status``, ``logs`` and ``stop``."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

import click

from dasktune.cli.options import (
    change_folder,
    open_sweep,
    pipeline_options,
    root_of,
    search_option,
    searched,
    split_words,
)
from dasktune.errors import UsageError
from dasktune.failure.kind import Kind, count_kinds, worded

if TYPE_CHECKING:
    from dasktune.sweep import Sweep


@click.command()
@click.argument("target")
@click.argument("variables", nargs=-1, metavar="[VAR=VAL[,VAL]]…")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@search_option
@pipeline_options
def why(target: str, variables: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Tell why TARGET is out of date: what changed, with the diff of the code."""
    from dasktune.plan import Request
    from dasktune.tables import terminal, why_tree
    from dasktune.why import unplanned
    from dasktune.why import why as explain

    change_folder(options["folders"])
    _, overrides = split_words(variables)
    sweep = open_sweep(options["file"], options["store"], overrides, **searched(options))
    planner = sweep.planner()
    goal, planned = _find_goal(sweep, target)
    if planned:
        request = Request() if sweep.pipeline.search else Request(goals=(goal,))
        explained = explain(planner, planner.plan(request), goal)
    else:
        explained = unplanned(planner, goal)
    if as_json:
        click.echo(json.dumps(explained.to_json(), indent=1))
        return
    terminal().print(why_tree(explained))


@click.command()
@click.argument("variables", nargs=-1, metavar="[VAR=VAL[,VAL]]…")
@click.option("--watch", is_flag=True, help="Follow a run that another shell, or machine, drives.")
@click.option("--json", "as_json", is_flag=True, help="As JSON; with --watch, one object a line.")
@search_option
@pipeline_options
def status(variables: tuple[str, ...], watch: bool, as_json: bool, **options: Any) -> int:
    """Count what is done, failed, running and left, from the store alone."""
    from dasktune.plan import State
    from dasktune.planner import FAILED

    change_folder(options["folders"])
    if watch:
        from dasktune.look import look

        return look(root_of(options), as_json=as_json)
    _, overrides = split_words(variables)
    sweep = open_sweep(options["file"], options["store"], overrides, **searched(options))
    plan = sweep.plan()
    running = _running(sweep.store.root)
    failed = [t for t in plan.trials() if t.reason == FAILED]
    records = {target.name: _failure(sweep, target.name) for target in failed}
    kinds = [str(record.get("failure") or Kind.EXCEPTION) for record in records.values()]
    counts: dict[str, Any] = {
        "pipeline": sweep.name,
        "store": sweep.store.root,
        "preprocessed": plan.targets["preprocessed"].state.value,
        "trials": len(plan.trials()),
        "done": plan.count(State.DONE),
        "running": len(running),
        "failed": len(failed),
        "failures": {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)},
        "left": plan.count(State.STALE) + plan.count(State.PENDING) - len(failed),
        "collated": plan.targets["collated"].state.value,
    }
    submitted = _submitted(sweep.store.root)
    if submitted:
        counts["submitted"] = submitted
    counts["notes"] = notes = _notes(sweep.store.root)
    if as_json:
        click.echo(json.dumps(counts, indent=1))
        return 0
    del counts["failures"], counts["notes"]
    if failed:
        counts["failed"] = f"{len(failed)} ({count_kinds(kinds)})"
    for name, value in counts.items():
        click.echo(f"{name:<13} {value}")
    for name, record in list(records.items())[:10]:
        kind = str(record.get("failure") or Kind.EXCEPTION)
        click.echo(f"  failed: {name}  {worded(kind, record.get('error', ''))}")
    for name in running[:10]:
        click.echo(f"  running: {name}")
    for text in notes:
        click.echo(f"  told: {text}")
    return 0


@click.command()
@click.argument("trial", required=False)
@click.argument("variables", nargs=-1, metavar="[VAR=VAL[,VAL]]…")
@click.option("--follow", is_flag=True, help="Go on as it comes, until TRIAL ends; also -f.")
@search_option
@pipeline_options
def logs(trial: str | None, variables: tuple[str, ...], follow: bool, **options: Any) -> None:
    """Print what TRIAL printed and logged; without one, what a submitted sweep's driver did."""
    from dasktune.logfile import follow as read_on

    change_folder(options["folders"])
    if trial is None:
        _driver_log(root_of(options), follow)
        return
    _, overrides = split_words(variables)
    sweep = open_sweep(options["file"], options["store"], overrides, **searched(options))
    goal, _ = _find_goal(sweep, f"trained/{trial.removeprefix('trained/')}")
    root, name = sweep.store.root, goal.removeprefix("trained/")
    if follow:
        told = False
        for text in read_on(lambda: _live_log(root, name), lambda: name in _running(root)):
            click.echo(text, nl=False)
            told = True
        if told:
            return
    path = _live_log(root, name)
    if path is None:
        if name in sweep.store.listing("trained"):
            return  # it printed nothing
        raise UsageError(f"{goal} has no log: it was never started.")
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            click.echo(line, nl=False)


def _driver_log(root: str, follow: bool) -> None:
    from dasktune.dispatch.dispatch import dispatches, newest
    from dasktune.logfile import follow as read_on

    dispatch = newest(dispatches(root))
    if dispatch is None:
        raise UsageError(f"nothing was submitted from {root}; name a TRIAL to see its log.")
    if follow:
        for text in read_on(lambda: _there(dispatch.log), lambda: dispatch.ended() is None):
            click.echo(text, nl=False)
    elif _there(dispatch.log):
        with open(dispatch.log, encoding="utf-8", errors="replace") as file:
            click.echo(file.read(), nl=False)


def _there(path: str) -> str | None:
    return path if os.path.exists(path) else None


def _submitted(root: str) -> str:
    """Tell how a sweep stands that was submitted; nothing if none was."""
    from dasktune.dispatch.dispatch import dispatches, newest
    from dasktune.dispatch.sending import ask, standing

    dispatch = newest(dispatches(root))
    if dispatch is None:
        return ""
    if dispatch.ended() is not None:
        return standing(dispatch, None).text
    return ask(dispatch).text


def _find_goal(sweep: Sweep, word: str) -> tuple[str, bool]:
    """Find the target that a word names, and say whether it is of this plan.

    Else it is of another one: of a search that was named on the command line, say.
    """
    from dasktune.plan import named, resolve_goal

    try:
        return resolve_goal(word, sweep.known_trials()), True
    except UsageError:
        store = sweep.store
        kept = [name for kind in ("trained", "failed") for name in store.listing(kind)]
        known = dict.fromkeys([*_running(store.root), *kept])
        matches = named(word.removeprefix("trained/"), list(known))
        if not word.startswith("trained/") or len(matches) != 1:
            raise
        return f"trained/{matches[0]}", False


@click.command()
@click.argument("trials", nargs=-1, required=True, metavar="TRIAL…")
@pipeline_options
def stop(trials: tuple[str, ...], **options: Any) -> None:
    """Let running TRIALs end at their next epoch; the others go on.

    A stopped trial is left at its checkpoint, if it has one, and counts as not made:
    'make' goes on with it, 'make -o trained/TRIAL' does without it (not in a search), and
    'make -i' takes what there is of its curve.
    """
    change_folder(options["folders"])
    root = root_of(options)
    found = [_find_running(root, trial.removeprefix("trained/")) for trial in trials]
    for run, trial in found:
        run.end(trial)
        click.echo(f"asked {trial} to end at its next epoch")


def _find_running(root: str, word: str) -> tuple[Any, str]:
    """Find a running trial by its name, or the beginning of it, and the run that it is of."""
    from dasktune.errors import did_you_mean
    from dasktune.plan import named
    from dasktune.runfolder import run_folders

    running = {name: run for run in run_folders(root) for name in run.running_trials()}
    matches = named(word, list(running))
    if len(matches) == 1:
        return running[matches[0]], matches[0]
    if matches:
        raise UsageError(f"{word!r} is the beginning of {len(matches)} running trials; write more.")
    if not running:
        raise UsageError(f"no trial runs in {root}.")
    raise UsageError(f"no trial {word!r} is running." + did_you_mean(word, list(running)))


def _running(root: str) -> list[str]:
    from dasktune.runfolder import run_folders

    return [name for run in run_folders(root) for name in run.running_trials()]


def _notes(root: str) -> list[str]:
    """List what the runs that go on have told of late, such as a worker that does not start."""
    from dasktune.runfolder import run_folders

    told = [note for run in run_folders(root) for note in (run.told() or {}).get("notes", ())]
    return [f"{time.strftime('%H:%M:%S', time.localtime(when))} {text}" for when, text in told]


def _live_log(root: str, trial: str) -> str | None:
    """Find the log of a trial that may be one of a group, which shares its log."""
    from dasktune.logfile import find_log
    from dasktune.runfolder import run_folders

    for run in run_folders(root):
        for row in (run.told() or {}).get("rows", ()):
            if row.get("id") == trial:
                return find_log(root, trial, row.get("log", ""))
    return find_log(root, trial)


def _failure(sweep: Sweep, target: str) -> dict[str, Any]:
    """Read how a trial failed last; empty where that is not known."""
    trial = target.removeprefix("trained/")
    return sweep.store.last_failure(trial, sweep.store.listing("failed").get(trial, []))[0]
