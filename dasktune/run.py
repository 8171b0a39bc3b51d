"""Making: run what a plan says is out of date, and tell what became of it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from dasktune.board import Board
from dasktune.collate import collation, show
from dasktune.commit import sweep as sweep_tmp
from dasktune.failure.company import forget
from dasktune.failure.tolerance import Tolerance
from dasktune.giveup import GiveUp
from dasktune.grouping import Candidate, partition
from dasktune.libraries import READING, load_ahead
from dasktune.notebook import Notebook, in_notebook
from dasktune.outcome import Alone, Outcome, TargetFailed
from dasktune.placing import check_here, connected
from dasktune.plan import Plan, Request, State
from dasktune.runfolder import RunFolder
from dasktune.store import Store
from dasktune.summary import Summary
from dasktune.sweep import Sweep
from dasktune.trackers.tracker import find_maker
from dasktune.tracking import Tracking
from dasktune.watch import Observer, Watch

if TYPE_CHECKING:
    from distributed import Client
    from distributed.deploy import Cluster

    from dasktune.graph import Tasks
    from dasktune.traingroup import GroupTask


@dataclass(frozen=True)
class Options:
    """How to run.

    Attributes
    ----------
    cluster : str or distributed.Client
        ``"auto"``: ``"cuda"`` where there are GPUs and trials need one, else ``"local"``;
        ``"none"``: in this process; ``"local"``: workers on this machine; ``"cuda"``: one a GPU;
        a queue such as ``"slurm"``; a scheduler's address; a name, see `dasktune.cluster`; or a
        client or a cluster of Dask's.
    cluster_settings : mapping of str to str
        Settings of that cluster that override the configuration.
    jobs : int or None
        Trials at a time; None for as many as the resources allow.
    pack : "auto", int or None
        Trials that share a GPU: as many as gain something, which is measured, or so many.
    keep_going : bool
        ``-k``: go on with what does not depend on a failed target.
    ignore_errors : bool
        ``-i``: go on with everything; failed trials are NaN in the dataset.
    tee : bool
        Whether what trials print is shown as well; only with cluster ``"none"``.
    debug : bool
        Let the exception of a recipe through as it is; only with cluster ``"none"``.
    track : sequence of str
        Trackers that are told of each trial while it is trained: ``"tensorboard"``,
        ``"tensorboard=FOLDER"``, ``"mlflow"``, ``"mlflow=URI"``.
    fuse : "auto", "off" or int
        Whether trials may be trained as one vmapped step, where the train recipe can: as many
        as is measured to be fastest, none, or so many.
    """

    cluster: str | Client | Cluster = "auto"
    cluster_settings: Mapping[str, str] = field(default_factory=dict)
    jobs: int | None = None
    pack: Literal["auto"] | int | None = None
    keep_going: bool = False
    ignore_errors: bool = False
    tee: bool = False
    debug: bool = False
    track: Sequence[str] = ()
    fuse: Literal["auto", "off"] | int = "auto"
    retries: int | None = None
    trial_timeout: float | None = None
    give_up_after: int | None = None

    @property
    def tolerance(self) -> Tolerance:
        """How long failures are borne."""
        return Tolerance.configured(
            retries=self.retries,
            trial_timeout=self.trial_timeout,
            give_up_after=self.give_up_after,
        )


def make(
    sweep: Sweep,
    request: Request | None = None,
    options: Options | None = None,
    observe: Observer | None = None,
    *,
    drive: Callable[..., None] | None = None,
) -> Summary:
    """Bring the goals up to date.

    Parameters
    ----------
    sweep : Sweep
        What to make.
    request : Request, optional
        The goals and what is forced; ``all`` if not given.
    options : Options, optional
        Where and how to run.
    observe : callable, optional
        Takes the events of the run. In a notebook a display that changes in place, if not given.
    drive : callable, optional
        Runs the plan in another way, as a search does.

    Returns
    -------
    Summary
        What became of it. A failed target is no exception here; see `Summary.exit_code`.

    Raises
    ------
    StoreError
        If the store cannot be written.
    ClusterError
        If there is no cluster, or none that offers the resources.
    """
    options = options or Options()
    tolerance = options.tolerance
    if observe is None:
        shown = Notebook(sweep.pipeline.objective) if in_notebook() else None
        observe = shown or (lambda event: None)
    makers = {word: find_maker(word) for word in options.track}
    plan = sweep.plan(request)
    summary = Summary(plan, ignore_errors=options.ignore_errors)
    observe({"event": "plan", "plan": plan})
    if plan.up_to_date:
        _show_again(sweep.store, summary.collated_key())
        return summary
    sweep.store.prepare()
    sweep_tmp(sweep.store)
    sweep.codes.save(sweep.store)
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{os.urandom(2).hex()}"
    run = RunFolder(sweep.store.run(name))
    run.create()
    tasks = sweep.tasks(
        plan,
        name,
        keep_going=options.keep_going,
        ignore_errors=options.ignore_errors,
        tee=options.tee,
        tolerance=tolerance,
    )
    hope = GiveUp(tolerance.give_up_after)

    board = Board.of(plan, sweep.pipeline.objective, name, sweep.store.root, time.time())
    tracking = None
    if makers:
        made = {word: partial(maker, sweep.name, name) for word, maker in makers.items()}
        tracking = Tracking(
            made, plan, sweep.store, lambda text: watch({"event": "note", "text": text})
        )
        observe = tracking.beside(observe)
    watch = Watch(board, plan, run, observe)

    def took(outcome: Outcome) -> None:
        summary.outcomes[outcome.target] = outcome
        summary.ended.append(outcome)
        watch({"event": "finished", "outcome": outcome})
        hopeless = hope.take(outcome) if outcome.target.startswith("trained/") else ""
        if hopeless and not run.stopping():
            summary.gave_up = hopeless
            run.stop(hopeless)

    try:
        with watch, _signals(run, summary, watch):
            if drive is not None:
                drive(sweep, plan, tasks, options, run, took, watch)
            elif options.cluster == "none":
                check_here(options)
                run_here(sweep, plan, tasks, options, took, watch)
            else:
                _run_on_cluster(sweep, plan, tasks, options, run, took, watch)
    except KeyboardInterrupt:
        summary.interrupted = summary.interrupted or signal.SIGINT
    finally:
        if tracking is not None:
            tracking.close()
        run.remove()
        forget(name)
    return summary


def _show_again(store: Store, key: str | None) -> None:
    """Let the view show the collation that is up to date: after an edit was taken back."""
    if key is None:
        return
    with contextlib.suppress(OSError):
        if os.readlink(store.view) != collation(key):
            show(store, key)


def groups_of(
    sweep: Sweep, plan: Plan, tasks: Tasks, options: Options, workers: int
) -> list[GroupTask]:
    """Choose which trials are trained together, if the train recipe can do so."""
    from dasktune.traingroup import GroupTask

    together = getattr(sweep.pipeline.train, "together", None)
    if together is None or options.fuse in ("off", 1) or options.debug:
        return []
    variables = sweep.pipeline.variables["train"]
    candidates = [
        Candidate(target.name, *together(target.spec.config, variables))
        for target in plan.targets.values()
        if target.spec is not None and target.state is not State.DONE
    ]
    width = None if options.fuse == "auto" else int(options.fuse)
    return [
        GroupTask(tuple(tasks.train[name] for name in names), width)
        for names in partition(candidates, workers)
    ]


def run_here(
    sweep: Sweep,
    plan: Plan,
    tasks: Tasks,
    options: Options,
    took: Callable[[Outcome], None],
    observe: Observer,
) -> None:
    """Run the plan in this process, in make's order."""
    from dasktune.collate import collate
    from dasktune.preprocess import preprocess
    from dasktune.train import train
    from dasktune.traingroup import part, train_group

    outcomes = {name: t.outcome for name, t in plan.targets.items() if t.outcome is not None}
    of_group = {
        task.target: group
        for group in groups_of(sweep, plan, tasks, options, workers=1)
        for task in group.tasks
    }
    parts: dict[int, tuple[Outcome | Alone, ...]] = {}
    how: dict[str, Any] = {"emit": observe, "debug": options.debug}
    for target in plan.targets.values():
        if target.state is State.DONE or target.phony:
            continue
        try:
            if target.name == "preprocessed":
                outcome = preprocess(tasks.preprocess, **how)
            elif target.name in of_group:
                group, data = of_group[target.name], outcomes["preprocessed"]
                if id(group) not in parts:
                    parts[id(group)] = train_group(group, data, emit=observe)
                outcome = part(tasks.train[target.name], parts[id(group)], data, emit=observe)
            elif target.spec is not None:
                outcome = train(tasks.train[target.name], outcomes["preprocessed"], **how)
            else:
                trials = [outcomes[name] for name in plan.targets["trained"].needs]
                failed = any(o.status == "failed" and o.made for o in trials)
                if failed and not options.ignore_errors:
                    continue
                outcome = collate(tasks.collate, trials, **how)
        except TargetFailed as failure:
            outcome = failure.outcome
        outcomes[target.name] = outcome
        if outcome.status != "skipped":
            took(outcome)


def _run_on_cluster(
    sweep: Sweep,
    plan: Plan,
    tasks: Tasks,
    options: Options,
    run: RunFolder,
    took: Callable[[Outcome], None],
    watch: Watch,
) -> None:
    """Submit the plan's graph, and follow it until all its nodes have ended."""
    from dasktune.submission import Submission

    with connected(sweep, tasks, options, run, watch) as connection:
        if connection.own:  # its workers are no threads of ours, which may be importing, too
            load_ahead(READING)
        jobs = None if connection.own else options.jobs
        submission = Submission(connection.client, plan, tasks, run, jobs, took, connection.slots)
        submission.follow(groups_of(sweep, plan, tasks, options, submission.slots))


@contextlib.contextmanager
def _signals(run: RunFolder, summary: Summary, observe: Observer) -> Iterator[None]:
    """Stop gently at the first Ctrl-C (or SIGTERM), and at once at the second."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        if summary.interrupted:
            raise KeyboardInterrupt
        summary.interrupted = number
        run.interrupt(signal.Signals(number).name)
        observe(
            {
                "event": "note",
                "text": "stopping: nothing new is started; what runs is left at its next "
                "checkpoint, or finished if it has none. Once more to kill it.",
            }
        )

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
