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
        Its workers tell their CPU and memory, and their GPU's where NVIDIA's nvidia-ml-py is
        installed.
    board : Board or None
        Tells what they train.
    """
    trains: defaultdict[str, list[str]] = defaultdict(list)
    devices: dict[str, str] = {}
    for row in board.running() if board is not None else ():
        epoch = f" ({row.epoch}/{row.epochs})" if row.epochs else ""
        trains[row.worker].append(row.id + epoch)
        if row.device != "cpu":
            devices[row.worker] = row.device
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
    used = [_gpu(worker) for worker in workers]
    if any(used):
        named = [devices.get(str(w.name)) or devices.get(w.address, "") for w in workers]
        columns["gpu"] = [str(g.get("name") or name) for g, name in zip(used, named, strict=True)]
        columns["gpu_use"] = _numbers(gpu.get("utilization") for gpu in used)
        columns["gpu_memory"] = _numbers(gpu.get("memory-used") for gpu in used)
        columns["gpu_total"] = _numbers(gpu.get("memory-total") for gpu in used)
    return columns, any(used)


def _gpu(worker: Any) -> dict[str, Any]:
    """Give what a worker tells of its GPU; nothing where it has none."""
    metrics = worker.metrics
    if metrics.get("gpu_utilization") is not None:  # what its monitor of the system sees
        return {
            "utilization": metrics["gpu_utilization"],
            "memory-used": metrics.get("gpu_memory_used"),
            "memory-total": metrics.get("gpu-memory-total"),
            **((worker.extra or {}).get("gpu") or {}),
        }
    # A process that has asked for its GPU before it had a worker tells it so.
    told = metrics.get("gpu")
    return {**told, **((worker.extra or {}).get("gpu") or {})} if told else {}


def _short(trials: list[str]) -> str:
    return trials[0] + (f" and {len(trials) - 1} more" if trials[1:] else "") if trials else ""


def _numbers(values: Any) -> np.ndarray[Any, Any]:
    return np.array([np.nan if value is None else value for value in values], float)
