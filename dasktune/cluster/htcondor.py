"""``htcondor``."""

from __future__ import annotations

from typing import Any

from dasktune.cluster.queue import Queue, Request, Seen


class HTCondor(Queue):
    """HTCondor."""

    kind = "htcondor"
    cluster = "HTCondorCluster"
    more = {"disk": "1GB"}  # noqa: RUF012
    look_command = ("condor_q", "-af", "ClusterId", "JobStatus", "HoldReason")
    cancel_command = "condor_rm"

    def options(self, request: Request) -> dict[str, Any]:
        """Give the arguments of `HTCondorCluster`."""
        directives = {
            "RequestCpus": str(request.cpus),
            "+MaxRuntime": str(request.seconds),
            "kill_sig": "SIGTERM",
        }
        if request.gpus:
            directives["request_gpus"] = str(request.gpus)
        if request.settings["account"]:
            directives["accounting_group"] = request.settings["account"]
        return {"disk": request.settings["disk"], "job_extra_directives": directives}

    def seen(self, text: str) -> dict[str, Seen]:
        """Read condor_q's lines: number, state (1 idle, 2 running, 5 held), reason."""
        jobs = {}
        for line in text.splitlines():
            number, state, *reason = [*line.split(None, 2), "", ""]
            if number.isdigit() and state in ("1", "2", "5", "7"):
                held = reason[0] if state == "5" else ""
                jobs[f"{number}.0"] = Seen(state in ("1", "5"), held)
        return jobs


QUEUE = HTCondor()
