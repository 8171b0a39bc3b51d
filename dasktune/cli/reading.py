"""``results``, ``report`` and ``plot``."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dasktune.cli.options import change_folder, pipeline_options

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

F = TypeVar("F", bound=Callable[..., Any])

KINDS = ("curves", "parallel", "slices", "heatmap", "importance", "progress", "cost")
FORMATS = ("csv", "netcdf", "parquet", "json", "optuna", "tensorboard", "mlflow")
ROWS = 40
"""Rows of a table that a terminal shows, unless more are asked for."""


def selecting(command: F) -> F:
    """Add the options that choose results, and what of them."""
    for option in (
        click.option(
            "--where",
            "conditions",
            multiple=True,
            metavar="CONDITION",
            help="Only trials such as 'lr>0.01 and hidden==64', or hidden=32,64.",
        ),
        click.option(
            "--objective",
            metavar="'max METRIC'",
            help="Judge by another metric, or several: 'max A, min B'.",
        ),
        click.option(
            "--partial",
            is_flag=True,
            default=None,
            help="From the stamps of finished trials, even if there is a collation.",
        ),
        click.argument("path", required=False),
    ):
        command = option(command)
    return pipeline_options(command)


@click.command()
@click.option("--sort", metavar="COLUMN", help="Sort by a metric, a hyperparameter, any column.")
@click.option("--reverse", is_flag=True, help="Sort from large to small.")
@click.option("--best", "count", type=click.IntRange(1), metavar="N", help="Only the first N rows.")
@click.option("--all", "everything", is_flag=True, help=f"All rows; a terminal shows {ROWS} else.")
@click.option("--trials", "per_trial", is_flag=True, help="A row a trial instead of a config.")
@click.option(
    "--group-by", "group", metavar="COLUMN[,COLUMN]", help="Mean and spread over all the others."
)
@click.option(
    "--compare",
    "others",
    multiple=True,
    metavar="RESULTS",
    help="With other results, trial by trial: a path, or a version of the code.",
)
@click.option(
    "--test",
    "pair",
    nargs=2,
    metavar="CONFIG CONFIG",
    help="A paired test over the replicates: 'lr=0.1,hidden=64' 'lr=0.01,hidden=64'.",
)
@click.option("--versions", is_flag=True, help="List the versions that the store has results of.")
@click.option("--to", "kind", type=click.Choice(FORMATS), help="Write a file instead.")
@click.option("--output", metavar="FILE", help="The file to write; else named after the pipeline.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@selecting
def results(**options: Any) -> None:
    """Show the results: of the pipeline, or of the dataset or store at PATH."""
    from dasktune.reading.selection import sort_table

    change_folder(options["folders"])
    path = options["path"] or _store(options["file"], options["store"])
    if options["versions"]:
        _versions(path, as_json=options["as_json"])
        return
    if options["others"]:
        _compare(path, options)
        return
    dataset = _select(path, options)
    if options["pair"]:
        _test(dataset, options["pair"], as_json=options["as_json"])
        return
    if options["kind"]:
        _export(dataset, options["kind"], options["output"])
        return
    table, best_first = _table(dataset, options)
    if options["sort"]:
        descending = best_first and options["sort"] == _metric(dataset)
        table = sort_table(table, options["sort"], descending=descending or options["reverse"])
    elif options["reverse"]:
        table = table.iloc[::-1]
    table = table.head(options["count"]) if options["count"] else table
    if options["as_json"]:
        click.echo(table.to_json(orient="records", indent=1, date_format="iso"))
        return
    _show(dataset, table, everything=options["everything"] or bool(options["count"]))


@click.command()
@click.option("--output", metavar="FILE", help="The file to write; else <pipeline>.html.")
@selecting
def report(**options: Any) -> None:
    """Write a report of the results: one HTML file that opens offline."""
    from dasktune.reading.report import write_report

    change_folder(options["folders"])
    path = options["path"] or _store(options["file"], options["store"])
    dataset = _select(path, options)
    output = options["output"] or f"{dataset.attrs['pipeline']}.html"
    write_report(dataset, output)
    click.echo(f"wrote {output}")


@click.command()
@click.argument("figure", type=click.Choice([*KINDS, "front"]), metavar="KIND")
@click.option("--metric", metavar="NAME", help="For curves: another metric than the objective.")
@click.option("--of", metavar="NAME[,NAME]", help="Hyperparameters, for slices and heat maps.")
@click.option("--output", metavar="FILE", help="A .png, .svg or .pdf; else <pipeline>-KIND.png.")
@selecting
def plot(figure: str, metric: str | None, of: str | None, **options: Any) -> None:
    """Draw a figure: curves, parallel, slices, heatmap, importance, progress, cost or front."""
    from dasktune.reading.plots import plot as draw

    change_folder(options["folders"])
    path = options["path"] or _store(options["file"], options["store"])
    dataset = _select(path, options)
    output = options["output"] or f"{dataset.attrs['pipeline']}-{figure}.png"
    draw(dataset, figure, metric=metric, of=of.split(",") if of else None).save(output)
    click.echo(f"wrote {output}")


def _select(path: str, options: dict[str, Any]) -> xr.Dataset:
    from dasktune.errors import UsageError
    from dasktune.reading.opening import read
    from dasktune.reading.selection import where, with_objective

    dataset = read(path, partial=options["partial"])
    if options["objective"]:
        dataset = with_objective(dataset, options["objective"])
    for condition in options["conditions"]:
        dataset = where(dataset, condition)
    if not dataset.sizes["trial"]:
        raise UsageError("no trial meets the conditions of --where.")
    return dataset


def _table(dataset: xr.Dataset, options: dict[str, Any]) -> tuple[pd.DataFrame, bool]:
    """Give the table that is asked for, and whether more of the objective is better."""
    from dasktune.ranking import leaderboard
    from dasktune.reading.selection import group_table, sort_table
    from dasktune.results import objective_of, trials_table

    upwards = objective_of(dataset).direction == "max"
    metric = _metric(dataset)
    if options["group"]:
        return group_table(dataset, options["group"].split(",")), upwards
    board = leaderboard(dataset)
    if options["per_trial"] or (options["sort"] and options["sort"] not in board.columns):
        return sort_table(trials_table(dataset), metric, descending=upwards), upwards
    return board, upwards


def _metric(dataset: xr.Dataset) -> str:
    from dasktune.results import objective_of

    metric = objective_of(dataset).metric
    return metric if metric in dataset.data_vars else "objective"


def _show(dataset: xr.Dataset, table: pd.DataFrame, *, everything: bool) -> None:
    from dasktune.tables import results_table, terminal, verdict_lines

    console = terminal()
    shown = table if everything or not console.is_terminal else table.head(ROWS)
    for line in results_table(console, dataset, shown):
        console.print(line)
    if len(shown) < len(table):
        console.print(f"… and {len(table) - len(shown)} more rows: --all, or --best N", style="dim")
    for text in verdict_lines(dataset):
        console.print(text, highlight=False)


def _versions(path: str, *, as_json: bool) -> None:
    from dasktune.reading.comparison import versions_table
    from dasktune.reading.opening import required_store
    from dasktune.tables import data_table, terminal

    table = versions_table(required_store(path))
    if as_json:
        click.echo(table.to_json(orient="records", indent=1, date_format="iso"))
        return
    terminal().print(data_table(table))


def _compare(path: str, options: dict[str, Any]) -> None:
    """Compare the results with others; or, where two are named, these with each other."""
    from dasktune.errors import UsageError
    from dasktune.reading.comparison import compare, find_results
    from dasktune.reading.opening import store_of
    from dasktune.tables import data_table, terminal

    names: Sequence[str] = options["others"]
    if len(names) > 2:
        raise UsageError(f"--compare takes one or two results, but got {len(names)}.")
    store = store_of(path)
    found = [find_results(name, store) for name in names]
    first, second = found if len(found) == 2 else (found[0], _select(path, options))
    outcome = compare(first, second)
    table = outcome.table.head(options["count"]) if options["count"] else outcome.table
    if options["as_json"]:
        click.echo(table.to_json(orient="records", indent=1))
        return
    console = terminal()
    limited = console.is_terminal and not options["everything"]
    shown = table.head(ROWS) if limited else table
    console.print(data_table(shown))
    if len(shown) < len(table):
        console.print(f"… and {len(table) - len(shown)} more trials: --all", style="dim")
    console.print(outcome.sentence, highlight=False)
    for count, which in ((outcome.only_first, "first"), (outcome.only_second, "second")):
        if count:
            console.print(f"{count} trials are only in the {which}", highlight=False)


def _test(dataset: xr.Dataset, pair: tuple[str, str], *, as_json: bool) -> None:
    """Test two configurations against each other."""
    import dataclasses
    import json

    from dasktune.reading.pairing import compare_configs
    from dasktune.tables import terminal

    found = compare_configs(dataset, *pair)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(found), indent=1))
    else:
        terminal().print(found.sentence, highlight=False)


def _export(dataset: xr.Dataset, kind: str, output: str | None) -> None:
    from dasktune.reading.export import export, file_name

    output = output or file_name(dataset, kind)
    export(dataset, output, kind)
    click.echo(f"wrote {output}")


def _store(file: str | None, store: str) -> str:
    """Name the pipeline's store; the file need not be loaded for it."""
    from dasktune.pipelinefile import find_file, name_of

    name = name_of(find_file(file))
    return os.path.join(store, name)
