"""The contract of clusters, as a test class; subclass it to test one of your own.

One sweep of five short trials is made there, and everything else is read off what it left.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from dasktune.cluster.choose import backend
from dasktune.cluster.demand import Demand
from dasktune.errors import DasktuneError
from dasktune.results import VARYING, open_results
from dasktune.run import Options
from dasktune.searching import make
from dasktune.sweep import Sweep

if TYPE_CHECKING:
    import xarray as xr

PIPELINE = """
import json
import os
import time

import numpy as np
import torch
import xarray as xr
from threadpoolctl import threadpool_info

import dasktune as dt


def preprocess():
    return {"train": xr.Dataset({"x": (("row", "axis"), np.eye(4, dtype="float32"))})}


def train(trial, data, epochs=3):
    started = time.time()
    for epoch in trial.epochs(epochs):
        noise = float(np.random.random() + torch.rand(1))
        trial.report(score=trial.config.a + noise, noise=noise)
        time.sleep(0.1)
    pools = {pool["user_api"]: pool["num_threads"] for pool in threadpool_info()}
    print(json.dumps({
        "pid": os.getpid(), "started": started, "ended": time.time(), "pools": pools,
        "torch": torch.get_num_threads(), "environment": dict(os.environ),
        "processors": len(os.sched_getaffinity(0)),
    }))
    if trial.config.a == 5:
        raise RuntimeError("told to fail")


space = dt.Space(a=dt.integers(1, 5))
pipeline = dt.Pipeline(space, preprocess, train, objective="max score", threads=@THREADS@)
"""


@dataclass(frozen=True)
class Made:
    """What a sweep left.

    Attributes
    ----------
    exit_code : int
        Of the run.
    dataset : xarray.Dataset
        Its results.
    told : dict of int to dict
        What each trial printed of the place where it was trained, by its ``a``.
    """

    exit_code: int
    dataset: xr.Dataset
    told: dict[int, dict[str, Any]]


class ClusterContract:
    """What a sweep relies on; a test runner such as pytest finds the ``test_`` methods.

    Attributes
    ----------
    word : str
        Selects the cluster under test, as ``--cluster`` does; set by a subclass.
    settings : mapping of str to str
        Of the cluster.
    jobs : int
        Trials at a time, as ``-j``.
    threads : int
        Threads that the pipeline gives to a trial.
    sets_environment : bool
        Whether the cluster starts its workers, and so says what their environment holds.

    Examples
    --------
    >>> class TestMine(ClusterContract):
    ...     word = "mine"  # an entry point "dasktune.clusters", or a section of the configuration
    """

    word: str
    settings: ClassVar[Mapping[str, str]] = {}
    jobs: int = 2
    threads: int = 2
    sets_environment: bool = True

    _made: ClassVar[dict[object, Made]] = {}

    @contextlib.contextmanager
    def around(self) -> Iterator[str]:
        """Give the word, with all that must be there while the sweep is made around it."""
        yield self.word

    def made(self) -> Made:
        """Make the sweep; once for all tests of a class."""
        known = ClusterContract._made
        if type(self) not in known:
            with self.around() as word:
                known[type(self)] = self.make(word, self.settings)
        return known[type(self)]

    def alone(self) -> Made:
        """Make the sweep in this process; once for all classes."""
        known = ClusterContract._made
        if self.threads not in known:
            known[self.threads] = self.make("none", {})
        return known[self.threads]

    def make(self, word: str, settings: Mapping[str, str]) -> Made:
        """Make the sweep on a cluster, in a folder that is gone afterwards."""
        with tempfile.TemporaryDirectory(prefix=".dasktune-contract-", dir=".") as folder:
            file = f"{folder}/contract.py"
            with open(file, "w") as written:
                written.write(PIPELINE.replace("@THREADS@", str(self.threads)))
            sweep = Sweep.load(file, store=f"{folder}/dist")
            options = Options(word, settings, jobs=self.jobs, ignore_errors=True, fuse="off")
            summary = make(sweep, options=options)
            dataset = open_results(sweep.store.root).load()
            told = {}
            for number, log in _logs(sweep.store.root):
                with open(log) as text:
                    told[number] = json.loads(text.readline())
        return Made(summary.exit_code, dataset, told)

    def test_its_results_are_those_of_one_process(self) -> None:
        """To the last bit; only who made them, when, and in what time may differ."""
        import xarray as xr

        varying = [*VARYING, "error"]
        here = self.alone().dataset
        there = self.made().dataset
        assert self.made().exit_code == 0
        xr.testing.assert_identical(
            here.drop_vars(varying, errors="ignore"), there.drop_vars(varying, errors="ignore")
        )

    def test_a_trial_that_fails_harms_no_other(self) -> None:
        """It is told with its error."""
        status = self.made().dataset.status
        assert list(status.values) == ["ok"] * 4 + ["failed"]
        assert "told to fail" in str(self.made().dataset.error.values[-1])

    def test_no_more_trials_run_at_a_time_than_are_allowed(self) -> None:
        """``-j`` counts trials, whatever the cluster offers."""
        spans = [(told["started"], told["ended"]) for told in self.made().told.values()]
        assert len(spans) == 5
        for moment, _ in spans:
            assert sum(started <= moment < ended for started, ended in spans) <= self.jobs

    def test_a_trial_has_the_threads_that_the_pipeline_says(self) -> None:
        """Torch, OpenMP and BLAS alike; its environment says so to its child processes."""
        for told in self.made().told.values():
            assert told["torch"] == self.threads
            assert set(told["pools"].values()) <= {self.threads}
            if self.sets_environment:
                for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
                    assert told["environment"][name] == str(self.threads)

    def test_trials_are_trained_by_workers(self) -> None:
        """In other processes than the driver's, unless that is what the word means."""
        ours = {told["pid"] == os.getpid() for told in self.made().told.values()}
        assert ours == {self.word == "none"}

    def test_it_refuses_a_setting_that_it_does_not_know(self) -> None:
        """Rather than ignore a word that was mistyped."""
        if self.word == "none":
            return
        with self.around() as word:
            told = ""
            try:
                backend(word, {**self.settings, "no-such-setting": "1"})
            except DasktuneError as error:
                told = str(error)
        assert "no-such-setting" in told

    def test_its_job_is_a_text(self) -> None:
        """Or nothing, where there are no jobs; asking for it starts nothing."""
        if self.word == "none":
            return
        with self.around() as word:
            assert isinstance(backend(word, self.settings).script(Demand({"GPU": 1.0})), str)


def _logs(root: str) -> Iterator[tuple[int, str]]:
    """Find the logs of the trials, also of those that failed, by their ``a``."""
    for kind in ("trained", "failed"):
        if not os.path.isdir(f"{root}/{kind}"):
            continue
        for folder, _, files in os.walk(f"{root}/{kind}"):
            if "log.txt" in files:
                name = os.path.relpath(folder, f"{root}/{kind}")
                yield int(name.split("=")[1].split("-")[0]), f"{folder}/log.txt"
