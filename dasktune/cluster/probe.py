"""What the job of ``dasktune doctor`` runs: a check-up where trials would be trained."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import asdict

import click

from dasktune.checkup import (
    Check,
    check_device,
    check_folder,
    check_python,
    check_torch,
    guarded,
)
from dasktune.cluster.claim import claim
from dasktune.errors import DasktuneError

UNSEEN = 71
"""The exit code where the folder is not seen, so that nothing can be reported there."""
CONNECT_SECONDS = 15


@click.command()
@click.argument("folder")
@click.argument("address")
@click.option("--token", default="")
@click.option("--gpus", type=int, default=0)
@click.option("--tls", is_flag=True)
def main(folder: str, address: str, token: str, gpus: int, tls: bool) -> None:
    """Check this machine, and put what was found into FOLDER."""
    if not os.path.isdir(folder):
        click.echo(f"{folder} is not seen here", err=True)
        raise SystemExit(UNSEEN)
    found = [
        *_claimed(),
        guarded("python", check_python),
        guarded("torch", check_torch),
        guarded("device", lambda: check_device(gpus)),
        guarded("folder", lambda: check_folder(folder, token)),
        guarded("scheduler", lambda: check_scheduler(address, f"{folder}/tls" if tls else "")),
    ]
    scratch = f"{folder}/report.tmp"
    with open(scratch, "w") as file:
        json.dump([asdict(check) for check in found], file)
    os.replace(scratch, f"{folder}/report.json")


def _claimed() -> list[Check]:
    """See to it that this job has GPUs of its own, as a worker does; tell if it cannot."""
    try:
        claim()
    except DasktuneError as error:
        fix = "ask your site, or take whole nodes: -O gpus=N with all that a node has"
        return [Check("claim", False, str(error), fix)]
    return []


def check_scheduler(address: str, certificates: str = "") -> Check:
    """Connect to a scheduler, as a worker does."""
    from distributed import Security
    from distributed.comm import connect

    security = Security()
    if certificates:
        key, cert = f"{certificates}/key.pem", f"{certificates}/cert.pem"
        security = Security(
            require_encryption=True, tls_ca_file=cert, tls_worker_key=key, tls_worker_cert=cert
        )

    async def try_it() -> None:
        arguments = security.get_connection_args("worker")
        comm = await connect(address, timeout=CONNECT_SECONDS, **arguments)
        await comm.close()

    try:
        asyncio.run(try_it())
    except Exception as error:
        told = " ".join(f"{error.__cause__ or error}".split())[:300]
        return Check(
            "scheduler",
            False,
            f"cannot connect to {address} within {CONNECT_SECONDS} s: {told}",
            "name the network that login node and nodes share (-O interface=…, see 'ip -brief "
            "address'), or run the driver in a job: 'dasktune submit'; with no connections at "
            "all: 'dasktune submit --array'",
        )
    return Check("scheduler", True, f"connects to {address}")


if __name__ == "__main__":
    main()
