"""``submit``, ``attach`` and ``cancel``: a sweep that goes on when you log out."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import click

from dasktune.cli.options import (
    change_folder,
    open_sweep,
    pipeline_options,
    read_settings,
    root_of,
    split_words,
    where_to_run,
)
from dasktune.dispatch.dispatch import Dispatch, Order, dispatches, newest
from dasktune.errors import ClusterError, UsageError
from dasktune.failure.tolerance import Tolerance

if TYPE_CHECKING:
    from dasktune.runfolder import RunFolder


@click.command(
    context_settings={"ignore_unknown_options": True}, options_metavar="[OPTIONS] [MAKE'S OPTIONS]"
)
@click.argument(
    "words", nargs=-1, type=click.UNPROCESSED, metavar="QUEUE [TARGET]… [VAR=VAL[,VAL]]…"
)
@click.option("--in-job", is_flag=True, help="One job that holds the driver and -j workers.")
@click.option(
    "--array", is_flag=True, help="An array of jobs that train -j trials; no connections needed."
)
@click.option("--print-job", is_flag=True, help="Only show the script of the job.")
def submit(words: tuple[str, ...], in_job: bool, array: bool, print_job: bool) -> int:
    r"""Send a sweep to QUEUE (slurm, sge, pbs, …) and return at once: you may log out.

    A small job, the driver, makes what 'dasktune make' would with the same options, and starts
    workers as jobs of their own. When its walltime ends, another one goes on. It makes the
    pipeline as it is now; later edits do not matter.

    \b
    dasktune submit slurm -f pipeline.py -j 32 -O queue=gpu -O walltime=4h
    dasktune attach -f pipeline.py
    """
    from dasktune.plan import State

    here = os.getcwd()
    where, words, options = _queue_and_rest(words)
    for name, letter in (("dry", "-n"), ("question", "-q"), ("touching", "-t")):
        if options[name]:
            raise UsageError(f"{letter} submits nothing; use it with 'dasktune make'.")
    change_folder(options["folders"])
    targets, variables = split_words(options["words"])
    if "clean" in targets:
        raise UsageError("'clean' needs no queue; use 'dasktune make clean'.")
    searched = {name: options[name] for name in ("search", "best", "seeds")}
    sweep = open_sweep(options["file"], options["store"], variables, **searched)
    settings = read_settings(options["settings"])
    kind, inside, count = "driver", where, options["jobs"] or 1
    if in_job:
        if options["jobs"] is None:
            raise UsageError("--in-job needs -j N: how many trials the one job trains at a time.")
        kind, inside = "whole", "auto"
    where_to_run({**options, "cluster": inside})
    if array:
        _check_array(options, targets, in_job, sweep.pipeline.search is not None)
        trials = sum(target.state is not State.DONE for target in sweep.plan().trials())
        kind, count = "array", max(1, min(options["jobs"] or 20, trials))
    order = Order(
        where,
        settings,
        tuple(without_settings(words)),
        inside,
        here,
        sweep.codes.digest,
        sweep.name,
        sweep.pipeline.resources,
        sweep.pipeline.threads,
        count,
        kind,  # type: ignore[arg-type]
    )
    root = sweep.store.root
    if not print_job:
        _refuse_twice(root, order)
    if not targets and not options["always_make"] and sweep.plan().up_to_date:
        click.echo("dasktune: Nothing to be done for 'all'.")
        return 0
    if print_job:
        return _print_jobs(order)
    sweep.store.prepare()
    sweep.codes.save(sweep.store)
    return _send(Dispatch.create(root, order), options)


def _queue_and_rest(
    words: tuple[str, ...],
) -> tuple[str, tuple[str, ...], dict[str, Any]]:
    """Tell the queue, which is the first word that is no option's, from what is make's."""
    from dasktune.cli.making import make

    targets = make.make_context("submit", list(words)).params["words"]
    if not targets:
        raise UsageError("submit takes the queue to send to, as in 'dasktune submit slurm -j 8'.")
    for index in (index for index, word in enumerate(words) if word == targets[0]):
        rest = words[:index] + words[index + 1 :]
        options = make.make_context("submit", list(rest)).params
        if options["words"] == targets[1:]:
            return targets[0], rest, options
    raise UsageError(f"name the queue {targets[0]!r} first, and then make's options.")


def _print_jobs(order: Order) -> int:
    import tempfile

    from dasktune.dispatch.sending import scripts

    with tempfile.TemporaryDirectory() as scratch:
        for script in scripts(Dispatch.create(scratch, order)):
            click.echo(script.replace(scratch, "STORE"))
    return 0


def _send(dispatch: Dispatch, options: dict[str, Any]) -> int:
    import shutil

    from dasktune.dispatch.sending import roles_of, send

    order = dispatch.order()
    try:
        number = send(dispatch, roles_of(order))
    except Exception:
        shutil.rmtree(dispatch.path, ignore_errors=True)
        raise
    file = "".join(f" -f {options['file']}" for _ in range(1) if options["file"])
    store = f" --store {options['store']}" if options["store"] != "dist" else ""
    folders = "".join(f" -C {folder}" for folder in options["folders"])
    rest = f"{folders}{file}{store}"
    click.echo(f"submitted {order.pipeline} as job {number} of {order.cluster}; you may log out")
    for verb, what in (
        ("attach", "follow it until it ends"),
        ("status", "how it stands"),
        ("logs", "what its driver says"),
        ("cancel", "end it; checkpoints stay"),
    ):
        click.echo(f"  dasktune {verb + rest:<{len(rest) + 7}}  {what}")
    return 0


def _check_array(options: dict[str, Any], targets: list[str], in_job: bool, search: bool) -> None:
    """Refuse what an array of jobs cannot make."""
    if search:
        raise UsageError(
            "--array cannot search: what is trained next follows from results, and its jobs do "
            "not wait for each other. Submit without --array, or with --search none."
        )
    if in_job:
        raise UsageError("--array and --in-job exclude each other; give one of them.")
    if targets not in ([], ["all"]):
        raise UsageError(f"--array makes 'all', but got {' '.join(targets)}.")
    needs_driver = {
        "trial_timeout": "--trial-timeout",
        "give_up_after": "--give-up-after",
        "track": "--track",
        "pack": "--pack",
    }
    if Tolerance.configured(trial_timeout=options["trial_timeout"]).trial_timeout:
        raise UsageError(
            "--array takes no --trial-timeout, nor 'dasktune.trial-timeout' of the configuration: "
            "its jobs have nobody who starts a worker again. Submit without --array."
        )
    for name, word in {"always_make": "-B", "old": "-o", "new": "-W", **needs_driver}.items():
        if options[name]:
            raise UsageError(f"--array takes no {word}; submit without --array.")


def without_settings(words: tuple[str, ...]) -> list[str]:
    """Leave out the settings of the cluster, which are kept by themselves."""
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in ("-O", "--cluster-option", "--cluster"):
            next(rest, None)
        elif not word.startswith(("-O", "--cluster-option=", "--cluster=")):
            kept.append(word)
    return kept


def _refuse_twice(root: str, order: Order) -> None:
    """Refuse to send what is on its way already: both would train the same."""
    from dasktune.dispatch.sending import ask

    for dispatch in dispatches(root):
        if dispatch.ended() is not None:
            continue
        other = dispatch.order()
        stands = ask(dispatch)
        if stands.state == "lost" and dispatch.jobs():
            dispatch.end(2, "its jobs were gone from the queue")
        elif (other.words, other.sources) == (order.words, order.sources):
            raise UsageError(
                f"this sweep was submitted already: {stands.text}. "
                "'dasktune attach' follows it, 'dasktune cancel' ends it."
            )


@click.command()
@pipeline_options
def attach(**options: Any) -> int:
    """Follow a submitted sweep until it ends, and give its exit code; Ctrl-C only lets go."""
    from dasktune.cluster.jobs import look, queue_of
    from dasktune.dispatch.attach import Attachment
    from dasktune.dispatch.attach import attach as follow

    change_folder(options["folders"])
    root, dispatch = _find(options)
    queue = queue_of(dispatch.order().cluster)
    try:
        return follow(Attachment(dispatch, root, lambda: look(queue)))
    except KeyboardInterrupt:
        click.echo("dasktune: the sweep goes on; 'dasktune cancel' ends it", err=True)
        raise


@click.command()
@click.option("--now", is_flag=True, help="Kill its jobs; what came after checkpoints is lost.")
@pipeline_options
def cancel(now: bool, **options: Any) -> int:
    """End a submitted sweep and its workers: what trains is left at its next checkpoint."""
    from dasktune.cluster.jobs import cancel as cancel_jobs
    from dasktune.cluster.jobs import queue_of
    from dasktune.dispatch.sending import ask, standing
    from dasktune.runfolder import RunFolder, run_folders

    change_folder(options["folders"])
    root, dispatch = _find(options)
    if dispatch.ended() is not None:
        raise UsageError(f"nothing is left to cancel: {standing(dispatch, None).text}.")
    queue = queue_of(dispatch.order().cluster)
    numbers = [job.number for job in dispatch.jobs()]
    dispatch.cancel()
    shared = RunFolder(f"{root}/runs/{dispatch.name}")  # there is one if it is an array
    shared.interrupt("cancelled")
    if not now:
        click.echo("asked it to end; what trains goes on to its next checkpoint")
        misses = 0  # a queue that is busy may list nothing for a moment; to kill would be too much
        while dispatch.ended() is None and misses < 5:
            stands = ask(dispatch)
            if stands.state == "waiting":
                break
            misses = misses + 1 if stands.state == "lost" else 0
            time.sleep(1)
    workers = [
        number for run in run_folders(root) if _drives(dispatch, run) for number in run.queued()
    ]
    left = cancel_jobs(queue, [*numbers, *workers] if now else numbers)
    if left and (now or dispatch.ended() is None):
        raise ClusterError(
            f"the queue does not answer, and has not cancelled {', '.join(left)}: try again."
        )
    dispatch.end(2, "cancelled")
    shared.remove()
    click.echo(standing(dispatch, None).text)
    return 0


def _drives(dispatch: Dispatch, run: RunFolder) -> bool:
    """Say whether a run is the one that a dispatch's driver drives."""
    driver, told = dispatch.driver(), run.told()
    if driver is None or told is None:
        return False
    return all(told.get(name) == driver.get(name) for name in ("host", "pid"))


def _find(options: dict[str, Any]) -> tuple[str, Dispatch]:
    """Find the store, and the dispatch in it that goes on or ended last."""
    root = root_of(options)
    dispatch = newest(dispatches(root))
    if dispatch is None:
        raise UsageError(f"nothing was submitted from {root}; see 'dasktune submit --help'.")
    return root, dispatch
