"""``lsf``."""

from __future__ import annotations

from typing import Any

from dasktune.cluster.queue import Queue, Request, Seen


class Lsf(Queue):
    """IBM Spectrum LSF."""

    kind = "lsf"
    cluster = "LSFCluster"
    more = {"gpu-request": '-gpu "num={gpus}"'}  # noqa: RUF012
    look_command = ("bjobs", "-noheader", "-o", "jobid stat pend_reason delimiter='|'")

    def options(self, request: Request) -> dict[str, Any]:
        """Give the arguments of `LSFCluster`."""
        from dask.utils import parse_bytes

        directives = ["-rn", f"-wa USR2 -wt {max(1, request.lead // 60)}"]
        if request.gpus:
            directives.append(request.settings["gpu-request"].format(gpus=request.gpus))
        return {
            "queue": request.settings["queue"],
            "project": request.settings["account"],
            "walltime": request.walltime[:-3],  # hours and minutes
            "ncpus": request.cpus,
            "mem": parse_bytes(request.memory),
            "job_extra_directives": directives,
        }

    def seen(self, text: str) -> dict[str, Seen]:
        """Read bjobs' lines."""
        jobs = {}
        for line in text.splitlines():
            number, state, *reason = line.split("|", 2)
            if state in ("PEND", "PSUSP", "WAIT", "RUN", "USUSP", "SSUSP"):
                waiting = state not in ("RUN",)
                jobs[number] = Seen(waiting, (reason[0] if waiting and reason else "").strip(" -"))
        return jobs


QUEUE = Lsf()
