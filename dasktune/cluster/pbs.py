"""``pbs``: PBS Professional and OpenPBS; Torque with another ``resource-spec``."""

from __future__ import annotations

import getpass
from typing import Any

from dasktune.cluster.queue import Queue, Request, Seen


class Pbs(Queue):
    """PBS."""

    kind = "pbs"
    cluster = "PBSCluster"
    more = {  # noqa: RUF012
        "gpu-request": ":ngpus={gpus}",
        "resource-spec": "select=1:ncpus={cpus}:mem={memory}{gpus}",
    }
    look_command = ("qstat", "-u", getpass.getuser())
    cancel_command = "qdel"
    # Those of PBS Professional, Torque, and Slurm under PBS's commands.
    own = ("PBS_JOBID", "SLURM_JOB_ID")
    index = ("PBS_ARRAY_INDEX", "PBS_ARRAYID", "SLURM_ARRAY_TASK_ID")

    def options(self, request: Request) -> dict[str, Any]:
        """Give the arguments of `PBSCluster`."""
        gpus = request.settings["gpu-request"].format(gpus=request.gpus) if request.gpus else ""
        return {
            "queue": request.settings["queue"],
            "account": request.settings["account"],
            "walltime": request.walltime,
            "resource_spec": request.settings["resource-spec"].format(
                cpus=request.cpus, memory=request.memory.replace(" ", ""), gpus=gpus
            ),
            "job_extra_directives": [f"-r {'y' if request.requeue else 'n'}"],
        }

    def seen(self, text: str) -> dict[str, Seen]:
        """Read qstat's table; the state is a single letter before the last column."""
        jobs = {}
        for line in text.splitlines():
            words = line.split()
            if len(words) < 6 or not words[0][:1].isdigit():
                continue
            states = [word for word in words if word in ("Q", "H", "W", "T", "R", "E", "S", "B")]
            if states:
                state = states[-1]
                waiting = state in "QHWTS"
                jobs[words[0].split(".")[0]] = Seen(waiting, f"state {state}", state == "S")
        return jobs

    def after(self, job: str) -> str:
        """Wait for its end, good or bad."""
        return f"-W depend=afterany:{job}"

    def array(self, count: int) -> str:
        """Number the jobs; PBS knows no array of one."""
        return f"-J 1-{max(2, count)}"

    def array_name(self, job: str, told: str) -> str:
        """Give it as PBS writes it everywhere; Slurm under PBS's commands does not."""
        return f"{job}[]" if "[]" in told else job


QUEUE = Pbs()
