"""What a job of a queue runs: a nanny and its worker, which leave when they are told to.

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
from typing import Any

import click
import dask

from dasktune.attempt import JOB, job_of_environment
from dasktune.cluster.local import CONFIG
from dasktune.worker import SIGNALS


@click.command()
@click.argument("scheduler")
@click.option("--name", required=True)
@click.option("--nthreads", type=int, default=1)
@click.option("--resources", default="")
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
    with dask.config.set(CONFIG):
        asyncio.run(serve(**options))


async def serve(
    scheduler: str,
    name: str,
    nthreads: int,
    resources: str,
    drain_after: float | None,
    grace: float,
    tls_ca_file: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    memory_limit: str,  # the queue holds the limit, and knows it better
    **options: Any,
) -> None:
    """Start the nanny, and wait for its end."""
    from distributed import Nanny, Security

    config: dict[str, Any] = dict(CONFIG)
    if drain_after is not None:
        config["dasktune.worker.leave-at"] = time.time() + drain_after
        config["dasktune.worker.grace"] = grace
    security = None
    if tls_ca_file is not None:
        security = Security(
            require_encryption=True,
            tls_ca_file=tls_ca_file,
            tls_worker_cert=tls_cert,
            tls_worker_key=tls_key,
        )
    nanny = Nanny(
        scheduler,
        name=name,
        nthreads=nthreads,
        resources=read_resources(resources),
        memory_limit=0,
        security=security,
        preload=["dasktune.worker"],
        config=config,
        dashboard=False,
        env={JOB: job_of_environment()},
        **options,
    )
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, forward, nanny, number)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # the driver's alone
    await nanny
    await nanny.finished()


def forward(nanny: Any, number: int) -> None:
    """Tell the worker to leave. Dask's own way would close it at once."""
    pid = nanny.pid
    if pid is None:
        asyncio.get_running_loop().create_task(nanny.close(reason="told before it had begun"))
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def read_resources(text: str) -> dict[str, float]:
    """Read ``"GPU=1,memory=2e9"``."""
    pairs = (pair.split("=") for pair in text.split(",") if pair)
    return {name: float(amount) for name, amount in pairs}


if __name__ == "__main__":
    main()
