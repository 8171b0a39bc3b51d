"""``sge``: Grid Engine in all its editions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

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
    look_command = ("qstat", "-r")
    cancel_command = "qdel"
    own = ("JOB_ID",)
    index = ("SGE_TASK_ID",)
    names = True

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
        """Read qstat's table."""
        jobs: dict[str, Seen] = {}
        for number, state, name in _states(text):
            waiting = "q" in state  # one that runs may have a hold as well ("hr")
            why = f"state {state}" if "E" in state else ""
            note(jobs, number, Seen(waiting, why, name=name))
        return jobs

    def fate_command(self, job: str) -> tuple[str, ...]:
        """Ask for the states of all jobs."""
        return self.look_command

    def fate(self, words: str, job: str, environment: Mapping[str, str]) -> Fate:
        """Tell a job that is deleted (``d``) from one that is started anew (``R``)."""
        state = next((state for number, state, _ in _states(words) if number == job), "")
        return "cancelled" if "d" in state else "again" if "R" in state else ""

    def after(self, job: str) -> str:
        """Wait for its end, good or bad."""
        return f"-hold_jid {job}"

    def array(self, count: int) -> str:
        """Number the jobs."""
        return f"-t 1-{count}"


def _states(text: str) -> Iterator[tuple[str, str, str]]:
    """Read qstat's table: number, priority, name, user, state, …; and below, the whole name."""
    number = state = name = ""
    for line in text.splitlines():
        words = line.split()
        if len(words) > 4 and words[0].isdigit():
            if number:
                yield number, state, name
            number, state, name = words[0], words[4], ""
        elif line.strip().startswith("Full jobname:"):
            name = line.partition(":")[2].strip()
    if number:
        yield number, state, name


QUEUE = GridEngine()
