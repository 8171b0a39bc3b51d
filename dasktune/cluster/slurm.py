"""``slurm``."""

from __future__ import annotations

import getpass
import re
from typing import Any

from dasktune.cluster.queue import Queue, Request, Seen

_WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED")
_RUNNING = ("RUNNING", "COMPLETING", "STAGE_OUT", "SIGNALING")


class Slurm(Queue):
    """Slurm; accounting is not needed."""

    kind = "slurm"
    cluster = "SLURMCluster"
    more = {"gpu-request": "--gres=gpu:{gpus}"}  # noqa: RUF012
    look_command = ("squeue", "-h", "-u", getpass.getuser(), "-o", "%A|%T|%r")

    def options(self, request: Request) -> dict[str, Any]:
        """Give the arguments of `SLURMCluster`."""
        directives = [
            "--no-requeue",  # a lost job is replaced; the same one twice would meet itself
            "--open-mode=append",
            f"--signal=B:USR1@{request.lead}",
        ]
        if request.gpus:
            directives.append(request.settings["gpu-request"].format(gpus=request.gpus))
        return {
            "queue": request.settings["queue"],
            "account": request.settings["account"],
            "walltime": request.walltime,
            "job_cpu": request.cpus,
            "job_extra_directives": directives,
            # A driver that is a job itself would hand its own limits down.
            "job_script_prologue": ["unset ${!SLURM_MEM_PER@} ${!SBATCH_@}"],
        }

    def seen(self, text: str) -> dict[str, Seen]:
        """Read squeue's lines."""
        jobs = {}
        for line in text.splitlines():
            number, state, reason = line.split("|", 2)
            if state in _WAITING:
                jobs[number] = Seen(True, "" if reason == "None" else reason)
            elif state in _RUNNING:
                jobs[number] = Seen(False)
        return jobs

    def end_command(self, job: str) -> tuple[str, ...]:
        """Ask the controller, which remembers a job for some minutes."""
        return ("scontrol", "-o", "show", "job", job)

    def end_state(self, words: str) -> str:
        """Read the state; a cancelled one is followed by who did it."""
        state = re.search(r"JobState=(\w+)", words)
        return state[1] if state else ""


QUEUE = Slurm()
