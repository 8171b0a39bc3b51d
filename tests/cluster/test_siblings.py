"""Processes of one job that each train, without a scheduler."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

JOB = """
import sys
from dasktune.cluster.siblings import run_all
commands = [[sys.executable, "-c", code] for code in sys.argv[1:]]
raise SystemExit(run_all(commands, [{"PLACE": str(n)} for n in range(len(commands))]))
"""
WAITS = """
import os, signal
def leave(*told):
    open("told" + os.environ["PLACE"], "w")
    raise SystemExit(0)
signal.signal(signal.SIGTERM, leave)
open("there" + os.environ["PLACE"], "w")
while True:
    signal.pause()
"""
DIES = """
import json, os
with open(os.environ["DASKTUNE_WATCHED"], "w") as file:
    json.dump({"pid": os.getpid(), "runs": [os.getcwd()]}, file)
os._exit(7)
"""


def test_what_the_queue_signals_is_told_to_all_and_how_one_died_is_noted(tmp_path):
    """The others go on, and the job ends well if any of them did."""
    job = subprocess.Popen([sys.executable, "-c", JOB, WAITS, DIES, WAITS], cwd=tmp_path)
    deadline = time.monotonic() + 60
    while not ({"there0", "there2", "deaths"} <= {*os.listdir(tmp_path)}):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    job.send_signal(signal.SIGTERM)
    assert job.wait(60) == 0
    assert {"told0", "told2"} <= {*os.listdir(tmp_path)}
    (death,) = (tmp_path / "deaths").iterdir()
    assert json.loads(death.read_text())["exit"] == 7


def test_a_job_whose_processes_all_failed_has_failed(tmp_path):
    """With the exit code of one of them."""
    bad = [sys.executable, "-c", JOB, "raise SystemExit(3)", "raise SystemExit(3)"]
    assert subprocess.run(bad, cwd=tmp_path, timeout=60).returncode == 3
