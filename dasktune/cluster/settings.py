"""Settings of a cluster: flags, then Dask's configuration, then the defaults; each with its origin.

The configuration has a section ``dasktune.cluster`` beside the user's own ``jobqueue``; a
section in it may have a name of the user's, with the kind of cluster as ``kind``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dasktune.errors import UsageError, did_you_mean

COMMON: dict[str, Any] = {
    "max-jobs": 20,  # jobs at a time, where -j does not say
    "cpus": None,  # a job; None: as many as threads a trial
    "memory": "4GB",  # a job
    "walltime": "01:00:00",  # a job
    "lead": None,  # seconds before its end at which a worker leaves; None: a tenth, 30 to 300
    "gpus": None,  # a job; None: as many as a trial's resource GPU
    "workers": None,  # a job; None: as many as trials fit on its GPUs
    "queue": None,
    "account": None,
    "interface": None,  # of the network between the machines
    "host": None,  # or the address on which the scheduler listens
    "tls": True,
    "directives": [],  # more lines for the job's header, without its prefix
    "prologue": [],  # lines of shell before the worker starts
    "local-directory": None,
    "death-timeout": 300,  # seconds after which a worker without a scheduler gives up
    "driver-walltime": "24:00:00",  # of the job that 'dasktune submit' sends; it goes on in another
    "driver-memory": "4GB",
    "driver-queue": None,  # None: as the others
    "driver-directives": [],
}
"""Settings of every queue, with their defaults."""

_JOBQUEUE = {
    "cpus": ("job-cpu", "ncpus", "cores"),
    "memory": ("job-mem", "memory"),
    "account": ("account", "project"),
    "directives": ("job-extra-directives",),
    "prologue": ("job-script-prologue",),
}
"""Where the user's ``jobqueue`` section has the same under another name."""


@dataclass(frozen=True)
class Setting:
    """A value and where it comes from."""

    value: Any
    origin: str


def read(
    kind: str,
    name: str,
    flags: Mapping[str, str],
    more: Mapping[str, Any],
    common: Mapping[str, Any] = COMMON,
) -> dict[str, Setting]:
    """Read the settings of a cluster.

    Parameters
    ----------
    kind : str
        The kind of cluster, such as ``"slurm"``.
    name : str
        The section of the configuration, the kind itself or a name of the user's.
    flags : mapping of str to str
        What the command line says.
    more : mapping
        Settings that this kind has beside the common ones.
    common : mapping
        Settings of all queues.

    Raises
    ------
    UsageError
        If a flag or the section has a setting that does not exist.
    """
    import dask.config

    defaults = {**common, **more}
    section = dask.config.get(f"dasktune.cluster.{name}", {}) or {}
    section = {str(key).replace("_", "-"): value for key, value in section.items()}
    for key in [*flags, *section]:
        if key not in defaults and key != "kind":
            raise UsageError(
                f"a cluster of the kind {kind!r} has no setting {key!r}."
                + did_you_mean(key, sorted(defaults))
            )
    found: dict[str, Setting] = {}
    for key, default in defaults.items():
        if key in flags:
            found[key] = Setting(_like(default, flags[key], key), f"-O {key}=…")
            continue
        if key in section:
            where = f"dasktune.cluster.{name}.{key}"
            found[key] = Setting(section[key], _origin(where))
            continue
        found[key] = Setting(default, "default")
        for theirs in _JOBQUEUE.get(key, (key,)):
            where = f"jobqueue.{kind}.{theirs}"
            value = dask.config.get(where, None)
            if value not in (None, [], (), _packaged(where)):
                found[key] = Setting(value, _origin(where))
                break
    return found


def _like(default: Any, text: str, key: str) -> Any:
    """Read a flag's text as the kind of value that its default is."""
    if isinstance(default, bool):
        if text.lower() not in ("true", "false", "yes", "no", "on", "off"):
            raise UsageError(f"{key} is true or false, but got {text!r}.")
        return text.lower() in ("true", "yes", "on")
    if isinstance(default, list):
        return [text]
    if isinstance(default, int) or (default is None and key in ("cpus", "gpus", "lead", "workers")):
        try:
            return int(text)
        except ValueError:
            raise UsageError(f"{key} is a whole number, but got {text!r}.") from None
    return text


def _packaged(where: str) -> Any:
    """Give the default that dask-jobqueue brings, which is nobody's wish."""
    import dask.config

    for tree in dask.config.defaults:
        if _holds(tree, where.split(".")):
            return dask.config.get(where, None, config=tree)
    return None


def _origin(where: str) -> str:
    """Tell which variable or file a value of Dask's configuration comes from."""
    import dask.config

    variable = "DASK_" + where.upper().replace(".", "__").replace("-", "_")
    if variable in os.environ:
        return f"${variable}"
    for path, tree in dask.config.collect_yaml(dask.config.paths, return_paths=True):
        if _holds(tree, where.split(".")):
            return f"{where} in {path}"
    return where


def _holds(tree: Any, keys: list[str]) -> bool:
    for key in keys:
        if not isinstance(tree, Mapping):
            return False
        tree = {str(name).replace("_", "-"): value for name, value in tree.items()}
        if key not in tree:
            return False
        tree = tree[key]
    return True
