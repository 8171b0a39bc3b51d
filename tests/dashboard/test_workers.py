"""What each worker and its GPU is doing, as Dask's heart-beats tell it."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from distributed import Client, LocalCluster

from dasktune.board import Board
from dasktune.dashboard.workers import worker_rows
from dasktune.objective import Objective
from dasktune.row import Row

DRIVER = Path(__file__).parents[1] / "cluster" / "fake-driver"


def worker(name, metrics, extra=None):
    """Give a worker as a scheduler knows it."""
    address = f"tcp://127.0.0.1:{name}"
    return SimpleNamespace(
        name=name, host="127.0.0.1", address=address, metrics=metrics, extra=extra
    )


def test_what_a_worker_with_a_gpu_tells_is_shown(monkeypatch):
    """By a real worker, over a driver that is not there."""
    monkeypatch.syspath_prepend(DRIVER)  # which a process that is spawned takes over
    monkeypatch.setenv("FAKE_GPUS", "whole")
    where = {"host": "127.0.0.1", "dashboard_address": None}
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, **where) as cluster,
        Client(cluster),
    ):
        deadline = time.monotonic() + 60
        while not worker_rows(cluster.scheduler, None)[1]:
            assert time.monotonic() < deadline, cluster.scheduler.workers
            time.sleep(0.05)
        columns, _ = worker_rows(cluster.scheduler, None)
    assert columns["gpu_use"].tolist() == [50]
    assert columns["gpu_memory"].tolist() == [2**30]
    assert columns["gpu_total"].tolist() == [80 * 2**30]


def test_workers_with_and_without_a_gpu_are_in_one_table():
    """A name that is not told is that of the device that the trial there tells of."""
    board = Board("p", "r", "/nowhere", Objective.parse("max score"), 0.0)
    board.add(Row("x", state="running", worker="1", device="cuda:0 (B)", epoch=2, epochs=9))
    board.add(Row("y", state="running", worker="2", device="cpu"))
    told = {"gpu": {"utilization": 30, "memory-used": 7}}
    workers = {
        "0": worker("0", {"cpu": 5.0, "memory": 10, **told}, {"gpu": {"name": "A"}}),
        "1": worker("1", {"gpu_utilization": 0, "gpu_memory_used": 1, "gpu-memory-total": 8}),
        "2": worker("2", {"cpu": 1.0}),
    }
    columns, gpus = worker_rows(SimpleNamespace(workers=workers), board)
    assert gpus
    assert columns["gpu"] == ["A", "cuda:0 (B)", ""]
    assert columns["trial"] == ["", "x (2/9)", "y"]
    np.testing.assert_array_equal(columns["gpu_use"], [30, 0, np.nan])
    np.testing.assert_array_equal(columns["gpu_total"], [np.nan, 8, np.nan])
    assert not worker_rows(SimpleNamespace(workers={"2": workers["2"]}), board)[1]
