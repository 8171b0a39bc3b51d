"""``cluster``: what a cluster would be asked for."""

from __future__ import annotations

from typing import Any

import click

from dasktune.cli.options import read_settings
from dasktune.errors import UsageError


@click.command()
@click.argument("where", default="auto")
@click.option("--show", is_flag=True, help="The settings and where each comes from; the default.")
@click.option("--print-job", is_flag=True, help="The script of a job.")
@click.option("-O", "--cluster-option", "settings", multiple=True, metavar="KEY=VALUE")
@click.option("--threads", default=1, show_default=True, help="Threads of a trial.")
@click.option("--debug", is_flag=True, help="Show a traceback of dasktune's own errors.")
def cluster(where: str, **options: Any) -> None:
    """Show what the cluster WHERE ('auto' if none is named) would be asked for; start nothing."""
    from dasktune.cluster import Demand
    from dasktune.cluster.choose import backend, resolve

    settings = read_settings(options["settings"])
    demand = Demand(threads=options["threads"], tell=lambda event: click.echo(event["text"]))
    where = resolve(where, demand, settings)
    chosen = backend(where, settings) if where != "none" else None  # this process
    if options["print_job"]:
        script = chosen.script(demand) if chosen else ""
        if not script:
            raise UsageError(f"the cluster {where!r} has no jobs.")
        click.echo(script, nl=False)
        return
    shown = getattr(chosen, "settings", {})
    if not shown:
        click.echo(f"{where} has no settings")
        return
    width = max(map(len, shown))
    values = {key: _text(setting.value) for key, setting in shown.items()}
    wide = max(map(len, values.values()))
    for key, setting in shown.items():
        click.echo(f"{key:{width}}  {values[key]:{wide}}  {setting.origin}")


def _text(value: Any) -> str:
    return (
        "-"
        if value in (None, [], "")
        else str(value).lower()
        if value in (True, False)
        else str(value)
    )
