"""``share``: what the jobs of an array run. It is hidden, since nobody types it."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import click

from dasktune.dispatch.dispatch import Dispatch
from dasktune.errors import ClusterError, DasktuneError

if TYPE_CHECKING:
    from dasktune.outcome import Outcome

MOST_BEGINNINGS = 3
"""Times that an array may begin whose first job is taken away."""


@click.command(hidden=True)
@click.argument("role", type=click.Choice(["prepare", "train", "finish"]))
@click.argument("folder")
@click.option("--seconds", type=float, help="How long the job may stay.")
@click.option("--lead", type=float, help="How much sooner it leaves.")
@click.option("--seat", type=int, help="Which of the processes of its job it is, from 1.")
def share(role: str, folder: str, seconds: float, lead: float, seat: int | None) -> int:
    """Do the part of ROLE in the array of the dispatch in FOLDER."""
    from dasktune.cluster.jobs import queue_of
    from dasktune.cluster.walltime import seconds_left
    from dasktune.dispatch.succession import Succession, TakenAway

    dispatch = Dispatch(folder)
    if dispatch.ended() is not None or dispatch.cancelled():
        return 0
    if role == "train":
        from dasktune.cluster.claim import claim
        from dasktune.cluster.jobs import WORKERS

        workers = int(os.environ.get(WORKERS, 1))
        if seat is None:
            claim()
        if seat is None and workers > 1:
            return _train_together(dispatch, workers)
        _leave_in_time(seconds_left(seconds - lead, lead))
        return _train(dispatch, workers, seat or 1)
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    click.echo(f"dasktune: {now}, {role} on {socket.gethostname()}")
    mine = queue_of(dispatch.order().cluster).number(os.environ)
    if not dispatch.knows(mine):
        _echo(f"job {mine} is an old copy, which the queue took after it was given up")
        return 0
    until = time.monotonic() + seconds_left(seconds - lead, lead)
    try:
        with Succession(dispatch, role, mine, until, _echo) as succession:  # type: ignore[arg-type]
            code = _prepare(dispatch) if role == "prepare" else _finish(dispatch, until)
    except DasktuneError as error:
        dispatch.end(error.exit_code, str(error))
        raise
    except TakenAway:
        code = -signal.SIGTERM
    if code is not None and code < 0:
        if succession.why:
            dispatch.end(2, succession.why)
        return 128 - code  # the queue took the job away, and it is done again
    if code is not None:
        dispatch.end(code)
        succession.take_back()
    return code or 0


def _train_together(dispatch: Dispatch, workers: int) -> int:
    """Train the shares of this job in as many processes, each with GPUs of its own."""
    from dasktune.cluster.claim import COUNT
    from dasktune.cluster.node import places
    from dasktune.cluster.siblings import run_all

    each = dispatch.order().resources.get("GPU", 0)
    gpus = int(os.environ.get(COUNT, 0)) if each else 0
    seats = [place.environment for place in places(workers, gpus, each)]
    command = [sys.executable, "-m", "dasktune", *sys.argv[1:], "--seat"]
    return run_all([[*command, str(seat)] for seat in range(1, workers + 1)], seats)


def _train(dispatch: Dispatch, workers: int, seat: int) -> int:
    """Train the share of this job, or of one of its processes."""
    from dasktune.attempt import JOB, job_of_environment
    from dasktune.cluster.jobs import queue_of
    from dasktune.dispatch.inquiry import note_restart
    from dasktune.dispatch.share import Shares, Worker, note

    order = dispatch.order()
    os.environ[JOB] = job_of_environment()
    note_restart(dispatch, os.environ[JOB])
    # Each process is as a job of its own, in an array of so many more.
    place = (queue_of(order.cluster).place(os.environ) - 1) * workers + seat

    def tell(outcome: Outcome) -> None:
        note(dispatch.path, place, outcome)
        value = "" if outcome.value is None else f"  {outcome.value:.5g}"
        click.echo(f"{outcome.target}  {outcome.status}{value}  {outcome.error}")

    name = f"{order.cluster}-{place}"
    shares = Shares.load(dispatch.path)
    Worker(shares, dispatch.path, place, order.count, name, tell).train()
    return 0


def _prepare(dispatch: Dispatch) -> int | None:
    """Preprocess and cut; only a failure is an end."""
    options, array = _array(dispatch)
    with array.observe:
        summary = array.prepare()
    return None if summary.exit_code == 0 else _conclude(array, summary, options)


def _finish(dispatch: Dispatch, until: float) -> int | None:
    """Collate, or send another array."""
    from dasktune.dispatch.inquiry import inquire
    from dasktune.dispatch.sending import send_patiently

    def send_on(count: int) -> None:
        number = send_patiently(dispatch, ("train", "finish"), _echo, count=count, until=until)
        _echo(f"what is left goes on in the array {number}")

    if _goes_on(dispatch):
        _echo("the queue started this job again, but what it has sent goes on")
        return None
    inquire(dispatch)
    options, array = _array(dispatch)
    if not array.prepared():
        _begin_again(dispatch, until)
        return None
    with array.observe:
        summary = array.finish(send_on)
    return None if summary is None else _conclude(array, summary, options)


def _begin_again(dispatch: Dispatch, until: float) -> None:
    """Send all jobs once more: the queue took the first one away before it had preprocessed."""
    from dasktune.dispatch.sending import roles_of, send_patiently

    times = sum(job.role == "prepare" for job in dispatch.jobs())
    if times >= MOST_BEGINNINGS:
        raise ClusterError(
            f"the first job of the array was taken away {times} times before it had preprocessed; "
            "see 'dasktune logs', and give it a longer walltime."
        )
    number = send_patiently(dispatch, roles_of(dispatch.order()), _echo, until=until)
    _echo(f"the first job was taken away; job {number} begins again")


def _goes_on(dispatch: Dispatch) -> bool:
    """Say whether this very job has sent others before; those that lack a last one are cancelled.

    So it is where the queue starts it again after that.
    """
    from dasktune.cluster.jobs import cancel, queue_of

    queue = queue_of(dispatch.order().cluster)
    mine, jobs = queue.number(os.environ), dispatch.jobs()
    numbers = [job.number for job in jobs]
    later = jobs[numbers.index(mine) + 1 :] if mine in numbers else []
    if later and later[-1].role == "finish":
        return True
    cancel(queue, [job.number for job in later])
    return False


def _echo(text: str) -> None:
    click.echo(f"dasktune: {text}")


def _conclude(array: Any, summary: Any, options: dict[str, Any]) -> int:
    from dasktune.cli.telling import conclude

    return conclude(array.sweep, summary, options)


def _array(dispatch: Dispatch) -> tuple[dict[str, Any], Any]:
    """Load the sweep as it was sent."""
    from dasktune.cli.making import make
    from dasktune.cli.options import change_folder, open_sweep, split_words
    from dasktune.cli.telling import display_of
    from dasktune.dispatch.sharing import Array
    from dasktune.run import Options

    order = dispatch.order()
    os.chdir(order.folder)
    options = make.make_context("make", list(order.words)).params
    change_folder(options["folders"])
    _, variables = split_words(options["words"])
    searched = {name: options[name] for name in ("search", "best", "seeds")}
    sweep = open_sweep(
        options["file"], options["store"], variables, sources=order.sources, **searched
    )
    how = Options(
        cluster="none",
        keep_going=options["keep_going"] and not options["stop"],
        ignore_errors=options["ignore_errors"],
        fuse=options["fuse"],
        retries=options["retries"],
    )
    return options, Array(dispatch, sweep, how, display_of(sweep, options))


def _leave_in_time(seconds: float) -> None:
    """Leave what trains at its checkpoint when the job's time is over, or the queue says so."""
    from dasktune import drain

    drain.leave_at(time.monotonic() + seconds)
    clock = threading.Timer(seconds, drain.request, ["its time is over"])
    clock.daemon = True
    clock.start()
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, lambda number, frame: drain.request(signal.Signals(number).name))
