"""``lsf``."""

from __future__ import annotations

from typing import Any

from dasktune.cluster.queue import Queue, Request, Seen, note


class Lsf(Queue):
    """IBM Spectrum LSF."""

    kind = "lsf"
    cluster = "LSFCluster"
    more = {"gpu-request": '-gpu "num={gpus}"'}  # noqa: RUF012
    look_command = ("bjobs", "-noheader", "-o", "jobid stat job_name pend_reason delimiter='|'")
    cancel_command = "bkill"
    own = ("LSB_JOBID",)
    index = ("LSB_JOBINDEX",)
    names = True

    def options(self, request: Request) -> dict[str, Any]:
        """Give the arguments of `LSFCluster`."""
        from dask.utils import parse_bytes

        directives = [
            "-r" if request.requeue else "-rn",
            f"-wa USR2 -wt {max(1, request.lead // 60)}",
        ]
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
        jobs: dict[str, Seen] = {}
        for line in text.splitlines():
            number, state, name, *reason = [*line.split("|", 3), "", ""]
            if state in ("PEND", "PSUSP", "WAIT", "RUN", "USUSP", "SSUSP"):
                waiting = state not in ("RUN",)
                why = (reason[0] if waiting else "").strip(" -")
                note(jobs, number, Seen(waiting, why, state in ("USUSP", "SSUSP"), name=name))
        return jobs

    def after(self, job: str) -> str:
        """Wait for its end, good or bad."""
        return f'-w "ended({job})"'

    def array(self, count: int) -> str:
        """Number the jobs: in LSF a part of the job's name."""
        return f'-J "dasktune[1-{count}]"'


QUEUE = Lsf()
