"""What tests of clusters share: a pipeline whose trials take some seconds, and its driver."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import xarray as xr
from safetensors.numpy import load_file

import dasktune as dt

SLOW = """
import contextlib
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
    x = data.tensor("train", "x")
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    trial.checkpoint(model=model, optimizer=optimizer)
    for epoch in trial.epochs(epochs):
        note(f"epoch {trial.id} {epoch} {os.getpid()}")
        loss = (model(x + torch.randn_like(x)) - np.random.random()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        trial.report(loss=loss)
        time.sleep(float(os.environ.get("PAUSE", 0.15)))
    note(f"end {trial.id}")
    return model


space = dt.Space(a=dt.integers(1, 4))
pipeline = dt.Pipeline(space, preprocess, train, objective="min loss", checkpoint_every=CHECKPOINT)
"""


UNDISTURBED: dict[tuple[str, tuple[str, ...]], Driver] = {}
"""Who has made a sweep without any disturbance, by the pipeline's text and the options."""


class Driver:
    """A folder with a pipeline, and ``dasktune make`` in a process of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path / "slow.py"
        self.write(checkpoint_every=1000.0)

    def write(self, *, checkpoint_every: float) -> None:
        """Write the pipeline."""
        self.file.write_text(SLOW.replace("CHECKPOINT", str(checkpoint_every)))

    def start(
        self, *arguments: str, store: str = "dist", **environment: str
    ) -> subprocess.Popen[str]:
        """Start a make."""
        return self.popen("make", *arguments, store=store, **environment)

    def popen(self, *words: str, store: str = "dist", **environment: str) -> subprocess.Popen[str]:
        """Start a command on the pipeline."""
        where = ["-f", str(self.file), "--store", str(self.path / store)]
        return subprocess.Popen(
            [sys.executable, "-m", "dasktune", *words, *where],
            cwd=self.path,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, code: int = 0, seconds: float = 150, **environment: str) -> str:
        """Run a command on the pipeline to its end, and give what it printed."""
        process = self.popen(*words, **environment)
        out, err = process.communicate(timeout=seconds)
        assert process.returncode == code, out + err
        return out + err

    def words(self, kind: str) -> list[list[str]]:
        """List the logged words of a kind."""
        log = self.path / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line.split() for line in lines if line.startswith(kind)]

    def wait_for(self, kind: str, count: int, process: subprocess.Popen[str]) -> None:
        """Wait until so many words of a kind are logged."""
        self.wait_until(lambda: len(self.words(kind)) >= count, process)

    def wait_until(
        self, condition: Callable[[], bool], process: subprocess.Popen[str] | None = None
    ) -> None:
        """Wait for something, while the driver runs if one is given."""
        deadline = time.monotonic() + 90
        while not condition():
            assert time.monotonic() < deadline, "the sweep does not get on"
            assert process is None or process.poll() is None, process.communicate()
            time.sleep(0.02)

    def finish(self, process: subprocess.Popen[str], seconds: float = 120) -> str:
        """Wait for a good end, and give what was printed."""
        out, err = process.communicate(timeout=seconds)
        assert process.returncode == 0, out + err
        assert "***" not in err
        return out

    def dataset(self, store: str = "dist") -> xr.Dataset:
        """Open the results."""
        return dt.open_results(self.path / store / "slow")

    def weights(self, store: str = "dist") -> dict[str, dict[str, object]]:
        """Load the weights of all trials."""
        paths = (self.path / store / "slow" / "trained").glob("*/model.safetensors")
        return {path.parent.name: load_file(path) for path in paths}

    def setbacks(self, store: str = "dist") -> dict[int, list[dict[str, str]]]:
        """List what befell the attempts at each trial, by its a."""
        paths = (self.path / store / "slow" / "trained").glob("*/.stamp")
        bodies = [json.loads(path.read_bytes().splitlines()[1]) for path in paths]
        return {body["axes"]["a"]: body.get("setbacks", []) for body in bodies}

    def same_as_undisturbed(self, *arguments: str) -> None:
        """Check that curves and weights equal those of a run in one process."""
        key = (self.file.read_text(), arguments)
        if key not in UNDISTURBED:  # one is as good as another
            self.finish(self.start("--cluster", "none", *arguments, store="undisturbed", PAUSE="0"))
            UNDISTURBED[key] = self
        other = UNDISTURBED[key]
        varying = ["seconds", "training_seconds", "finished", "worker"]
        xr.testing.assert_identical(
            self.dataset().drop_vars(varying), other.dataset("undisturbed").drop_vars(varying)
        )
        here, there = self.weights(), other.weights("undisturbed")
        assert here.keys() == there.keys()
        for name, tensors in here.items():
            for key, tensor in tensors.items():
                assert (tensor == there[name][key]).all()


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    """Give a folder with a pipeline; what it started is ended, by its id."""
    before = set(psutil.Process().children(recursive=True))
    yield Driver(tmp_path)
    left = [p for p in psutil.Process().children(recursive=True) if p not in before]
    for process in left:
        process.kill()
    psutil.wait_procs(left, timeout=10)


@pytest.fixture(autouse=True)
def no_inherited_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no setting of the machine's decide what a test does."""
    for name in [*os.environ]:
        if name.startswith(("DASK_", "SLURM_")) and name != "SLURM_CONF":
            monkeypatch.delenv(name)


HERE = Path(__file__).parent


def _lacking(programs: list[str], package: str) -> None:
    """Skip where programs are missing; in CI that is a failure."""
    import shutil

    path = f"{os.environ['PATH']}:/usr/sbin:/sbin:/usr/lib/gridengine"
    missing = [program for program in programs if shutil.which(program, path=path) is None]
    why = f"{', '.join(missing)} is missing; scripts/install-debian-packages installs {package}"
    if not missing and os.geteuid() != 0:
        missing, why = ["root"], "starting a queue needs root"
    if missing and os.environ.get("DASKTUNE_CI"):
        pytest.fail(why)
    if missing:
        pytest.skip(why)


def _free_ports() -> int:
    """Find a row of ports that nobody uses, below those that the system hands out."""
    import random
    import socket

    for _ in range(100):
        first = random.randrange(20000, 30000, 10)
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + 6):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
        return first
    raise AssertionError("no free ports")


