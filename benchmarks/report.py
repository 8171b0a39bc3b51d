"""What the benches share to tell their figures: the machine, spreads, a table, a plot."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("torch", "dask", "distributed", "numpy", "xarray", "zarr", "joblib", "optuna", "ray")


def machine() -> dict[str, Any]:
    """Say on what was measured, and with which versions."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processors": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
        "versions": found,
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def spread(values: Sequence[float], digits: int) -> str:
    """Write the median, with the least and the most beside it."""
    middle = f"{statistics.median(values):.{digits}f}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):.{digits}f} to {max(values):.{digits}f})"


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes
    ----------
    head : sequence of str
        The columns' names.
    rows : sequence of sequence of str
        The cells.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """Write it in Markdown."""
        lines = [self.head, ["---", *("---:" for _ in self.head[1:])], *self.rows]
        return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def write(name: str, raw: dict[str, Any], table: Table) -> Path:
    """Keep raw figures and table in ``results/``, and give the path without its ending."""
    path = RESULTS / f"{raw['machine']['date']}-{name}"
    path.with_suffix(".json").write_text(json.dumps(raw, indent=1) + "\n")
    path.with_suffix(".md").write_text(table.markdown() + "\n")
    return path
