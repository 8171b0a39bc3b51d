"""Placing a run: which cluster it gets, and how many trials share a device of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from dasktune.errors import UsageError
from dasktune.graph import Tasks
from dasktune.grouping import Candidate, partition
from dasktune.plan import State, Target
from dasktune.runfolder import RunFolder
from dasktune.sweep import Sweep
from dasktune.traintask import TrainTask
from dasktune.watch import Watch

if TYPE_CHECKING:
    from dasktune.cluster import Connection, Demand
    from dasktune.run import Options

_LOOKED_AT = 100  # trials, to see whether any of them are fused


@contextlib.contextmanager
def connected(
    sweep: Sweep, tasks: Tasks, options: Options, run: RunFolder, watch: Watch
) -> Iterator[Connection]:
    """Give the cluster that the options name, with a watch over it.

    Parameters
    ----------
    sweep : Sweep
        What is made.
    tasks : Tasks
        For what a trial needs.
    options : Options
        Where and how to run.
    run : RunFolder
        The run's folder.
    watch : Watch
        Is told what was chosen, and why.

    Raises
    ------
    ClusterError
        If there is no cluster, or none that offers the resources.
    """
    from distributed import Client

    from dasktune.cluster import Connection, check_nannies, check_resources, connect, tell_limits

    with contextlib.ExitStack() as stack:
        if isinstance(options.cluster, str):
            word, demand = place(sweep, tasks, options, run, watch)
            found = connect(word, demand, options.cluster_settings)
            connection = stack.enter_context(found)
        else:
            if options.pack is not None:
                raise UsageError(_no_packing("the cluster of a client has", options.pack))
            client = options.cluster
            if not isinstance(client, Client):
                client = stack.enter_context(Client(client))
            check_resources(client, tasks.resources)
            tell_limits(client, watch)
            connection = Connection(client)
        if options.tolerance.trial_timeout:
            check_nannies(connection.client)
        stack.callback(watch.end)
        watch.attach(connection.client)
        yield connection


def place(
    sweep: Sweep, tasks: Tasks, options: Options, run: RunFolder, watch: Watch
) -> tuple[str, Demand]:
    """Choose the cluster, and what it is asked for.

    Returns
    -------
    (str, Demand)
        The cluster's word, and what the run needs of it.

    Raises
    ------
    UsageError
        If trials cannot be packed there.
    """
    from dasktune.cluster import Demand, kind_of, resolve

    demand = Demand(
        tasks.resources,
        options.jobs,
        threads=sweep.pipeline.threads,
        name=sweep.name,
        folder=os.path.abspath(run.path),
        tell=watch,
    )
    word = resolve(str(options.cluster), demand, options.cluster_settings)
    if options.pack is None:
        return word, demand
    kind = kind_of(word)
    if kind == "cuda":
        return word, replace(demand, pack=_packs(word, sweep, tasks, options, run, demand))
    if kind == "local" and options.pack == "auto":
        return word, replace(demand, jobs=_packs(word, sweep, tasks, options, run, demand))
    raise UsageError(_no_packing(f"the cluster {word!r} has", options.pack))


def check_here(options: Options) -> None:
    """Refuse what cannot be where all trials are trained in this process.

    Raises
    ------
    UsageError
        If they are to be packed, or ended when they hang.
    """
    if options.tolerance.trial_timeout:
        raise UsageError(
            "--trial-timeout ends the worker of a trial that hangs, but with --cluster none "
            "there is only this process. Leave one of them out."
        )
    if options.pack is not None:
        raise UsageError(_no_packing("the cluster 'none' has", options.pack))


def _packs(
    word: str, sweep: Sweep, tasks: Tasks, options: Options, run: RunFolder, demand: Demand
) -> int:
    """Give how many trials share a device: as was said, or as is measured now."""
    if isinstance(options.pack, int):
        return options.pack
    task = _example(sweep, tasks)
    why = "there is nothing to train" if task is None else _fused(sweep, tasks, options)
    if task is None or why:
        demand.tell({"event": "note", "text": f"packing 1, since {why}"})
        return 1
    from dasktune.cluster.bench import bench
    from dasktune.measuring import measure

    trials = options.jobs or len(tasks.train) or len(sweep.pipeline.trials())
    demand.tell({"event": "note", "text": "measuring how many trials share a device with a gain"})
    with bench(word, options.cluster_settings, demand) as found:
        verdict, text = measure(found, tasks, task, trials, run)
    demand.tell({"event": "note", "text": text})
    return verdict.pack


def _example(sweep: Sweep, tasks: Tasks) -> TrainTask | None:
    """Give the first trial that is to be trained; of a search, the first that it may ask for."""
    for task in tasks.train.values():
        return task
    if sweep.pipeline.search is None:
        return None
    sweep = sweep.at(sweep.pipeline.max_epochs)
    spec = sweep.pipeline.trials()[0]
    target = Target(f"trained/{spec.id}", state=State.STALE, spec=spec)
    return sweep.train_tasks([target], tasks.preprocess.run)[target.name]


def _fused(sweep: Sweep, tasks: Tasks, options: Options) -> str:
    """Say why there is nothing to pack, if trials are trained as one step."""
    together = getattr(sweep.pipeline.train, "together", None)
    if together is None or options.fuse in ("off", 1):
        return ""
    specs = [task.spec for task in tasks.train.values()] or list(sweep.pipeline.trials())
    variables = sweep.pipeline.variables["train"]
    some = [Candidate(s.id, *together(s.config, variables)) for s in specs[:_LOOKED_AT]]
    if not partition(some, 1):
        return ""
    return "trials are fused, which fills a device from one process; --fuse off packs them instead"


def _no_packing(where: str, pack: str | int) -> str:
    return (
        f"--pack {pack} puts trials on GPUs of this machine, but {where} no such GPUs that "
        "dasktune could share out. Use --cluster cuda, or -j N for trials at a time."
    )
