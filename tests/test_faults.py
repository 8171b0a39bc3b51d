"""Nothing lost: real processes, killed, interrupted, filled up and racing."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import xarray as xr
from safetensors.numpy import load_file

import dasktune as dt

SLOW = """
import os
import time

import numpy as np
import torch
import xarray as xr

import dasktune as dt

HERE = os.path.dirname(__file__)


def note(word):
    with open(f"{HERE}/log", "a") as file:
        file.write(word + "\\n")


def preprocess():
    return {"train": xr.Dataset({"x": (("row", "axis"), np.eye(4, dtype="float32"))})}


def train(trial, data, epochs=10):
    note(f"start {trial.id} {os.getpid()}")
    if os.path.exists(f"{HERE}/die-{trial.config.a}"):
        os._exit(1)
    x = data.tensor("train", "x")
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    trial.checkpoint(model=model, optimizer=optimizer)
    for epoch in trial.epochs(epochs):
        note(f"epoch {trial.id} {epoch}")
        loss = (model(x + torch.randn_like(x)) - np.random.random()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        trial.report(loss=loss)
        time.sleep(float(os.environ.get("PAUSE", 0.2)))
    note(f"end {trial.id}")
    return model


space = dt.Space(a=dt.integers(1, 4))
pipeline = dt.Pipeline(space, preprocess, train, objective="min loss", checkpoint_every=CHECKPOINT)
"""


class Folder:
    """A folder with a pipeline whose trials take some seconds."""

    def __init__(self, path: Path, checkpoint_every: float = 1000.0) -> None:
        self.path = path
        self.file = path / "slow.py"
        self.file.write_text(SLOW.replace("CHECKPOINT", str(checkpoint_every)))

    def start(
        self, *arguments: str, store: str = "dist", **environment: str
    ) -> subprocess.Popen[str]:
        """Start ``dasktune make`` in a process group of its own."""
        command = [sys.executable, "-m", "dasktune", "make", "-f", str(self.file)]
        return subprocess.Popen(
            [*command, "--store", str(self.path / store), "-j2", *arguments],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def words(self, kind: str) -> list[list[str]]:
        """List the logged words of a kind."""
        log = self.path / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line.split() for line in lines if line.startswith(kind)]

    def wait_for(self, kind: str, count: int, process: subprocess.Popen[str]) -> None:
        """Wait until so many words of a kind are logged."""
        deadline = time.monotonic() + 60
        while len(self.words(kind)) < count:
            assert time.monotonic() < deadline, "the sweep does not get on"
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)

    def dataset(self, store: str = "dist") -> xr.Dataset:
        """Open the results."""
        return dt.open_results(self.path / store / "slow")


@contextmanager
def no_orphans(process: subprocess.Popen[str]) -> Iterator[None]:
    """Check that no process of a session outlives it, and end those that do."""
    children: set[psutil.Process] = set()

    def look() -> None:
        try:
            children.update(psutil.Process(process.pid).children(recursive=True))
        except psutil.NoSuchProcess:
            return

    try:
        look()
        yield
        look()
        _, alive = psutil.wait_procs(children, timeout=40)
        assert alive == []
    finally:
        look()
        for child in [*children]:
            if child.is_running():
                child.kill()
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def folder(tmp_path):
    """Give a folder whose trials keep no checkpoint unless they are interrupted."""
    return Folder(tmp_path)


def test_a_killed_worker_loses_only_the_epoch_in_training(tmp_path):
    """Kill -9 of a worker in mid-trial: the trial goes on from its last checkpoint."""
    folder = Folder(tmp_path, checkpoint_every=0.0)
    process = folder.start()
    folder.wait_for("epoch", 4, process)
    with no_orphans(process):
        os.kill(int(folder.words("start")[0][2]), signal.SIGKILL)
        out, err = process.communicate(timeout=100)
        assert process.returncode == 0, out + err
    assert "trained 4 of 4 trials" in out
    assert list(folder.dataset().status.values) == ["ok"] * 4
    bodies = [
        json.loads(path.read_bytes().splitlines()[1])
        for path in (folder.path / "dist" / "slow" / "trained").glob("*/.stamp")
    ]
    [setback] = [setback for body in bodies for setback in body.get("setbacks", ())]
    assert setback == {"kind": "worker lost", "evidence": "killed by SIGKILL"}
    assert len(folder.words("start")) == 5
    assert len(folder.words("end")) == 4
    epochs = [(word[1], word[2]) for word in folder.words("epoch")]
    assert len(set(epochs)) == 40
    assert len(epochs) <= 41


def test_a_trial_that_kills_its_worker_fails_alone(folder):
    """The others finish; it is told as crashed; no innocent trial pays for it."""
    (folder.path / "die-2").touch()
    process = folder.start("-k", PAUSE="0.01")
    with no_orphans(process):
        out, err = process.communicate(timeout=120)
    assert process.returncode == 2, out + err
    assert "its worker process died 3 times" in err
    assert err.count("***") == 1
    assert len(folder.words("end")) == 3


def test_a_killed_driver_keeps_what_is_finished_and_leaves_no_process(folder):
    """Kill -9 of the driver: the next run trains only the rest."""
    process = folder.start("epochs=3")
    folder.wait_for("end", 2, process)
    with no_orphans(process):
        time.sleep(0.3)
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        _, alive = psutil.wait_procs(children, timeout=40)
        assert alive == []
    finished = {word[1] for word in folder.words("end")}
    before = len(folder.words("start"))
    again = folder.start("epochs=3")
    out, err = again.communicate(timeout=100)
    assert again.returncode == 0, out + err
    started = {word[1] for word in folder.words("start")[before:]}
    assert not started & finished
    assert list(folder.dataset().status.values) == ["ok"] * 4
    assert os.listdir(folder.path / "dist" / "slow" / "tmp") == []


def test_interrupts_leave_checkpoints_and_the_result_is_the_same_bit_for_bit(folder):
    """Ctrl-C in the terminal reaches the whole process group, SIGTERM the driver alone."""
    for times, number in enumerate((signal.SIGTERM, signal.SIGINT), start=1):
        process = folder.start()
        folder.wait_for("start", 2 * times, process)
        folder.wait_for("epoch", 4 * times, process)
        with no_orphans(process):
            if number == signal.SIGINT:
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)
            out, err = process.communicate(timeout=60)
        assert process.returncode == -number, out + err
        assert "interrupted; what is finished is kept" in err
        assert len(folder.words("start")) == 2 * times
        assert folder.words("end") == []
        assert len(os.listdir(folder.path / "dist" / "slow" / "checkpoints")) == 2
    interrupted = folder.start(PAUSE="0.05")
    out, err = interrupted.communicate(timeout=100)
    assert interrupted.returncode == 0, out + err
    epochs = [(word[1], word[2]) for word in folder.words("epoch")]
    assert len(epochs) == len(set(epochs)) == 40  # no epoch was trained twice
    undisturbed = folder.start("--cluster", "none", store="other", PAUSE="0")
    out, err = undisturbed.communicate(timeout=100)
    assert undisturbed.returncode == 0, out + err
    varying = ["seconds", "training_seconds", "finished", "worker"]
    xr.testing.assert_identical(
        folder.dataset().drop_vars(varying), folder.dataset("other").drop_vars(varying)
    )
    for path in (folder.path / "dist" / "slow" / "trained").glob("*/model.safetensors"):
        other = folder.path / "other" / "slow" / "trained" / path.parent.name / path.name
        for name, weights in load_file(path).items():
            assert (weights == load_file(other)[name]).all()


def test_a_second_interrupt_kills(folder):
    """Without waiting for anything, and without leaving anything behind."""
    process = folder.start("epochs=1", PAUSE="60")
    folder.wait_for("epoch", 2, process)
    with no_orphans(process):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(1)
        assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT


def test_two_runs_at_once_on_one_store_both_succeed(folder):
    """Time is wasted, nothing is corrupted."""
    runs = [folder.start("epochs=3") for _ in range(2)]
    for process in runs:
        with no_orphans(process):
            out, err = process.communicate(timeout=100)
            assert process.returncode == 0, out + err
    root = folder.path / "dist" / "slow"
    assert list(folder.dataset().status.values) == ["ok"] * 4
    assert os.listdir(root / "tmp") == []
    assert os.listdir(root / "runs") == []
    assert len(os.listdir(root / "trained")) == 4


@pytest.fixture
def small_disk(tmp_path):
    """Mount a file system of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.decode()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_one_line_and_the_next_run_carries_on(folder, small_disk):
    """What was finished before is kept, and nothing half-written counts."""
    (small_disk / "filler").write_bytes(bytes(900_000))
    filled = folder.path / "slow.py"
    filled.write_text(
        filled.read_text().replace(
            'note(f"end {trial.id}")',
            'note(f"end {trial.id}")\n    return {"w": np.ones(60_000, "float32")}',
        )
    )
    arguments = ["-j1", "--store", str(small_disk), "epochs=1"]
    process = folder.start(*arguments, PAUSE="0")
    _, err = process.communicate(timeout=100)
    assert process.returncode == 2
    assert "No space left on device" in err
    assert "Traceback" not in err
    (small_disk / "filler").unlink()
    kept = {path.name for path in (small_disk / "slow" / "trained").glob("*")}
    process = folder.start(*arguments, "a=1,2", PAUSE="0")
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, out + err
    assert kept <= {path.name for path in (small_disk / "slow" / "trained").glob("*")}


NODE = """
import os
import pickle
import signal
import sys

from dasktune import commit
from dasktune.train import train

rename = os.rename


def sleep_before(source, target):
    if "/trained/" in target:
        os.kill(os.getpid(), signal.SIGSTOP)
    rename(source, target)


if sys.argv[2] == "publishing":
    commit.os.rename = sleep_before
task, data = pickle.load(open(sys.argv[1], "rb"))
print(train(task, data).status)
"""


@pytest.mark.parametrize("moment", ["training", "publishing"])
def test_an_old_copy_that_wakes_up_late_publishes_nothing(folder, moment):
    """Not even with -B, which replaces results; nor does it fail, or stop the run."""
    sweep = dt.Sweep.load(str(folder.file), store=str(folder.path / "dist"))
    dt.make(sweep, dt.Request(goals=("preprocessed",)), dt.Options(cluster="none"))
    plan = sweep.plan(dt.Request(always_make=True, old=frozenset({"preprocessed"})))
    tasks = sweep.tasks(plan, "r")
    task = next(iter(tasks.train.values()))
    task = replace(task, variables={"epochs": 3})
    handed = folder.path / "handed"
    handed.write_bytes(pickle.dumps((task, plan.targets["preprocessed"].outcome)))

    def start(moment: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", NODE, str(handed), moment]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    old = start(moment)
    try:
        folder.wait_for("epoch", 1, old)
        if moment == "training":
            os.kill(old.pid, signal.SIGSTOP)
        deadline = time.monotonic() + 60
        while psutil.Process(old.pid).status() != psutil.STATUS_STOPPED:
            assert time.monotonic() < deadline, "it does not fall asleep"
            time.sleep(0.02)
        new = start("")
        assert new.communicate(timeout=60)[0] == "ok\n"
        root = folder.path / "dist" / "slow"
        [stamp] = (root / "trained").glob("*/.stamp")
        published = stamp.read_bytes()
        old.send_signal(signal.SIGCONT)
        assert old.communicate(timeout=60)[0] == "skipped\n"
    finally:
        old.kill()
        old.wait()
    assert stamp.read_bytes() == published
    assert json.loads(published.splitlines()[1])["place"]["pid"] == new.pid
    assert os.listdir(root / "tmp") == []
    assert not (root / "failed").exists()
    assert not (root / "runs" / "r" / "stop").exists()
