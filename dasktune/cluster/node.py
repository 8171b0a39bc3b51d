"""What a job of a queue runs: nannies and their workers, which leave when they are told to.

The job script ends with ``exec python -m dasktune.cluster.node …``: the queue's signals reach
this process at once, and no shell dies of them first.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import click
import dask

from dasktune.attempt import JOB, job_of_environment
from dasktune.cluster.claim import claim
from dasktune.cluster.crew import Crew, write
from dasktune.cluster.cuda import seats
from dasktune.cluster.demand import worker_names
from dasktune.cluster.devices import look
from dasktune.cluster.local import CONFIG
from dasktune.cluster.walltime import seconds_left
from dasktune.errors import ClusterError
from dasktune.events import GIVEN_UP, TOPIC
from dasktune.worker import SIGNALS

TELL_SECONDS = 10
"""Seconds that telling a scheduler may take."""


@click.command()
@click.argument("scheduler")
@click.option("--name", required=True)
@click.option("--nthreads", type=int, default=1)
@click.option("--resources", default="")
@click.option("--workers", type=int, default=1)
@click.option("--gpus", type=int, default=0)
@click.option("--gpus-each", type=float, default=1.0)
@click.option("--drain-after", type=float, default=None)
@click.option("--grace", type=float, default=math.inf)
@click.option("--death-timeout", type=float, default=300)
@click.option("--local-directory", default=None)
@click.option("--interface", default=None)
@click.option("--host", default=None)
@click.option("--protocol", default=None)
@click.option("--memory-limit", default="0")
@click.option("--tls-ca-file", default=None)
@click.option("--tls-cert", default=None)
@click.option("--tls-key", default=None)
def main(**options: Any) -> None:
    """Serve a scheduler until it is told to leave."""
    claim()
    with dask.config.set(CONFIG):
        asyncio.run(serve(**options))


async def serve(
    scheduler: str,
    name: str,
    nthreads: int,
    resources: str,
    workers: int,
    gpus: int,
    gpus_each: float,
    drain_after: float | None,
    grace: float,
    tls_ca_file: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    death_timeout: float,
    memory_limit: str,  # the queue holds the limit, and knows it better
    **options: Any,
) -> None:
    """Start the nannies, and wait for the end of the last one."""
    from distributed import Nanny, Security

    config: dict[str, Any] = dict(CONFIG)
    if drain_after is not None:
        config["dasktune.worker.leave-at"] = time.time() + seconds_left(drain_after, grace)
        config["dasktune.worker.grace"] = grace
    security = None
    if tls_ca_file is not None:
        security = Security(
            require_encryption=True,
            tls_ca_file=tls_ca_file,
            tls_worker_cert=tls_cert,
            tls_worker_key=tls_key,
        )

    def nanny(own: str, place: Place) -> Callable[[], Any]:
        return lambda: Nanny(
            scheduler,
            name=own,
            nthreads=nthreads,
            resources={**read_resources(resources), **place.resources},
            memory_limit=0,
            security=security,
            preload=["dasktune.worker"],
            config=config,
            dashboard=False,
            death_timeout=death_timeout,
            env={JOB: job_of_environment(), **place.environment},
            **options,
        )

    async def tell(text: str, given_up: str = "") -> None:
        write(text)
        await tell_runs(text, given_up, scheduler, security)

    names = worker_names(name, workers)
    found = zip(names, places(workers, gpus, gpus_each), strict=True)
    crew = Crew([(own, nanny(own, place)) for own, place in found], death_timeout, tell)
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, crew.forward, number)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # the driver's alone
    await crew.serve()
    if not crew.served and not crew.leaving:
        raise SystemExit(1)


async def tell_runs(text: str, given_up: str, scheduler: str, security: Any) -> None:
    """Tell the runs on a scheduler, if it can be reached."""
    from distributed import Security
    from distributed.core import rpc

    connection = (security or Security()).get_connection_args("worker")
    with contextlib.suppress(Exception):
        async with asyncio.timeout(TELL_SECONDS), rpc(scheduler, connection_args=connection) as at:
            if given_up:
                await at.log_event(topic=GIVEN_UP, msg=given_up)
            await at.log_event(topic=TOPIC, msg={"event": "note", "text": text})


@dataclass(frozen=True)
class Place:
    """What tells a worker of this job from the others.

    Attributes
    ----------
    resources : dict of str to float
        What it offers of its own.
    environment : dict of str to str
        Its devices.
    """

    resources: dict[str, float] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


def places(workers: int, gpus: int, each: float) -> list[Place]:
    """Share the GPUs of this job out among its workers; a single worker has all that there is.

    Parameters
    ----------
    workers : int
        How many workers.
    gpus : int
        GPUs of the job; 0 where they do not matter.
    each : float
        How many of them a trial needs.

    Raises
    ------
    ClusterError
        If this node shows fewer GPUs than the job asked for, or hides them.
    """
    if not gpus:
        return [Place()] * workers
    devices = look().names()
    found = seats(devices[:gpus], each, workers) if each <= len(devices) else []
    if len(found) < workers:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        shown = ", ".join(devices) or f"CUDA_VISIBLE_DEVICES is {visible!r}"
        raise ClusterError(
            f"{workers} workers need {workers * each:g} GPUs, but this node shows {len(devices)} "
            f"({shown}); set -O gpus=…, or see to it that the queue gives them."
        )
    return [Place({"GPU": seat.gpus}, {"CUDA_VISIBLE_DEVICES": seat.devices}) for seat in found]


def read_resources(text: str) -> dict[str, float]:
    """Read ``"GPU=1,memory=2e9"``."""
    pairs = (pair.split("=") for pair in text.split(",") if pair)
    return {name: float(amount) for name, amount in pairs}


if __name__ == "__main__":
    main()
