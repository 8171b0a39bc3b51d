"""``oar``."""

from __future__ import annotations

import getpass
from typing import Any

from dasktune.cluster.queue import Queue, Request, Seen


class Oar(Queue):
    """OAR."""

    kind = "oar"
    cluster = "OARCluster"
    more = {  # noqa: RUF012
        "gpu-request": "/nodes=1/gpu={gpus}",
        "resource-spec": "/nodes=1/core={cpus}",
        "memory-property": "not_applicable",  # the site's name for a core's memory
    }
    look_command = ("oarstat", "-u", getpass.getuser())
    cancel_command = "oardel"
    own = ("OAR_JOB_ID",)

    def options(self, request: Request) -> dict[str, Any]:
        """Give the arguments of `OARCluster`; a GPU brings its processors with it."""
        spec = request.settings["gpu-request" if request.gpus else "resource-spec"]
        return {
            "queue": request.settings["queue"],
            "project": request.settings["account"],
            "walltime": request.walltime,
            "memory_per_core_property_name": request.settings["memory-property"],
            "resource_spec": spec.format(gpus=request.gpus, cpus=request.cpus),
            "job_extra_directives": ["--signal 12", f"--checkpoint {request.lead}"],
        }

    def seen(self, text: str) -> dict[str, Seen]:
        """Read oarstat's table: number, state, …."""
        jobs = {}
        for line in text.splitlines():
            words = line.split()
            if len(words) > 1 and words[0].isdigit() and words[1] in "WHtLRFS":
                jobs[words[0]] = Seen(words[1] in "WHtLS", suspended=words[1] == "S")
        return jobs

    def after(self, job: str) -> str:
        """Wait for its end."""
        return f"--anterior {job}"


QUEUE = Oar()
