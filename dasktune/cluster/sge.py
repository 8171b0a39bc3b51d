"""``sge``: Grid Engine in all its editions."""

from __future__ import annotations

from typing import Any

from dasktune.cluster.queue import Queue, Request, Seen, note


class GridEngine(Queue):
    """Grid Engine. It hands out no device numbers: a worker sees what its node lets it see."""

    kind = "sge"
    cluster = "SGECluster"
    more = {  # noqa: RUF012
        "gpu-request": "-l gpu={gpus}",
        "parallel-environment": "smp",
        "resource-spec": None,
    }
    look_command = ("qstat",)
    cancel_command = "qdel"
    own = "JOB_ID"
    index = "SGE_TASK_ID"

    def options(self, request: Request) -> dict[str, Any]:
        """Give the arguments of `SGECluster`."""
        # -notify sends SIGUSR2 ahead of the end.
        directives = ["-notify", f"-r {'y' if request.requeue else 'n'}", "-S /bin/bash"]
        if request.cpus > 1:
            directives.append(f"-pe {request.settings['parallel-environment']} {request.cpus}")
        if request.gpus:
            directives.append(request.settings["gpu-request"].format(gpus=request.gpus))
        return {
            "queue": request.settings["queue"],
            "project": request.settings["account"],
            "resource_spec": request.settings["resource-spec"],
            "walltime": request.walltime,
            "job_extra_directives": directives,
        }

    def seen(self, text: str) -> dict[str, Seen]:
        """Read qstat's table: number, priority, name, user, state, …."""
        jobs: dict[str, Seen] = {}
        for line in text.splitlines():
            words = line.split()
            if len(words) > 4 and words[0].isdigit():
                state = words[4]
                waiting = "q" in state or "h" in state
                reason = f"state {state}" if "E" in state else ""
                note(jobs, words[0], Seen(waiting, reason))
        return jobs

    def after(self, job: str) -> str:
        """Wait for its end, good or bad."""
        return f"-hold_jid {job}"

    def array(self, count: int) -> str:
        """Number the jobs."""
        return f"-t 1-{count}"


QUEUE = GridEngine()
