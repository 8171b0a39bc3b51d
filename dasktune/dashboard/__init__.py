"""The ``dasktune`` page of Dask's dashboard, served by the scheduler itself.

dasktune adds it by itself to the cluster that it makes with. To have it from the start:
``dask scheduler --preload dasktune.dashboard``.
"""

from __future__ import annotations

from typing import Any


async def dask_setup(scheduler: Any) -> None:
    """Add the page to a scheduler that begins (Dask's ``--preload``)."""
    from dasktune.dashboard.plugin import NAME, Dashboard

    await scheduler.register_scheduler_plugin(Dashboard(), name=NAME, idempotent=True)
