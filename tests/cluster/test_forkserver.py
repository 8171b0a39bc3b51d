"""The fork server that workers of this machine come from."""

from __future__ import annotations

import os
import signal
import sys

import dask
import pytest

from dasktune.cluster import Demand, connect, forkserver

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="workers are spawned here")


@pytest.fixture
def started(monkeypatch):
    """Whether the server was asked to start, and nothing of it started."""
    calls: list[bool] = []
    monkeypatch.setattr(forkserver, "start", lambda: calls.append(True))
    return calls


@linux
def test_workers_are_forked_from_one_process_that_is_not_the_driver():
    """And they have the environment that the driver has now, with their number of threads."""
    os.environ["DASKTUNE_TEST_LATE"] = "set after the server was started"
    try:
        with connect("local", Demand({}, jobs=2, threads=3)) as connection:
            client = connection.client
            parents = set(client.run(os.getppid).values())
            assert len(parents) == 1
            assert parents != {os.getpid()}
            names = ("DASKTUNE_TEST_LATE", "OMP_NUM_THREADS")
            seen = client.run(lambda: [os.environ.get(name) for name in names])
            assert set(map(tuple, seen.values())) == {("set after the server was started", "3")}
            loaded = client.run(lambda: "torch._dynamo" in sys.modules)
            assert all(loaded.values())
            # A queue ends a job with a signal to all of its processes; workers must leave well.
            for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
                os.kill(min(parents), number)
            client.restart()
            assert set(client.run(os.getppid).values()) == parents
    finally:
        del os.environ["DASKTUNE_TEST_LATE"]


def test_the_configuration_turns_it_off():
    """``dasktune.fork-server: false``."""
    with dask.config.set({"dasktune.fork-server": False}):
        assert not forkserver.usable()
        assert forkserver.method() == {}


def test_a_machine_with_a_gpu_spawns_its_workers(monkeypatch, tmp_path):
    """A process that has begun with CUDA cannot be forked."""
    monkeypatch.setattr(forkserver, "GPU", str(tmp_path))
    assert not forkserver.usable()


@linux
def test_it_starts_ahead_only_where_nothing_was_ever_made(started, tmp_path):
    """Where a store is, there may be nothing to do."""
    forkserver.start_ahead(str(tmp_path))
    assert started == []
    forkserver.start_ahead(str(tmp_path / "none"))
    assert started == [True]


@linux
def test_what_runs_nothing_starts_nothing(started, project):
    """-n, -q, --cluster none, and what is up to date."""
    project.cli("make", "-n")
    project.cli("make", "-q")
    project.make("preprocessed")
    project.cli("make", "--cluster", "local", "preprocessed")  # there is a store already
    assert started == []