@pytest.fixture(scope="session")
def slurm_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Run a real Slurm on this machine."""
    _lacking(["munged", "slurmctld", "slurmd", "sbatch"], "slurm-wlm and munge")
    # Not below pytest's own folder, whose name is too long for a socket.
    with tempfile.TemporaryDirectory(prefix="slurm-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        script = str(HERE / "slurm-here")
        try:
            subprocess.run([script, "start", folder, str(_free_ports())], check=True, timeout=100)
            yield Path(folder)
        finally:
            subprocess.run([script, "stop", folder], check=True, timeout=100)


class Slurm:
    """The real Slurm, with the options that send a sweep to it."""

    options = ("--cluster", "slurm", "-O", "host=127.0.0.1", "-O", "memory=1GB")

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def ask(self, *command: str) -> str:
        """Run one of Slurm's commands."""
        return subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=60
        ).stdout.strip()

    def jobs(self, state: str = "RUNNING") -> list[str]:
        """List the numbers of the jobs in a state."""
        return self.ask("squeue", "-h", "-t", state, "-o", "%A").split()

    @contextlib.contextmanager
    def dying_node(self, node: str) -> Iterator[None]:
        """Let a node die, and what is killed inside with it; then it comes back."""
        os.kill(int((self.folder / f"{node}.pid").read_text()), signal.SIGKILL)
        try:
            yield
            self.ask("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        finally:
            subprocess.run(["/usr/sbin/slurmd", "-N", node], check=True, timeout=60)
            subprocess.run(["scontrol", "update", f"nodename={node}", "state=resume"])

    def empty(self) -> None:
        """Wait until no job is left."""
        deadline = time.monotonic() + 60
        while self.ask("squeue", "-h", "-o", "%A"):
            assert time.monotonic() < deadline, self.ask("squeue")
            time.sleep(0.1)


@pytest.fixture
def slurm(slurm_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slurm]:
    """Give the real Slurm, and leave it without jobs."""
    monkeypatch.setenv("SLURM_CONF", str(slurm_folder / "slurm.conf"))
    slurm = Slurm(slurm_folder)
    yield slurm
    jobs = slurm.ask("squeue", "-h", "-o", "%A").split()
    if jobs:
        slurm.ask("scancel", *jobs)
    slurm.empty()


@pytest.fixture
def ungraceful(slurm: Slurm) -> Iterator[None]:
    """Let jobs of the partition high drive out those of low at once, and not after a while."""
    slurm.ask("scontrol", "update", "partition=low", "GraceTime=0")
    yield
    slurm.ask("scontrol", "update", "partition=low", "GraceTime=10")


@pytest.fixture(scope="module")
def sge_variables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Run a real Grid Engine on this machine, and give what its commands need to know."""
    _lacking(["sge_qmaster", "sge_execd", "qsub"], "gridengine-master, -exec and -client")
    with tempfile.TemporaryDirectory(
        prefix="sge-", dir="/tmp", ignore_cleanup_errors=True
    ) as folder:
        os.chmod(folder, 0o755)
        script = str(HERE / "sge-here")
        try:
            subprocess.run([script, "start", folder, str(_free_ports())], check=True, timeout=100)
            words = Path(folder, "env").read_text().replace("export", "").split()
            yield dict(word.split("=", 1) for word in words)
        finally:
            subprocess.run([script, "stop", folder], check=True, timeout=100)


@pytest.fixture
def command() -> Callable[..., str]:
    """Run a queue's command, and give what it prints."""

    def run(*words: str) -> str:
        return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout

    return run
