"""``why``, ``status`` and ``logs``."""

from __future__ import annotations

import json
import os
from typing import Any

import click

from dasktune.cli.options import change_folder, open_sweep, pipeline_options, split_words
from dasktune.errors import UsageError


@click.command()
@click.argument("target")
@click.argument("variables", nargs=-1, metavar="[VAR=VAL[,VAL]]…")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@pipeline_options
def why(target: str, variables: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Tell why TARGET is out of date: what changed, with the diff of the code."""
    from dasktune.plan import Request, resolve_goal
    from dasktune.tables import terminal, why_tree
    from dasktune.why import why as explain

    change_folder(options["folders"])
    _, overrides = split_words(variables)
    sweep = open_sweep(options["file"], options["store"], overrides)
    planner = sweep.planner()
    goal = resolve_goal(target, planner.specs)
    explained = explain(planner, planner.plan(Request(goals=(goal,))), goal)
    if as_json:
        click.echo(json.dumps(explained.to_json(), indent=1))
        return
    terminal().print(why_tree(explained))


@click.command()
@click.argument("variables", nargs=-1, metavar="[VAR=VAL[,VAL]]…")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@pipeline_options
def status(variables: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Count what is done, failed, running and left, from the store alone."""
    from dasktune.plan import State

    change_folder(options["folders"])
    _, overrides = split_words(variables)
    sweep = open_sweep(options["file"], options["store"], overrides)
    plan = sweep.plan()
    running = _running(sweep.store.root)
    failed = [t for t in plan.trials() if t.reason == "failed last time"]
    counts: dict[str, Any] = {
        "pipeline": sweep.name,
        "store": sweep.store.root,
        "preprocessed": plan.targets["preprocessed"].state.value,
        "trials": len(plan.trials()),
        "done": plan.count(State.DONE),
        "running": len(running),
        "failed": len(failed),
        "left": plan.count(State.STALE) + plan.count(State.PENDING) - len(failed),
        "collated": plan.targets["collated"].state.value,
    }
    if as_json:
        click.echo(json.dumps(counts, indent=1))
        return
    for name, value in counts.items():
        click.echo(f"{name:<13} {value}")
    for target in failed[:10]:
        click.echo(f"  failed: {target.name}  {_error(sweep, target.name)}")
    for name in running[:10]:
        click.echo(f"  running: {name.rpartition('-')[0]}")


@click.command()
@click.argument("trial")
@click.argument("variables", nargs=-1, metavar="[VAR=VAL[,VAL]]…")
@pipeline_options
def logs(trial: str, variables: tuple[str, ...], **options: Any) -> None:
    """Print what TRIAL printed and logged."""
    from dasktune.plan import resolve_goal

    change_folder(options["folders"])
    _, overrides = split_words(variables)
    sweep = open_sweep(options["file"], options["store"], overrides)
    goal = resolve_goal(f"trained/{trial.removeprefix('trained/')}", sweep.pipeline.trials())
    trial = goal.removeprefix("trained/")
    path = _log(sweep.store.root, trial)
    if path is None:
        if trial in sweep.store.listing("trained"):
            return  # it printed nothing
        raise UsageError(f"{goal} has no log: it was never started.")
    with open(path, encoding="utf-8") as file:
        for line in file:
            click.echo(line, nl=False)


def _log(root: str, trial: str) -> str | None:
    """Find the newest log of a trial: finished, failed or running."""
    found = []
    for kind in ("trained", "failed", "tmp"):
        folder = f"{root}/{kind}"
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            path = f"{folder}/{name}/log.txt"
            if name.startswith(f"{trial}-") and os.path.exists(path):
                found.append((os.stat(path).st_mtime, path))
    return max(found)[1] if found else None


def _running(root: str) -> list[str]:
    from dasktune.runfolder import RunFolder

    runs = f"{root}/runs"
    names = os.listdir(runs) if os.path.isdir(runs) else []
    return [name for run in names for name in RunFolder(f"{runs}/{run}").running()]


def _error(sweep: Any, target: str) -> str:
    trial = target.removeprefix("trained/")
    for key in sweep.store.listing("failed").get(trial, []):
        try:
            with open(f"{sweep.store.failed(trial, key)}/error.json") as file:
                return str(json.load(file)["error"])
        except (OSError, ValueError, KeyError):
            continue
    return ""
