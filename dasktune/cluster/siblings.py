"""Siblings: processes of one job that each train, where there is no scheduler and no nanny."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence

from dasktune.attempt import WATCHED
from dasktune.nanny import note_end, oom_kills
from dasktune.worker import SIGNALS


def run_all(commands: Sequence[Sequence[str]], environments: Sequence[Mapping[str, str]]) -> int:
    """Run commands beside each other; what the queue signals is told to all of them.

    How each of them ended is noted where its next attempt looks, as a nanny does for a worker.

    Parameters
    ----------
    commands : sequence of sequence of str
        What each runs.
    environments : sequence of mapping of str to str
        What the environment of each says beside this one's.

    Returns
    -------
    int
        0 if any of them came to a good end, else the exit code of the last one that did not.
    """
    running: dict[int, tuple[subprocess.Popen[bytes], str]] = {}
    heard: list[int] = []

    def forward(number: int, frame: object = None) -> None:
        heard.append(number)
        for pid in [*running]:
            with contextlib.suppress(ProcessLookupError):  # it was waited for this very moment
                os.kill(pid, number)

    for word in SIGNALS:
        signal.signal(word, forward)
    kills = oom_kills()
    with tempfile.TemporaryDirectory(prefix="dasktune-") as folder:
        for place, (command, environment) in enumerate(zip(commands, environments, strict=True)):
            told = f"{folder}/{place}.work"
            process = subprocess.Popen(command, env={**os.environ, **environment, WATCHED: told})
            running[process.pid] = (process, told)
            for number in heard:  # before it was there
                os.kill(process.pid, number)
        codes = []
        while running:
            pid, status = os.wait()
            if pid not in running:
                continue
            process, told = running.pop(pid)
            code = process.returncode = os.waitstatus_to_exitcode(status)
            kills, before = oom_kills(), kills
            note_end(told, code, before, kills)
            codes.append(code)
    bad = [code if code > 0 else 128 - code for code in codes if code]
    return bad[-1] if len(bad) == len(codes) and bad else 0
