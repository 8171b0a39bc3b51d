"""``sge``: Grid Engine in all its editions."""

from __future__ import annotations

from typing import Any

from dasktune.cluster.queue import Queue, Request, Seen


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

    def options(self, request: Request) -> dict[str, Any]:
        """Give the arguments of `SGECluster`."""
        # -notify sends SIGUSR2 ahead of the end.
        directives = ["-notify", "-r n", "-S /bin/bash"]
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
        jobs = {}
        for line in text.splitlines():
            words = line.split()
            if len(words) > 4 and words[0].isdigit():
                state = words[4]
                waiting = "q" in state or "h" in state
                jobs[words[0]] = Seen(waiting, f"state {state}" if "E" in state else "")
        return jobs


QUEUE = GridEngine()
