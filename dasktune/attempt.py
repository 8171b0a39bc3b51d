"""Attempts: who trains a trial, noted on disk; the newest alone may publish.

A worker that was given up for dead may live: on a node that the queue has lost, or asleep. So
each attempt has a record under a number of its own, made exclusively. Who begins anew moves the
older records away, and then takes the older attempts' unfinished targets away: a publication is
the rename of such a target, and fails from then on. All of this are files in a shared folder.

What befell an attempt is told by others, in files beside: the nanny of its process, the driver
that asks the queue, the watch over its reports. So it is judged when it is needed, and not
before; what comes late is still heard.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import socket
import time
import uuid
from typing import Any

from dasktune.failure.death import judge
from dasktune.failure.hang import words_for
from dasktune.failure.kind import Kind, Setback
from dasktune.runfolder import RunFolder

NANNY_SECONDS = 1.0
"""How long it may take a nanny to note how its worker died."""

QUEUE_SECONDS = 15.0
"""How long it may take the driver to see that a job has ended, and to ask the queue how."""

WATCHED = "DASKTUNE_WATCHED"
"""The variable that names the file in which a worker tells its nanny whom it works for."""

JOB = "DASKTUNE_JOB"
"""The variable that names the queue's job that a worker is."""


class Attempt:
    """One attempt at a target, in this process.

    Parameters
    ----------
    run : RunFolder
        The run.
    name : str
        The target, by trial and key.
    worker : str
        The worker's name.

    Attributes
    ----------
    number : int
        How manyth attempt of the run it is, from 1.
    """

    def __init__(self, run: RunFolder, name: str, *, worker: str = "") -> None:
        self._run = run
        self._name = name
        self._token = uuid.uuid4().hex
        self._over = False
        tree = {
            "name": name,
            "token": self._token,
            "host": _host(),
            "pid": os.getpid(),
            "worker": worker,
            "job": os.environ.get(JOB, ""),
            "nanny": bool(os.environ.get(WATCHED)),
            "began": time.time(),
        }
        self.number = self._enter(json.dumps(tree).encode() + b"\n")
        if self.number > 1:
            self._push_aside()
        _tell_nanny(run.path)

    def _enter(self, line: bytes) -> int:
        """Take the next number, by a file that nobody else can have made."""
        number = 1
        while True:
            path = self._path(number)
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            except FileExistsError:
                number += 1
                continue
            except FileNotFoundError:
                self._run.create()
                continue
            try:
                os.write(descriptor, line)
            finally:
                os.close(descriptor)
            if not os.path.exists(_past(self._run, self._name, number)):
                return number
            os.unlink(path)  # of an attempt that was pushed aside
            number += 1

    def _push_aside(self) -> None:
        """Move the records of older attempts away: they may publish nothing any more."""
        for number in range(1, self.number):
            past = _past(self._run, self._name, number)
            for _ in range(2):
                try:
                    os.rename(self._path(number), past)
                    break
                except FileNotFoundError:
                    os.makedirs(os.path.dirname(past), exist_ok=True)

    def past(self, *, wait: bool = True) -> list[Setback]:
        """Tell what befell the attempts before this one.

        Parameters
        ----------
        wait : bool
            Whether word of the last one is waited for, as long as it may take.
        """
        return setbacks(self._run, self._name, self.number - 1, wait=wait)

    def holds(self) -> bool:
        """Say whether this is the newest attempt, as the shared folder has it now."""
        try:
            # Opening a file asks the server, a look may not.
            with open(self._path(self.number), "rb") as file:
                return self._token.encode() in file.readline()
        except FileNotFoundError:
            return False
        except OSError:
            return True  # says nothing of others; where there is one, publishing fails

    def goes_on_from(self, epoch: int) -> None:
        """Note the epoch of the checkpoint that it finds; -1 without one."""
        self._add({"epoch": epoch})

    def is_alone(self) -> None:
        """Note that nothing else of the run is trained on its machine beside it."""
        self._add({"alone": True})

    def leaving(self, why: str) -> None:
        """Note that the worker has to leave: it may be killed before it has said so."""
        self._add({"leaving": why})

    def give_back(self, kind: Kind, evidence: str) -> None:
        """End it with a setback; another one may follow."""
        self._add({"setback": {"kind": str(kind), "evidence": evidence}})
        self._close()
        past = _past(self._run, self._name, self.number)
        with contextlib.suppress(OSError):
            os.makedirs(os.path.dirname(past), exist_ok=True)
            if self.holds():
                os.rename(self._path(self.number), past)

    def end(self) -> None:
        """End it, and forget all attempts at the target."""
        if self._over or not self.holds():
            self._close()
            return
        self._close()
        paths = [self._path(self.number)]
        paths += [_past(self._run, self._name, number) for number in range(1, self.number)]
        if self.number > 1:
            paths.append(self._run.last_log(self._name))
        for path in paths:
            with contextlib.suppress(OSError):
                os.unlink(path)

    def _close(self) -> None:
        if not self._over:
            self._over = True
            _tell_nanny(self._run.path, over=True)

    def _add(self, more: dict[str, Any]) -> None:
        """Add to the record, unless it was moved away."""
        with contextlib.suppress(OSError):
            if not self._over and self.holds():
                descriptor = os.open(self._path(self.number), os.O_WRONLY | os.O_APPEND)
                try:
                    os.write(descriptor, json.dumps(more).encode() + b"\n")
                finally:
                    os.close(descriptor)

    def _path(self, number: int) -> str:
        return f"{self._run.path}/attempts/{self._name}.{number}"


