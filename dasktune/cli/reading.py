"""``results``."""

from __future__ import annotations

import os
from typing import Any

import click

from dasktune.cli.options import change_folder, pipeline_options


@click.command()
@click.argument("path", required=False)
@click.option("--sort", metavar="COLUMN", help="Sort trials by a metric or hyperparameter.")
@click.option("--reverse", is_flag=True, help="Sort from large to small.")
@click.option("--best", "count", type=click.IntRange(1), metavar="N", help="Only the first N rows.")
@click.option("--trials", "per_trial", is_flag=True, help="A row a trial instead of a config.")
@click.option(
    "--to",
    "kind",
    type=click.Choice(["csv", "netcdf", "parquet", "json"]),
    help="Write a file instead.",
)
@click.option("--output", metavar="FILE", help="The file to write; else named after the pipeline.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@pipeline_options
def results(path: str | None, **options: Any) -> None:
    """Show the collated results: of the pipeline, or of the dataset at PATH."""
    from dasktune.results import (
        best,
        export,
        leaderboard,
        objective_of,
        open_results,
        sort_table,
        trials_table,
    )

    change_folder(options["folders"])
    dataset = open_results(path or _path(options["file"], options["store"]))
    if options["kind"]:
        ending = {"netcdf": "nc"}.get(options["kind"], options["kind"])
        output = options["output"] or f"{dataset.attrs['pipeline']}.{ending}"
        export(dataset, output, options["kind"])
        click.echo(f"wrote {output}")
        return
    objective = objective_of(dataset)
    if options["sort"] or options["per_trial"]:
        column = options["sort"] or objective.metric
        best_first = column == objective.metric and objective.direction == "max"
        table = trials_table(dataset)
        table = sort_table(table, column, descending=best_first or options["reverse"])
        table = table.head(options["count"]) if options["count"] else table
    else:
        table = leaderboard(dataset, options["count"])
    if options["as_json"]:
        click.echo(table.to_json(orient="records", indent=1))
        return
    from dasktune.tables import data_table, terminal

    console = terminal()
    console.print(data_table(table.drop(columns=["key", "trial"], errors="ignore")))
    winner = best(dataset)
    if winner is not None:
        console.print(
            f"best  {objective_of(dataset).metric} {winner.value:.5g}  {winner.trial}",
            highlight=False,
        )


def _path(file: str | None, store: str) -> str:
    """Name the view of the pipeline's newest collation; the file need not be loaded for it."""
    from dasktune.sweep import find_file

    name = os.path.splitext(os.path.basename(find_file(file)))[0]
    return os.path.join(store, name, "collated.zarr")
