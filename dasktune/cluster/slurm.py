"""``slurm``."""

from __future__ import annotations

import getpass
import re
from collections.abc import Mapping
from typing import Any

from dasktune.cluster.queue import Fate, Queue, Request, Seen, note

_PENDING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT")
_SUSPENDED = ("SUSPENDED", "STOPPED")
_RUNNING = ("RUNNING", "COMPLETING", "STAGE_OUT", "SIGNALING", "RESIZING")
_COLUMNS = ("ArrayJobID", "State", "RestartCnt", "Reason", "Name")
"""Of a listing; only by these names does squeue tell of restarts."""
_WIDTH = 128
"""Of a column: its text may have spaces, and every other character."""
_FORMAT = ",".join(f"{column}:{_WIDTH}" for column in _COLUMNS)


class Slurm(Queue):
    """Slurm; accounting is not needed."""

    kind = "slurm"
    cluster = "SLURMCluster"
    more = {"gpu-request": "--gres=gpu:{gpus}"}  # noqa: RUF012
    look_command = ("squeue", "-h", "-u", getpass.getuser(), "-O", _FORMAT)
    cancel_command = "scancel"
    own = ("SLURM_JOB_ID",)
    index = ("SLURM_ARRAY_TASK_ID",)
    names = True

    def options(self, request: Request) -> dict[str, Any]:
        """Give the arguments of `SLURMCluster`."""
        directives = [
            # A lost worker is replaced; the same job twice would meet itself.
            "--requeue" if request.requeue else "--no-requeue",
            "--open-mode=append",
        ]
        if not request.requeue:  # a driver has its own clock, and would die of one that comes early
            directives.append(f"--signal=B:USR1@{request.lead}")
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
        jobs: dict[str, Seen] = {}
        for line in text.splitlines():
            places = range(0, _WIDTH * len(_COLUMNS), _WIDTH)
            number, state, again, reason, name = (line[n : n + _WIDTH].strip() for n in places)
            if not (number.isdigit() and again.isdigit()):
                continue  # a site's own word
            if state in _PENDING or state in _SUSPENDED:
                why = "" if reason == "None" else reason
                note(jobs, number, Seen(True, why, state in _SUSPENDED, int(again), name))
            elif state in _RUNNING:
                note(jobs, number, Seen(False, restarts=int(again), name=name))
        return jobs

    def after(self, job: str) -> str:
        """Wait for its end, good or bad."""
        return f"--dependency=afterany:{job}"

    def array(self, count: int) -> str:
        """Number the jobs."""
        return f"--array=1-{count}"

    def end_command(self, job: str) -> tuple[str, ...]:
        """Ask the controller, which remembers a job for some minutes."""
        return ("scontrol", "-o", "show", "job", job)

    def end_state(self, words: str) -> str:
        """Read the state; a cancelled one is followed by who did it."""
        state = re.search(r"JobState=(\w+)", words)
        return state[1] if state else ""

    def fate_command(self, job: str) -> tuple[str, ...]:
        """Ask the controller: its state is only that it completes, but there is more."""
        return self.end_command(job)

    def fate(self, words: str, job: str, environment: Mapping[str, str]) -> Fate:
        """Tell why it is told to end; seen with Slurm 22.05 (docs/how-to/slurm.md)."""
        told = dict(re.findall(r"\b(\w+)=(\S+)", words))
        if "JobState" not in told:
            return ""
        before, now = environment.get("SLURM_RESTART_COUNT", ""), told.get("Restarts", "")
        anew = now.isdigit() and int(now) > (int(before) if before.isdigit() else 0)
        if told["JobState"] in _PENDING or anew:
            return "again"
        if told.get("PreemptTime", "None") != "None" or told.get("Reason") == "TimeLimit":
            return "driven out"
        # Slurm that knows nothing of an end did not ask for it: a node that is shut down.
        live = told["JobState"] in ("RUNNING", *_SUSPENDED)
        return "driven out" if live else "cancelled"


QUEUE = Slurm()
