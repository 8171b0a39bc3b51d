"""``doctor``: whether a sweep would work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from dasktune.cli.options import change_folder, read_settings
from dasktune.errors import ClusterError, DasktuneError, PipelineError, UsageError

if TYPE_CHECKING:
    from dasktune.checkup import Check
    from dasktune.cluster import Demand


@click.command()
@click.option(
    "--cluster",
    "where",
    default="auto",
    show_default=True,
    metavar="WHERE",
    help="This machine ('auto', 'local', 'cuda', as for 'make'), or a queue, by one short job.",
)
@click.option("-O", "--cluster-option", "settings", multiple=True, metavar="KEY=VALUE")
@click.option("--wait", default=60.0, show_default=True, help="Seconds the job may wait.")
@click.option("-f", "--file", metavar="FILE", help="The pipeline, for what its trials need.")
@click.option("-C", "folders", multiple=True, metavar="DIR", help="Change to DIR first.")
@click.option("--store", default="dist", show_default=True, help="Where targets are kept.")
@click.option("--debug", is_flag=True, help="Show a traceback of dasktune's own errors.")
def doctor(where: str, **options: Any) -> int:
    """Say whether a sweep would work, here or in a queue: a line a check, and what mends it."""
    from dasktune.checkup import lines

    change_folder(options["folders"])
    settings = read_settings(options["settings"])
    store = os.path.abspath(options["store"])
    found = _checks(where, settings, store, options)
    good = True
    for check in found:
        good &= check.good
        for line in lines(check):
            click.echo(line)
    click.echo("a sweep would work" if good else "a sweep would not work yet")
    return 0 if good else 2


def _checks(
    where: str, settings: dict[str, str], store: str, options: dict[str, Any]
) -> Iterator[Check]:
    """Check what the word selects."""
    from dasktune.checkup import check_device, check_torch, guarded
    from dasktune.cluster import kind_of, resolve

    demand = replace(_demand(store, options), tell=lambda event: click.echo(event["text"]))
    where = resolve(where, demand, settings)
    kind = kind_of(where)
    if kind in ("none", "local"):
        if settings:
            raise UsageError(f"the cluster {where!r} has no settings, but got {sorted(settings)}.")
        yield from _here(store)
        yield guarded("torch", check_torch)
        yield guarded("device", lambda: check_device(0))
        yield guarded("workers", _check_workers)
    elif kind == "cuda":
        from dasktune.cluster.gpucheck import check_gpus

        yield from _here(store)
        yield from check_gpus(where, settings, demand)
    else:
        yield from _there(where, settings, store, options)


def _here(store: str) -> Iterator[Check]:
    """Check this machine."""
    from dasktune.checkup import check_folder, check_python, guarded

    os.makedirs(store, exist_ok=True)
    yield guarded("python", check_python)
    yield guarded("folder", lambda: check_folder(store))


def _check_workers() -> Check:
    """Start a worker as a run does."""
    from dasktune.checkup import Check
    from dasktune.cluster import Demand, connect

    try:
        with connect("local", Demand(jobs=1)) as connection:
            answer = connection.client.submit(os.getpid).result(timeout=60)
    except (DasktuneError, OSError, TimeoutError) as error:
        fix = "a worker must be able to start, and to connect on the loopback device"
        return Check("workers", False, f"{type(error).__name__}: {error}", fix)
    return Check("workers", True, f"one started as process {answer} and was reached")


def _there(
    where: str, settings: dict[str, str], store: str, options: dict[str, Any]
) -> Iterator[Check]:
    """Check a queue."""
    from dasktune.checkup import Check, check_folder
    from dasktune.cluster.examine import examine

    os.makedirs(store, exist_ok=True)
    mine = check_folder(store)
    if not mine.good:
        yield mine
        return
    try:
        yield from examine(where, settings, _demand(store, options), options["wait"])
    except ClusterError as error:  # a package that is missing here
        yield Check("here", False, str(error), "")


def _demand(store: str, options: dict[str, Any]) -> Demand:
    """Give what a trial needs: the pipeline's, if there is one."""
    from dasktune.cluster import Demand
    from dasktune.load import find_pipeline, load_module
    from dasktune.pipelinefile import find_file

    try:
        pipeline = find_pipeline(load_module(find_file(options["file"])))
    except PipelineError:
        if options["file"] is not None:
            raise
        return Demand(folder=store, name="doctor")
    return Demand(pipeline.resources, threads=pipeline.threads, folder=store, name="doctor")
