"""Options that several commands share."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dasktune.errors import UsageError

if TYPE_CHECKING:
    from dasktune.sweep import Sweep

F = TypeVar("F", bound=Callable[..., Any])


def jobs(text: str) -> int | None:
    """Read a number of jobs, or ``max`` for as many as the resources allow."""
    if text == "max":
        return None
    if text.isdigit() and int(text) > 0:
        return int(text)
    raise click.BadParameter(f"-j takes a number of at least 1, but got {text!r}.")


def fuse(text: str) -> str | int:
    """Read how trials may be fused: ``auto``, ``off``, or a number."""
    if text in ("auto", "off"):
        return text
    if text.isdigit() and int(text) > 0:
        return int(text)
    raise click.BadParameter(f"--fuse takes auto, off or a number of at least 1, but got {text!r}.")


def pack(text: str) -> str | int:
    """Read how many trials share a GPU: ``auto``, or a number."""
    if text == "auto":
        return text
    if text.isdigit() and int(text) > 0:
        return int(text)
    raise click.BadParameter(f"--pack takes auto or a number of at least 1, but got {text!r}.")


def pipeline_options(command: F) -> F:
    """Add the options that find a pipeline and its store."""
    for option in (
        # A driver in a queue makes what was sent, whatever became of the file since.
        click.option("--sources", hidden=True),
        click.option("--debug", is_flag=True, help="Show a traceback of dasktune's own errors."),
        click.option("--store", default="dist", show_default=True, help="Where targets are kept."),
        click.option("-C", "folders", multiple=True, metavar="DIR", help="Change to DIR first."),
        click.option(
            "-f",
            "--file",
            metavar="FILE",
            help="The pipeline file; else pipeline.py, or the only one in pipelines/.",
        ),
    ):
        command = option(command)
    return command


def cluster_options(command: F) -> F:
    """Add the options that choose a cluster."""
    for option in (
        click.option(
            "-O",
            "--cluster-option",
            "settings",
            multiple=True,
            metavar="KEY=VALUE",
            help="A setting of the cluster, such as walltime=2h; see 'dasktune cluster'.",
        ),
        click.option(
            "--pack",
            type=pack,
            metavar="auto|N",
            help="Trials that share a GPU: as many as gain something, measured, or N.",
        ),
        click.option(
            "--gpus",
            metavar="LIST",
            help="The GPUs of this machine to train on, such as 0,2; numbers or UUIDs.",
        ),
        click.option(
            "--cluster",
            default="auto",
            show_default=True,
            metavar="WHERE",
            help="'auto' ('cuda' where there are GPUs and trials need one, else 'local'), 'local', "
            "'none' (this process), 'cuda' (a worker a GPU), 'slurm' or another queue, a "
            "scheduler's address (tcp://…), file:scheduler.json, or a name.",
        ),
    ):
        command = option(command)
    return command


def where_to_run(options: Mapping[str, Any]) -> dict[str, Any]:
    """Give what `dasktune.run.Options` says of the cluster, as the command line has it."""
    settings = read_settings(options["settings"])
    if options["gpus"] is not None:
        if options["cluster"] not in ("auto", "cuda"):
            raise UsageError(
                "--gpus chooses GPUs of this machine, for --cluster cuda, but the cluster is "
                f"{options['cluster']!r}. A queue's job gets GPUs by -O gpus=N."
            )
        settings["gpus"] = options["gpus"]
    return {
        "cluster": options["cluster"],
        "cluster_settings": settings,
        "pack": options["pack"],
    }


def tolerance_options(command: F) -> F:
    """Add the options that say how long failures are borne."""
    for option in (
        click.option(
            "--give-up-after",
            "give_up_after",
            type=int,
            metavar="N",
            help="Stop if the first N trials all fail with the same exception, also with -k "
            "[10; 0: never].",
        ),
        click.option(
            "--trial-timeout",
            "trial_timeout",
            type=float,
            metavar="SECONDS",
            help="A trial that reports nothing for so long hangs: its worker is ended, and it "
            "fails.",
        ),
        click.option(
            "--retries",
            type=int,
            metavar="N",
            help="Try a trial that raises an exception N times more [0].",
        ),
    ):
        command = option(command)
    return command


def root_of(options: dict[str, Any]) -> str:
    """Name the store of a pipeline; the file need not be loaded for it."""
    from dasktune.pipelinefile import find_file, name_of
    from dasktune.store import Store

    return Store.at(options["store"], name_of(find_file(options["file"]))).root


def read_settings(words: Sequence[str]) -> dict[str, str]:
    """Read ``KEY=VALUE`` words."""
    settings = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f"-O takes KEY=VALUE, but got {word!r}.")
        settings[key.replace("_", "-")] = value
    return settings


def search_option(command: F) -> F:
    """Add the options that choose a strategy."""
    for option in (
        click.option("--seeds", type=int, metavar="M", help="Replicates with --replicate-best."),
        click.option(
            "--replicate-best",
            "best",
            type=int,
            metavar="N",
            help="Then train the N best configs with more replicates: with --seeds in all.",
        ),
        click.option(
            "--search",
            metavar="STRATEGY",
            help="Search with it, such as hyperband or 'ASHA(n_trials=50)'; none: train all.",
        ),
    ):
        command = option(command)
    return command


def searched(options: Mapping[str, Any]) -> dict[str, Any]:
    """Give what `open_sweep` needs to know of the strategy that options choose."""
    return {name: options[name] for name in ("search", "best", "seeds", "sources")}


def change_folder(folders: Sequence[str]) -> None:
    """Change to folders, each relative to the one before.

    Raises
    ------
    UsageError
        If one does not exist.
    """
    for folder in folders:
        try:
            os.chdir(folder)
        except OSError as error:
            raise UsageError(f"{folder}: {error.strerror}.") from error


def split_words(words: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Tell targets from ``VAR=VAL``.

    Returns
    -------
    (list of str, dict of str to list of str)
        The targets, and the values of each variable, split at commas outside of brackets.
    """
    targets: list[str] = []
    variables: dict[str, list[str]] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or word.startswith("trained/"):
            targets.append(word)
        elif not name.isidentifier():
            raise UsageError(f"a variable is set as NAME=VALUE, but got {word!r}.")
        elif not value:
            raise UsageError(f"the variable {name!r} needs a value, as in {name}=1.")
        else:
            variables[name] = re.split(r",(?![^(\[]*[)\]])", value)
    return targets, variables


def open_sweep(
    file: str | None,
    store: str,
    variables: dict[str, list[str]],
    *,
    sources: str | None = None,
    search: str | None = None,
    best: int | None = None,
    seeds: int | None = None,
) -> Sweep:
    """Load the pipeline that the options name, with another strategy if one is named."""
    from dasktune.pipelinefile import find_file
    from dasktune.sweep import Sweep

    if (best is None) != (seeds is None):
        raise UsageError("--replicate-best and --seeds are given together, or not at all.")
    if search is None and best is None:
        return Sweep.load(find_file(file), store=store, overrides=variables, sources=sources)
    from dasktune.search.naming import strategy_of
    from dasktune.search.replicating import ReplicateBest

    sweep = Sweep.load(find_file(file), store=store, sources=sources)
    strategy = sweep.pipeline.search if search is None else strategy_of(search)
    if best is not None and seeds is not None:
        strategy = ReplicateBest(best, seeds, strategy)
    return sweep.searching(strategy, variables)
