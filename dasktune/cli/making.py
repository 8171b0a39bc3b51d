"""``make``, ``plan``, ``debug``, ``export-makefile`` and the nodes of an exported Makefile."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from dasktune.cli.options import (
    change_folder,
    cluster_options,
    fuse,
    jobs,
    open_sweep,
    pipeline_options,
    root_of,
    search_option,
    searched,
    split_words,
    tolerance_options,
    where_to_run,
)
from dasktune.cli.telling import conclude, console, display_of, tell_dry, tell_failure
from dasktune.errors import UsageError

if TYPE_CHECKING:
    from dasktune.plan import Request
    from dasktune.sweep import Sweep


@click.command()
@click.argument("words", nargs=-1, metavar="[TARGET]… [VAR=VAL[,VAL]]…")
@click.option("-n", "--dry-run", "dry", is_flag=True, help="Tell what would run; run nothing.")
@click.option("-q", "--question", is_flag=True, help="Run nothing; exit with 1 if out of date.")
@click.option("-t", "--touch", "touching", is_flag=True, help="Accept older results as they are.")
@click.option("-B", "--always-make", is_flag=True, help="Make all that the targets need.")
@click.option(
    "-k", "--keep-going", is_flag=True, help="Go on with what does not need a failed one."
)
@click.option("-S", "--stop", is_flag=True, help="Turn -k off.")
@click.option("-i", "--ignore-errors", is_flag=True, help="Go on; failed trials are NaN.")
@click.option("-j", "--jobs", type=jobs, metavar="N", help="N trials at a time.")
@click.option("-o", "--old-file", "old", multiple=True, metavar="TARGET", help="Never make TARGET.")
@click.option(
    "-W", "--what-if", "new", multiple=True, metavar="TARGET", help="As if TARGET had just changed."
)
@click.option("-s", "--silent", is_flag=True, help="Say nothing but errors.")
@click.option("--trace", is_flag=True, help="Tell why each target is made.")
@cluster_options
@click.option(
    "--fuse",
    type=fuse,
    default="auto",
    show_default=True,
    metavar="auto|off|N",
    help="Train trials as one vmapped step: as many as is fastest, none, or N.",
)
@tolerance_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option(
    "--track",
    multiple=True,
    metavar="tensorboard|mlflow[=WHERE]",
    help="Tell a tracker of each trial while it is trained.",
)
@search_option
@pipeline_options
def make(words: tuple[str, ...], **options: Any) -> int:
    """Bring targets up to date; 'all' if none is named.

    Targets: all, preprocessed, trained, trained/TRIAL, collated, clean.
    VAR=VAL narrows or overrides a hyperparameter (lr=0.01,0.1) or a variable (epochs=5).
    """
    if sum((options["dry"], options["question"], options["touching"])) > 1:
        raise UsageError("-n, -q and -t exclude each other; give one of them.")
    change_folder(options["folders"])
    targets, variables = split_words(words)
    if not sum((options["dry"], options["question"], options["touching"], "clean" in targets)):
        _start_ahead(options)
    sweep = open_sweep(options["file"], options["store"], variables, **searched(options))
    keep_going = options["keep_going"] and not options["stop"]
    if "clean" in targets:
        _clean(sweep, dry=options["dry"], silent=options["silent"])
        targets = [target for target in targets if target != "clean"]
        if not targets:
            return 0
    targets, unknown = _known(targets or ["all"], sweep, keep_going)
    request = _request(targets, options)
    if options["touching"]:
        return _touch(sweep, request, silent=options["silent"])
    if options["dry"] or options["question"]:
        plan = sweep.plan(request)
        if options["dry"] and not options["silent"]:
            tell_dry(plan, as_json=options["as_json"])
        if options["question"]:
            return 2 if unknown else int(not plan.up_to_date)
        return 2 if unknown else 0
    from dasktune.run import Options
    from dasktune.searching import make as run

    how = Options(
        **where_to_run(options),
        jobs=options["jobs"],
        keep_going=keep_going,
        ignore_errors=options["ignore_errors"],
        fuse=options["fuse"],
        retries=options["retries"],
        trial_timeout=options["trial_timeout"],
        give_up_after=options["give_up_after"],
        track=options["track"],
    )
    with display_of(sweep, options) as progress:
        summary = run(sweep, request, how, progress)
    code = conclude(sweep, summary, options)
    return max(code, 2 if unknown else 0) if code >= 0 else code


@click.command()
@click.argument("words", nargs=-1, metavar="[TARGET]… [VAR=VAL[,VAL]]…")
@click.option("-B", "--always-make", is_flag=True, help="As in make.")
@click.option("-o", "--old-file", "old", multiple=True, metavar="TARGET", help="As in make.")
@click.option("-W", "--what-if", "new", multiple=True, metavar="TARGET", help="As in make.")
@click.option("-j", "--jobs", type=jobs, metavar="N", help="Trials at a time, for the time.")
@click.option("--json", "as_json", is_flag=True, help="The whole table as JSON.")
@search_option
@pipeline_options
def plan(words: tuple[str, ...], **options: Any) -> int:
    """Tell what would run, why, what is kept, and how long it will take."""
    change_folder(options["folders"])
    targets, variables = split_words(words)
    sweep = open_sweep(options["file"], options["store"], variables, **searched(options))
    planner = sweep.planner()
    made = planner.plan(_request(targets or ["all"], options))
    if options["as_json"]:
        click.echo(json.dumps(made.to_json(), indent=1))
        return 0
    from dasktune.cluster.demand import default_jobs
    from dasktune.tables import forecast, plan_table, rungs_table

    screen = console()
    screen.print(f"{sweep.name}  {sweep.pipeline.describe()}", highlight=False)
    screen.print(plan_table(made))
    if made.rungs:
        screen.print(rungs_table(made.rungs))
    screen.print(forecast(made, options["jobs"] or default_jobs()), highlight=False)
    for why, lanes in planner.earlier_fusing().items():
        how = f"{lanes} trials as one" if lanes > 1 else "alone"
        screen.print(f"earlier trials were trained {how}: {why}", highlight=False)
    return 0


@click.command()
@click.argument("trial")
@click.argument("variables", nargs=-1, metavar="[VAR=VAL[,VAL]]…")
@click.option("--pdb", "use_pdb", is_flag=True, help="Enter the debugger where it fails.")
@search_option
@pipeline_options
def debug(trial: str, variables: tuple[str, ...], use_pdb: bool, **options: Any) -> int:
    """Train one TRIAL in this process, where breakpoint() works; even if it is up to date."""
    from dasktune.plan import Request, resolve_goal
    from dasktune.run import Options
    from dasktune.searching import make as run

    change_folder(options["folders"])
    _, overrides = split_words(variables)
    sweep = open_sweep(options["file"], options["store"], overrides, **searched(options))
    specs = sweep.known_trials()
    goal = resolve_goal(f"trained/{trial.removeprefix('trained/')}", specs)
    chosen = next(spec for spec in specs if goal == f"trained/{spec.id}")
    sweep = replace(sweep, pipeline=sweep.pipeline.only(chosen))
    first = run(sweep, Request(goals=("preprocessed",)), Options(cluster="none", debug=True))
    request = Request(goals=(goal,), always_make=True, old=frozenset({"preprocessed"}))
    try:
        summary = run(sweep, request, Options(cluster="none", tee=True, debug=True))
    except Exception:
        import pdb
        import traceback

        traceback.print_exc()
        if use_pdb:
            pdb.post_mortem()
        return 2
    outcome = summary.outcomes[goal]
    if outcome.value is not None:
        click.echo(f"{goal}  {sweep.pipeline.objective.metric} {outcome.value:.5g}")
    return max(first.exit_code, summary.exit_code)


@click.command("export-makefile")
@click.argument("variables", nargs=-1, metavar="[VAR=VAL[,VAL]]…")
@pipeline_options
def export_makefile(variables: tuple[str, ...], **options: Any) -> None:
    """Print the sweep as a Makefile, which GNU make runs without Dask."""
    from dasktune.makefile import export_makefile as export

    change_folder(options["folders"])
    _, overrides = split_words(variables)
    sweep = open_sweep(options["file"], options["store"], overrides)
    click.echo(export(sweep, variables), nl=False)


@click.command(hidden=True)
@click.argument("words", nargs=-1)
@click.option("--link", required=True)
@pipeline_options
def node(words: tuple[str, ...], link: str, **options: Any) -> int:
    """Make one target for GNU make."""
    from dasktune.makefile import run_node

    change_folder(options["folders"])
    targets, variables = split_words(words)
    sweep = open_sweep(options["file"], options["store"], variables)
    summary = run_node(sweep, targets[0], link)
    for outcome in summary.failures():
        tell_failure(sweep, outcome.target, outcome.error)
    return summary.exit_code


def _start_ahead(options: dict[str, Any]) -> None:
    """Let workers of this machine begin to start while the pipeline is loaded."""
    if options["cluster"] in ("auto", "local") and options["gpus"] is None:
        from dasktune.cluster import forkserver

        forkserver.start_ahead(root_of(options))


def _request(targets: list[str], options: dict[str, Any]) -> Request:
    from dasktune.plan import Request

    return Request(
        goals=tuple(targets),
        always_make=options["always_make"],
        old=frozenset(options["old"]),
        new=frozenset(options["new"]),
    )


def _known(targets: list[str], sweep: Sweep, keep_going: bool) -> tuple[list[str], bool]:
    """Keep the targets that exist; tell of the others, and go on only with ``-k``."""
    from dasktune.plan import resolve_goal

    specs = sweep.pipeline.trials() if sweep.pipeline.search is None else ()
    found = []
    for target in targets:
        try:
            found.append(resolve_goal(target, specs))
        except UsageError as error:
            if not keep_going:
                raise
            click.echo(f"dasktune: *** {error}", err=True)
    if not found:
        raise UsageError("no target is left to make.")
    return found, len(found) < len(targets)


def _touch(sweep: Sweep, request: Request, *, silent: bool) -> int:
    from dasktune.touch import touch

    sweep.store.prepare()
    sweep.codes.save(sweep.store)
    for name in touch(sweep.planner(), request):
        if not silent:
            click.echo(f"touch {name}")
    return 0


def _clean(sweep: Sweep, *, dry: bool, silent: bool) -> None:
    """Remove all that was made of a pipeline."""
    import os
    import shutil

    root = sweep.store.root
    trials = sum(len(keys) for keys in sweep.store.listing("trained").values())
    if not silent:
        click.echo(f"remove {root} ({trials} trained trials)")
    if dry or not os.path.isdir(root):
        return
    shutil.rmtree(root)
