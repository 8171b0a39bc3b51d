"""Examining a queue: one short job says whether a sweep would work there."""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace

from dasktune.checkup import Check
from dasktune.cluster.demand import Demand
from dasktune.cluster.ending import ask
from dasktune.cluster.jobs import Jobs, cancel, look
from dasktune.cluster.probe import UNSEEN
from dasktune.errors import ClusterError

JOB_SECONDS = 300
"""The walltime of the job, if its own is not shorter."""
REPORT_SECONDS = 60.0
"""Seconds after its end within which its report must be seen."""
LOOK_EVERY = 0.5


def examine(word: str, settings: Mapping[str, str], demand: Demand, wait: float) -> Iterator[Check]:
    """Send a job that checks the node that it runs on, and give what was found.

    Parameters
    ----------
    word : str
        The queue.
    settings : mapping of str to str
        Settings from the command line.
    demand : Demand
        What a trial needs; in its folder a folder for this is made, and removed.
    wait : float
        Seconds that the job may wait in the queue.
    """
    folder = f"{demand.folder}/doctor-{uuid.uuid4().hex[:6]}"
    os.makedirs(folder)
    try:
        yield from _Examination(word, settings, replace(demand, folder=folder)).checks(wait)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Examination:
    """One job, from its submission to its report."""

    def __init__(self, word: str, settings: Mapping[str, str], demand: Demand) -> None:
        self._jobs = Jobs(word, settings, demand)
        self._demand = demand
        self._word = word
        self._folder = demand.folder

    def checks(self, wait: float) -> Iterator[Check]:
        queue = self._jobs.queue
        if look(queue) is None:
            command = queue.look_command[0]
            fix = f"log in where {command} works, or load its module"
            yield Check("queue", False, f"{command} does not answer here", fix)
            return
        token = uuid.uuid4().hex
        with open(f"{self._folder}/token", "w") as file:
            file.write(token)
        asked = self._jobs.of_worker()
        asked = replace(asked, seconds=min(asked.seconds, JOB_SECONDS), lead=1)
        with self._jobs.listening() as (address, tls):
            words = ["-m", "dasktune.cluster.probe", self._folder, address, "--token", token]
            words += ["--gpus", str(asked.gpus), *(["--tls"] if tls else [])]
            try:
                number = self._jobs.submit(words, asked)
            except ClusterError as error:
                fix = (
                    f"see 'dasktune cluster {self._word} --print-job', and what your site asks for"
                )
                yield Check("queue", False, str(error), fix)
                return
            try:
                yield from self._report(number, wait)
            finally:
                cancel(queue, [number])

    def _report(self, number: str, wait: float) -> Iterator[Check]:
        began = time.monotonic()
        gone_since, misses, ran = 0.0, 0, False
        while True:
            report = self._read()
            if report is not None:
                seconds = time.monotonic() - began
                yield Check("queue", True, f"job {number} was done after {seconds:.0f} s")
                yield from report
                return
            now = time.monotonic()
            seen = look(self._jobs.queue)
            job = None if seen is None else seen.get(number)
            if job is not None and job.waiting and now - began > wait:
                why = f" ({job.reason})" if job.reason else ""
                fix = "a full queue is no error: --wait 600, or another -O queue=…"
                yield Check("queue", False, f"job {number} waits since {wait:g} s{why}", fix)
                return
            ran |= job is not None and not job.waiting
            misses = misses + 1 if seen is not None and job is None else 0
            gone_since = (gone_since or now) if misses > 2 else 0.0
            failed = self._end(number) if gone_since else ""
            if gone_since and (failed or now - gone_since > REPORT_SECONDS):
                yield self._without_report(number, failed)
                return
            time.sleep(LOOK_EVERY)

    def _read(self) -> list[Check] | None:
        try:
            os.listdir(self._folder)
            with open(f"{self._folder}/report.json") as file:
                return [Check(**tree) for tree in json.load(file)]
        except (OSError, ValueError):
            return None

    def _end(self, number: str) -> str:
        """Ask the queue for the exit code, if it knows; nothing if that is none, or good."""
        code = re.search(r"ExitCode=(\d+):(\d+)", ask(self._jobs.queue, number))
        return code[1] if code and code[0] != "ExitCode=0:0" else ""

    def _without_report(self, number: str, code: str) -> Check:
        """Tell what is known of a job that has left no report."""
        words: list[str] = []
        for path in sorted(glob.glob(f"{glob.escape(self._folder)}/jobs/*")):
            with open(path, errors="replace") as file:
                words += [line.strip() for line in file.read()[-3000:].splitlines()[-4:]]
        said = " | ".join(word for word in words if word)
        how = f" with exit code {code}" if code else ""
        if code == str(UNSEEN) or not (said or code):
            return Check(
                "folder",
                False,
                f"job {number} ran{how}, but {self._demand.folder} is not seen on its node, or "
                "what it wrote is not seen here",
                "name a folder on the file system that all machines share: --store /project/you",
            )
        return Check(
            "python",
            False,
            f"job {number} ended{how} before it could report: {said or 'it left no word'}",
            "the node must have this very Python and dasktune, by the same path, and what they "
            "need: -O prologue='module load …'",
        )
