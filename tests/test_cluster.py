"""Clusters that others started: a scheduler and workers in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest
from distributed import Client

import dasktune as dt
from dasktune.run import Options
from dasktune.run import make as make_sweep


@contextmanager
def process(*command: str, cwd: Path):
    """Run a process of Dask's, and end it with all its children."""
    started = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path(dt.__file__).parent.parent)},
    )
    try:
        yield started
    finally:
        family = [started, *psutil.Process(started.pid).children(recursive=True)]
        for member in family:
            member.terminate()
        psutil.wait_procs(family[1:], timeout=10)
        started.wait(20)


@contextmanager
def running(folder: Path, *offers: str):
    """Start a scheduler and a worker an offer; all of them elsewhere, with other modules."""
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    file = elsewhere / "scheduler.json"
    where = ["--scheduler-file", str(file)]
    with ExitStack() as stack:
        stack.enter_context(
            process(
                *["dask", "scheduler", "--host", "127.0.0.1", "--port", "0", *where],
                *["--dashboard-address", "127.0.0.1:0"],
                cwd=elsewhere,
            )
        )
        for offer in offers:
            stack.enter_context(
                process(
                    *["dask", "worker", *where, "--no-dashboard", "--no-nanny"],
                    *["--nthreads", "1", "--resources", offer],
                    cwd=elsewhere,
                )
            )
        deadline = time.monotonic() + 60
        while not file.exists():
            assert time.monotonic() < deadline, "the scheduler does not start"
            time.sleep(0.05)
        with Client(scheduler_file=str(file)) as client:
            client.wait_for_workers(len(offers), timeout=60)
            yield client


def test_workers_that_do_not_have_the_users_modules_run_them_all_the_same(project):
    """The code travels with the store, helpers too; the command line names the scheduler."""
    (project.folder / "helpers.py").write_text("def scale(x):\n    return x + 0.5\n")
    project.edit("import os\n", "import os\n\nfrom helpers import scale\n")
    project.edit("return a * 10 + b", "return scale(a * 10 + b)")
    with running(project.folder, "GPU=1", "GPU=1") as client:
        result = project.cli("make", "--cluster", client.scheduler.address)
        assert result.code == 0, result.err
        assert sorted(project.dataset().objective.values) == [14.5, 15.5, 24.5, 25.5]
        project.ran()

        # The same workers, other code: they train what the plan says, not what they remember.
        project.edit("return x + 0.5", "return x + 0.25", "helpers.py")
        result = project.cli("make", "--cluster", client.scheduler.address)
        assert result.code == 0, result.err
        assert len(project.ran()) == 4
        assert sorted(project.dataset().objective.values) == [14.25, 15.25, 24.25, 25.25]


def test_jobs_limit_the_trials_at_a_time_on_a_cluster_that_offers_more(project):
    """-j1 trains from left to right there too."""
    project.edit('note("train " + trial.id)', 'note("train " + trial.id); time.sleep(0.2)')
    with running(project.folder, "GPU=1", "GPU=1") as client:
        result = project.cli("make", "-j1", "--cluster", client.scheduler.address)
        assert result.code == 0, result.err
        workers = set(project.dataset().worker.values)
        assert len(workers) == 1


def test_a_cluster_that_offers_other_resources_is_refused_at_once(project):
    """With what it offers, and how to start workers that fit."""
    with running(project.folder, "CPU=4") as client:
        result = project.cli("make", "--cluster", client.scheduler.address)
    assert result.code == 2
    assert "no worker offers them (1 workers offer {'CPU': 4" in result.err
    assert '--resources "GPU=1"' in result.err


def test_a_worker_with_other_code_in_its_sources_refuses(project):
    """Rather than train something that the stamp would not be true of."""
    sweep = project.sweep(a=["1"], b=["3"])
    sweep.store.prepare()
    sweep.codes.save(sweep.store)
    path = Path(sweep.store.sources(sweep.codes.digest))
    text = path.read_text()
    assert "return a * 10 + b" in text
    path.write_text(text.replace("return a * 10 + b", "return a * 99 + b"))
    with running(project.folder, "GPU=1") as client:
        summary = make_sweep(sweep, options=Options(cluster=client))
    assert summary.exit_code == 2
    assert any("holds other code for" in failure.error for failure in summary.failures())
    assert not list((project.root / "trained").iterdir())


@pytest.mark.parametrize("word", ["nonsense", "tcp://127.0.0.1:1"])
def test_a_cluster_that_is_none_is_one_line(project, word):
    """Exit code 2, nothing started."""
    result = project.cli("make", "--cluster", word)
    assert result.code == 2
    assert result.err.startswith("dasktune: *** ")
    assert result.err.count("\n") == 1
    assert project.ran() == []
