"""What a run tells in the terminal: while it goes on, and what became of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from dasktune.failure.kind import Kind, count_kinds, worded

if TYPE_CHECKING:
    from dasktune.outcome import Outcome
    from dasktune.plan import Plan
    from dasktune.progress import Progress
    from dasktune.summary import Summary
    from dasktune.sweep import Sweep


def console() -> Any:
    """Give the terminal that tables are printed on."""
    from dasktune.tables import terminal

    return terminal()


def display_of(sweep: Sweep, options: dict[str, Any]) -> Progress:
    """Give what shows a run in this terminal, or file."""
    from dasktune.progress import Display, JsonLines, Lines, Progress

    objective = sweep.pipeline.objective
    if options["as_json"]:
        return JsonLines(objective, sys.stdout)
    if options["silent"]:
        return Progress(objective)
    if sys.stdout.isatty() and not options["trace"]:
        return Display(objective, console())
    return Lines(objective, sys.stdout, trace=options["trace"])


def tell_dry(plan: Plan, *, as_json: bool) -> None:
    """Tell what would run."""
    if as_json:
        click.echo(json.dumps(plan.to_json()))
        return
    for target in plan.to_run():
        click.echo(f"{target.verb}  ({target.reason})")
    if plan.up_to_date:
        tell_nothing(plan)


def tell_nothing(plan: Plan) -> None:
    """Tell that all is up to date, in make's words."""
    for goal in plan.request.goals:
        if plan.targets[goal].phony:
            click.echo(f"dasktune: Nothing to be done for '{goal}'.")
        else:
            click.echo(f"dasktune: '{goal}' is up to date.")


def tell_failure(sweep: Sweep, target: str, error: str) -> None:
    """Tell of one failure, and where there is more about it."""
    trial = target.removeprefix("trained/")
    log = f" (log: dasktune logs -f {sweep.file} '{trial}')" if trial != target else ""
    click.echo(f"dasktune: *** [{sweep.file}: {target}] {error}{log}", err=True)


def conclude(sweep: Sweep, summary: Summary, options: dict[str, Any]) -> int:
    """Tell what became of a run, and give the exit code (negative for a signal)."""
    plan = summary.plan
    if plan.up_to_date:
        if not options["silent"] and not options["as_json"]:
            tell_nothing(plan)
        return 0
    for outcome in summary.failures():
        ignored = " (ignored)" if options["ignore_errors"] else ""
        what = worded(outcome.failure, outcome.error)
        tell_failure(sweep, outcome.target, what + ignored)
    if summary.gave_up:
        click.echo(f"dasktune: *** {summary.gave_up}.", err=True)
    missing = [] if options["ignore_errors"] else summary.not_remade()
    if summary.interrupted:
        click.echo("dasktune: *** interrupted; what is finished is kept.", err=True)
        return -summary.interrupted
    for outcome in summary.stopped():
        name = outcome.target
        how = "'make' goes on with it"
        if not plan.rungs:  # a search decides by itself what it does without
            how += f", 'make -o {name}' does without it"
        click.echo(f"dasktune: {name} was {outcome.error}; {how}.", err=True)
    for goal in missing:
        click.echo(f"dasktune: Target '{goal}' not remade because of errors.", err=True)
    if not options["silent"] and not options["as_json"]:
        _tell_results(sweep, summary)
    return summary.exit_code


def _tell_results(sweep: Sweep, summary: Summary) -> None:
    from dasktune.screen import duration

    made = [o for o in summary.made() if o.target.startswith("trained/")]
    trials = summary.plan.trials()
    failed = [o for o in summary.failures() if o.target.startswith("trained/")]
    plan = summary.plan
    count = sum(outcome.failure == Kind.NAN for outcome in made)
    diverged = f" ({count} to NaN)" if count else ""
    left = 0
    if plan.rungs:
        trained = {outcome.target for outcome in made}
        words = f"trained {len(made)} rungs of {len(trained)} trials{diverged}"
        if not made:
            tried = len({outcome.target for outcome in failed})
            words = f"trained none of {tried} trials" if tried else "trained nothing"
    elif trials:
        words = f"trained {len(made)} of {len(trials)} trials{diverged}"
        kept = len(summary.kept())
        left = len(trials) - len(made) - kept - len(failed) - len(summary.stopped())
        words += f", kept {kept}" if kept else ""
    if trials:
        words += f", {_failed_words(failed)}" if failed else ""
        words += f", {len(summary.stopped())} stopped" if summary.stopped() else ""
        words += f", {left} not tried" if left > 0 else ""
        spent = sum(outcome.seconds for outcome in made)
        click.echo(f"{words}; {duration(spent)} of training")
    if summary.collated_key() is None:
        return
    from dasktune.results import open_results
    from dasktune.tables import best_lines, leaderboard_table

    dataset = open_results(f"{sweep.store.collated(summary.collated_key() or '')}/results.zarr")
    screen = console()
    if "spent" in dataset.coords:
        spent, full = int(dataset["spent"].sum()), dataset.sizes["trial"] * dataset.sizes["epoch"]
        click.echo(f"the search spent {spent} epochs, where all its trials to the end were {full}")
    screen.print(leaderboard_table(dataset, 10))
    for line in best_lines(dataset, sweep.store):
        screen.print(line, highlight=False)


def _failed_words(failed: Sequence[Outcome]) -> str:
    """Count failures for people, with their kinds."""
    kinds = count_kinds([outcome.failure for outcome in failed])
    return f"{len(failed)} failed ({kinds})" if kinds else f"{len(failed)} failed"
