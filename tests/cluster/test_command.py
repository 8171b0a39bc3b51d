"""A queue's commands, which may fail or hang."""

from __future__ import annotations

import asyncio
import time

import psutil
import pytest

from dasktune.cluster import command
from dasktune.cluster.command import NoAnswer, call, refusal
from dasktune.cluster.jobscript import scripted


def gone(path):
    """Wait until the process is gone whose number is in a file."""
    pid = int(path.read_text())
    deadline = time.monotonic() + 60
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "it lives"
        time.sleep(0.02)


def test_what_a_command_printed_is_given_and_its_complaint_is_found():
    """As dask-jobqueue's own way has it."""
    assert asyncio.run(call(["printf", "12|RUNNING"])) == "12|RUNNING"
    with pytest.raises(RuntimeError) as caught:
        asyncio.run(call(["sh", "-c", "echo one; echo 'no such queue' >&2; exit 3"]))
    assert refusal(str(caught.value)) == "no such queue"
    with pytest.raises(FileNotFoundError):
        asyncio.run(call(["no-such-command"]))


@pytest.mark.parametrize("shell", [False, True])
def test_a_command_that_hangs_is_ended_with_all_that_it_has_started(tmp_path, monkeypatch, shell):
    """Also where a script of the site's hangs, and not the queue's command itself."""
    monkeypatch.setattr(command, "SECONDS", 1.0)
    script = f"sleep 600 & echo $! > {tmp_path}/pid; wait"
    with pytest.raises(NoAnswer, match="has not answered for 1 s"):
        asyncio.run(call([script] if shell else ["sh", "-c", script], shell=shell))
    gone(tmp_path / "pid")


def test_a_command_that_nobody_waits_for_any_more_is_ended(tmp_path):
    """As when the run is over."""

    async def leave():
        task = asyncio.create_task(call(["sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 600"]))
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(leave())
    gone(tmp_path / "pid")


def test_jobs_are_submitted_with_such_commands(monkeypatch, tmp_path):
    """A submission that hangs is one that was refused."""
    from dask_jobqueue.slurm import SLURMJob

    monkeypatch.setattr(command, "SECONDS", 0.5)
    job = scripted(SLURMJob, "slurm")(
        "tcp://here", name="a", cores=1, memory="1GB", log_directory=str(tmp_path)
    )
    monkeypatch.setattr(job, "submit_command", "sh -c 'sleep 600'")
    with pytest.raises(NoAnswer, match="sh has not answered"):
        asyncio.run(job.start())
