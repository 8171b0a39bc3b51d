"""``sge``: Grid Engine in all its editions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dasktune.cluster.claim import COUNT
from dasktune.cluster.queue import Fate, Queue, Request, Seen, note


class GridEngine(Queue):
    """Grid Engine. It counts GPUs and names none, so that its jobs claim some."""

    kind = "sge"
    cluster = "SGECluster"
    more = {  # noqa: RUF012
        "gpu-request": "-l gpu={gpus}",
        "parallel-environment": "smp",
        "resource-spec": None,
    }
    look_command = ("qstat",)
    cancel_command = "qdel"
    own = ("JOB_ID",)
    index = ("SGE_TASK_ID",)

    def options(self, request: Request) -> dict[str, Any]:
        """Give the arguments of `SGECluster`."""
        # -notify sends SIGUSR2 ahead of the end.
        directives = ["-notify", f"-r {'y' if request.requeue else 'n'}", "-S /bin/bash"]
        if request.cpus > 1:
            directives.append(f"-pe {request.settings['parallel-environment']} {request.cpus}")
        if request.gpus:
            directives.append(request.settings["gpu-request"].format(gpus=request.gpus))
        return {
            "job_script_prologue": [f"export {COUNT}={request.gpus}"] if request.gpus else [],
            "queue": request.settings["queue"],
            "project": request.settings["account"],
            "resource_spec": request.settings["resource-spec"],
            "walltime": request.walltime,
            "job_extra_directives": directives,
        }

    def seen(self, text: str) -> dict[str, Seen]:
        """Read qstat's table."""
        jobs: dict[str, Seen] = {}
        for number, state in _states(text):
            waiting = "q" in state  # one that runs may have a hold as well ("hr")
            note(jobs, number, Seen(waiting, f"state {state}" if "E" in state else ""))
        return jobs

    def fate_command(self, job: str) -> tuple[str, ...]:
        """Ask for the states of all jobs."""
        return self.look_command

    def fate(self, words: str, job: str, environment: Mapping[str, str]) -> Fate:
        """Tell a job that is deleted (``d``) from one that is started anew (``R``)."""
        state = dict(_states(words)).get(job, "")
        return "cancelled" if "d" in state else "again" if "R" in state else ""

    def after(self, job: str) -> str:
        """Wait for its end, good or bad."""
        return f"-hold_jid {job}"

    def array(self, count: int) -> str:
        """Number the jobs."""
        return f"-t 1-{count}"


def _states(text: str) -> Iterator[tuple[str, str]]:
    """Read qstat's table: number, priority, name, user, state, …."""
    for line in text.splitlines():
        words = line.split()
        if len(words) > 4 and words[0].isdigit():
            yield words[0], words[4]


QUEUE = GridEngine()
