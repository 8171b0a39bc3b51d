"""What every worker that dasktune starts loads first (Dask's ``--preload``)."""

from __future__ import annotations

import signal
from typing import Any


def dask_setup(worker: Any) -> None:
    """Leave Ctrl-C to the driver, which tells the workers through the run's folder."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
