"""The report: all that is known of a sweep as one HTML file that opens offline."""

from __future__ import annotations

import datetime
import json
import math
import re
from collections import Counter
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from dasktune.commit import write_atomically
from dasktune.errors import StoreError, UsageError
from dasktune.provenance import versions
from dasktune.ranking import best, by_first, leaderboard
from dasktune.reading.opening import store_of
from dasktune.reading.plots import plot
from dasktune.reading.plots.style import BEST, GRID, INK, MUTED, PAPER, QUIET, SERIES
from dasktune.reading.statistics import for_people, verdict
from dasktune.recipe import read_codes
from dasktune.results import objective_of, trials_table, without_repetition

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

FIGURES = (
    ("curves", "Learning curves", "Means over the replicates of the five best configurations, "
     "with bands from the least to the greatest; all other trials in grey."),
    ("parallel", "Parallel coordinates", "A line a configuration, from its hyperparameters to its "
     "mean value; the better, the bolder."),
    ("slices", "Slices", "Each trial's value against each hyperparameter, with the median at each "
     "value. The ring is the best trial."),
    ("heatmap", "Heat maps", "The median value over two hyperparameters at a time; the "
        "trials themselves where they form no grid."),
    ("importance", "Importance", "Each hyperparameter's share of the objective's variance over "
     "the configurations, with its interactions (fANOVA, by Optuna)."),
    ("progress", "Progress", "When trials ended, and the best so far."),
    ("cost", "Cost", "What a trial took, and what it gave."),
)  # fmt: skip
FRONT = ("front", "Pareto front", "The means of each configuration over its replicates, two "
    "objectives at a time; none is better in all objectives than one of the front.")  # fmt: skip
ZOOM = 1.28
"""How much larger a figure is than in a file of its own: as wide as the page."""
ROWS = 25
"""Rows of the leaderboard."""
TRIALS = 2000
"""Rows of the table of all trials."""


def write_report(dataset: xr.Dataset, path: str) -> None:
    """Write a report.

    Parameters
    ----------
    dataset : xarray.Dataset
        A collated dataset. If it lies in its store, the report holds the pipeline's code, too.
    path : str
        The HTML file to write.

    Raises
    ------
    UsageError
        If matplotlib or Jinja2 is not installed.
    StoreError
        If the file cannot be written.
    """
    try:
        write_atomically(path, report_html(dataset).encode())
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"cannot write {path}: {error.strerror}.") from error


def report_html(dataset: xr.Dataset) -> str:
    """Give the report as text."""
    try:
        import jinja2
    except ImportError as error:
        raise UsageError(
            "a report needs Jinja2. Install it with: pip install 'dasktune[plot]'."
        ) from error
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"value": _value, "duration": _duration}
    template = environment.from_string(
        files("dasktune.reading").joinpath("report.html").read_text(encoding="utf-8")
    )
    return template.render(_facts(dataset), figures=_figures(dataset))


def _facts(dataset: xr.Dataset) -> dict[str, Any]:
    """Collect what the template shows."""
    several = objective_of(dataset)
    dataset, whole = by_first(dataset), dataset
    objective = several.first
    sweep: dict[str, Any] = {"about": "", "sources": "", "variables": {}}
    sweep |= json.loads(dataset.attrs.get("sweep", "{}"))
    store = store_of(dataset.encoding.get("source", "/nowhere"))
    tree = read_codes(store, sweep["sources"]) if store and sweep.get("sources") else None
    winner = best(dataset)
    board = leaderboard(whole)
    trials = trials_table(dataset)
    seconds = trials["seconds"].fillna(0.0)
    failed = (~trials["status"].isin(["ok", "running"])).to_numpy()
    metric = objective.metric if objective.metric in trials.columns else "objective"
    order = trials[metric].sort_values(ascending=objective.direction == "min", na_position="last")
    shown_trials = without_repetition(trials.loc[order.index])
    shown_trials = shown_trials.drop(columns=["objective", "key"], errors="ignore")
    return {
        "name": str(dataset.attrs["pipeline"]),
        "metric": objective.metric,
        "goal": "largest" if objective.direction == "max" else "smallest",
        "sweep": sweep,
        "design": sweep.get("design") or f"{len(board)} configurations",
        "partial": "partial" in dataset.attrs,
        "count": len(trials),
        "configs": len(board),
        "failed": int(failed.sum()),
        "diverged": int(((trials["status"] == "ok") & trials[metric].isna()).sum()),
        "compute": float(seconds.sum()),
        "wasted": float(seconds[failed].sum()),
        "span": _span(trials),
        "verdict": verdict(dataset),
        "winner": winner,
        "board": _rows(for_people(dataset, board).head(ROWS)),
        "several": str(several) if several.others else "",
        "on_front": int((board["front"] == 1).sum()) if several.others else 0,
        "trials": _rows(shown_trials.head(TRIALS)),
        "devices": _by(trials, "device"),
        "workers": _by(trials, "worker"),
        "failures": _failures(trials),
        "space": _space(dataset, sweep),
        "trained_with": json.loads(dataset.attrs.get("trained_with", "[]")),
        "collated_with": json.loads(dataset.attrs.get("versions", "{}")),
        "command": _command(dataset, sweep, winner),
        "code": tree["sources"]["modules"][tree["sources"]["main"]]["source"] if tree else "",
        "written": datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "version": versions().get("dasktune", ""),
    }