def setbacks(
    run: RunFolder, name: str, count: int | None = None, *, wait: bool = False
) -> list[Setback]:
    """Tell what befell the attempts at a target.

    Parameters
    ----------
    run : RunFolder
        The run.
    name : str
        The target, by trial and key.
    count : int, optional
        How many attempts; all that there are if not given.
    wait : bool
        Whether word of the last one is waited for.
    """
    found: list[Setback] = []
    number = 1
    while count is None or number <= count:
        record = _read(_past(run, name, number)) or _read(f"{run.path}/attempts/{name}.{number}")
        if record is None:
            if count is None:
                break
            record = {"name": name}
        found.append(_judged(run, record, wait and number == count))
        number += 1
    return found


def _judged(run: RunFolder, record: dict[str, Any], wait: bool) -> Setback:
    deadline = _deadline(record) if wait else 0.0
    while True:
        ends = [
            end
            for name in run.deaths()
            if (end := _read(f"{run.path}/deaths/{name}")) is not None and _of(end, record)
        ]
        hangs = [{**h, "text": words_for(h)} for h in run.hangs() if _of(h, record)]
        setback = judge(record, ends, hangs)
        if ends or hangs or record.get("setback") or time.monotonic() > deadline:
            return setback
        time.sleep(0.02)


_deadlines: dict[str, float] = {}  # of trials that were trained as one, the first waits for all


def _deadline(record: dict[str, Any]) -> float:
    """Say until when word of an attempt's end is waited for."""
    seconds = QUEUE_SECONDS if record.get("job") else NANNY_SECONDS if record.get("nanny") else 0
    whose = f"{record.get('job')} {record.get('host')} {record.get('pid')}"
    return _deadlines.setdefault(whose, time.monotonic() + seconds)


def _of(end: dict[str, Any], record: dict[str, Any]) -> bool:
    """Say whether what was noted of an end is about an attempt's process, or its job."""
    if end.get("job"):
        return bool(end["job"] == record.get("job"))
    host = end.get("host", record.get("host"))
    return bool(end.get("pid") == record.get("pid") and host == record.get("host"))


def _past(run: RunFolder, name: str, number: int) -> str:
    return f"{run.path}/past/{name}.{number}"


def _read(path: str) -> dict[str, Any] | None:
    """Read a record: its lines are one mapping; None where there is none."""
    try:
        with open(path, "rb") as file:
            lines = file.read().splitlines()
        tree: dict[str, Any] = {}
        for line in lines:
            tree |= json.loads(line)
    except (OSError, ValueError, TypeError):
        return None
    return tree or None


@functools.cache
def _host() -> str:
    return socket.gethostname()


def unheard(run: RunFolder) -> list[str]:
    """List the jobs that have, or had, an attempt of which nobody has told how it ended."""
    known = {name.removeprefix("job-") for name in run.deaths()}
    paths = [f"{run.path}/attempts/{name}" for name in run.records()]
    paths += [f"{run.path}/past/{name}" for name in run.past_records()]
    records = [record for path in paths if (record := _read(path)) and not record.get("setback")]
    return sorted({str(record.get("job") or "") for record in records} - known - {""})


def job_of_environment() -> str:
    """Name the job of a queue that this process is in: its number, and how often it restarted."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    restarts = int(os.environ.get("SLURM_RESTART_COUNT", "0") or 0)
    if all(array):
        return job_name(f"{array[0]}_{array[1]}", restarts)
    for variable in ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "OAR_JOB_ID", "JOB_ID"):
        number = re.match(r"\d+", os.environ.get(variable, ""))
        if number:
            return job_name(number[0], restarts)
    return ""


def job_name(number: str, restarts: int = 0) -> str:
    """Name a job of a queue as attempts do."""
    return f"{number}-{restarts}"


_told: list[str] = []  # the runs for which this process has something in training


def _tell_nanny(run: str, *, over: bool = False) -> None:
    """Let the nanny know in which run it is to note how this process ended."""
    path = os.environ.get(WATCHED)
    if not path:
        return
    if over:
        with contextlib.suppress(ValueError):
            _told.remove(run)
    else:
        _told.append(run)
    if _told.count(run) == (0 if over else 1):
        tree = {"pid": os.getpid(), "runs": sorted(set(_told))}
        with contextlib.suppress(OSError), open(path, "w") as file:
            file.write(json.dumps(tree))  # in C, unlike json.dump
