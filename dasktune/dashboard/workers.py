"""What each worker and its GPU is doing, from what Dask's heart-beats tell already."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from dasktune.board import Board

MOST_WORKERS = 1000
"""Workers that the table holds."""


def worker_rows(scheduler: Any, board: Board | None) -> tuple[dict[str, Any], bool]:
    """Give the columns of the table of workers, and whether there are GPUs.

    Parameters
    ----------
    scheduler : distributed.Scheduler
        Its workers tell their CPU and memory, and their GPU's where pynvml is installed.
    board : Board or None
        Tells what they train.
    """
    trains: defaultdict[str, list[str]] = defaultdict(list)
    for row in board.running() if board is not None else ():
        epoch = f" ({row.epoch}/{row.epochs})" if row.epochs else ""
        trains[row.worker].append(row.id + epoch)
    workers = list(scheduler.workers.values())[:MOST_WORKERS]
    metrics = [worker.metrics for worker in workers]
    columns: dict[str, Any] = {
        "worker": [str(worker.name) for worker in workers],
        "host": [str(worker.host) for worker in workers],
        # A worker that Dask names 0 calls itself by its address.
        "trial": [_short(trains[str(w.name)] or trains[w.address]) for w in workers],
        "cpu": _numbers(m.get("cpu") for m in metrics),
        "memory": _numbers(m.get("memory") for m in metrics),
    }
    gpus = any("gpu" in m for m in metrics)
    if gpus:
        use = [m.get("gpu") or {} for m in metrics]
        names = [(worker.extra or {}).get("gpu") or {} for worker in workers]
        columns["gpu"] = [str(name.get("name", "")) for name in names]
        columns["gpu_use"] = _numbers(gpu.get("utilization") for gpu in use)
        columns["gpu_memory"] = _numbers(gpu.get("memory-used") for gpu in use)
        columns["gpu_total"] = _numbers(name.get("memory-total") for name in names)
    return columns, gpus


def _short(trials: list[str]) -> str:
    return trials[0] + (f" and {len(trials) - 1} more" if trials[1:] else "") if trials else ""


def _numbers(values: Any) -> np.ndarray[Any, Any]:
    return np.array([np.nan if value is None else value for value in values], float)