def _figures(dataset: xr.Dataset) -> list[dict[str, str]]:
    """Draw what can be drawn; a figure that cannot be says why."""
    drawn = []
    several = bool(objective_of(dataset).others)
    for kind, title, text in (FRONT, *FIGURES) if several else FIGURES:
        entry = {"kind": kind, "title": title, "text": text, "svg": "", "note": ""}
        try:
            entry["svg"] = inline_svg(plot(dataset, kind).to_svg(), kind)
        except UsageError as error:
            if "pip install 'dasktune[plot]'" in str(error):
                raise
            entry["note"] = str(error)
        drawn.append(entry)
    return drawn


def inline_svg(text: str, prefix: str) -> str:
    """Fit an SVG file into a page: names of its own, and the page's colours.

    Parameters
    ----------
    text : str
        What `Plot.to_svg` gave.
    prefix : str
        Put before every id, since two figures in a page must not share any.
    """
    text = text[text.index("<svg") :]
    size = re.compile(r'(width|height)="([\d.]+)pt"')
    text = size.sub(lambda found: f'{found[1]}="{float(found[2]) * ZOOM:g}pt"', text, count=2)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r"url\(#", f"url(#{prefix}-", text)
    text = re.sub(r'href="#', f'href="#{prefix}-', text)
    colours = {
        INK: "ink",
        MUTED: "muted",
        GRID: "line",
        QUIET: "quiet",
        BEST: "best",
        PAPER: "paper",
    }
    colours |= {colour: f"series-{index}" for index, colour in enumerate(SERIES)}
    for colour, name in colours.items():
        text = text.replace(colour, f"var(--{name})")
    return text.strip()


def _rows(table: pd.DataFrame) -> dict[str, Any]:
    """Give a table's columns and cells, without columns that are empty."""
    kept = [c for c in table.columns if not (table[c].astype(str).isin(["", "nan", "NaT"])).all()]
    table = table[kept]
    numeric = [table[c].dtype.kind in "fiu" for c in kept]
    return {
        "columns": list(zip(map(str, kept), numeric, strict=True)),
        "rows": [list(row) for row in table.itertuples(index=False)],
    }


def _by(trials: pd.DataFrame, column: str) -> list[tuple[str, int, float]]:
    grouped = trials[trials[column] != ""].groupby(column)["seconds"].agg(["count", "sum"])
    ranked = grouped.sort_values("sum", ascending=False)
    return [(str(n), int(row["count"]), float(row["sum"])) for n, row in ranked.iterrows()]


def _failures(trials: pd.DataFrame) -> list[dict[str, Any]]:
    """Group the failures by their kind and their text; numbers in it do not matter."""
    failed = trials[trials["error"] != ""]
    kinds = failed["failure"] if "failure" in failed else [""] * len(failed)  # by an older version
    reasons = [
        (str(kind), re.sub(r"\d+(\.\d+)?", "#", text))
        for kind, text in zip(kinds, failed["error"], strict=True)
    ]
    found = []
    for reason, count in Counter(reasons).most_common(20):
        first = failed.iloc[reasons.index(reason)]
        told = {"kind": reason[0], "error": str(first["error"]), "trial": str(first["trial"])}
        found.append({**told, "count": count})
    return found


def _space(dataset: xr.Dataset, sweep: dict[str, Any]) -> list[tuple[str, str]]:
    domains = sweep.get("space", {})
    rows = []
    for name in dataset.attrs["hyperparameters"]:
        text = domains.get(name, {}).get("text", "")
        if not text:
            values = dataset[name].values
            numbers = values.dtype.kind in "if"
            distinct = np.unique(values).tolist() if numbers else sorted(set(map(str, values)))
            found = [word for word in map(_value, distinct) if word]
            text = ", ".join(found[:12]) + (
                f" and {len(found) - 12} more" if len(found) > 12 else ""
            )
        rows.append((str(name), text))
    return rows


def _command(dataset: xr.Dataset, sweep: dict[str, Any], winner: Any) -> dict[str, str]:
    """Write the commands that make the sweep, and its best configuration, again."""
    make = f"dasktune make -f {sweep.get('file') or dataset.attrs['pipeline'] + '.py'}"
    if winner is None:
        return {"all": make, "best": ""}
    replicate = list(dataset.attrs.get("replicate", []))
    words = [f"{name}={value}" for name, value in winner.config.items() if name not in replicate]
    quoted = " ".join(f"'{word}'" if re.search(r"[^\w.=+-]", word) else word for word in words)
    return {"all": make, "best": f"{make} {quoted}"}


def _span(trials: pd.DataFrame) -> dict[str, Any] | None:
    if "finished" not in trials.columns or trials["finished"].isna().all():
        return None
    ended = trials["finished"].dropna()
    begun = ended.min() - datetime.timedelta(seconds=float(trials["seconds"][ended.idxmin()]))
    last = ended.max()
    day = "" if last.date() == begun.date() else "%Y-%m-%d "
    return {
        "begun": f"{begun:%Y-%m-%d %H:%M}",
        "ended": f"{last:{day}%H:%M} UTC",
        "seconds": (last - begun).total_seconds(),
    }


def _value(value: Any) -> str:
    if hasattr(value, "strftime"):
        return f"{value:%Y-%m-%d %H:%M:%S}" if value == value else ""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.5g}"
    return str(value)


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
