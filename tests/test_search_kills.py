"""Searches that are killed or interrupted: the next run goes on, and trains nothing twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass

import pytest
import xarray as xr

import dasktune as dt
from dasktune.results import VARYING

FEW = ("a=dt.choice(*range(1, 10))", "a=dt.choice(1, 2, 3)")
SEEDED = ("))\npipeline", "), seed=dt.replicates(1))\npipeline")
ENDLESS = ("a=dt.choice(*range(1, 10))", "a=dt.uniform(0, 1)")
NOISY = (
    "trial.config.a - 50",
    "min(trial.config.a, 2)\n"
    "            + 0.1 * ((7 * trial.replicate.get('seed', 0) + 3 * trial.config.a) % 5) - 50",
)
"""Of three configs the first is told to be worse; seeds decide on the other two."""


@dataclass(frozen=True)
class Case:
    """A search to be killed.

    Attributes
    ----------
    words : tuple of str
        Of the command line.
    after : int
        Epochs that have begun when its driver is killed.
    where : str
        The cluster.
    edits : tuple of (str, str)
        Changes of the pipeline.
    same : bool
        Whether it comes to the same answer as one that ran through.
    """

    words: tuple[str, ...]
    after: int = 14
    where: str = "none"
    edits: tuple[tuple[str, str], ...] = ()
    same: bool = True

    @classmethod
    def of(cls, *words, **others):
        """Make a case."""
        return cls(words, **others)


def sampled(sampler):
    """Make the case of a sampler, killed when its model is in use: after ten configs."""
    words = ("epochs=2", "--search", f"Optuna(17, {sampler!r})")
    return Case(words, after=23, edits=(ENDLESS, ("space.grid()", "space")))


CASES = {
    "SuccessiveHalving": Case.of("--search", "SuccessiveHalving()", after=11),
    "Hyperband": Case.of("--search", "Hyperband()", where="local"),
    "ASHA": Case.of("--search", "ASHA(n_trials=9)", where="local", same=False),
    "MedianStopping": Case.of("--search", "MedianStopping(9, every=2)"),
    "Patience": Case.of("--search", "Patience(3, n=4)"),
    "PBT": Case.of("--search", "PBT(4, every=2, explore='a')"),
    "Race": Case.of(
        *("epochs=2", "--search", "Race(7, first=3, test='t')"),
        after=21,
        where="local",
        edits=(FEW, SEEDED, NOISY),
    ),
    "ReplicateBest": Case.of(
        *("--search", "SuccessiveHalving()", "--replicate-best", "2", "--seeds", "3"),
        after=26,
        edits=(SEEDED,),
    ),
    **{f"Optuna, {name}": sampled(name) for name in ("tpe", "cmaes", "nsga2")},
}


def start(folder, words, where):
    """Start ``dasktune make`` in a process group of its own; its trainings take a while."""
    (folder / "slow").touch()
    command = [sys.executable, "-m", "dasktune", "make", "-f", str(folder / "toy.py"), "-j2"]
    return subprocess.Popen(
        [*command, "--store", str(folder / "dist"), "--cluster", where, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def begun(folder):
    """Count the epochs that have begun."""
    log = folder / "log"
    return len(log.read_text().splitlines()) if log.exists() else 0


def wait_for(folder, count, process):
    """Wait until so many epochs have begun."""
    deadline = time.monotonic() + 100
    while begun(folder) < count:
        assert time.monotonic() < deadline, "the search does not get on"
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def kill(process):
    """End a driver and its workers without a word."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.fixture(scope="module")
def killed(tmp_path_factory, searched):
    """Give a folder a case, in which its driver was killed; all were started at once."""
    folders, running = {}, {}
    try:
        for name, case in CASES.items():
            text = searched
            for old, new in case.edits:
                assert old in text
                text = text.replace(old, new)
            folders[name] = tmp_path_factory.mktemp("killed")
            (folders[name] / "toy.py").write_text(text)
            running[name] = start(folders[name], case.words, case.where)
        deadline = time.monotonic() + 200
        while running:
            for name, process in [*running.items()]:
                if begun(folders[name]) >= CASES[name].after:
                    kill(running.pop(name))
                    assert process.returncode == -signal.SIGKILL, f"{name} was over"
                else:
                    assert process.poll() is None, (name, process.communicate())
            assert time.monotonic() < deadline, f"{[*running]} do not get on"
            time.sleep(0.01)
    finally:
        for process in running.values():
            kill(process)
    return folders


@pytest.mark.parametrize("name", CASES)
def test_a_search_whose_driver_is_killed_goes_on(killed, name, run_cli):
    """Nothing is trained twice but the epochs that were on their way.

    A synchronous one comes to the same dataset as one that ran through, and so does a sampler
    that has one trial at a time.
    """
    folder, case = killed[name], CASES[name]
    (folder / "slow").unlink()

    def make(store):
        where = ("-f", str(folder / "toy.py"), "--store", str(folder / store))
        found = run_cli(["make", *where, "--cluster", "none", *case.words])
        assert found.code == 0, found.err
        return dt.open_results(folder / store / "toy")

    assert not (folder / "dist" / "toy" / "collated.zarr").exists()
    found = make("dist")
    counts = Counter((folder / "log").read_text().splitlines())
    repeated = {epoch: count for epoch, count in counts.items() if count > 1}
    assert len(repeated) <= 2
    assert set(repeated.values()) <= {2}
    if not case.same:  # which are promoted early may differ
        assert (found.budget.max(), found.sizes["trial"]) == (9, 9)
        return
    expected = make("other")
    assert counts.total() - len(repeated) == int(expected.spent.sum())
    xr.testing.assert_identical(found.drop_vars(VARYING), expected.drop_vars(VARYING))


def test_a_search_that_is_interrupted_leaves_off_at_checkpoints(search):
    """At Ctrl-C; the next run goes on, and trains no epoch twice."""
    process = start(search.folder, ("--search", "Hyperband()"), "none")
    wait_for(search.folder, 14, process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=100)
    assert process.returncode == -signal.SIGINT, output
    assert "interrupted; what is finished is kept" in output
    (search.folder / "slow").unlink()
    assert search.make("--search", "Hyperband()").code == 0
    assert set(Counter(search.ran()).values()) == {1}
