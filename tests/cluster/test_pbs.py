"""PBS's own commands, as Slurm brings them, on a real Slurm on this machine."""

from __future__ import annotations

import os

import pytest

FOLDER = "/usr/local/lib/dasktune-pbs/bin"
"""Where scripts/install-pbs-commands puts qsub, qstat and qdel."""

# They know no GPUs, and give a node's name where PBS gives the server's.
HERE = ("-O", "host=127.0.0.1", "-O", "memory=1GB", "-O", "gpus=0")


@pytest.fixture
def pbs(slurm, monkeypatch):
    """Put PBS's commands before Grid Engine's, which have the same names."""
    if not os.path.exists(f"{FOLDER}/qsub"):
        why = f"{FOLDER}/qsub is missing; scripts/install-pbs-commands installs it"
        (pytest.fail if os.environ.get("DASKTUNE_CI") else pytest.skip)(why)
    monkeypatch.setenv("PATH", f"{FOLDER}:{os.environ['PATH']}")
    return slurm


def test_a_sweep_is_submitted_there_outlives_a_deleted_job_and_is_cancelled(driver, pbs, command):
    """By qsub, qstat and qdel alone; the driver's job sends the workers', from within."""
    driver.run("submit", "pbs", *HERE, "-O", "driver-memory=1GB", "-j1", "a=1", "epochs=500")
    driver.wait_until(lambda: len(driver.words("epoch")) > 2)
    rows = command("qstat", "-u", "root").splitlines()[-2:]
    assert all("dasktune-slow" in row for row in rows)
    numbers = sorted(int(row.split()[0].partition(".")[0]) for row in rows)
    command("qdel", str(numbers[-1]))  # the worker's
    driver.wait_until(lambda: len(driver.words("start")) == 2)
    count = len(driver.words("epoch"))
    driver.wait_until(lambda: len(driver.words("epoch")) > count)
    assert "pbs job" in driver.run("status", "epochs=500")
    driver.run("cancel")
    out = driver.run("attach", code=2)
    assert "leaves (SIGTERM)" in out, out
    assert "cancelled" in out
    trained = [int(word[2]) for word in driver.words("epoch")]
    assert trained == list(range(len(trained)))
    pbs.empty()
    assert [*(driver.path / "dist" / "slow" / "checkpoints").glob("*/epoch-*.pt")]


def test_an_array_of_jobs_makes_the_same_there(driver, pbs):
    """Without a scheduler; jobs learn their place from what this PBS tells them."""
    driver.run("submit", "pbs", "--array", *HERE, "-O", "driver-memory=1GB", "-j2", "epochs=1")
    out = driver.run("attach")
    assert "trained 4 of 4 trials" in out
    assert len(driver.words("epoch")) == 4
    driver.same_as_undisturbed("epochs=1")
