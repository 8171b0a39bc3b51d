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


def plot(path: Path, seconds: dict[str, list[float]], title: str) -> None:
    """Draw a bar a rival, with the least and the most it took, as an SVG."""
    pyplot = _pyplot()
    order = sorted((n for n in seconds if seconds[n]), key=lambda n: statistics.median(seconds[n]))
    middles = [statistics.median(seconds[name]) for name in order]
    spans = [
        [middle - min(seconds[name]) for name, middle in zip(order, middles, strict=True)],
        [max(seconds[name]) - middle for name, middle in zip(order, middles, strict=True)],
    ]
    ours = ["#2a6f97" if name.startswith("dasktune") else "#b0b7bd" for name in order]
    figure, axes = pyplot.subplots(figsize=(7, 0.38 * len(order) + 1))
    axes.barh(order, middles, xerr=spans, color=ours, ecolor="#444444", capsize=2)
    for index, middle in enumerate(middles):
        axes.text(spans[1][index] + middle, index, f"  {middle:.0f} s", va="center", fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, max(max(times) for times in seconds.values() if times) * 1.12)
    axes.set_xlabel("seconds, less is better")
    axes.set_title(title, fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def curves(path: Path, x: Sequence[float], lines: dict[str, list[float]], axis: str) -> None:
    """Draw figures that grow with another one, on logarithmic axes, as an SVG."""
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(figsize=(6, 3.4))
    for (name, values), colour in zip(lines.items(), ("#2a6f97", "#b0b7bd"), strict=False):
        axes.plot(x, values, "o-", color=colour, label=name)
    axes.set(xscale="log", yscale="log", xlabel=axis)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "dasktune"  # the same file for the same figures
    from matplotlib import pyplot

    return pyplot
